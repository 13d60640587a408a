"""Where the codes are kept. The scheme of a URL picks the engine."""

from collections.abc import Callable
from urllib.parse import unquote, urlsplit

from .base import (
    AlreadyExists,
    Existing,
    OutcomeUnknown,
    StagedRow,
    Staging,
    Storage,
    StorageError,
    StorageUnavailable,
)

__all__ = [
    "AlreadyExists",
    "Existing",
    "OutcomeUnknown",
    "StagedRow",
    "Staging",
    "Storage",
    "StorageError",
    "StorageUnavailable",
    "open_storage",
]


def _sqlite(url: str, threads: int) -> Storage:
    from .sqlite import SQLiteStorage

    return SQLiteStorage(unquote(urlsplit(url).path[1:]))


def _postgres(url: str, threads: int) -> Storage:
    try:
        from .postgres import PostgresStorage
    except ImportError as error:
        raise StorageError(
            f"postgresql:// needs the extra 'postgres' of this package ({error.name} is missing)"
        ) from error
    return PostgresStorage(url, threads)


_ENGINES: dict[str, Callable[[str, int], Storage]] = {"sqlite": _sqlite, "postgresql": _postgres}


def open_storage(url: str, threads: int = 1) -> Storage:
    """The storage that `url` names, for example sqlite:///data/barring.sqlite3.

    `threads` are those that use it at once. Opens no connection. Raises StorageError for a scheme
    that no engine serves.
    """
    scheme = urlsplit(url).scheme
    if scheme not in _ENGINES:
        raise StorageError(
            f"no storage engine serves {scheme}:// (there is: {', '.join(_ENGINES)})"
        )
    return _ENGINES[scheme](url, threads)
