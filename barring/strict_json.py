"""JSON, strictly read: of two readings of a text, this service takes neither."""

import itertools
import json
import math
import re
from typing import Any, NoReturn

from barring.pauses import PART, pause

_counter = itertools.count(1)
"""Of the objects that were made, of whatever texts."""

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class NotJSON(Exception):
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
    except ValueError:
        raise NotJSON("a number has too many digits") from None
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if next(_counter) % PART == 0:
        pause()
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
