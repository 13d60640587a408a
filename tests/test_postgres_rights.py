"""A database user that lacks a right in PostgreSQL: the error names the right and who grants it."""

import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.command import failure, succeed

ANNA = ("acme", "sales", "anna")
ROWS = "tenant,group,user,code\nacme,sales,anna,0815\n"


@pytest.fixture
def administrator(postgres: str) -> Iterator[psycopg.Connection]:
    """The administrator of an empty database, in which others have no rights by default."""
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
        connection.execute(f"REVOKE ALL ON DATABASE {connection.info.dbname} FROM PUBLIC")
        yield connection


@pytest.fixture
def user(administrator: psycopg.Connection) -> Iterator[str]:
    """A user that may connect, and nothing else; the name needs quotation marks."""
    name = f'"Barring {uuid.uuid4().hex}"'
    administrator.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'secret'")
    administrator.execute(f"GRANT CONNECT ON DATABASE {administrator.info.dbname} TO {name}")
    yield name
    administrator.execute(f"DROP OWNED BY {name}")
    administrator.execute(f"DROP ROLE {name}")


@pytest.fixture
def settings(postgres: str, user: str) -> dict[str, Any]:
    """The setting with which the service is that user."""
    parts = urlsplit(postgres)
    name = user.strip('"').replace(" ", "%20")
    place = f"{name}:secret@{parts.hostname}:{parts.port}"
    return {"BARRING_DATABASE_URL": parts._replace(netloc=place).geturl()}


@pytest.mark.parametrize("usage", [True, False])
def test_first_start_names_the_grant_that_it_needs(
    tmp_path: Path,
    administrator: psycopg.Connection,
    user: str,
    settings: dict[str, Any],
    usage: bool,
) -> None:
    """A user that may not create tables is told the statement; once it is executed, all works."""
    if usage:
        administrator.execute(f"GRANT USAGE ON SCHEMA public TO {user}")
    message = failure(tmp_path, "serve", **settings)
    grant = re.search("GRANT .*$", message)
    assert grant
    assert grant[0] == f"GRANT USAGE, CREATE ON SCHEMA public TO {user}"
    assert "secret" not in message
    administrator.execute(grant[0])
    succeed(tmp_path, "add", *ANNA, "4711", **settings)
    assert "codes      1" in succeed(tmp_path, "check", **settings)


def test_other_rights_are_named_by_postgresql(
    tmp_path: Path, administrator: psycopg.Connection, user: str, settings: dict[str, Any]
) -> None:
    """For each other right, the error has PostgreSQL's own words and names the list of rights."""
    administrator.execute(f"GRANT USAGE, CREATE ON SCHEMA public TO {user}")
    succeed(tmp_path, "add", *ANNA, "4711", **settings)
    message = failure(tmp_path, "import", "-", stdin=ROWS, **settings)
    assert "permission denied to create temporary tables in database" in message
    assert "see docs/postgresql.md" in message
    administrator.execute(f"GRANT TEMPORARY ON DATABASE {administrator.info.dbname} TO {user}")
    succeed(tmp_path, "import", "-", stdin=ROWS, **settings)
    administrator.execute(f"REVOKE SELECT ON authorization_codes FROM {user}")
    message = failure(tmp_path, "list", *ANNA, **settings)
    assert "permission denied for table authorization_codes" in message
