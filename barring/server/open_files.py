"""The limit of open files, and how many connections it allows."""

import resource

from barring import logs

CONNECTIONS = 10_000
"""Connections that a worker accepts at once if it may open enough files."""

OTHER_FILES = 100
"""Other files that a worker opens: for the database, the log and the server."""


def allowed_connections() -> int:
    """Raise the limit as needed, up to the hard limit; return how many connections it allows."""
    needed = CONNECTIONS + OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = max(soft, min(needed, hard))
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    connections = max(1, min(CONNECTIONS, limit - OTHER_FILES))
    if connections < CONNECTIONS:
        logs.emit(
            "warning",
            message=f"a process may open only {limit} files, so a worker accepts {connections} "
            f"connections at once; raise the limit (ulimit -n, LimitNOFILE=) to {needed}",
        )
    return connections
