"""Commands that run the server and check its settings."""

from dataclasses import fields

import click

from barring import logs
from barring.settings import Settings, variable
from barring.storage import open_storage

from .common import json_option, main, show

_OPTIONS: list[click.Parameter] = [
    click.Option(
        [f"--{field.name.replace('_', '-')}"],
        metavar="VALUE",
        help=f"{field.metadata['help']}.  [{variable(field.name)}; default: "
        f"{'none' if field.default == '' else field.default}]",
    )
    for field in fields(Settings)
    if not field.metadata["secret"]  # Other users can read arguments.
]


@main.command(params=_OPTIONS)
def serve(**options: str | None) -> None:
    """Serve until SIGTERM or Ctrl-C. Each option overrides an environment variable.

    \b
    Examples:
      barring serve
      barring serve --bind unix:/run/barring/socket --workers 4
    """
    from barring.server.application import Server

    logs.never_wait()
    Server(Settings.from_environment(options=options)).run()


@main.command("check-config")
@json_option
def check_config(as_json: bool) -> None:
    """Check the settings and the files that they name, and show the settings in force.

    Secrets are masked.

    \b
    Example:
      BARRING_WORKERS=4 barring check-config
    """
    # Here and not above: the other commands start faster without Flask.
    from barring.access import MODES
    from barring.server.tls import tls_settings

    settings = Settings.from_environment()
    MODES[settings.auth](settings)
    tls_settings(settings)
    open_storage(settings.database_url)
    show(settings.shown(), as_json)
