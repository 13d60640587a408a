"""Rules for codes, descriptions and ids. HTTP, files and the OpenAPI document all use these.

The limits are those of BroadWorks. Lengths count code points.
"""

import re
from collections.abc import Iterable
from typing import Any

from marshmallow import ValidationError
from marshmallow.validate import Validator

CODE_PATTERN = "[0-9A-Za-z*#._-]+"
"""What a new code must match, unless BARRING_CODE_PATTERN is set."""


class TextRule(Validator):
    """A rule for strings: length limits, and a pattern that the whole string must match."""

    def __init__(
        self, least: int, most: int, pattern: str, more: str, never: str = r"\x00"
    ) -> None:
        """`more` states what the rule demands besides the length.

        `never` lists the characters that no text may contain. NUL must be among them: not every
        database can store it.
        """
        # apispec reads the limits and the pattern from attributes with these names.
        self.min, self.max, self.equal = least, most, None
        self.pattern, self._more, self._never = pattern, more, never
        self.regex = re.compile(f"^(?:{pattern})$")
        length = f"{least} to {most}" if least else f"at most {most}"
        self.message = f"Must have {length} characters, and {more}."
        within = rf"(?=[^{never}]{{{least},{most}}}\Z)"
        self._matches = re.compile(rf"{within}(?:{pattern})", re.ASCII).fullmatch

    def or_empty(self) -> "TextRule":
        """The rule that also allows the empty text."""
        return TextRule(0, self.max, f"(?:{self.pattern})?", self._more, self._never)

    def holds(self, value: Any) -> bool:
        """Whether the value is a string that follows the rule."""
        return isinstance(value, str) and self._matches(value) is not None

    def all_hold(self, texts: Iterable[str]) -> bool:
        """Whether every text follows the rule."""
        return all(map(self._matches, texts))

    def __call__(self, value: Any) -> Any:
        """Return the value, or raise ValidationError if it breaks the rule."""
        if not self.holds(value):
            raise ValidationError(self.message)
        return value


OWNER_ID = TextRule(
    1,
    161,
    r"(?!\.{1,2}(?:/|$))[^/\x00-\x1f\x7f-\x9f]+",
    "no slash and no control character, and not be . or ..",
)
"""A tenant, group or user id."""

GROUP_MISSING = "Must not be empty where there is a user."
"""The fault of an owner with a user and no group."""

DESCRIPTION = TextRule(0, 80, r"[^\x00]*", "not the character NUL")

CLASS_OF_SERVICE = TextRule(1, 40, r"[^\x00]*", "not the character NUL")
"""Which calls a code permits, in the terms of the call platform."""


def code_rule(pattern: str) -> TextRule:
    """The rule for new codes; `pattern` is the setting BARRING_CODE_PATTERN."""
    # No path could name the code .. or a code with a slash.
    more = f"match {pattern} from end to end"
    if re.fullmatch(pattern, ".."):
        pattern, more = rf"(?!\.\.$)(?:{pattern})", f"{more}, and not be `..`"
    return TextRule(2, 14, pattern, more, never="/\\x00")
