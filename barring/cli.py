"""The command line: `python -m barring`."""

import sys

import click

from . import __version__
from .settings import Settings, SettingsError
from .storage import Storage, StorageError, open_storage


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
    """Work on the database that BARRING_DATABASE_URL names."""


def _storage() -> Storage:
    storage = open_storage(Settings.from_environment().database_url)
    storage.prepare()
    return storage


@main.command()
def vacuum() -> None:
    """Rewrite the database so that no deleted code can be read in its files.

    The service may go on running. Writers wait meanwhile, and may be told to try again.
    """
    _storage().vacuum()
    click.echo("done: the database holds what is stored, and nothing of what was deleted")
