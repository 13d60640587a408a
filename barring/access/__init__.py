"""Authentication and authorization of callers.

`requires(role)` protects a view. The mode, chosen by BARRING_AUTH, identifies the caller.
"""

from flask import Flask

from barring.settings import Settings

from .base import Mode
from .guard import EXTENSION, requires
from .headers import Gateway, Local
from .roles import Caller, Role
from .token import Token

__all__ = ["Caller", "Mode", "Role", "init_app", "requires"]

MODES: dict[str, type[Mode]] = {"local": Local, "gateway": Gateway, "jwt": Token}


def init_app(app: Flask, settings: Settings) -> Mode:
    """Set and return the mode that identifies the callers of `app`.

    Raises SettingsError if a setting of the mode is missing or weak.
    """
    app.extensions[EXTENSION] = mode = MODES[settings.auth](settings)
    return mode
