"""The two values that every layer speaks of."""

from typing import NamedTuple


class Owner(NamedTuple):
    """The user whom codes belong to: one user of one group of one tenant.

    Names are compared code point by code point. Two that differ only in case or in Unicode
    form are two owners; nothing is normalised.
    """

    tenant: str
    group: str
    user: str


class AuthorizationCode(NamedTuple):
    """What a barred user keys in, and the words that tell an administrator what it is for."""

    code: str
    description: str
