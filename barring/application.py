"""The kind of Flask application that the service is."""

from typing import Any

import orjson
from flask import Flask, g, request
from flask.json.provider import JSONProvider

from . import logs


class OrjsonProvider(JSONProvider):
    """JSON by orjson: UTF-8, keys in their given order, a newline at the end."""

    options = orjson.OPT_NON_STR_KEYS | orjson.OPT_APPEND_NEWLINE

    def dumps(self, obj: Any, *, indent: int | None = None, **_: Any) -> str:
        """Serialise; `indent` of any width means two spaces."""
        return orjson.dumps(
            obj, option=self.options | (orjson.OPT_INDENT_2 if indent else 0)
        ).decode()

    def loads(self, s: str | bytes, **_: Any) -> Any:
        """Parse."""
        return orjson.loads(s)


class Application(Flask):
    """A Flask that logs what no view expected without quoting the request or the exception."""

    json_provider_class = OrjsonProvider

    def log_exception(self, exc_info: Any) -> None:
        """Tell the log where it happened, and nothing that the request held."""
        logs.emit(
            "unexpected_error",
            request_id=g.request_id,
            method=request.method,
            route=request.url_rule and request.url_rule.rule,
            error=logs.describe(exc_info[1]),
        )
