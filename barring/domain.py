"""The two value objects that all layers share."""

from typing import NamedTuple


class Owner(NamedTuple):
    """The user that codes belong to, within a group and a tenant.

    Ids are compared by code point, and are not normalized: ids that differ only in case or in
    Unicode form are different owners.
    """

    tenant: str
    group: str
    user: str


class AuthorizationCode(NamedTuple):
    """The code that a barred user keys in, and a description for administrators."""

    code: str
    description: str
