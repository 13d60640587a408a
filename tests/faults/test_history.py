"""The history checker itself: it finds every kind of fault, and blames no right service."""

import math
import random
from dataclasses import replace

import pytest

from .checker import Report, check
from .history import History
from .operations import Content, Item, Kind, Operation, Outcome

ACKNOWLEDGED, REFUSED, UNKNOWN, UNDONE, UNSENT = Outcome
A, B, C = (Item(code, "first") for code in ("10", "11", "12"))
A2 = Item("10", "second")


def add(*items: Item, told: Outcome = ACKNOWLEDGED, named: tuple[Item, ...] = ()) -> Operation:
    """A creation; a refusal names items."""
    return Operation(Kind.ADD, "anna", items, len(items) > 1, outcome=told, seen=frozenset(named))


def change(item: Item, told: Outcome = ACKNOWLEDGED) -> Operation:
    """A change of a code to this item; a refused one found no such code."""
    seen = frozenset([item] if told is ACKNOWLEDGED else [])
    return Operation(Kind.CHANGE, "anna", (item,), outcome=told, seen=seen)


def remove(*items: Item, told: Outcome = ACKNOWLEDGED) -> Operation:
    """A removal."""
    return Operation(Kind.REMOVE, "anna", items, len(items) > 1, outcome=told)


def shown(*items: Item) -> Operation:
    """A read of all, which showed these."""
    return Operation(Kind.LIST, "anna", outcome=ACKNOWLEDGED, seen=frozenset(items))


def got(asked: Item, *items: Item) -> Operation:
    """A read of one code, which showed this item or none."""
    return Operation(Kind.GET, "anna", (asked,), outcome=ACKNOWLEDGED, seen=frozenset(items))


def at(start: float, end: float, operation: Operation) -> Operation:
    """The operation in this time, and not after the one before."""
    return replace(operation, start=start, end=end)


def judged(*operations: Operation) -> Report:
    """The report of a history, one operation after the other unless it says when it was."""
    return check(
        operation if operation.start else at(10 * place + 1, 10 * place + 2, operation)
        for place, operation in enumerate(operations)
    )


FAULTY: dict[str, tuple[list[Operation], dict[str, int]]] = {
    "a creation is gone": ([add(A), shown()], {"lost": 1}),
    "one code is gone": ([add(A), got(A)], {"lost": 1}),
    "a whole list is gone, which is one write": ([add(A, B), shown()], {"lost": 1}),
    "a code could be created twice": ([add(A), add(A2), shown(A2)], {"lost": 1}),
    "a refusal does not name a code": (
        [add(A), add(B), add(A2, B, told=REFUSED, named=(B,))],
        {"lost": 1},
    ),
    "a removal is undone": ([add(A), remove(A), shown(A)], {"lost": 1}),
    "an unknown creation was seen and is gone": (
        [add(A, told=UNKNOWN), shown(A), shown()],
        {"lost": 1},
    ),
    "nobody wrote it": ([shown(A)], {"phantom": 1}),
    "nobody wrote this description": ([add(A), shown(A2)], {"phantom": 1, "lost": 1}),
    "a refusal names what is not there": ([add(A, told=REFUSED, named=(A,))], {"phantom": 1}),
    "a 503 said that it had changed nothing": ([add(A, told=UNDONE), shown(A)], {"phantom": 1}),
    "it was never sent": ([add(A, told=UNSENT), shown(A)], {"phantom": 1}),
    "an unknown creation had not happened and then had": (
        [add(A, told=UNKNOWN), shown(), shown(A)],
        {"phantom": 1},
    ),
    "it was read before it was asked for": ([got(A, A), add(A)], {"phantom": 1, "lost": 1}),
    "an unknown list is half there": ([add(A, B, C, told=UNKNOWN), shown(B)], {"torn": 1}),
    "an acknowledged list is half there": ([add(A, B, C), shown(A, B)], {"torn": 1}),
    "a refused list is half there": (
        [add(A), add(A2, B, C, told=REFUSED, named=(A,)), shown(A, B)],
        {"torn": 1},
    ),
    "an unknown list is half removed": (
        [add(A, B, C), remove(A, B, told=UNKNOWN), shown(B, C)],
        {"torn": 1},
    ),
    "an acknowledged list is half removed": (
        [add(A, B, C), remove(A, B), shown(B, C)],
        {"torn": 1},
    ),
    "a change is gone": ([add(A), change(A2), shown(A)], {"lost": 1}),
    "a changed code is gone": ([add(A), change(A2), shown()], {"lost": 1}),
    "a code that is not there was changed": ([change(A)], {"phantom": 1}),
    "a code that was removed was changed": ([add(A), remove(A), change(A2)], {"phantom": 1}),
    "a change does not find a code": ([add(A), change(A2, REFUSED), shown(A)], {"stale": 1}),
    "a change shows that a code is gone": ([add(A), change(A2, REFUSED), shown()], {"lost": 1}),
    "an unknown change was seen and is gone": (
        [add(A), change(A2, UNKNOWN), shown(A2), shown(A)],
        {"lost": 1},
    ),
    "a 503 said that it had not changed it": (
        [add(A), change(A2, UNDONE), shown(A2)],
        {"phantom": 1, "lost": 1},
    ),
    "a read of all misses what the next one shows": ([add(A), shown(), shown(A)], {"stale": 1}),
    "a read of one misses what the next one shows": ([add(A), got(A), got(A, A)], {"stale": 1}),
    "a read shows what was removed": ([add(A), remove(A), shown(A), shown()], {"stale": 1}),
    "a read is older than the one before it": (
        [at(1, 90, add(A)), at(2, 3, shown(A)), at(4, 5, shown()), at(91, 92, shown(A))],
        {"stale": 1},
    ),
}

CLEAN: dict[str, list[Operation]] = {
    "one after the other": [add(A), add(B, C), shown(A, B, C), remove(A, C), shown(B), got(A)],
    "created anew": [add(A), remove(A), add(A2), got(A, A2), shown(A2)],
    "removed without being there": [remove(A), remove(A, B), shown()],
    "changed": [add(A), change(A2), shown(A2), got(A, A2), remove(A), change(A, REFUSED)],
    "changed twice": [add(A, B), change(A2), change(A), shown(A, B)],
    "unknown and changed": [add(A), change(A2, UNKNOWN), shown(A2), remove(A), shown()],
    "unknown and not changed": [add(A), change(A2, UNKNOWN), shown(A)],
    "an unknown change of what is not there": [change(A, UNKNOWN), shown(), add(A2), shown(A2)],
    "said to be unchanged": [add(A), change(A2, UNDONE), shown(A)],
    "changed and removed at once": [
        add(A),
        at(11, 19, change(A2)),
        at(12, 18, remove(A)),
        at(13, 17, change(A, REFUSED)),
        at(20, 21, shown()),
    ],
    "refused": [add(A), add(A2, B, told=REFUSED, named=(A,)), shown(A)],
    "unknown and done": [add(A, B, told=UNKNOWN), shown(A, B), remove(A, told=UNKNOWN), shown(B)],
    "unknown and not done": [add(A, B, told=UNKNOWN), shown(), add(A2), shown(A2)],
    "unknown, and decided by a refusal": [
        add(A, told=UNKNOWN),
        add(A2, told=REFUSED, named=(A,)),
        shown(A),
    ],
    "unknown, and decided by a creation": [add(A, told=UNKNOWN), add(A2), shown(A2)],
    "timed out and done later": [at(1, math.inf, add(A, told=UNKNOWN)), shown(), shown(A)],
    "said to be undone": [add(A, told=UNDONE), shown()],
    "read while it is written": [
        at(1, 9, add(A)),
        at(2, 3, shown()),
        at(4, 5, shown(A)),
        at(6, 7, got(A, A)),
    ],
    "two at once, of which one is first": [
        at(1, 9, add(A)),
        at(2, 8, add(A2, told=REFUSED, named=(A,))),
        at(10, 11, shown(A)),
    ],
    "the later one was faster": [
        at(1, 9, remove(A)),
        at(2, 3, add(A)),
        at(4, 5, got(A, A)),
        at(10, 11, shown()),
    ],
}


@pytest.mark.parametrize("name", FAULTY)
def test_fault_is_found_and_named(name: str) -> None:
    """What nothing explains is counted once, as what it is, and fails the test."""
    operations, expected = FAULTY[name]
    report = judged(*operations)
    found = {kind: len(getattr(report, kind)) for kind in ("lost", "phantom", "torn", "stale")}
    assert found == {"lost": 0, "phantom": 0, "torn": 0, "stale": 0, **expected}
    with pytest.raises(AssertionError, match=next(iter(expected))):
        report.assert_clean()


@pytest.mark.parametrize("name", CLEAN)
def test_right_history_is_clean(name: str) -> None:
    """What some order explains is no fault."""
    judged(*CLEAN[name]).assert_clean()


def test_unexpected_answer_fails() -> None:
    """A 500 is a fault even where the content can be explained."""
    report = judged(replace(add(A, told=UNKNOWN), failure="500"), shown(A))
    with pytest.raises(AssertionError, match="500 for ADD anna"):
        report.assert_clean()


def test_report_is_one_line_of_figures() -> None:
    """The figures stand in one line."""
    report = judged(add(A), add(A2, told=REFUSED, named=(A,)), add(B, told=UNKNOWN), shown(A))
    report.faults = 7
    assert str(report) == (
        "7 faults, 1 writes acknowledged, 1 refused, 1 unknown, 0 told undone, "
        "1 reads, 0 unanswered, 0 requests not sent: "
        "0 lost, 0 phantom, 0 torn lists, 0 stale reads, 0 unexpected answers"
    )


def test_a_copy_is_judged_by_when_it_was_taken() -> None:
    """What a backup holds must be allowed at one moment while it was taken."""
    for content, clean in (((A,), True), ((), True), ((B,), False)):
        history = History()
        history.operations = [at(2, 3, add(A)), at(6, 7, shown(A))]
        history.observe("anna", content, 1, 5)
        assert (not history.check().details) is clean


def simulated(choose: random.Random) -> tuple[list[Operation], Content]:
    """What a right service would answer to clients at once, and what it then holds."""
    history, content = History(), frozenset[Item]()
    moments = sorted(choose.uniform(1, 100) for _ in range(60))
    for moment in moments:
        codes = choose.sample(["10", "11", "12", "13", "14"], choose.choice((1, 1, 2, 3)))
        kind = choose.choice([*Kind])
        items = history.new_items(codes[:1] if kind in (Kind.GET, Kind.CHANGE) else codes)
        operation = Operation(kind, "anna", items, outcome=ACKNOWLEDGED)
        operation.start, operation.end = moment - choose.random(), moment + choose.random()
        if operation.changes and choose.random() < 0.15:
            operation.outcome = UNKNOWN
            operation.end = choose.choice((operation.end, math.inf))
        told = frozenset(item for item in content if operation.covers(item.code))
        if operation.changes and operation.after(content) is None:
            if operation.outcome is not UNKNOWN:
                taken = {item.code for item in told}
                operation.outcome = REFUSED
                operation.seen = frozenset(item for item in items if item.code in taken)
        elif operation.changes:
            if operation.outcome is not UNKNOWN or choose.random() < 0.5:
                content = operation.after(content) or frozenset()
            if operation.kind is Kind.CHANGE and operation.outcome is ACKNOWLEDGED:
                operation.seen = frozenset(items)
        else:
            operation.seen = told
        history.operations.append(operation)
    return history.operations, content


@pytest.mark.parametrize("seed", range(50))
def test_random_history_is_judged_right(seed: int) -> None:
    """A right service is never blamed; one that forgets or invents a code always is."""
    operations, content = simulated(random.Random(seed))
    check([*operations, at(200, 201, shown(*content))]).assert_clean()
    invented = content ^ {Item("10", "invented")}
    assert check([*operations, at(200, 201, shown(*invented))]).details
    for item in content:
        writer = next(op for op in operations if item in op.items)
        kinds = (Kind.REMOVE, Kind.CHANGE)
        later = [op for op in operations if op.kind in kinds and op.end > writer.start]
        later = [op for op in later if op is not writer]
        if writer.outcome is ACKNOWLEDGED and not any(op.covers(item.code) for op in later):
            assert check([*operations, at(200, 201, shown(*content - {item}))]).details
