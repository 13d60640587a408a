"""The command that copies all codes from one database to another."""

import itertools
from collections.abc import Iterator
from contextlib import closing
from hashlib import blake2b
from typing import Any

import click
import orjson

from barring.storage import open_storage
from barring.storage.base import Storage, StorageError
from barring.storage.staging import Row, StagedRow

from .common import BATCH, audit, main, progress


def _batches(storage: Storage, checksum: Any) -> Iterator[list[Row]]:
    """All codes in batches, in the order of an export; adds them to the checksum."""
    with closing(storage.export()) as rows:
        while batch := list(itertools.islice(rows, BATCH)):
            checksum.update(orjson.dumps(batch))
            yield batch


@main.command("copy")
@click.option("--from", "source", metavar="URL", required=True, help="The database to read.")
@click.option("--to", "target", metavar="URL", required=True, help="The database to write.")
def copy_codes(source: str, target: str) -> None:
    """Copy all codes from one database to another, of any engine, and compare the two.

    Stop the service first: codes written during the copy are not copied. Either all codes are
    copied or none; if the copy is interrupted, run it again. The target must not contain other
    codes; it is created if it does not exist.

    \b
    Example:
      barring copy --from sqlite:///data/barring.sqlite3 --to postgresql://barring@host/barring
    """
    origin, goal = open_storage(source), open_storage(target)
    if str(origin) == str(goal):
        raise StorageError(f"{goal}: is the database to read; name another with --to")
    count, read, stored = 0, blake2b(digest_size=16), blake2b(digest_size=16)
    with closing(origin), closing(goal):
        origin.prepare(create=False)
        goal.prepare()
        empty = not goal.count()
        with goal.staging() as staging, progress("Copying", length=origin.count()) as bar:
            for batch in _batches(origin, read):
                if empty:
                    staging.put(map(StagedRow._make, enumerate(batch, count)))
                count += len(batch)
                bar.update(len(batch))
            if empty:
                staging.add("fail", lambda row: None, keep_going=False)
        for _ in _batches(goal, stored):
            pass
    if read.digest() != stored.digest():
        raise StorageError(f"{goal}: contains other codes than {origin}; name an empty database")
    if empty:
        audit("create", count=count)
    click.echo(f"{count} codes copied; the checksums match ({read.hexdigest()})")
