"""One request to the service, what it asks for, and what its answer says of the content."""

import math
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

import httpx

from barring.domain import Owner
from tests.service import codes_path

GROUP, TENANT = "group", "tenant"
"""The owners that are no users."""


class Item(NamedTuple):
    """A code and its description, which tells the requests that wrote the same code apart."""

    code: str
    description: str
    class_of_service: str = ""


Content = frozenset[Item]
Outcome = Enum("Outcome", "ACKNOWLEDGED REFUSED UNKNOWN UNDONE UNSENT")
"""UNDONE is a 503 that says that nothing was changed, UNSENT a connection that was refused."""

Kind = Enum("Kind", "ADD CHANGE REMOVE LIST GET")
WRITES = (Kind.ADD, Kind.CHANGE, Kind.REMOVE)
_METHODS = dict(zip(Kind, ("POST", "PATCH", "DELETE", "GET", "GET"), strict=True))


def owner_of(name: str) -> Owner:
    """The owner that an operation names: a user, the group or the tenant, of a tenant after @."""
    part, _, tenant = name.partition("@")
    user = Owner(tenant or "footenant", "foogroup", part)
    return {GROUP: user._replace(user=""), TENANT: Owner(user.tenant)}.get(part, user)


def _read(entry: dict[str, str]) -> Item:
    """The item in a response, which has no other field."""
    service = entry.pop("classOfService", "")
    return Item(**entry, class_of_service=service)


def _written(item: Item) -> dict[str, str]:
    """An item as it is created."""
    service = {"classOfService": item.class_of_service} if item.class_of_service else {}
    return {"code": item.code, "description": item.description, **service}


@dataclass(eq=False)
class Operation:
    """One request. `seen` is the content that a read or a change, or the items that a refusal,
    told of. A refused change found no such code.

    `connected` is when its connection was begun, if it was begun for this request.
    """

    kind: Kind
    owner: str
    items: tuple[Item, ...] = ()
    listed: bool = False
    start: float = 0.0
    end: float = math.inf
    outcome: Outcome = Outcome.UNKNOWN
    seen: Content = frozenset()
    failure: str = ""
    connected: float | None = None

    @property
    def changes(self) -> bool:
        """Whether it may have changed the content."""
        return self.kind in WRITES and self.outcome in (
            Outcome.ACKNOWLEDGED,
            Outcome.UNKNOWN,
        )

    def covers(self, code: str) -> bool:
        """Whether it is about this code."""
        return self.kind is Kind.LIST or any(item.code == code for item in self.items)

    def after(self, content: Content) -> Content | None:
        """The content once it has taken effect, or None where it cannot."""
        codes = {item.code for item in self.items}
        rest = frozenset(item for item in content if item.code not in codes)
        if self.kind is Kind.REMOVE:
            return rest
        if self.kind is Kind.CHANGE:
            return rest.union(self.items) if len(rest) < len(content) else None
        return content.union(self.items) if len(rest) == len(content) else None

    def contradiction(self, content: Content) -> tuple[Content, Content]:
        """What the answer denies of this content, and what it tells beyond it."""
        told = frozenset(item for item in content if self.covers(item.code))
        if self.kind is Kind.ADD:
            # A refusal names codes only, and an acknowledgement says that none was there.
            codes, named = {item.code for item in told}, {item.code for item in self.seen}
            missing = frozenset(item for item in told if item.code not in named)
            return missing, frozenset(item for item in self.seen if item.code not in codes)
        return told - self.seen, self.seen - told

    def request(self) -> tuple[str, str, Any]:
        """Its method, path and JSON body."""
        path = codes_path(*owner_of(self.owner))
        body: Any = None
        if self.kind is Kind.ADD:
            items = [*map(_written, self.items)]
            body = {"authCodes": items} if self.listed else items[0]
        elif self.kind is Kind.REMOVE and self.listed:
            body = {"authCodes": [{"code": item.code} for item in self.items]}
        elif self.kind is not Kind.LIST:
            path += f"{self.items[0].code}/"
        if self.kind is Kind.CHANGE:
            (item,) = self.items
            service = item.class_of_service or None
            body = {"description": item.description, "classOfService": service}
        return _METHODS[self.kind], path, body

    def answered(self, answer: httpx.Response) -> None:
        """Note what the service said; what the contract does not know is a failure."""
        body, status = answer.json(), answer.status_code
        if status in (200, 201):
            self.outcome = Outcome.ACKNOWLEDGED
            if self.kind is Kind.LIST:
                self.seen = frozenset(map(_read, body["authCodes"]))
            elif self.kind in (Kind.GET, Kind.CHANGE):
                self.seen = frozenset([_read(body)])
            if self.kind is Kind.CHANGE and self.seen != {*self.items}:
                self.failure = str(status)
        elif status == 404 and self.kind is Kind.GET:
            self.outcome = Outcome.ACKNOWLEDGED
        elif status == 404 and self.kind is Kind.CHANGE:
            self.outcome = Outcome.REFUSED
        elif status == 400 and self.kind is Kind.ADD and "exist already" in body["message"]:
            self.outcome = Outcome.REFUSED
            # A body that was no list has no places.
            named = body["errors"]["json"].get("authCodes", "0")
            self.seen = frozenset(self.items[int(place)] for place in named)
        else:
            self.failure = str(status)
            if status == 503 and "nothing was changed" in body["message"]:
                self.outcome = Outcome.UNDONE

    def describe(self) -> str:
        """Itself in a line."""
        codes = ",".join(item.code for item in self.items[:20])
        where = self.items[0].description if self.kind in (Kind.ADD, Kind.CHANGE) else ""
        return (
            f"{self.kind.name} {self.owner} [{codes}] {where} "
            f"{self.start:.4f}-{self.end:.4f} {self.outcome.name} {self.failure}"
        )
