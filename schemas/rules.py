"""What the parts of an authorization code may be: each rule once, for HTTP, files and documents.

The limits are those of BroadWorks. Lengths count code points.
"""

import re
from typing import Any

from marshmallow import ValidationError
from marshmallow.validate import Validator

CODE_PATTERN = "[0-9A-Za-z*#._-]+"
"""What a new code is made of, unless the operator sets another pattern."""


class TextRule(Validator):
    """A text of so many characters that matches a regular expression from end to end."""

    def __init__(
        self, minimum: int, maximum: int, pattern: str, message: str, never: str = r"\x00"
    ) -> None:
        """`message` is for a text that breaks the rule, `never` the characters that none may hold.

        NUL is always among them: not every database can hold it.
        """
        # By these names apispec finds what it documents of a validator.
        self.min, self.max, self.equal = minimum, maximum, None
        self.pattern = pattern
        self.regex = re.compile(f"^(?:{pattern})$")
        self.message = message
        within = rf"(?=[^{never}]{{{minimum},{maximum}}}\Z)"
        self._matches = re.compile(rf"{within}(?:{pattern})", re.ASCII).fullmatch

    def holds(self, value: Any) -> bool:
        """Whether `value` is a text that keeps the rule."""
        return isinstance(value, str) and self._matches(value) is not None

    def __call__(self, value: Any) -> Any:
        """Pass the value on.

        Raises ValidationError where it breaks the rule.
        """
        if not self.holds(value):
            raise ValidationError(self.message)
        return value


OWNER_ID = TextRule(
    1,
    161,
    r"(?!\.{1,2}(?:/|$))[^/\x00-\x1f\x7f-\x9f]+",
    "Must have 1 to 161 characters, no slash and no control character, and not be . or ..",
)
"""A tenant, group or user id."""

DESCRIPTION = TextRule(
    0, 80, r"[^\x00]*", "Must have at most 80 characters, and not the character NUL."
)


def code_rule(pattern: str) -> TextRule:
    """The rule of a new code; `pattern` is the operator's regular expression for it."""
    message = f"Must have 2 to 14 characters, and match {pattern} from end to end."
    return TextRule(2, 14, pattern, message, never="/\\x00")  # A path could not name a slash.
