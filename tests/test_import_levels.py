"""`barring import` of codes of groups and tenants, and of classes of service."""

import io
import json
from contextlib import closing
from pathlib import Path

import pytest

from barring.bulk.formats import COLUMNS, Rejected
from barring.bulk.reader import Reader
from barring.bulk.writer import Writer
from barring.domain import AuthorizationCode as Code
from barring.domain import Owner
from barring.storage import open_storage
from barring.storage.staging import StagedRow
from schemas.rules import CODE_PATTERN, code_rule
from tests.command import failure, succeed

HEADER = "tenant,group,user,code,description\n"
ANNA, SALES, ACME = Owner("acme", "sales", "anna"), Owner("acme", "sales"), Owner("acme")


def read(content: str, *, remove: bool = False) -> list[StagedRow | Rejected]:
    """What is read of a file, to be stored or removed."""
    return list(
        Reader(
            io.BufferedReader(io.BytesIO(content.encode())),
            "codes",
            code_rule(CODE_PATTERN),
            remove,
        )
    )


@pytest.mark.parametrize(
    ("content", "services"),
    [
        ("tenant,group,user,code,class_of_service\na,b,c,01,\na,b,c,02,x\na,b,c,03\n", "_x_"),
        ("tenant,group,user,code,class_of_service,line\na,b,c,01,,\na,b,c,02\n", "__"),
        ("tenant,group,user,code,line\na,b,c,01,2\na,b,c,02\n", "??"),
        (
            '{"tenant":"a","group":"b","user":"c","code":"01","class_of_service":""}\n'
            '{"tenant":"a","group":"b","user":"c","code":"02","class_of_service":"x"}\n'
            '{"tenant":"a","group":"b","user":"c","code":"03"}\n'
            '{"tenant":"a","group":"b","user":"c","code":"04","class_of_service":null}\n',
            "_x??",
        ),
    ],
)
def test_class_of_service_may_be_empty_or_left_out(content: str, services: str) -> None:
    """An empty cell or text is one without; a column or key that is not there leaves it open.

    Spreadsheets may leave out the last cells of a row that are empty.
    """
    meaning = {"_": "", "?": None, "x": "x"}
    rows = [row for row in read(content) if isinstance(row, StagedRow)]
    assert [row.row[-1] for row in rows] == [meaning[service] for service in services]


@pytest.mark.parametrize("kind", ["csv", "tsv", "ndjson", "array"])
@pytest.mark.parametrize(
    ("owner", "fault"),
    [
        (("a", "b", "c"), None),
        (("a", "b", ""), None),
        (("a", "", ""), None),
        (("a", "", "c"), "group: Must not be empty where there is a user."),
        (("", "", ""), "tenant: Must have 1 to 161 characters"),
        (("", "b", ""), "tenant: Must have 1 to 161 characters"),
        (("", "b", "c"), "tenant: Must have 1 to 161 characters"),
    ],
)
@pytest.mark.parametrize("remove", [False, True])
def test_empty_cells_name_the_level_above(
    owner: tuple[str, ...], fault: str | None, kind: str, remove: bool
) -> None:
    """No user is the group, no group and no user the tenant; every other gap is rejected."""
    row = (*owner, "01", "", "x")
    if kind == "array":
        content = json.dumps([dict(zip(COLUMNS, row, strict=True))])
    else:
        stream = io.StringIO(newline="")
        Writer(stream, kind).write(row)
        content = stream.getvalue()
    (taken,) = read(content, remove=remove)
    if fault:
        assert isinstance(taken, Rejected)
        assert taken.reason.startswith(fault)
    else:
        assert isinstance(taken, StagedRow)
        assert taken.row[:3] == owner


@pytest.mark.parametrize("record", ['{"tenant":"a","code":"01"}', '{"tenant":"a","group":null}'])
def test_missing_cell_is_no_empty_one(record: str) -> None:
    """A level above is named on purpose: what lacks a group or a user is rejected."""
    for content in (record, "code,tenant,group,user\n01,a,b\n", "code,tenant,group,user\n01,a\n"):
        (row,) = read(content)
        assert isinstance(row, Rejected)
        assert row.reason.endswith(": Must be present, and be text.")


@pytest.mark.parametrize("service", ["x" * 41, "é" * 41, "x\0"])
def test_class_of_service_that_breaks_a_rule_is_rejected(service: str) -> None:
    """It has at most 40 characters and no NUL; for removal it is passed over."""
    content = f"{HEADER.rstrip()},class_of_service\na,b,c,01,,{service}\n"
    (row,) = read(content)
    assert isinstance(row, Rejected)
    assert row.reason.startswith("class_of_service: Must have at most 40 characters")
    assert row.values["class_of_service"] == service
    assert read(content, remove=True) == [StagedRow(2, ("a", "b", "c", "01", "", None))]


CODES = {
    ANNA: [Code("01", "of Anna", "international"), Code("02", "of Anna")],
    SALES: [Code("01", "of sales"), Code("03", "of sales", "national")],
    ACME: [Code("01", "of acme", "é😀"), Code("04", "of acme")],
}


def write(folder: Path, database_url: str) -> None:
    """Store the codes in a database."""
    with closing(open_storage(database_url)) as storage:
        storage.prepare()
        for owner, codes in CODES.items():
            storage.add(owner, codes)


def stored(database_url: str) -> dict[Owner, list[Code]]:
    """What a database holds, by owner."""
    with closing(open_storage(database_url)) as storage:
        return {owner: storage.list(owner) for owner in CODES}


@pytest.mark.parametrize("kind", ["csv", "tsv", "ndjson"])
def test_all_levels_are_exported_imported_and_removed(
    tmp_path: Path, database_url: str, kind: str
) -> None:
    """An export of all levels imports to the same, and removes all that it names."""
    write(tmp_path, database_url)
    file = str(tmp_path / f"codes.{kind}")
    succeed(tmp_path, "export", file, BARRING_DATABASE_URL=database_url)
    other = f"sqlite:///{tmp_path / 'other.sqlite3'}"
    assert succeed(tmp_path, "import", file, BARRING_DATABASE_URL=other) == "6 codes stored\n"
    assert stored(other) == CODES
    removed = succeed(tmp_path, "import", "--delete", file, BARRING_DATABASE_URL=database_url)
    assert removed == "6 codes removed\n"
    assert set(map(len, stored(database_url).values())) == {0}


@pytest.mark.parametrize(
    ("content", "services"),
    [
        (HEADER + "{0},01,new\n{0},02,new\n{0},03,new\n", ["old", "", ""]),
        (
            HEADER.strip() + ",class_of_service\n{0},01,new,\n{0},02,new,\n{0},03,new\n",
            ["", "", ""],
        ),
        (
            HEADER.strip() + ",class_of_service\n{0},01,new,a\n{0},02,new,b\n{0},03,new,c\n",
            ["a", "b", "c"],
        ),
        ('{{{1}"code":"01"}}\n{{{1}"code":"02"}}\n{{{1}"code":"03"}}\n', ["old", "", ""]),
        ('{{{1}"code":"01","class_of_service":""}}\n{{{1}"code":"02"}}\n', ["", ""]),
        ('[{{{1}"code":"01"}},{{{1}"code":"02","class_of_service":"b"}}]', ["old", "b"]),
    ],
    ids=["no column", "empty cells", "texts", "no key", "empty text", "array"],
)
@pytest.mark.parametrize("owner", CODES, ids=lambda owner: owner.level)
def test_replace_leaves_what_the_file_does_not_have(
    tmp_path: Path, owner: Owner, content: str, services: list[str]
) -> None:
    """A row without a class of service leaves that of the code; an empty one clears it."""
    url = f"sqlite:///{tmp_path / 'codes.sqlite3'}"
    others = {each: [Code("01", "old", "old")] for each in CODES}
    with closing(open_storage(url)) as storage:
        storage.prepare()
        for each, codes in others.items():
            storage.add(each, codes)
        storage.add(owner, [Code("02", "old")])
    members = zip(("tenant", "group", "user"), owner, strict=True)
    keys = "".join(f'"{name}":"{value}",' for name, value in members) + '"description":"new",'
    rows = content.format(",".join(owner), keys)
    succeed(tmp_path, "import", "--on-existing", "replace", "-", stdin=rows)
    others[owner] = [Code(f"0{n}", "new", service) for n, service in enumerate(services, 1)]
    assert stored(url) == others


REJECTED = [
    ("codes.csv", HEADER + "acme,{0},anna,01,new\n", "national"),
    ("codes.csv", HEADER.strip() + ",class_of_service\nacme,{0},anna,01,new,\n", ""),
    ("codes.csv", HEADER.strip() + ",class_of_service\nacme,{0},anna,01,new\n", ""),
    ("codes.csv", HEADER.strip() + ",class_of_service\nacme,{0},anna,01,new,other\n", "other"),
    ("codes.ndjson", '{{{1},"code":"01","description":"new"}}\n', "national"),
    ("codes.ndjson", '{{{1},"code":"01","description":"new","class_of_service":""}}\n', ""),
    ("codes.ndjson", '[{{{1},"code":"01","description":"new","class_of_service":"x"}}]\n', "x"),
]


@pytest.mark.parametrize("valid", [False, True], ids=["invalid", "existing"])
@pytest.mark.parametrize(("name", "content", "service"), REJECTED)
def test_mended_rejection_means_what_it_meant(
    tmp_path: Path, name: str, content: str, service: str, valid: bool
) -> None:
    """A rejected row, once imported, replaces as its source: the class of service stays or goes."""
    url = f"sqlite:///{tmp_path / 'codes.sqlite3'}"
    with closing(open_storage(url)) as storage:
        storage.prepare()
        storage.add(ANNA, [Code("01", "old", "national")])
    group = "sales" if valid else ""
    content = content.format(group, f'"tenant":"acme","group":"{group}","user":"anna"')
    file, errors = tmp_path / name, tmp_path / f"rejected-{name}"
    file.write_text(content)
    fault = "code: This code exists" if valid else "group: Must not be empty where there is a user."
    options = ["--keep-going", "--errors", str(errors)]
    assert fault in failure(tmp_path, "import", *options, str(file))
    rejected = errors.read_text()
    if name == "codes.csv":
        assert rejected.splitlines()[0] == f"{content.splitlines()[0]},line,reason"
    mended = rejected.replace(",,anna", ",sales,anna").replace('"group":""', '"group":"sales"')
    errors.write_text(mended)
    succeed(tmp_path, "import", "--on-existing", "replace", str(errors))
    assert stored(url)[ANNA] == [Code("01", "new", service)]
