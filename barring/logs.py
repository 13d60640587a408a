"""The log: JSON lines on standard error for requests, writes (audit) and everything else.

No line contains an authorization code. The line of a request has the template of its route. The
line of an exception has its type and the locations in its traceback, but not its text, which may
quote a value. The server does not wait for the reader of its log: it drops a line that cannot be
written at once, and counts it.
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
"""Called with the name and the values of each event."""


def emit(event: str, **values: Any) -> None:
    """Write one line: the time, the event and its values.

    Lines of several processes do not mix, unless one of over 4 KiB is written to a pipe.
    """
    for listener in listeners:
        listener(event, values)
    _output.write(_line(event, values))


def _line(event: str, values: dict[str, Any]) -> bytes:
    record = {"time": datetime.now(UTC), "event": event, **values}
    try:
        return orjson.dumps(record, default=str) + b"\n"
    except orjson.JSONEncodeError:  # For example for a lone surrogate. Logging must not fail.
        return json.dumps(record, default=str).encode() + b"\n"


class _Output:
    """Standard error."""

    def __init__(self) -> None:
        self._descriptor = 2
        self._cut = False  # Whether only a part of the last line was written.
        self._dropped = 0

    def never_wait(self) -> None:
        """From now on, drop lines that cannot be written at once, instead of waiting."""
        mode = os.fstat(2).st_mode
        if stat.S_ISREG(mode) or self._descriptor != 2:  # A reload calls this again.
            return
        try:
            # Open it again: O_NONBLOCK on descriptor 2 would affect all programs that share it.
            self._descriptor = os.open("/proc/self/fd/2", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError:  # It is a socket or another user's pipe, or this is not Linux.
            if not stat.S_ISCHR(mode):
                os.set_blocking(2, False)

    def write(self, line: bytes) -> None:
        """Write a line. If lines were dropped, first write a line with their number."""
        start = b"\n" if self._cut else b""
        if self._dropped:
            start += _line("log_lines_dropped", {"count": self._dropped})
        try:
            self._cut = os.write(self._descriptor, start + line) < len(start + line)
        except OSError:  # The pipe is full or has no reader. No request must fail because of that.
            self._dropped += 1
        else:
            self._dropped = int(self._cut)


_output = _Output()
never_wait = _output.never_wait


def describe(error: BaseException | None) -> list[str]:
    """An exception and its causes: their types and locations in the code, without their texts."""
    lines: list[str] = []
    while error is not None:
        lines.append(f"{type(error).__module__}.{type(error).__qualname__}")
        trace = traceback.extract_tb(error.__traceback__)
        lines += [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in trace]
        error = error.__cause__ or error.__context__
    return lines


class Handler(logging.Handler):
    """Sends the records of Python's `logging` to the log, without the texts of exceptions."""

    def emit(self, record: logging.LogRecord) -> None:
        arguments = tuple(
            type(value).__name__ if isinstance(value, BaseException) else value
            for value in record.args or ()
        )
        message = str(record.msg)
        with contextlib.suppress(TypeError, ValueError):  # The message may not fit the arguments.
            message = message % arguments if arguments else message
        values: dict[str, Any] = {"level": record.levelname.lower(), "message": message}
        if record.exc_info:
            values["error"] = describe(record.exc_info[1])
        emit(record.name, **values)
