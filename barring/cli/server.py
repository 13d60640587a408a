"""Commands that serve, and that show how."""

from dataclasses import fields

import click

from barring.access import MODES
from barring.settings import Settings, set_variable, variable, without_password
from barring.storage import open_storage

from .common import json_option, main, show

_SECRET = {"gateway_secret"}


_OPTIONS: list[click.Parameter] = [
    click.Option([f"--{name.replace('_', '-')}"], metavar="VALUE", help=f"{variable(name)}.")
    for name in Settings.__dataclass_fields__
    if name not in _SECRET  # Among arguments it would be everybody's.
]
"""One for every setting: --bind for BARRING_BIND, and so on."""


@main.command(params=_OPTIONS)
def serve(**options: str | None) -> None:
    """Serve until SIGTERM or Ctrl-C. Each option goes before the environment variable it names.

    \b
    Examples:
      barring serve
      barring serve --bind unix:/run/barring/socket --workers 4
    """
    from barring.server.config import Server, check_tls

    for name, value in options.items():
        if value is not None:
            set_variable(name, value)
    check_tls(Settings.from_environment())
    Server().run()


@main.command("check-config")
@json_option
def check_config(as_json: bool) -> None:
    """Check the settings, with the keys and secrets they name, and show those in force.

    A secret is masked.

    \b
    Example:
      BARRING_WORKERS=4 barring check-config
    """
    settings = Settings.from_environment()
    MODES[settings.auth](settings)
    open_storage(settings.database_url)
    values = {field.name: getattr(settings, field.name) for field in fields(Settings)}
    for name in _SECRET:
        values[name] = "(set)" if values[name] else ""
    values["database_url"] = without_password(settings.database_url)
    show({variable(name): value for name, value in values.items()}, as_json)
