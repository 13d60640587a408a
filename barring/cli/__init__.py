"""The command line, `barring`: a module of commands for each thing that one works on."""

import click

from barring import __version__

from . import bulk, codes, copy, database, server
from .common import Commands


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="barring")
def main() -> None:
    """Serve authorization codes for outgoing call barring, and look after them.

    Every setting is an environment variable, BARRING_...; `barring check-config` shows them.
    """


for module in (server, codes, bulk, database, copy):
    for command in module.COMMANDS:
        main.add_command(command)
