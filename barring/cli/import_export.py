"""Commands on whole files of codes."""

import io
import itertools
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import click

from barring.bulk.reader import COLUMNS, MORE, InputError, Reader, Rejected, Writer
from barring.files import replacing
from barring.settings import Settings
from barring.storage.base import Existing, StagedRow, Staging, Storage
from schemas.rules import code_rule

from .common import AT_ONCE, audit, main, opened_storage, progress

_KINDS = {"": "csv", ".csv": "csv", ".tsv": "tsv", ".ndjson": "ndjson", ".jsonl": "ndjson"}
_FILE = click.Path(dir_okay=False, readable=False, path_type=Path)


class _Rejections:
    """The rows that are refused: counted, and written to a file where one is wanted."""

    def __init__(self, writer: Writer | None) -> None:
        self.count = 0
        self._first = (sys.maxsize, "")
        self._writer = writer

    def add(self, row: Rejected) -> None:
        """Refuse one row."""
        self._first = min(self._first, (row.line, row.reason))
        self.count += 1
        if self._writer:
            self._writer.reject(row)

    def add_staged(self, row: StagedRow, reason: str = "code: This code exists already.") -> None:
        """Refuse a row that is good, but for what else there is."""
        self.add(Rejected(row.line, reason, dict(zip(COLUMNS, row[1:], strict=True))))

    def __str__(self) -> str:
        line, reason = self._first
        return f"{_counted(self.count, 'row')} rejected, the first: line {line}: {reason}"


def _counted(count: int, thing: str) -> str:
    return f"{count} {thing}{'s' * (count != 1)}"


@contextmanager
def _written(
    storage: Storage, path: Path, kind: str, more: tuple[str, ...] = ()
) -> Iterator[Writer]:
    """A writer to a file that appears when it is whole. Raises InputError for the database's."""
    if storage.keeps(path):
        raise InputError(f"{path}: is a file of the database; name another")
    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="") as stream:
        yield Writer(stream, kind, more)


@contextmanager
def _naming(file: BinaryIO) -> Iterator[None]:
    """Name the file in an InputError of what it holds."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{file.name}: {error}") from None


def _check_errors(errors: Path | None, file: BinaryIO, keep_going: bool) -> None:
    """Raise InputError where the rejected rows would take the place of the only good ones."""
    if str(errors) == "-":
        raise InputError("--errors: name a file, not -")
    same = errors and errors.exists() and os.path.samestat(errors.stat(), os.fstat(file.fileno()))
    if same and not keep_going:
        raise InputError(f"{errors}: is the file to import; name another, or add --keep-going")


def _stage(file: BinaryIO, reader: Reader, staging: Staging, rejections: _Rejections) -> None:
    """Gather the good rows of a file; refuse the others, and those that repeat another."""
    size = os.fstat(file.fileno()).st_size if file.seekable() else 0
    rows = iter(reader)
    with progress("Reading") as update:
        while part := list(itertools.islice(rows, AT_ONCE)):
            staging.put(row for row in part if isinstance(row, StagedRow))
            for row in part:
                if isinstance(row, Rejected):
                    rejections.add(row)
            if size:
                update(file.tell(), size)
    for repeated in staging.take_repeated():
        rejections.add_staged(repeated, "code: Repeats the code of an earlier line.")


def _tell(count: int, rejections: _Rejections, delete: bool, dry_run: bool) -> None:
    """Say what was done, here and in the log. Raises InputError where not all of it was."""
    if count and not dry_run:
        audit("delete" if delete else "create", count)
    verb = f"{'would be ' if dry_run else ''}{'removed' if delete else 'stored'}"
    done = f"{_counted(count, 'code')} {verb}"
    if rejections.count:
        raise InputError(f"{done}; {rejections}")
    click.echo(done)


@main.command("import")
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
@click.option("--dry-run", is_flag=True, help="Check everything, and change no code.")
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
    columns tenant, group, user, code and description are named in the first line. If rows are
    rejected, mend FILE and import it again; or with --keep-going the file of --errors alone.

    \b
    Examples:
      barring import codes.csv
      barring import --keep-going --errors rejected.csv codes.csv
      barring import --delete leavers.csv
    """
    if delete and on_existing != "fail":
        raise click.UsageError("--delete and --on-existing exclude each other")
    _check_errors(errors, file, keep_going and not dry_run)
    rule = None if delete else code_rule(Settings.from_environment().code_pattern)
    with ExitStack() as stack:
        stack.enter_context(_naming(file))
        reader = Reader(file, rule)
        storage = stack.enter_context(opened_storage(create=not delete))
        rejections = _Rejections(
            stack.enter_context(_written(storage, errors, reader.kind, MORE)) if errors else None
        )
        staging = stack.enter_context(storage.staging())
        _stage(file, reader, staging, rejections)
        # Even if a row is rejected, those that exist already are found and told.
        undo = dry_run or bool(rejections.count and not keep_going)
        if delete:
            count = staging.remove(dry_run=undo)
        else:
            report = rejections.add_staged
            count = staging.add(on_existing, report, keep_going=keep_going, dry_run=undo)
    _tell(0 if rejections.count and not keep_going else count, rejections, delete, dry_run)


@main.command("export")
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
    kind = kind or _KINDS.get(file.suffix.lower())
    if kind is None:
        raise InputError(f"{file}: its ending is none of{' '.join(_KINDS)}; say --format")
    with opened_storage() as storage, ExitStack() as stack:
        if str(file) == "-":
            # Not as the shell would have it: a file of codes is the same everywhere.
            cast(io.TextIOWrapper, sys.stdout).reconfigure(encoding="utf-8", newline="")
            writer = Writer(sys.stdout, kind)
        else:
            writer = stack.enter_context(_written(storage, file, kind))
        update = stack.enter_context(progress("Writing"))
        total = storage.count()
        for number, row in enumerate(storage.export(), 1):
            writer.write(row)
            if not number % AT_ONCE:
                update(number, max(total, number))
