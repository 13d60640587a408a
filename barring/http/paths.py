"""Path checks and logging for every request."""

import time
from collections.abc import Callable
from http import HTTPMethod
from typing import Any

from flask import Flask, Response
from flask.globals import request_ctx
from webargs.flaskparser import abort
from werkzeug.exceptions import MethodNotAllowed, NotFound
from werkzeug.routing import BaseConverter

from barring import logs
from schemas.rules import OWNER_ID

from .application import current_request
from .body import leave_body


class OwnerIdConverter(BaseConverter):
    """A tenant, group or user id in a path. A path with an invalid id gets 404."""

    # Checked here, not in to_python: a ValueError there makes werkzeug respond with 405, not 404.
    regex = rf"(?=[^/]{{{OWNER_ID.min},{OWNER_ID.max}}}/)(?:{OWNER_ID.pattern})"
    # With False, werkzeug matches the rest of the path by one expression, although an id has no
    # slash. That takes half the time of an expression for each segment.
    part_isolating = False


def _under(prefix: str, application: Callable[..., Any]) -> Callable[..., Any]:
    """A WSGI application under a prefix, which a proxy may have stripped from the path."""

    def prefixed(environ: dict[str, Any], start_response: Any) -> Any:
        environ["SCRIPT_NAME"] = prefix  # Links begin with it.
        if f"{environ['PATH_INFO']}/".startswith(f"{prefix}/"):
            environ["PATH_INFO"] = environ["PATH_INFO"].removeprefix(prefix)
        return application(environ, start_response)

    return prefixed


def init_app(app: Flask, prefix: str) -> None:
    """Check the paths of `app` and log its requests; call this before routes are added."""
    if prefix:
        app.wsgi_app = _under(prefix, app.wsgi_app)  # type: ignore[method-assign]
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    app.url_map.converters["id"] = OwnerIdConverter
    app.before_request(_check_path)
    app.after_request(_after_request)


def _check_path() -> None:
    request = current_request()
    raw = request.environ.get("RAW_URI", "")
    if "#" in raw:
        # gunicorn would drop everything after it, perhaps the rest of a code.
        abort(400, message="A path may not contain a raw #; write it as %23.")
    if "%2f" in raw.partition("?")[0].lower():
        abort(400, message="A path may not contain %2F: ids and codes have no slash.")
    try:
        path = request.environ["PATH_INFO"].encode("latin-1").decode()
    except UnicodeDecodeError:
        abort(400, message="The path is not UTF-8; percent-encode its UTF-8 bytes.")
    if "//" in path:
        # werkzeug would ignore an extra slash at the end.
        abort(404)
    if isinstance(request.routing_exception, NotFound) and not path.endswith("/"):
        # Without the trailing slash, werkzeug raises NotFound even if only the method is wrong.
        adapter = request_ctx.url_adapter
        if adapter and (allowed := adapter.allowed_methods(f"{path}/")):
            raise MethodNotAllowed(valid_methods=list(allowed))


def _after_request(response: Response) -> Response:
    request = current_request()
    leave_body(request)
    # A client can send any text as the method, even one that contains a code.
    method = request.method if request.method in HTTPMethod.__members__ else "other"
    what = {"method": method, "route": request.url_rule and request.url_rule.rule}
    ms = round((time.perf_counter() - request.started) * 1000, 2)
    logs.emit("request", request_id=request.id, **what, status=response.status_code, ms=ms)
    return response
