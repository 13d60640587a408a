"""The shapes of what goes in and out over HTTP. Marshmallow only: no storage, no request."""

from .codes import (
    CODE_PATTERN,
    AuthorizationCode,
    AuthorizationCodes,
    CodesToRemove,
    Creation,
    NewCode,
    NewCodeList,
    NewCodes,
    Nothing,
)
from .errors import Error

__all__ = [
    "CODE_PATTERN",
    "AuthorizationCode",
    "AuthorizationCodes",
    "CodesToRemove",
    "Creation",
    "Error",
    "NewCode",
    "NewCodeList",
    "NewCodes",
    "Nothing",
]
