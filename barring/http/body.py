"""Reading a request's body."""

from collections.abc import Mapping
from typing import Any, BinaryIO, NoReturn

import flask
from flask import Response, after_this_request, current_app
from flask_smorest import Blueprint
from gunicorn.http.errors import ParseException
from marshmallow import Schema, ValidationError
from webargs.flaskparser import FlaskParser, abort

from barring.strict_json import NotJSON, parse_json

from .application import RETRY_AFTER, Request, current_request

SMALL = 64 * 1024
"""Bytes up to which an unread body is read after the answer, so that the connection stays open."""

LARGE = 1024 * 1024
"""Bytes from which on a body counts as large; those of a process share an allowance."""


class Allowance:
    """How many bytes the large bodies of a process may hold together."""

    def __init__(self, left: int) -> None:
        self._left = left

    def take(self, count: int) -> None:
        """Take so many bytes until the request is answered. Aborts with 503 if fewer are left."""
        if count > self._left:
            message = "Too many large bodies are being received now; try again."
            abort(503, message=message, headers={"Retry-After": RETRY_AFTER})
        self._left -= count
        after_this_request(lambda answer: self._give_back(count, answer))

    def _give_back(self, count: int, answer: Response) -> Response:
        self._left += count
        return answer


_large_bodies = Allowance(256 * 1024 * 1024)


def read_body(request: Request) -> bytes:
    """The whole body.

    Aborts with 413 beyond the limit, 503 where many others are large, 408 where it stops, and with
    400 where it ends early.
    """
    limit: int = current_app.config["MAX_CONTENT_LENGTH"]
    length = request.content_length
    if length is not None and length > limit:
        _refuse_too_large(limit)
    if length is not None and length > LARGE:
        _large_bodies.take(length)
    request.body_begun = True
    try:
        body = _received(request.environ["wsgi.input"], length, limit)
    except TimeoutError:
        abort(408, message="The body stopped arriving; send it without a pause.")
    except (OSError, ParseException):  # gunicorn parses chunks as they are read.
        abort(400, message="The body ends early or is not framed as HTTP demands.")
    if len(body) > limit:
        _refuse_too_large(limit)
    if length is not None and len(body) < length:
        abort(400, message="The body is shorter than its Content-Length.")
    request.body_ended = True
    return body


def _received(stream: BinaryIO, length: int | None, limit: int) -> bytes:
    """A body of a known length; or one in chunks, of which one byte beyond the limit will do."""
    # From the server's stream itself: werkzeug would cut a chunked body at the limit in silence.
    if length is not None:
        return stream.read(length)
    body = stream.read(min(LARGE, limit) + 1)
    if len(body) > LARGE:
        _large_bodies.take(limit)
        body += stream.read(limit + 1 - len(body))
    return body


def leave_body(request: Request) -> None:
    """Read a small unread body after the answer; close the connection after it for any other.

    A body that was read in part, or is broken, closes the connection as well.
    """
    length = request.environ.get("CONTENT_LENGTH")
    if length is None and "HTTP_TRANSFER_ENCODING" not in request.environ:
        return
    connection = request.environ.get("gunicorn.socket")
    if connection and not request.body_ended:
        small = length is not None and int(length) <= SMALL
        if small and not request.body_begun:
            connection.read_on_after_answer()
        else:
            connection.close_after_answer()


def _refuse_too_large(limit: int) -> NoReturn:
    abort(413, message=f"A body holds at most {limit} bytes; send the list in parts.")


def is_json(content_type: str) -> bool:
    """Whether a Content-Type is application/json, in one pair of quotation marks or in none."""
    if content_type.startswith('"'):
        content_type, closing_mark, rest = content_type[1:].partition('"')
        if not closing_mark or rest.strip()[:1] not in ("", ";"):
            return False
    return content_type.partition(";")[0].strip().lower() == "application/json"


class JSONParser(FlaskParser):
    """Gives views their body as the schema loads it, and answers 413, 415 or 400 in that order."""

    DEFAULT_VALIDATION_STATUS = 400

    def load_json(self, req: flask.Request, schema: Schema) -> Any:
        body = read_body(current_request())
        if not is_json(req.headers.get("Content-Type", "")):
            abort(415, message="Send the body as JSON, with Content-Type: application/json.")
        try:
            return parse_json(body.decode())
        except UnicodeDecodeError:
            abort(400, message="The body is not JSON: it is not UTF-8.")
        except NotJSON as error:
            abort(400, message=f"The body is not JSON: {error}.")

    def handle_error(
        self,
        error: ValidationError,
        req: flask.Request,
        schema: Schema,
        *,
        error_status_code: int | None,
        error_headers: Mapping[str, str] | None,
    ) -> NoReturn:
        abort(400, message="The body is not valid; `errors` says where.", errors=error.messages)


class CodesBlueprint(Blueprint):
    """A flask-smorest blueprint whose bodies are read by JSONParser."""

    ARGUMENTS_PARSER = JSONParser()
