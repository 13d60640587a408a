"""Commands on whole files of codes."""

import io
import itertools
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import click

from barring.bulk import MORE, InputError, Rejected, Writer, read_rows
from barring.files import replacing
from barring.settings import Settings
from barring.storage import Existing, StagedRow, Staging
from schemas import TextRule, code_rule

from .common import audit, opened_storage, progress

_AT_ONCE = 10_000
_KINDS = {".tsv": "tsv", ".ndjson": "ndjson", ".jsonl": "ndjson"}
_FILE = click.Path(dir_okay=False, path_type=Path)


class _Rejections:
    """The rows that are refused: counted, and written to a file where one is wanted."""

    def __init__(self, writer: Writer | None) -> None:
        self.count = 0
        self._first = (sys.maxsize, "")
        self._writer = writer

    def add(self, line: int, values: Iterable[str], reason: str) -> None:
        """Refuse one row."""
        self._first = min(self._first, (line, reason))
        self.count += 1
        if self._writer:
            self._writer.write((*values, str(line), reason))

    def add_existing(self, row: StagedRow) -> None:
        """Refuse a row whose code is stored already."""
        self.add(row.line, row[1:], "code: This code exists already.")

    def __str__(self) -> str:
        return "{} rows rejected, the first: line {}: {}".format(self.count, *self._first)


@contextmanager
def _written(path: Path, kind: str, more: tuple[str, ...] = ()) -> Iterator[Writer]:
    """A writer to a file that appears when it is whole."""
    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="") as stream:
        yield Writer(stream, kind, more)


def _rows(file: BinaryIO, rule: TextRule | None) -> Iterator[StagedRow | Rejected]:
    """The rows of a file. Raises InputError, naming it, where it cannot be read."""
    try:
        yield from read_rows(file, rule)
    except InputError as error:
        raise InputError(f"{file.name}: {error}") from None


def _stage(
    file: BinaryIO,
    rows: Iterator[StagedRow | Rejected],
    staging: Staging,
    rejections: _Rejections,
    update: Callable[[int, int], None],
) -> None:
    """Gather the good rows of a file; refuse the others, and those that repeat another."""
    size = os.fstat(file.fileno()).st_size if file.seekable() else 0
    while part := list(itertools.islice(rows, _AT_ONCE)):
        staging.put(row for row in part if isinstance(row, StagedRow))
        for row in part:
            if isinstance(row, Rejected):
                rejections.add(*row)
        if size:
            update(file.tell(), size)
    for repeated in staging.take_repeated():
        rejections.add(repeated.line, repeated[1:], "code: Repeats the code of an earlier line.")


@click.command("import")
@click.argument("file", type=click.File("rb"))
@click.option("--delete", is_flag=True, help="Remove the codes; absent ones are no error.")
@click.option(
    "--on-existing",
    type=click.Choice(["fail", "skip", "replace"]),
    default="fail",
    show_default=True,
    help="A row whose code exists is rejected, left out, or gives it another description.",
)
@click.option("--keep-going", is_flag=True, help="Take the good rows even if others are rejected.")
@click.option("--dry-run", is_flag=True, help="Check everything, and change nothing.")
@click.option("--errors", type=_FILE, help="Write the rejected rows here, each with its reason.")
def import_file(
    file: BinaryIO,
    delete: bool,
    on_existing: Existing,
    keep_going: bool,
    dry_run: bool,
    errors: Path | None,
) -> None:
    """Store the codes of FILE (- for standard input): all of them, or none.

    CSV with commas, semicolons or tabs, JSON a line, or a JSON array: the content tells which. The
    columns tenant, group, user, code and description are named in the first line. Mend the file of
    --errors, and import it again.

    \b
    Examples:
      barring import codes.csv
      barring import --keep-going --errors rejected.csv codes.csv
      barring import --delete leavers.csv
    """
    rule = None if delete else code_rule(Settings.from_environment().code_pattern)
    with ExitStack() as stack:
        rejected = stack.enter_context(_written(errors, "csv", MORE)) if errors else None
        rejections = _Rejections(rejected)
        storage = stack.enter_context(opened_storage(create=not delete and not dry_run))
        staging = stack.enter_context(storage.staging())
        update = stack.enter_context(progress("Reading"))
        _stage(file, _rows(file, rule), staging, rejections, update)
        # Even if a row is rejected, those that exist already are found and told.
        undo = dry_run or bool(rejections.count and not keep_going)
        if delete:
            count = staging.remove(dry_run=undo)
        else:
            report = rejections.add_existing
            count = staging.add(on_existing, report, keep_going=keep_going, dry_run=undo)
    if rejections.count and not keep_going:
        count = 0
    if count and not dry_run:
        audit("delete" if delete else "create", count)
    done = f"{count} codes {'would be ' if dry_run else ''}{'removed' if delete else 'stored'}"
    if rejections.count:
        raise InputError(f"{done}; {rejections}")
    click.echo(done)


@click.command("export")
@click.argument("file", type=_FILE, default="-")
@click.option(
    "--format", "kind", type=click.Choice(["csv", "tsv", "ndjson"]), help="[default: by name]"
)
def export_file(file: Path, kind: str | None) -> None:
    """Write every code to FILE, as of one moment; without FILE, to standard output.

    \b
    Examples:
      barring export codes.csv
      barring export --format ndjson | gzip > codes.ndjson.gz
    """
    kind = kind or _KINDS.get(file.suffix, "csv")
    with opened_storage() as storage, ExitStack() as stack:
        if str(file) == "-":
            # Not as the shell would have it: a file of codes is the same everywhere.
            cast(io.TextIOWrapper, sys.stdout).reconfigure(encoding="utf-8", newline="")
            writer = Writer(sys.stdout, kind)
        else:
            writer = stack.enter_context(_written(file, kind))
        update = stack.enter_context(progress("Writing"))
        total = storage.count()
        for number, row in enumerate(storage.export(), 1):
            writer.write(row)
            if not number % _AT_ONCE:
                update(number, max(total, number))


COMMANDS = (import_file, export_file)
