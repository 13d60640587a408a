"""Falcon with the sqlite3 module, one connection per thread, and hand-written validation."""

import os
import re
import sqlite3
import threading
from typing import Any

import falcon

CODE = re.compile(r"[0-9A-Za-z*#._-]{2,14}")
ROLES = ("End User", "Group Admin", "Tenant Admin", "System Admin")

_local = threading.local()


def database() -> sqlite3.Connection:
    """This thread's connection, durable at every commit."""
    if not hasattr(_local, "connection"):
        _local.connection = sqlite3.connect(os.environ["DATABASE"], timeout=30)
        _local.connection.execute("PRAGMA journal_mode = WAL")
        _local.connection.execute("PRAGMA synchronous = FULL")
    connection: sqlite3.Connection = _local.connection
    return connection


def authorize(request: falcon.Request, least: int) -> None:
    """Refuse a caller without the role."""
    role = request.get_header("X-Role")
    if role not in ROLES:
        raise falcon.HTTPUnauthorized(description="Send the header X-Role.")
    if ROLES.index(role) < least:
        raise falcon.HTTPForbidden(description="This needs a higher role.")


def checked(item: Any) -> tuple[str, str]:
    """The code and the description of one item of a body."""
    if not isinstance(item, dict):
        raise falcon.HTTPBadRequest(description="An item is not an object.")
    code, description = item.get("code"), item.get("description", "")
    if not isinstance(code, str) or not CODE.fullmatch(code):
        raise falcon.HTTPBadRequest(description="A code is not valid.")
    if not isinstance(description, str) or len(description) > 80:
        raise falcon.HTTPBadRequest(description="A description is not valid.")
    return code, description


class Codes:
    """All codes of a user."""

    def on_get(self, req: falcon.Request, resp: falcon.Response, **owner: str) -> None:
        """List them."""
        authorize(req, 0)
        rows = database().execute(
            "SELECT code, description FROM codes"
            " WHERE tenant_id = ? AND group_id = ? AND user_id = ? ORDER BY code",
            tuple(owner.values()),
        )
        resp.media = {"authCodes": [{"code": c, "description": d} for c, d in rows]}

    def on_post(self, req: falcon.Request, resp: falcon.Response, **owner: str) -> None:
        """Create one or many, all or none."""
        authorize(req, 1)
        body = req.get_media()
        items = body.get("authCodes", [body])
        rows = [(*owner.values(), *checked(item)) for item in items]
        try:
            with database() as connection:
                connection.executemany("INSERT INTO codes VALUES (?, ?, ?, ?, ?)", rows)
        except sqlite3.IntegrityError:
            raise falcon.HTTPBadRequest(description="A code exists already.") from None
        resp.status = falcon.HTTP_201
        resp.media = {}


class Code:
    """One code of a user."""

    def on_get(self, req: falcon.Request, resp: falcon.Response, **key: str) -> None:
        """Get it."""
        authorize(req, 0)
        row = (
            database()
            .execute(
                "SELECT code, description FROM codes"
                " WHERE tenant_id = ? AND group_id = ? AND user_id = ? AND code = ?",
                tuple(key.values()),
            )
            .fetchone()
        )
        if row is None:
            raise falcon.HTTPNotFound
        resp.media = {"code": row[0], "description": row[1]}

    def on_delete(self, req: falcon.Request, resp: falcon.Response, **key: str) -> None:
        """Remove it."""
        authorize(req, 1)
        with database() as connection:
            connection.execute(
                "DELETE FROM codes"
                " WHERE tenant_id = ? AND group_id = ? AND user_id = ? AND code = ?",
                tuple(key.values()),
            )
        resp.media = {}


CODES = (
    "/api/v1/tenants/{tenant_id}/groups/{group_id}/users/{user_id}"
    "/services/outgoing_call_barring/codes/"
)
app = falcon.App()
app.req_options.strip_url_path_trailing_slash = True
app.add_route(CODES.rstrip("/"), Codes())
app.add_route(CODES + "{code}", Code())
