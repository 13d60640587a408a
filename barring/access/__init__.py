"""Who the caller is, and what the caller may do.

`requires(role)` guards a view. A mode, chosen by BARRING_AUTH, turns a request into a Caller.
"""

from flask import Flask

from barring.settings import Settings

from .caller import Caller, Role
from .guard import EXTENSION, requires
from .headers import Gateway, Local
from .mode import Mode
from .token import Token

__all__ = ["Caller", "Mode", "Role", "init_app", "requires"]

MODES: dict[str, type[Mode]] = {"local": Local, "gateway": Gateway, "jwt": Token}


def init_app(app: Flask, settings: Settings) -> Mode:
    """Let the guard of `app` learn callers as the settings say, and return the mode that does.

    Raises SettingsError where a setting of the mode is missing or weak.
    """
    app.extensions[EXTENSION] = mode = MODES[settings.auth](settings)
    return mode
