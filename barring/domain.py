"""The two value objects that all layers share."""

from typing import NamedTuple


class Owner(NamedTuple):
    """The user whom codes belong to: a user of a group of a tenant.

    Ids are compared by code point. Ids that differ only in case or in Unicode form are different
    owners; nothing is normalised.
    """

    tenant: str
    group: str
    user: str


class AuthorizationCode(NamedTuple):
    """The code that a barred user keys in, and a description for administrators."""

    code: str
    description: str
