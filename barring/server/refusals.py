"""The server's own responses to requests that gunicorn cannot parse."""

import contextlib
import ssl
from http import HTTPStatus
from typing import Any

import orjson
from gunicorn.http import errors

from barring import logs
from barring.http.application import HEADERS

from .connections import SlowHead

_REFUSALS: dict[type[BaseException], tuple[int, str]] = {
    SlowHead: (408, "The headers of the request took too long."),
    errors.LimitRequestLine: (414, "The request line is too long."),
    errors.LimitRequestHeaders: (431, "The headers are too long, or too many."),
    errors.ExpectationFailed: (417, "The only supported Expect header is 100-continue."),
    errors.UnsupportedTransferCoding: (501, "The only supported Transfer-Encoding is chunked."),
}


def send_refusal(client: Any, error: BaseException) -> None:
    """Send the response to a request that gunicorn could not parse, in the application's format.

    gunicorn's own response and log would quote the invalid line, which may contain a code.
    """
    status, message = 500, "The server could not handle the request."
    if isinstance(error, errors.ParseException | ssl.SSLError):
        status, message = _REFUSALS.get(type(error), (400, "This is not a valid HTTP request."))
    if isinstance(error, errors.InvalidHeaderName) and "_" in error.hdr:
        message = f"The header {error.hdr[:40]} is refused; write - for _ in its name."
    reason = HTTPStatus(status).phrase
    logs.emit("refused", status=status, error=logs.describe(error)[:1])
    body = orjson.dumps({"code": status, "status": reason, "message": message})
    head = [
        f"HTTP/1.1 {status} {reason}",
        "Connection: close",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in HEADERS.items()),
    ]
    with contextlib.suppress(OSError):  # The client may have disconnected.
        client.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + body)
