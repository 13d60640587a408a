"""Swagger UI at /docs/, from files of this machine alone."""

from pathlib import Path

import flask_swagger_ui
from flask import Blueprint, Response, redirect, send_from_directory
from werkzeug import Response as WerkzeugResponse

_PAGE = Path(__file__).parent
_FILES = Path(flask_swagger_ui.__file__).parent / "dist"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

blueprint = Blueprint("swagger", __name__)


@blueprint.get("/")
def start() -> WerkzeugResponse:
    """Lead whoever opens the service in a browser to its documentation."""
    return redirect("/docs/")


@blueprint.get("/docs/", endpoint="page", defaults={"name": "index.html"})
@blueprint.get("/docs/start.js", endpoint="start_script", defaults={"name": "start.js"})
def own_file(name: str) -> Response:
    """The page that shows the OpenAPI document, and its script.

    The script is in a file of its own so that the policy can refuse inline ones.
    """
    return _send(_PAGE, name)


@blueprint.get("/docs/<path:name>")
def swagger_file(name: str) -> Response:
    """Swagger UI's own scripts and styles."""
    return _send(_FILES, name)


def _send(folder: Path, name: str) -> Response:
    response = send_from_directory(folder, name)
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers["Cache-Control"] = "no-cache"
    return response
