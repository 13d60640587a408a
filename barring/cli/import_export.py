"""Commands that import and export files of codes."""

import io
import itertools
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import click

from barring.bulk.formats import COLUMNS, REJECTION_COLUMNS, InputError, Rejected
from barring.bulk.reader import Reader
from barring.bulk.writer import Writer
from barring.files import replacing
from barring.settings import Settings
from barring.storage.base import Storage
from barring.storage.staging import Existing, StagedRow, Staging
from schemas.rules import code_rule

from .common import BATCH, audit, main, opened_storage, progress

_KINDS = {"": "csv", ".csv": "csv", ".tsv": "tsv", ".ndjson": "ndjson", ".jsonl": "ndjson"}
_FILE = click.Path(dir_okay=False, readable=False, path_type=Path)


class _Rejections:
    """The rejected rows: counted, and written to a file if there is a `writer`."""

    def __init__(self) -> None:
        self.count = 0
        self.first = (sys.maxsize, "")
        self.writer: Writer | None = None

    def add(self, row: Rejected) -> None:
        """Reject a row."""
        self.count += 1
        self.first = min(self.first, row[:2])
        if self.writer:
            self.writer.reject(row)

    def add_staged(self, row: StagedRow, reason: str = "code: This code exists already.") -> None:
        """Reject a valid row because of other rows or of the stored codes."""
        self.add(Rejected(row.line, reason, dict(zip(COLUMNS, row.row, strict=True))))

    def __str__(self) -> str:
        line, reason = self.first
        return f"{_counted(self.count, 'row')} rejected, the first: line {line}: {reason}"


def _counted(count: int, thing: str) -> str:
    return f"{count} {thing}{'s' * (count != 1)}"


@contextmanager
def _writer(
    storage: Storage, path: Path, kind: str, columns: Sequence[str] = COLUMNS
) -> Iterator[Writer]:
    """A writer to a file that appears when it is complete, or to standard output for `-`.

    Raises InputError for a file of the database.
    """
    if str(path) == "-":
        # The content of a file does not depend on the shell's encoding.
        cast(io.TextIOWrapper, sys.stdout).reconfigure(encoding="utf-8", newline="")
        yield Writer(sys.stdout, kind, columns)
        return
    if storage.owns(path):
        raise InputError(f"{path}: is a file of the database; name another")
    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="") as stream:
        yield Writer(stream, kind, columns)


def _check_errors_file(errors: Path, file: BinaryIO, keep_going: bool) -> None:
    """Raise InputError if the rejected rows would replace the only copy of the valid ones."""
    same = errors.exists() and os.path.samestat(errors.stat(), os.fstat(file.fileno()))
    if same and not keep_going:
        raise InputError(f"{errors}: is the file to import; name another, or add --keep-going")


def _stage(file: BinaryIO, reader: Reader, staging: Staging, rejections: _Rejections) -> None:
    """Stage the valid rows of a file. Of rows with the same code, stage only the first."""
    size = os.fstat(file.fileno()).st_size if file.seekable() else 0
    rows = iter(reader)
    with progress("Reading", length=size) as bar:
        while batch := list(itertools.islice(rows, BATCH)):
            staging.put(row for row in batch if isinstance(row, StagedRow))
            for row in batch:
                if isinstance(row, Rejected):
                    rejections.add(row)
            if size:
                bar.update(file.tell() - bar.pos)
    for repeated in staging.take_repeated():
        rejections.add_staged(repeated, "code: Repeats the code of an earlier line.")


def _report(count: int, rejections: _Rejections, delete: bool, dry_run: bool) -> None:
    """Log and print what was done. Raises InputError if rows were rejected."""
    if count and not dry_run:
        audit("delete" if delete else "create", count=count)
    verb = f"{'would be ' if dry_run else ''}{'removed' if delete else 'stored'}"
    done = f"{_counted(count, 'code')} {verb}"
    if rejections.count:
        raise InputError(f"{done}; {rejections}")
    click.echo(done)


@main.command("import")
@click.argument("file", type=click.File("rb"))
@click.option("--delete", is_flag=True, help="Remove the codes; ignore missing ones.")
@click.option(
    "--on-existing",
    type=click.Choice(["fail", "skip", "replace"]),
    default="fail",
    show_default=True,
    help="For a code that exists: reject the row, skip it, or replace what is stored.",
)
@click.option("--keep-going", is_flag=True, help="Import valid rows even if others are rejected.")
@click.option("--dry-run", is_flag=True, help="Check everything, and change nothing.")
@click.option("--errors", type=_FILE, help="Write the rejected rows and the reasons to this file.")
@click.option("--tenant", help="The tenant of all codes, if FILE has no column for it.")
@click.option("--group", help="The group of all codes, if FILE has no column for it.")
@click.option("--user", help='The user; "" for codes of the group.')
@click.option("--columns", metavar="NAMES", help="The columns of a CSV file, in order.")
@click.option("--encoding", help="The encoding of FILE, such as windows-1252.  [default: UTF-8]")
def import_file(
    file: BinaryIO,
    delete: bool,
    on_existing: Existing,
    keep_going: bool,
    dry_run: bool,
    errors: Path | None,
    **source: str | None,
) -> None:
    """Store the codes of FILE (- for standard input): all of them or none.

    FILE is CSV with commas, semicolons or tabs, JSON lines or a JSON array, recognized by its
    content. The first line of CSV names the columns, as in an export. Otherwise --columns names
    them all in order, - to ignore one, or maps some: NAME=NAME-IN-FILE. If rows are rejected,
    correct FILE and import it again; after --keep-going, import the corrected file of --errors.

    \b
    Examples:
      barring import codes.csv
      barring import --keep-going --errors rejected.csv codes.csv
      barring import --delete leavers.csv
      barring import --tenant acme --group sales --user "" --columns code,description,- list.csv
    """
    if delete and on_existing != "fail":
        raise click.UsageError("--delete and --on-existing cannot be combined")
    if errors:
        _check_errors_file(errors, file, keep_going and not dry_run)
    rule = code_rule(Settings.from_environment().code_pattern)
    reader = Reader(file, file.name, rule, delete, **source)
    with opened_storage(create=not delete) as storage, ExitStack() as stack:
        rejections = _Rejections()
        if errors:
            columns = (*reader.columns, *REJECTION_COLUMNS)
            writer = _writer(storage, errors, reader.kind, columns)
            rejections.writer = stack.enter_context(writer)
        staging = stack.enter_context(storage.staging())
        _stage(file, reader, staging, rejections)
        # If rows were rejected, still find those whose codes exist already.
        undo = dry_run or bool(rejections.count and not keep_going)
        if delete:
            count = staging.remove(dry_run=undo)
        else:
            report = rejections.add_staged
            count = staging.add(on_existing, report, keep_going=keep_going, dry_run=undo)
    _report(0 if rejections.count and not keep_going else count, rejections, delete, dry_run)


@main.command("export")
@click.argument("file", type=_FILE, default="-")
@click.option(
    "--format", "kind", type=click.Choice(["csv", "tsv", "ndjson"]), help="[default: by extension]"
)
def export_file(file: Path, kind: str | None) -> None:
    """Write all codes, as of one moment, to FILE or standard output.

    In a Citus cluster, the codes of each tenant are as of one moment.

    \b
    Examples:
      barring export codes.csv
      barring export --format ndjson | gzip > codes.ndjson.gz
    """
    kind = kind or _KINDS.get(file.suffix.lower())
    if kind is None:
        raise InputError(f"{file}: unknown extension; add --format csv, tsv or ndjson")
    with opened_storage() as storage, _writer(storage, file, kind) as writer:
        rows, total = storage.export(), storage.count()
        with progress("Writing", iterable=rows, length=total, update_min_steps=BATCH) as bar:
            for row in bar:
                writer.write(row)
