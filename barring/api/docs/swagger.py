"""Swagger UI at /docs/, served entirely from local files."""

from pathlib import Path

import flask_swagger_ui
from flask import Blueprint, Response, redirect, send_from_directory
from werkzeug import Response as WerkzeugResponse

_OWN = Path(__file__).parent
_OWN_FILES = ("index.html", "start.js")
"""The page that shows the OpenAPI document, and its script, which the policy forbids inline."""

_SWAGGER_UI = Path(flask_swagger_ui.__file__).parent / "dist"

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

blueprint = Blueprint("swagger", __name__)


@blueprint.get("/")
def start() -> WerkzeugResponse:
    """Redirect from the root, which people open in a browser, to the documentation."""
    return redirect("/docs/")


@blueprint.get("/docs/", endpoint="page", defaults={"name": "index.html"})
@blueprint.get("/docs/<path:name>")
def file(name: str) -> Response:
    """Our own page and script, and Swagger UI's scripts and styles."""
    response = send_from_directory(_OWN if name in _OWN_FILES else _SWAGGER_UI, name)
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers["Cache-Control"] = "no-cache"
    return response
