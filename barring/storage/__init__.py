"""Where the codes are kept. The scheme of a URL picks the engine."""

from collections.abc import Callable
from urllib.parse import unquote, urlsplit

from .base import Storage, StorageError


def _sqlite(url: str) -> Storage:
    from .sqlite import SQLiteStorage

    return SQLiteStorage(unquote(urlsplit(url).path[1:]))


def _postgres(url: str) -> Storage:
    try:
        from .postgres import PostgresStorage
    except ImportError as error:
        raise StorageError(
            f"postgresql:// needs the extra 'postgres' of this package ({error.name} is missing)"
        ) from error
    return PostgresStorage(url)


_ENGINES: dict[str, Callable[[str], Storage]] = {"sqlite": _sqlite, "postgresql": _postgres}


def open_storage(url: str) -> Storage:
    """The storage that `url` names, for example sqlite:///data/barring.sqlite3.

    Opens no connection. Raises StorageError for a scheme that no engine serves.
    """
    scheme = urlsplit(url).scheme
    if scheme not in _ENGINES:
        raise StorageError(
            f"no storage engine serves {scheme}:// (there is: {', '.join(_ENGINES)})"
        )
    return _ENGINES[scheme](url)
