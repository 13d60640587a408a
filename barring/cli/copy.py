"""The command that brings the codes from one database into another."""

import hashlib
import itertools
from collections.abc import Iterator
from contextlib import closing, nullcontext

import click
import orjson

from barring.storage import open_storage
from barring.storage.base import StagedRow, Storage, StorageError

from .common import AT_ONCE, audit, main, progress


class _Content:
    """What a database holds: how many codes, and their checksum in the order of an export."""

    def __init__(self) -> None:
        self.count = 0
        self.hash = hashlib.blake2b(digest_size=16)

    def read(self, storage: Storage) -> Iterator[list[StagedRow]]:
        """All codes, in parts."""
        with closing(storage.export()) as rows:
            while part := list(itertools.islice(rows, AT_ONCE)):
                self.hash.update(orjson.dumps(part))
                yield [StagedRow(line, *row) for line, row in enumerate(part, self.count)]
                self.count += len(part)


@main.command("copy")
@click.option("--from", "source", metavar="URL", required=True, help="The database to read.")
@click.option("--to", "target", metavar="URL", required=True, help="Made where there is none.")
def copy_codes(source: str, target: str) -> None:
    """Copy all codes from one database to another, of any engine, and compare the two.

    They are those of one moment: stop the service first, or what is written later stays behind. All
    arrive or none do; if it breaks off, run it again. The other database must hold none yet.

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
        # What is not empty is read and compared alone: nobody there has to wait for a lock.
        with goal.staging() if empty else nullcontext() as staging, progress("Copying") as update:
            for part in content.read(origin):
                if staging:
                    staging.put(part)
                update(content.count, max(total, content.count))
            if staging:
                staging.add("fail", lambda row: None, keep_going=False)
        for _ in copied.read(goal):
            pass
    if content.hash.digest() != copied.hash.digest():
        raise StorageError(
            f"{goal}: holds other codes than {origin}; name a database that is empty"
        )
    if empty:
        audit("create", content.count)
    click.echo(f"{content.count} codes copied; both hold the same ({content.hash.hexdigest()})")
