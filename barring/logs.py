"""The log: one JSON object a line on standard error, for requests, audit and everything else.

No line holds an authorization code. What was asked for is told by its route's template, and of an
exception only its type and the places it came through: its text may quote a value.
"""

import contextlib
import json
import logging
import os
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson

listeners: list[Callable[[str, dict[str, Any]], object]] = []
"""Called with every event's name and values: those who count them."""


def emit(event: str, **values: Any) -> None:
    """Write one line: the time, the event and its values, in one piece even among processes."""
    for listener in listeners:
        listener(event, values)
    record = {"time": datetime.now(UTC), "event": event, **values}
    try:
        line = orjson.dumps(record, default=str) + b"\n"
    except orjson.JSONEncodeError:  # Half a surrogate pair, say: telling must never fail the told.
        line = json.dumps(record, default=str).encode() + b"\n"
    # A request must not fail because whoever reads the log has gone.
    with contextlib.suppress(OSError):
        os.write(2, line)


def describe(error: BaseException | None) -> list[str]:
    """The exception and what caused it, as types and places in the code, without their texts."""
    lines: list[str] = []
    while error is not None:
        lines.append(f"{type(error).__module__}.{type(error).__qualname__}")
        lines += [
            f"{frame.filename}:{frame.lineno} {frame.name}"
            for frame in traceback.extract_tb(error.__traceback__)
        ]
        error = error.__cause__ or error.__context__
    return lines


class Handler(logging.Handler):
    """Sends the records of Python's logging, gunicorn's among them, to the log."""

    def emit(self, record: logging.LogRecord) -> None:
        arguments = record.args
        if isinstance(arguments, tuple):
            arguments = tuple(
                type(value).__name__ if isinstance(value, BaseException) else value
                for value in arguments
            )
        message = str(record.msg)
        with contextlib.suppress(TypeError, ValueError):  # A message that does not fit its values.
            message = message % arguments if arguments else message
        values: dict[str, Any] = {"level": record.levelname.lower(), "message": message}
        if record.exc_info:
            values["error"] = describe(record.exc_info[1])
        emit(record.name, **values)
