"""Request bodies: limits, strict JSON, and a schema."""

import codecs
import re
from typing import Any, BinaryIO, NoReturn

import flask
from flask import Response, after_this_request, current_app
from flask_smorest import Blueprint
from gunicorn.http.errors import ParseException
from marshmallow import Schema, ValidationError
from webargs.flaskparser import FlaskParser, abort

from barring.strict_json import NotJSON, parse_json
from schemas.items import MAX_KEYS

from .application import RETRY_AFTER, Request, current_request

LARGE = 1024 * 1024
"""Bytes above which a body counts as large. All large bodies of a process share an allowance."""

_JSON = re.compile(r'(?i)application/json\s*(;.*)?|"\s*application/json\s*(;[^"]*)?"\s*(;.*)?')
"""A Content-Type for JSON, with or without quotation marks around it."""


class Allowance:
    """The number of bytes that all large bodies of a process may take up together."""

    def __init__(self, free: int) -> None:
        self._free = free

    def take(self, count: int) -> None:
        """Reserve `count` bytes until the response is made. Aborts with 503 if fewer are free."""
        if count > self._free:
            message = "Too many large bodies are being received now; try again."
            abort(503, message=message, headers={"Retry-After": RETRY_AFTER})
        self._free -= count

        @after_this_request
        def give_back(answer: Response) -> Response:
            self._free += count
            return answer


_large_bodies = Allowance(256 * 1024 * 1024)


def read_body(request: Request) -> bytes:
    """Read the whole body.

    Aborts with 413 if it is too long, with 503 if the allowance for large bodies is used up, with
    408 if it stops arriving, and with 400 if it ends early.
    """
    limit: int = current_app.config["MAX_CONTENT_LENGTH"]
    length = request.content_length or 0  # The length of a chunked body is not known.
    if length > limit:
        _refuse_too_large(limit)
    if length > LARGE:
        _large_bodies.take(length)
    # Not request.stream: werkzeug would silently cut a chunked body at the limit.
    stream = request.environ["wsgi.input"]
    try:
        body: bytes = stream.read(length) if length else _read_chunked(stream, limit)
    except TimeoutError:
        abort(408, message="The body stopped arriving; send it without a pause.")
    except (OSError, ParseException):  # gunicorn parses chunks while it reads them.
        abort(400, message="The body ends early, or its chunks are not valid HTTP.")
    if len(body) > limit:
        _refuse_too_large(limit)
    if len(body) < length:
        abort(400, message="The body is shorter than its Content-Length.")
    request.body_ended = True
    return body


def _read_chunked(stream: BinaryIO, limit: int) -> bytes:
    """Read a body of unknown length, but at most one byte more than the limit."""
    body = stream.read(min(LARGE, limit) + 1)
    if len(body) > LARGE:
        _large_bodies.take(limit)
        body += stream.read(limit + 1 - len(body))
    return body


def _refuse_too_large(limit: int) -> NoReturn:
    abort(413, message=f"A body may have at most {limit} bytes; send the list in parts.")


def leave_body(request: Request) -> None:
    """Close the connection after the response, unless the whole body was read.

    Otherwise the rest of the body would come before the next request.
    """
    environ = request.environ
    has_body = environ.get("CONTENT_LENGTH", "0").strip("0") or "HTTP_TRANSFER_ENCODING" in environ
    connection = environ.get("gunicorn.socket")
    if connection and has_body and not request.body_ended:
        connection.close_after_response()


class JSONParser(FlaskParser):
    """Passes views the body as loaded by the schema.

    Checks in this order: 413, 400 for an empty body, 415, 400.
    """

    DEFAULT_VALIDATION_STATUS = 400

    def load_json(self, req: flask.Request, schema: Schema) -> Any:
        request = current_request()
        body = read_body(request)
        if not body:
            hint = "some clients and proxies remove the body of a DELETE"
            abort(400, message=f"The body is empty; send JSON ({hint}).")
        coding = request.environ.get("HTTP_CONTENT_ENCODING", "").strip()
        if coding.lower() not in ("", "identity"):
            message = f"Send the body as it is, without Content-Encoding: {coding[:40]}."
            abort(415, message=message, headers={"Accept-Encoding": "identity"})
        if not _JSON.fullmatch(request.environ.get("CONTENT_TYPE", "").strip()):
            abort(415, message="Send the body as JSON, with Content-Type: application/json.")
        try:
            value = parse_json(body.decode())
            if isinstance(value, dict) and len(value) > MAX_KEYS:
                abort(400, message=f"The body has more than {MAX_KEYS} keys.")
            return value
        except UnicodeDecodeError:
            utf_16 = body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
            fault = "begins with the byte order mark of UTF-16" if utf_16 else "is not UTF-8"
            abort(400, message=f"The body is not JSON: it {fault}; send UTF-8.")
        except NotJSON as error:
            abort(400, message=f"The body is not JSON: {error}.")

    def handle_error(self, error: ValidationError, *_: Any, **__: Any) -> NoReturn:
        abort(400, message="The body is not valid; `errors` says where.", errors=error.messages)


class JSONBlueprint(Blueprint):
    """A flask-smorest blueprint whose request bodies JSONParser reads."""

    ARGUMENTS_PARSER = JSONParser()
