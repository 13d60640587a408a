"""The SQLite driver: pysqlite3 or, if its SQLite is not safe or it is missing, Python's own."""


def safe_version(version: tuple[int, ...]) -> bool:
    """Whether this SQLite is free of the WAL-reset bug, which can corrupt a database.

    Source: https://sqlite.org/wal.html#walresetbug; 3.44.6 and 3.50.7 carry the backport.
    """
    return version >= (3, 51, 3) or any(
        version[:2] == backport[:2] and version >= backport for backport in [(3, 44, 6), (3, 50, 7)]
    )


try:
    import pysqlite3 as sqlite3  # Its wheels contain SQLite, but not every processor has one.

    if not safe_version(sqlite3.sqlite_version_info):
        raise ImportError
except ImportError:
    import sqlite3

__all__ = ["safe_version", "sqlite3"]
