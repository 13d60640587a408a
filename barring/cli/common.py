"""What all commands share: the storage, the errors, the progress and the output."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click
import orjson

from barring import logs
from barring.bulk import InputError
from barring.domain import Owner
from barring.settings import Settings, SettingsError
from barring.storage import AlreadyExists, Storage, StorageError, open_storage

EXPECTED = (SettingsError, StorageError, AlreadyExists, InputError)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class Commands(click.Group):
    """Commands whose expected errors are one line on standard error and exit status 1."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except EXPECTED as error:
            click.echo(f"barring: {error}", err=True)
            sys.exit(1)


@contextmanager
def opened_storage(*, create: bool = False) -> Iterator[Storage]:
    """The storage of BARRING_DATABASE_URL; a missing database is made with `create` only."""
    storage = open_storage(Settings.from_environment().database_url)
    try:
        if create:
            storage.prepare()
        yield storage
    finally:
        storage.close()


@contextmanager
def progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal, told how many of how many parts are done; in a pipe it is silent."""
    with click.progressbar(
        length=0, label=label, file=sys.stderr, hidden=not sys.stderr.isatty()
    ) as bar:

        def update(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        yield update


def audit(operation: str, count: int, owner: Owner | None = None) -> None:
    """Say in the log, as the service does, what the operator at this shell did."""
    whose = {"owner": owner._asdict()} if owner else {}
    logs.emit("audit", role="operator", **whose, operation=operation, count=count)


def show(values: dict[str, Any], as_json: bool) -> None:
    """Print named values, as JSON or a line each."""
    if as_json:
        click.echo(orjson.dumps(values).decode())
    else:
        width = max(map(len, values))
        for name, value in values.items():
            click.echo(f"{name:<{width}}  {value}")
