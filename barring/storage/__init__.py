"""Where the codes are kept. The scheme of a URL picks the engine."""

from urllib.parse import unquote, urlsplit

from .base import Storage, StorageError


def open_storage(url: str) -> Storage:
    """The storage that `url` names, for example sqlite:///data/barring.sqlite3.

    Opens no connection. Raises StorageError for a scheme that no engine serves.
    """
    scheme = urlsplit(url).scheme
    if scheme == "sqlite":
        from .sqlite.engine import SQLiteStorage

        return SQLiteStorage(unquote(urlsplit(url).path[1:]))
    if scheme == "postgresql":
        try:
            from .postgres.engine import PostgresStorage
        except ImportError as error:
            raise StorageError(
                "postgresql:// needs the extra 'postgres' of this package "
                f"({error.name} is missing)"
            ) from error
        return PostgresStorage(url)
    raise StorageError(f"no storage engine serves {scheme}:// (there is: sqlite, postgresql)")
