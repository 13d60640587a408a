"""Strict JSON: a text that two parsers may read differently is refused."""

import itertools
import json
import math
from contextlib import suppress
from typing import Any

import orjson

from barring.pauses import PART, pause

_objects = itertools.count(1)
"""Counts the parsed objects of all texts."""


class NotJSON(Exception):
    """The text is not strict JSON. The message says where or why, without quoting the text."""


def parse_json(text: str) -> Any:
    """The value of a JSON text.

    Raises NotJSON for what RFC 8259 forbids or leaves open: NaN and Infinity, repeated keys, lone
    surrogates, and nesting or numbers beyond what Python supports.
    """
    # orjson takes a third of the time, but accepts repeated keys. It never writes them. It makes
    # no pause, and takes some milliseconds for a million characters. It writes no blank after a
    # key, so that a text with one need not be parsed twice.
    if len(text) <= 1_000_000 and '": ' not in text:
        with suppress(orjson.JSONDecodeError, orjson.JSONEncodeError):
            if orjson.dumps(value := orjson.loads(text)).decode() == text:
                return value
    if text.startswith("\ufeff"):
        raise NotJSON("it begins with a byte order mark; leave it out")
    try:
        value = _decoder.decode(text)
        if "\\ud" in text or "\\uD" in text:  # Half a surrogate pair cannot be encoded.
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise NotJSON("it contains half of a surrogate pair") from None
    except json.JSONDecodeError as error:
        # The error's own text may quote the document.
        raise NotJSON(f"line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise NotJSON("it is nested too deeply") from None
    except ValueError:
        raise NotJSON("a number has too many digits") from None
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if next(_objects) % PART == 0:
        pause()
    value = dict(pairs)
    if len(value) < len(pairs):
        raise NotJSON("an object repeats a key")
    return value


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):  # NaN, Infinity, or beyond the range of a float.
        raise NotJSON("a number is too large, or is not a JSON number")
    return value


# Made once: json.loads would make one for each text.
_decoder = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_number, parse_float=_number)
