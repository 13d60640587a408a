"""The command line: `python -m barring`."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from . import __version__
from .settings import Settings, SettingsError
from .storage import Storage, StorageError, open_storage

_File = click.Path(dir_okay=False, path_type=Path)


class _Commands(click.Group):
    """Commands whose expected errors are one line on standard error and exit status 1."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except (SettingsError, StorageError) as error:
            click.echo(f"barring: {error}", err=True)
            sys.exit(1)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="barring")
def main() -> None:
    """Look after the database that BARRING_DATABASE_URL names."""


@contextmanager
def _storage() -> Iterator[Storage]:
    storage = open_storage(Settings.from_environment().database_url)
    try:
        yield storage
    finally:
        storage.close()


@main.command()
@click.argument("file", type=_File)
def backup(file: Path) -> None:
    """Write a copy of the database to FILE, while the service goes on.

    FILE appears whole or not at all, readable by you alone; an older one of that name is replaced.

    \b
    Example:
      barring backup /var/backups/barring-monday.sqlite3
    """
    hidden = not sys.stderr.isatty()
    with (
        _storage() as storage,
        click.progressbar(length=0, label="Copying", file=sys.stderr, hidden=hidden) as bar,
    ):

        def progress(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        storage.backup(file, progress)
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
    with _storage() as storage:
        if storage.exists() and not force:
            raise StorageError("there is a database already; to replace it, add --force")
        storage.restore(file)
    click.echo(f"restored {file}")


@main.command()
def check() -> None:
    """Read the whole database, and say whether it is sound and what it holds."""
    with _storage() as storage:
        report = storage.check()
    for name, value in {"integrity": "ok", **report}.items():
        click.echo(f"{name:<10} {value}")


@main.command()
def vacuum() -> None:
    """Rewrite the database so that no deleted code can be read in its files.

    The service may go on. Writers wait meanwhile, and may be told to try again.
    """
    with _storage() as storage:
        storage.vacuum()
    click.echo("the database holds what is stored, and nothing of what was deleted")
