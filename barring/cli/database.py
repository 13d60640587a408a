"""Commands on the database as a whole."""

from pathlib import Path

import click

from barring.settings import Settings
from barring.storage import open_storage

from .common import json_option, main, opened_storage, show

_File = click.Path(dir_okay=False, path_type=Path)


@main.command()
@click.argument("file", type=_File)
def backup(file: Path) -> None:
    """Write a copy of the database to FILE. The service may be running.

    FILE appears when the copy is complete, readable by you only. An existing FILE is replaced.

    \b
    Example:
      barring backup /var/backups/barring-monday.sqlite3
    """
    with opened_storage() as storage:
        storage.backup(file)
    click.echo(f"{file}: holds the codes as they were when the backup began")


@main.command()
@click.argument("file", type=_File)
@click.option("--force", is_flag=True, help="Replace the existing database.")
def restore(file: Path, force: bool) -> None:
    """Replace the database with the backup FILE. Stop the service first.

    \b
    Example:
      barring restore --force /var/backups/barring-monday.sqlite3
    """
    open_storage(Settings.from_environment().database_url).restore(file, force=force)
    click.echo(f"restored {file}")


@main.command()
@json_option
def check(as_json: bool) -> None:
    """Read the whole database, check it for damage, and count what it contains.

    \b
    Example:
      barring check --json
    """
    with opened_storage() as storage:
        show({"integrity": "ok", **storage.check()}, as_json)


@main.command()
def vacuum() -> None:
    """Rewrite the database so that no deleted code can be read in its files.

    The service may be running. Its writes wait for the end of the vacuum, and may get 503.

    \b
    Example:
      barring vacuum
    """
    with opened_storage() as storage:
        storage.vacuum()
    click.echo("the database no longer contains any deleted code")
