"""Whether a service that loses nothing may have answered as a history says.

It is judged by the HTTP contract alone. The codes of one owner are a register: an answered request
took effect at one moment between its start and its end, all of it or nothing, in some order that
explains every answer. A write without an answer took effect in that time or never; one that timed
out may do so at any later time. What the database holds after a fault are just the last reads.

The search is that of Wing & Gong, "Testing and Verifying Concurrent Objects" (1993), in the
just-in-time form of Lowe, "Testing for linearizability" (2017). It is complete: it neither blames
a right service nor passes an answer that nothing explains. Only what a wrong answer is called
(lost, phantom, torn, stale) goes by the explanation that comes closest.
"""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from .blame import Blame
from .operations import Content, Kind, Operation, Outcome

Config = tuple[Content, frozenset[Operation]]
"""A possible content, and the operations under way that have not yet taken effect."""

LIMIT = 200_000
"""How many configurations one answer may leave open before the check gives up, loudly."""


@dataclass
class Report:
    """The figures of a history, and every fault that was found in it."""

    acknowledged: int = 0
    refused: int = 0
    unknown: int = 0
    undone: int = 0
    unsent: int = 0
    reads: int = 0
    unread: int = 0
    faults: int = 0
    lost: set[object] = field(default_factory=set)
    phantom: set[object] = field(default_factory=set)
    torn: set[object] = field(default_factory=set)
    stale: set[object] = field(default_factory=set)
    unexpected: list[str] = field(default_factory=list)
    details: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.faults} faults, {self.acknowledged} writes acknowledged, "
            f"{self.refused} refused, {self.unknown} unknown, {self.undone} told undone, "
            f"{self.reads} reads, {self.unread} unanswered, {self.unsent} requests not sent: "
            f"{len(self.lost)} lost, {len(self.phantom)} phantom, {len(self.torn)} torn lists, "
            f"{len(self.stale)} stale reads, {len(self.unexpected)} unexpected answers"
        )

    def assert_clean(self) -> None:
        """Fail, with what was found, unless every answer can be explained."""
        found = self.details + self.unexpected
        assert not found, "\n".join([str(self), *found[:20]])

    def count(self, operation: Operation) -> None:
        """Enter an operation in the figures."""
        if operation.outcome is Outcome.UNSENT:
            self.unsent += 1
        elif operation.kind in (Kind.LIST, Kind.GET):
            self.reads += operation.outcome is Outcome.ACKNOWLEDGED
            self.unread += operation.outcome in (Outcome.UNKNOWN, Outcome.UNDONE)
        else:
            self.acknowledged += operation.outcome is Outcome.ACKNOWLEDGED
            self.refused += operation.outcome is Outcome.REFUSED
            self.unknown += operation.outcome is Outcome.UNKNOWN
            self.undone += operation.outcome is Outcome.UNDONE
        if operation.failure.isdigit() and operation.failure != "503":
            self.unexpected.append(f"{operation.failure} for {operation.describe()}")

    def blame(self, kind: str, what: object, text: str) -> None:
        """Enter something wrong, once."""
        found: set[object] = getattr(self, kind)
        if what not in found:
            found.add(what)
            self.details.append(f"{kind}: {text}")


def check(operations: Iterable[Operation], faults: int = 0) -> Report:
    """Judge the operations of all owners."""
    report = Report(faults=faults)
    owners: dict[str, list[Operation]] = defaultdict(list)
    for operation in operations:
        report.count(operation)
        informs = operation.outcome in (Outcome.ACKNOWLEDGED, Outcome.REFUSED)
        if informs or operation.changes:
            owners[operation.owner].append(operation)
    for owner in sorted(owners):
        _Register(owners[owner], report).check()
    return report


class _Register:
    """The codes of one owner, which no history begins with any of."""

    def __init__(self, operations: list[Operation], report: Report) -> None:
        self.operations = sorted(operations, key=lambda operation: operation.start)
        self.report = report
        self.blame = Blame(self.operations)
        self.configs: set[Config] = {(frozenset(), frozenset())}

    def check(self) -> None:
        """Follow starts and ends in their order; of equal times, starts come first."""
        events = [(op.start, 0, n, op) for n, op in enumerate(self.operations)]
        events += [(op.end, 1, n, op) for n, op in enumerate(self.operations)]
        for moment, ends, _, operation in sorted(events, key=lambda event: event[:3]):
            if not ends:
                self.configs = {_settled(c, under | {operation}) for c, under in self.configs}
            elif moment < math.inf:
                self._end(operation)

    def _end(self, operation: Operation) -> None:
        """Keep the configurations in which the operation has taken effect by now."""
        reached: set[Config] = set()
        found: set[Config] = set()
        open_ends = list(self.configs)
        while open_ends:
            content, under_way = config = open_ends.pop()
            if operation not in under_way:
                found.add(config)
            elif config not in reached:
                reached.add(config)
                for other in under_way:
                    if other.changes and (after := other.after(content)) is not None:
                        open_ends.append(_settled(after, under_way - {other}))
            if len(reached) + len(found) > LIMIT:
                raise RuntimeError("too many possible contents; use fewer writers or more reads")
        if operation.outcome is Outcome.UNKNOWN:
            # It may also have done nothing, and will do nothing any more.
            found |= {(content, under - {operation}) for content, under in self.configs}
        self.configs = found or self._explain(operation, reached)

    def _explain(self, operation: Operation, reached: set[Config]) -> set[Config]:
        """Name what is wrong with an answer, and go on from the nearest possible content."""
        content, under_way = min(
            reached, key=lambda config: sum(map(len, operation.contradiction(config[0])))
        )
        missing, extra = operation.contradiction(content)
        if self.blame.is_stale(operation, missing, extra):
            self.report.blame("stale", operation, operation.describe())
            return {(content, under - {operation}) for content, under in reached}
        for item in missing:
            self.report.blame(*self.blame.missing(operation, item))
        for item in extra:
            self.report.blame(*self.blame.extra(operation, item))
        content -= missing
        if operation.kind is not Kind.ADD:
            content |= extra
        elif operation.changes:
            content = content.union(operation.items)
        return {_settled(content, under_way - {operation})}


def _settled(content: Content, under_way: frozenset[Operation]) -> Config:
    """Let take effect what changes nothing, as soon as its answer fits."""
    return content, frozenset(
        op for op in under_way if op.changes or any(op.contradiction(content))
    )
