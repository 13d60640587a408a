"""Reading a JSON body, strictly: of two readings of a body, this service takes neither."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any, NoReturn

from flask import Request, current_app
from flask_smorest import Blueprint
from gunicorn.http.errors import ParseException
from marshmallow import Schema, ValidationError
from webargs.flaskparser import FlaskParser, abort

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class NotJSON(ValueError):
    """The text is not the one value that JSON's strictest reader would find in it."""


def parse_json(text: str) -> Any:
    """The value that a JSON text holds.

    Raises NotJSON where RFC 8259 is broken or left open: NaN and Infinity, a key that stands
    twice, half of a surrogate pair, and depth or digits beyond what Python reads.
    """
    try:
        value = json.loads(
            text, object_pairs_hook=_object, parse_constant=_constant, parse_float=_float
        )
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise NotJSON("it holds half of a surrogate pair") from None
    except json.JSONDecodeError as error:
        # Not the error's own text: it may quote the document.
        raise NotJSON(f"line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise NotJSON("it is nested too deeply") from None
    except NotJSON:
        raise
    except ValueError:
        raise NotJSON("a number has too many digits") from None
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise NotJSON("a key stands twice in one object")
    return value


def _float(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise NotJSON("a number is too large")
    return value


def _constant(name: str) -> NoReturn:
    raise NotJSON(f"{name} is not a JSON value")


def read_body(request: Request) -> bytes:
    """The whole body. Aborts with 413 beyond the limit and with 400 where it ends early."""
    limit: int = current_app.config["MAX_CONTENT_LENGTH"]
    length = request.content_length
    if length is not None and length > limit:
        _too_large(limit)
    # From the server's stream itself: werkzeug would cut a chunked body at the limit in silence.
    stream = request.environ["wsgi.input"]
    try:
        body: bytes = stream.read(limit + 1 if length is None else length)
    except (OSError, ParseException):  # gunicorn parses chunks as they are read.
        abort(400, message="The body ends early or is not framed as HTTP demands.")
    if len(body) > limit:
        _too_large(limit)
    if length is not None and len(body) < length:
        abort(400, message="The body is shorter than its Content-Length.")
    return body


def _too_large(limit: int) -> NoReturn:
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

    def load_json(self, req: Request, schema: Schema) -> Any:
        body = read_body(req)
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
        req: Request,
        schema: Schema,
        *,
        error_status_code: int | None,
        error_headers: Mapping[str, str] | None,
    ) -> NoReturn:
        abort(400, message="The body is not valid; `errors` says where.", errors=error.messages)


class CodesBlueprint(Blueprint):
    """A flask-smorest blueprint whose bodies are read by JSONParser."""

    ARGUMENTS_PARSER = JSONParser()
