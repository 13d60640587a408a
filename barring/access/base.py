"""The base class of all modes."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NoReturn

from webargs.flaskparser import abort

from barring import logs
from barring.http.application import current_request
from barring.settings import Settings

from .platforms import Platforms
from .roles import Caller

BEARER = {"type": "http", "scheme": "bearer"}
"""The OpenAPI security scheme of the header Authorization: Bearer."""


class Mode(ABC):
    """A way to identify the caller of a request."""

    security_schemes: ClassVar[dict[str, dict[str, Any]]]
    """What clients must send, as OpenAPI security schemes; all are required."""

    def __init__(self, settings: Settings) -> None:
        """Take what the mode needs from the settings.

        Raises SettingsError, which says what to set, if a setting is missing or weak.
        """
        self.platforms = Platforms(settings)

    @abstractmethod
    def caller(self) -> Caller:
        """The caller of the current request. Calls `refuse` if the mode does not trust it."""


def refuse(status: int, reason: str, message: str, challenge: str | None = None) -> NoReturn:
    """Abort with 401 and its challenge, or with 403. Log the reason, but not what was sent."""
    request = current_request()
    why = {"peer": request.remote_addr, "status": status, "reason": reason}
    logs.emit("refused_authentication", request_id=request.id, **why)
    headers = {"WWW-Authenticate": challenge} if challenge else {}
    abort(status, message=message, headers=headers)
