"""What every mode does: it turns a request into a Caller, or refuses."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NoReturn

from webargs.flaskparser import abort

from barring import logs
from barring.http.application import current_request
from barring.settings import Settings

from .caller import Caller


class Mode(ABC):
    """A way to learn who the caller is."""

    security_schemes: ClassVar[dict[str, dict[str, Any]]]
    """The OpenAPI security schemes, all needed at once, with which a client says who it is."""

    def __init__(self, settings: Settings) -> None:  # noqa: B027
        """Take what the mode needs from the settings.

        Raises SettingsError, saying what to set, where that is missing or weak.
        """

    @abstractmethod
    def caller(self) -> Caller:
        """The caller of the current request. Refuses, by `refuse`, who does not prove to be one."""


def require_scope(caller: Caller, names: tuple[str, str, str], message: str) -> None:
    """Refuse a caller that leaves out a part of its scope which binds its role.

    `names` are what the three parts are sent as; the one that lacks is put at the end of `message`.
    """
    for name, part in zip(names, caller.bound, strict=False):
        if not isinstance(part, str):
            refuse(403, "scope_missing", f"{message} {name}.")


def refuse(status: int, reason: str, message: str, challenge: str | None = None) -> NoReturn:
    """Answer 401, with its challenge, or 403, and say in the log why; never with what was sent."""
    request = current_request()
    logs.emit(
        "refused_authentication",
        request_id=request.id,
        peer=request.remote_addr,
        status=status,
        reason=reason,
    )
    headers = {"WWW-Authenticate": challenge} if challenge else {}
    abort(status, message=message, headers=headers)
