"""Storage of the codes. The scheme of a URL selects the engine."""

from urllib.parse import unquote, urlsplit

from .base import Storage, StorageError


def open_storage(url: str) -> Storage:
    """The storage at `url`, for example sqlite:///data/barring.sqlite3. Opens no connection.

    Raises StorageError for a URL that no engine can use.
    """
    scheme = urlsplit(url).scheme
    if scheme == "sqlite":
        from .sqlite.engine import SQLiteStorage

        return SQLiteStorage(unquote(urlsplit(url).path[1:]))
    if scheme == "postgresql":
        try:
            from .postgres.engine import PostgresStorage
        except ImportError as error:
            reason = f"postgresql:// needs the extra 'postgres' of this package ({error})"
            raise StorageError(reason) from error
        return PostgresStorage(url)
    raise StorageError(f"there is no storage engine for {scheme}:// (only sqlite and postgresql)")
