"""Authentication and authorization of callers.

`requires(role)` protects a view. The mode, chosen by BARRING_AUTH, identifies the caller.
"""

from .base import Mode
from .guard import requires
from .headers import Gateway, Local
from .roles import Caller, Role
from .token import Token

__all__ = ["MODES", "Caller", "Mode", "Role", "requires"]

MODES: dict[str, type[Mode]] = {"local": Local, "gateway": Gateway, "jwt": Token}
