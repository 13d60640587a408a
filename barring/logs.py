"""The log: one JSON object a line on standard error, for requests, audit and everything else.

No line holds an authorization code. What was asked for is told by its route's template, and of an
exception only its type and the places it came through: its text may quote a value. A server waits
for no reader of its log: a line that finds no room is dropped, and the number of such lines logged.
"""

import contextlib
import json
import logging
import os
import stat
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
    _output.write(_line(event, values))


def never_wait() -> None:
    """From now on drop a line that standard error has no room for, instead of waiting."""
    _output.never_wait()


def _line(event: str, values: dict[str, Any]) -> bytes:
    record = {"time": datetime.now(UTC), "event": event, **values}
    try:
        return orjson.dumps(record, default=str) + b"\n"
    except orjson.JSONEncodeError:  # Half a surrogate pair, say: telling must never fail the told.
        return json.dumps(record, default=str).encode() + b"\n"


class _Output:
    """Standard error."""

    def __init__(self) -> None:
        self._descriptor = 2
        self._cut = False  # Whether only a part of the last line was written.
        self._dropped = 0

    def never_wait(self) -> None:
        mode = os.fstat(2).st_mode
        if stat.S_ISREG(mode) or self._descriptor != 2:
            return
        try:
            # Opened anew: O_NONBLOCK on descriptor 2 would bind all programs that share it.
            self._descriptor = os.open("/proc/self/fd/2", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError:  # A socket, another's pipe, or no Linux.
            if not stat.S_ISCHR(mode):
                os.set_blocking(2, False)

    def write(self, line: bytes) -> None:
        """Write a line, and before it the number of lines that were dropped."""
        text = (b"\n" if self._cut else b"") + self._notice() + line
        try:
            self._cut = os.write(self._descriptor, text) < len(text)
        except OSError:  # No room, or nobody who reads it any more: no request must fail for it.
            self._dropped += 1
        else:
            self._dropped = int(self._cut)

    def _notice(self) -> bytes:
        return _line("log_lines_dropped", {"count": self._dropped}) if self._dropped else b""


_output = _Output()


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
