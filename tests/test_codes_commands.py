"""Codes at a shell: list, show, add, describe and remove, for users, groups and tenants."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.command import barring, failure, logged, succeed

ANNA = ("acme", "sales", "anna")
LEVELS = {"user": ANNA, "group": ("acme", "sales", ""), "tenant": ("acme", "", "")}
EVERY_LEVEL = pytest.mark.parametrize("owner", LEVELS.values(), ids=LEVELS)


def arguments_for(command: str, *owner: str, code: str = "01") -> list[str]:
    """What a command needs at least."""
    change = ["--description", "new"] if command == "describe" else []
    return [command, *owner, *([] if command == "list" else [code]), *change]


@EVERY_LEVEL
def test_codes_of_an_owner(tmp_path: Path, owner: tuple[str, ...]) -> None:
    """What is added is listed, by code, and shown, until it is removed."""
    succeed(tmp_path, "add", *owner, "4711", "Night shift, é😀")
    succeed(tmp_path, "add", *owner, "0815")
    assert succeed(tmp_path, "list", *owner) == "0815\n4711            Night shift, é😀\n"
    assert succeed(tmp_path, "show", *owner, "0815") == "code         0815\ndescription\n"
    assert succeed(tmp_path, "list", "acme", "sales", "another") == ""
    assert succeed(tmp_path, "remove", *owner, "4711", "9999", "4711") == "1 removed\n"
    assert succeed(tmp_path, "list", *owner) == "0815\n"


def test_levels_do_not_meet(tmp_path: Path) -> None:
    """One code may stand at every level; each command reads and writes at its own alone."""
    for level, owner in LEVELS.items():
        succeed(tmp_path, "add", *owner, "4711", level)
    for level, owner in LEVELS.items():
        assert succeed(tmp_path, "list", *owner) == f"4711            {level}\n"
        succeed(tmp_path, "describe", *owner, "4711", "--description", f"the {level}")
    for level, owner in LEVELS.items():
        assert f"the {level}\n" in succeed(tmp_path, "show", *owner, "4711")
        assert succeed(tmp_path, "remove", *owner, "4711") == "1 removed\n"
        assert succeed(tmp_path, "list", *owner) == ""


def test_class_of_service_is_shown_where_it_is_set(tmp_path: Path) -> None:
    """A list has it after the description, and what is shown of a code a line for it."""
    succeed(tmp_path, "add", *ANNA, "01", "one", "--class-of-service", "international é")
    succeed(tmp_path, "add", *ANNA, "02", "--class-of-service", "\x1b[2J")
    succeed(tmp_path, "add", *ANNA, "03", "three")
    assert succeed(tmp_path, "list", *ANNA) == (
        "01              one  [international é]\n02                [ [2J]\n03              three\n"
    )
    assert succeed(tmp_path, "show", *ANNA, "01") == (
        "code            01\ndescription     one\nclassOfService  international é\n"
    )
    assert succeed(tmp_path, "show", *ANNA, "03") == "code         03\ndescription  three\n"


@EVERY_LEVEL
def test_codes_as_json(tmp_path: Path, owner: tuple[str, ...]) -> None:
    """With --json the output is data, as the API has it."""
    assert succeed(tmp_path, "add", *owner, "01", 'a\n"b"\x1b[2J\\') == ""
    code = {"code": "01", "description": 'a\n"b"\x1b[2J\\'}
    assert json.loads(succeed(tmp_path, "list", *owner, "--json")) == [code]
    assert json.loads(succeed(tmp_path, "show", *owner, "01", "--json")) == code
    assert json.loads(succeed(tmp_path, "list", "a", "b", "c", "--json")) == []
    assert succeed(tmp_path, "add", *owner, "02", "--class-of-service", "é😀") == ""
    other = {"code": "02", "description": "", "classOfService": "é😀"}
    assert json.loads(succeed(tmp_path, "list", *owner, "--json")) == [code, other]
    assert json.loads(succeed(tmp_path, "show", *owner, "02", "--json")) == other


def test_terminal_gets_no_control_character(tmp_path: Path) -> None:
    """A description from elsewhere can neither break a list's lines nor steer a terminal."""
    succeed(tmp_path, "add", *ANNA, "01", "a\nb\x1b[2J\u202ec")
    assert succeed(tmp_path, "list", *ANNA) == "01              a b [2J c\n"
    assert succeed(tmp_path, "show", *ANNA, "01") == "code         01\ndescription  a b [2J c\n"


@pytest.mark.parametrize("end", ["\n", "\r\n", "", "\nmore\n"])
def test_code_from_standard_input(tmp_path: Path, end: str) -> None:
    """For - the code is a line of standard input, where no other user of the machine sees it."""
    succeed(tmp_path, "add", *ANNA, "-", "Night shift", stdin=f"4711{end}")
    assert "4711" in succeed(tmp_path, "show", *ANNA, "-", stdin=f"4711{end}")
    change = ["--description", "Day shift"]
    succeed(tmp_path, "describe", *ANNA, "-", *change, stdin=f"4711{end}")
    assert "Day shift" in succeed(tmp_path, "list", *ANNA)
    assert succeed(tmp_path, "remove", *ANNA, "-", "-", stdin="4711\n0815\n") == "1 removed\n"
    message = failure(tmp_path, "add", *ANNA, "-", stdin="")
    assert message == "barring: standard input is empty; write the code to it"


def test_code_that_looks_like_an_option(tmp_path: Path) -> None:
    """After -- a code may begin with a hyphen."""
    assert "No such option" in failure(tmp_path, "add", *ANNA, "-5", status=2)
    succeed(tmp_path, "add", "--", *ANNA, "-5", "--")
    assert succeed(tmp_path, "list", *ANNA).split() == ["-5", "--"]
    succeed(tmp_path, "describe", "--description", "x", "--", *ANNA, "-5")
    assert succeed(tmp_path, "list", *ANNA).split() == ["-5", "x"]
    assert succeed(tmp_path, "remove", *ANNA, "--", "-5") == "1 removed\n"


@EVERY_LEVEL
def test_writes_are_logged_without_codes(tmp_path: Path, owner: tuple[str, ...]) -> None:
    """Each write leaves a line for the audit that names the owner and no code."""
    names = dict(zip(("tenant", "group", "user"), filter(None, owner), strict=False))
    writes = {"create": "add", "change": "describe", "delete": "remove"}
    for operation, command in writes.items():
        done = barring(tmp_path, *arguments_for(command, *owner, code="s3cret"))
        (line,) = (line for line in logged(done) if line["event"] == "audit")
        assert line["owner"] == names
        values = {"role": "operator", "operation": operation, "count": 1}
        assert values.items() <= line.items()
        assert "s3cret" not in done.stderr


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        (["--description", "new é😀"], "01              new é😀  [national]\n"),
        (["--description", ""], "01                [national]\n"),
        (["--class-of-service", "é"], "01              old  [é]\n"),
        (["--class-of-service", ""], "01              old\n"),
        (["--description", "new", "--class-of-service", "é"], "01              new  [é]\n"),
        (["--description", "", "--class-of-service", ""], "01\n"),
    ],
)
def test_describe_changes_what_it_is_told(tmp_path: Path, options: list[str], shown: str) -> None:
    """Each option changes one field, and "" clears it; the other field, and other codes, stay."""
    owner = LEVELS["group"]
    for code in ("01", "02"):
        succeed(tmp_path, "add", *owner, code, "old", "--class-of-service", "national")
    assert succeed(tmp_path, "describe", *owner, "01", *options) == ""
    assert succeed(tmp_path, "list", *owner) == f"{shown}02              old  [national]\n"


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["01"], 2, "add --description, --class-of-service or both (see --help)"),
        (["--description", "x"], 2, "Missing argument 'CODE'"),
        (["02", "--description", "x"], 1, "there is no such code"),
        (["0 é" * 99, "--class-of-service", ""], 1, "there is no such code"),
        (["01", "--description", "x" * 81], 1, "description: Must have at most 80"),
        (["01", "--class-of-service", "x" * 41], 1, "classOfService: Must have 1 to 40"),
    ],
)
def test_describe_refuses_what_it_cannot_do(
    tmp_path: Path, arguments: list[str], status: int, message: str
) -> None:
    """Nothing to change, a code that is not there and a text that breaks a rule change nothing."""
    succeed(tmp_path, "add", *ANNA, "01", "old", "--class-of-service", "national")
    assert message in failure(tmp_path, "describe", *ANNA, *arguments, status=status)
    assert succeed(tmp_path, "list", *ANNA) == "01              old  [national]\n"


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (("1",), "code: Must have 2 to 14"),
        (("0 1",), "code: Must have 2 to 14"),
        (("012345678901234",), "code: Must have 2 to 14"),
        (("é1",), "code: Must have 2 to 14"),
        (("02", "x" * 81), "description: Must have at most 80"),
        (("02", "--class-of-service", ""), "classOfService: Must have 1 to 40"),
        (("02", "--class-of-service", "x" * 41), "classOfService: Must have 1 to 40"),
        (("01",), "exist already"),
    ],
)
def test_add_refuses_what_the_api_refuses(
    tmp_path: Path, arguments: tuple[str, ...], fault: str
) -> None:
    """A text that breaks a rule, and a code that exists, change nothing."""
    succeed(tmp_path, "add", *ANNA, "01", "old")
    assert fault in failure(tmp_path, "add", *ANNA, *arguments)
    assert succeed(tmp_path, "list", *ANNA) == "01              old\n"


@pytest.mark.parametrize(
    ("command", "place", "name"),
    [
        ("list", 0, ".."),
        ("add", 1, ".."),
        ("show", 2, "a/b"),
        ("remove", 1, "a\nb"),
        ("describe", 2, "x" * 162),
        ("add", 0, "x" * 162),
    ],
)
def test_owner_is_checked(tmp_path: Path, command: str, place: int, name: str) -> None:
    """What no path of the API can name is no tenant, group or user here either."""
    owner = [*ANNA]
    owner[place] = name
    message = failure(tmp_path, *arguments_for(command, *owner), status=2)
    argument = ("TENANT", "GROUP", "USER")[place]
    assert f"Invalid value for '{argument}': Must have " in message
    assert "161 characters" in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["list", "show", "add", "describe", "remove"])
def test_owner_of_no_level_is_refused(tmp_path: Path, command: str) -> None:
    """No owner is without a tenant, and no user without a group."""
    message = failure(tmp_path, *arguments_for(command, "acme", "", "anna"), status=2)
    assert "Invalid value for 'GROUP': Must not be empty where there is a user." in message
    message = failure(tmp_path, *arguments_for(command, "", "", ""), status=2)
    assert "Invalid value for 'TENANT': Must have 1 to 161" in message
    assert list(tmp_path.iterdir()) == []


def test_code_pattern_of_the_operator_binds(tmp_path: Path) -> None:
    """BARRING_CODE_PATTERN is the rule of new codes; what it forbids can be changed and removed."""
    digits: dict[str, Any] = {"BARRING_CODE_PATTERN": "[0-9]+"}
    succeed(tmp_path, "add", *ANNA, "ab")
    assert "[0-9]+" in failure(tmp_path, "add", *ANNA, "cd", **digits)
    succeed(tmp_path, "describe", *ANNA, "ab", "--description", "x", **digits)
    assert succeed(tmp_path, "remove", *ANNA, "ab", **digits) == "1 removed\n"


@pytest.mark.parametrize("command", ["list", "show", "describe", "remove"])
def test_reading_makes_no_database(tmp_path: Path, command: str) -> None:
    """Where there is no database, only `add` and `import` make one."""
    message = failure(tmp_path, *arguments_for(command, *ANNA))
    assert "codes.sqlite3: there is no database yet" in message
    assert list(tmp_path.iterdir()) == []
    succeed(tmp_path, "add", *ANNA, "01")
    assert "no such code" in failure(tmp_path, "show", *ANNA, "02")
