"""The kind of Flask application that the service is."""

import os
import time
from collections.abc import Callable
from typing import Any, cast

import flask
import orjson
from flask.json.provider import JSONProvider
from werkzeug.routing import MapAdapter

from . import logs


class OrjsonProvider(JSONProvider):
    """JSON by orjson: UTF-8, keys in their given order, a newline at the end."""

    options = orjson.OPT_NON_STR_KEYS | orjson.OPT_APPEND_NEWLINE

    def response(self, *args: Any, **kwargs: Any) -> flask.Response:
        """An answer with the one value, or the named ones, as JSON."""
        body = orjson.dumps(self._prepare_response_obj(args, kwargs), option=self.options)
        return flask.Response(body, mimetype="application/json")

    def dumps(self, obj: Any, *, indent: int | None = None, **_: Any) -> str:
        """Serialise; `indent` of any width means two spaces."""
        return orjson.dumps(
            obj, option=self.options | (orjson.OPT_INDENT_2 if indent else 0)
        ).decode()

    def loads(self, s: str | bytes, **_: Any) -> Any:
        """Parse."""
        return orjson.loads(s)


class Request(flask.Request):
    """A request that knows when it began, and has an id of ours.

    Never the client's own id: it could smuggle a code into the log.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.started = time.perf_counter()
        self.id = os.urandom(16).hex()
        super().__init__(*args, **kwargs)


request = cast(Request, flask.request)
"""The current request."""


class Application(flask.Flask):
    """A Flask that logs what no view expected without quoting the request or the exception."""

    json_provider_class = OrjsonProvider
    request_class = Request

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Take every function as it is: none here is a coroutine, and asking costs each request."""
        return func

    def create_url_adapter(self, request: flask.Request | None) -> MapAdapter | None:
        """Match the path alone: no route here depends on a host, which would be parsed for it."""
        if request is None:
            return super().create_url_adapter(request)
        return self.url_map.bind(
            "", request.root_path, path_info=request.path, default_method=request.method
        )

    def log_exception(self, exc_info: Any) -> None:
        """Tell the log where it happened, and nothing that the request held."""
        logs.emit(
            "unexpected_error",
            request_id=request.id,
            method=request.method,
            route=request.url_rule and request.url_rule.rule,
            error=logs.describe(exc_info[1]),
        )
