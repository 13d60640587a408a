"""Commands on the database as a whole."""

from pathlib import Path

import click

from barring.settings import Settings
from barring.storage import open_storage
from barring.storage.base import StorageError

from .common import json_option, main, opened_storage, progress, show

_File = click.Path(dir_okay=False, path_type=Path)


@main.command()
@click.argument("file", type=_File)
def backup(file: Path) -> None:
    """Write a copy of the database to FILE, while the service goes on.

    FILE appears whole or not at all, readable by you alone; an older one of that name is replaced.

    \b
    Example:
      barring backup /var/backups/barring-monday.sqlite3
    """
    with opened_storage() as storage, progress("Copying") as update:
        storage.backup(file, update)
    click.echo(f"{file}: holds the codes as they were when it was begun")


@main.command()
@click.argument("file", type=_File)
@click.option("--force", is_flag=True, help="Replace the database that is there.")
def restore(file: Path, force: bool) -> None:
    """Put the backup FILE in the place of the database. Stop the service first.

    \b
    Example:
      barring restore --force /var/backups/barring-monday.sqlite3
    """
    storage = open_storage(Settings.from_environment().database_url)
    if storage.exists() and not force:
        raise StorageError("there is a database already; to replace it, add --force")
    storage.restore(file)
    click.echo(f"restored {file}")


@main.command()
@json_option
def check(as_json: bool) -> None:
    """Read the whole database, and say whether it is sound and what it holds.

    \b
    Example:
      barring check --json
    """
    with opened_storage() as storage:
        show({"integrity": "ok", **storage.check()}, as_json)


@main.command()
def vacuum() -> None:
    """Rewrite the database so that no deleted code can be read in its files.

    The service may go on. Writers wait meanwhile, and may be told to try again.

    \b
    Example:
      barring vacuum
    """
    with opened_storage() as storage:
        storage.vacuum()
    click.echo("the database holds what is stored, and nothing of what was deleted")
