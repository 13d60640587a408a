"""The command that copies all codes from one database to another."""

import hashlib
import itertools
from collections.abc import Iterator
from contextlib import closing

import click
import orjson

from barring.storage import open_storage
from barring.storage.base import Row, StagedRow, Storage, StorageError

from .common import BATCH, audit, main, progress


class _Content:
    """The number of codes read from a database, and their checksum in the order of an export."""

    def __init__(self) -> None:
        self.count = 0
        self.checksum = hashlib.blake2b(digest_size=16)

    def read(self, storage: Storage) -> Iterator[list[Row]]:
        """All codes, in batches."""
        with closing(storage.export()) as rows:
            while batch := list(itertools.islice(rows, BATCH)):
                yield batch
                self.checksum.update(orjson.dumps(batch))
                self.count += len(batch)


@main.command("copy")
@click.option("--from", "source", metavar="URL", required=True, help="The database to read.")
@click.option("--to", "target", metavar="URL", required=True, help="The database to write.")
def copy_codes(source: str, target: str) -> None:
    """Copy all codes from one database to another, of any engine, and compare the two.

    Stop the service first: codes written during the copy are not copied. Either all codes are
    copied or none; if the copy is interrupted, run it again. The target must not contain codes; it
    is created if it does not exist.

    \b
    Example:
      barring copy --from sqlite:///data/barring.sqlite3 --to postgresql://barring@host/barring
    """
    origin, goal = open_storage(source), open_storage(target)
    if str(origin) == str(goal):
        raise StorageError(f"{goal}: is the database to read; name another with --to")
    if not origin.exists():
        raise StorageError(f"{origin}: there is no database to read")
    content, copied = _Content(), _Content()
    with closing(origin), closing(goal):
        goal.prepare()
        empty, total = not goal.count(), origin.count()
        with goal.staging() as staging, progress("Copying") as update:
            for batch in content.read(origin):
                if empty:
                    staging.put(StagedRow(n, *row) for n, row in enumerate(batch, content.count))
                update(content.count, max(total, content.count))
            if empty:
                staging.add("fail", lambda row: None, keep_going=False)
        for _ in copied.read(goal):
            pass
    if content.checksum.digest() != copied.checksum.digest():
        raise StorageError(f"{goal}: holds other codes than {origin}; name an empty database")
    if empty:
        audit("create", content.count)
    digest = content.checksum.hexdigest()
    click.echo(f"{content.count} codes copied; both hold the same ({digest})")
