"""The shapes of what goes in and out over HTTP. Marshmallow only: no storage, no request."""

from .codes import (
    AuthorizationCode,
    AuthorizationCodes,
    CodesToRemove,
    Creation,
    NewCode,
    NewCodeList,
    NewCodes,
    Nothing,
    repeats,
)
from .errors import Error
from .rules import CODE_PATTERN, DESCRIPTION, OWNER_ID, TextRule, code_rule

__all__ = [
    "CODE_PATTERN",
    "DESCRIPTION",
    "OWNER_ID",
    "AuthorizationCode",
    "AuthorizationCodes",
    "CodesToRemove",
    "Creation",
    "Error",
    "NewCode",
    "NewCodeList",
    "NewCodes",
    "Nothing",
    "TextRule",
    "code_rule",
    "repeats",
]
