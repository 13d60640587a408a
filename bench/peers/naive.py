"""The libraries of this service without its optimizations, to measure what these gain."""

import os
from typing import Any

from flask import Flask, g, request
from flask.views import MethodView
from flask_smorest import Api, Blueprint, abort
from marshmallow import Schema, fields, validate
from sqlite_utils import Database

ROLES = ("End User", "Group Admin", "Tenant Admin", "System Admin")


class AuthorizationCode(Schema):
    """One code."""

    code = fields.String(required=True, validate=validate.Regexp(r"^[0-9A-Za-z*#._-]{2,14}$"))
    description = fields.String(load_default="", validate=validate.Length(max=80))


def database() -> Database:
    """The connection of this request."""
    if "database" not in g:
        g.database = Database(os.environ["DATABASE"])
        g.database.execute("PRAGMA journal_mode = WAL")
        g.database.execute("PRAGMA synchronous = FULL")
        g.database.execute("PRAGMA busy_timeout = 30000")
    connection: Database = g.database
    return connection


def authorize(least: int) -> None:
    """Refuse a caller without the role."""
    role = request.headers.get("X-Role")
    if role not in ROLES:
        abort(401, message="Send the header X-Role.")
    if ROLES.index(role) < least:
        abort(403, message="This needs a higher role.")


app = Flask(__name__)
app.config.update(API_TITLE="Codes", API_VERSION="1", OPENAPI_VERSION="3.1.0")
blueprint = Blueprint(
    "codes",
    __name__,
    url_prefix="/api/v1/tenants/<tenant_id>/groups/<group_id>/users/<user_id>"
    "/services/outgoing_call_barring/codes",
)
KEY = "tenant_id = :tenant_id AND group_id = :group_id AND user_id = :user_id"


@app.teardown_appcontext
def close(_: Any) -> None:
    """Close the connection of the request."""
    if opened := g.pop("database", None):
        opened.close()


@blueprint.route("/")
class Codes(MethodView):
    """All codes of a user."""

    def get(self, **owner: str) -> dict[str, Any]:
        """List them."""
        authorize(0)
        rows = database().table("codes").rows_where(KEY, owner, order_by="code")
        return {"authCodes": [{"code": r["code"], "description": r["description"]} for r in rows]}

    def post(self, **owner: str) -> tuple[dict[str, Any], int]:
        """Create one or many, all or none."""
        authorize(1)
        body: Any = request.get_json()
        items = body.get("authCodes", [body])
        rows = [owner | item for item in AuthorizationCode(many=True).load(items)]
        database().table("codes").insert_all(rows)
        return {}, 201


@blueprint.route("/<code>/")
class Code(MethodView):
    """One code of a user."""

    @blueprint.response(200, AuthorizationCode)
    def get(self, **key: str) -> dict[str, Any]:
        """Get it."""
        authorize(0)
        found = list(database().table("codes").rows_where(f"{KEY} AND code = :code", key))
        return found[0] if found else abort(404)

    def delete(self, **key: str) -> dict[str, Any]:
        """Remove it."""
        authorize(1)
        with database().conn:
            database().table("codes").delete_where(f"{KEY} AND code = :code", key)
        return {}


Api(app).register_blueprint(blueprint)
