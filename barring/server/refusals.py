"""The server's own answers, to what is no HTTP that the application could be given."""

import contextlib
import ssl
from typing import Any

import orjson
from gunicorn.http import errors

from barring import logs
from barring.http.application import HEADERS

from .connections import SlowHead

_Refusal = tuple[int, str, str]

_BAD_REQUEST = (400, "Bad Request", "This is not a valid HTTP request.")
_FAULT = (500, "Internal Server Error", "The server could not handle the request.")
_REFUSALS: dict[type[Exception], _Refusal] = {
    SlowHead: (408, "Request Timeout", "The head of the request took too long."),
    errors.LimitRequestLine: (414, "URI Too Long", "The request line is too long."),
    errors.LimitRequestHeaders: (
        431,
        "Request Header Fields Too Large",
        "The headers are too long, or too many.",
    ),
    errors.ExpectationFailed: (417, "Expectation Failed", "Expect only 100-continue."),
    errors.UnsupportedTransferCoding: (501, "Not Implemented", "Send the body plain or chunked."),
}


def refuse(client: Any, error: BaseException) -> None:
    """Answer in the application's error shape what gunicorn could not read.

    gunicorn's own answer would quote the offending line, and with it a code, as would its log.
    """
    status, reason, message = _refusal(error)
    logs.emit("refused", status=status, error=logs.describe(error)[:1])
    body = orjson.dumps({"code": status, "status": reason, "message": message})
    head = [
        f"HTTP/1.1 {status} {reason}",
        "Connection: close",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in HEADERS.items()),
    ]
    with contextlib.suppress(OSError):  # The client left before it was refused.
        client.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + body)


def _refusal(error: BaseException) -> _Refusal:
    if isinstance(error, errors.ParseException | ssl.SSLError):
        return _REFUSALS.get(type(error), _BAD_REQUEST)
    return _FAULT
