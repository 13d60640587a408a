"""A WSGI callable with a fixed response: the maximum speed of the server that runs it."""

from collections.abc import Callable, Iterable
from typing import Any

BODY = b'{"code":"00000001","description":"Desk 1"}'


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Respond to any request with one code."""
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(BODY)))]
    start_response("200 OK", headers)
    return [BODY]
