"""Swagger UI at /docs/, served entirely from local files."""

from pathlib import Path

import flask_swagger_ui
from flask import Blueprint, redirect, send_from_directory, url_for
from werkzeug import Response

from barring.http.application import current_request

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
def start() -> Response:
    """Redirect from the root, which people open in a browser, to the documentation."""
    return redirect(url_for(".page"))


@blueprint.get("/docs/", endpoint="page", defaults={"name": "index.html"})
@blueprint.get("/docs/<path:name>")
def file(name: str) -> Response:
    """Our own page and script, and Swagger UI's scripts and styles."""
    if not current_request().path.startswith("/docs/"):
        return start()  # The links of the page are relative.
    response = send_from_directory(_OWN if name in _OWN_FILES else _SWAGGER_UI, name)
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers["Cache-Control"] = "no-cache"
    return response
