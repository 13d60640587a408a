"""What a wrong answer is called, by the explanation that comes closest."""

from .operations import Content, Item, Kind, Operation, Outcome

_WRITERS, _REMOVERS = (Kind.ADD, Kind.CHANGE), (Kind.REMOVE,)

Verdict = tuple[str, object, str]
"""The kind of fault, what it befell, and a line to print."""


class Blame:
    """Looks for what went wrong among the operations of one owner, ordered by their starts."""

    def __init__(self, operations: list[Operation]) -> None:
        self.operations = operations

    def is_stale(self, read: Operation, missing: Content, extra: Content) -> bool:
        """Whether the next reads show that the answer was wrong, and not the database."""
        later = [
            op
            for op in self.operations
            if op.start >= read.end and op.kind in (Kind.LIST, Kind.GET) and not op.failure
        ]

        def shown(item: Item) -> bool | None:
            told = next((op for op in later if op.covers(item.code)), None)
            return None if told is None else item in told.seen

        return all(shown(item) for item in missing) and all(shown(i) is False for i in extra)

    def missing(self, read: Operation, item: Item) -> Verdict:
        """An item that must be there is not: its last write is lost, or a list is torn."""
        writer = self._last(_WRITERS, item.code, read.end, item)
        removal = self._last(_REMOVERS, item.code, read.end)
        if removal and removal.outcome is Outcome.UNKNOWN and self._half_removed(removal, read):
            return self._verdict("torn", removal, item, read)
        partly = writer and not read.seen.isdisjoint(writer.items)
        return self._verdict("torn" if partly else "lost", writer, item, read)

    def extra(self, read: Operation, item: Item) -> Verdict:
        """An item that cannot be there is: nobody wrote it, its list is torn, or it came back."""
        # A refusal tells the code alone.
        told = None if read.kind is Kind.ADD else item
        writer = self._last(_WRITERS, item.code, read.end, told)
        if writer and writer.outcome is Outcome.ACKNOWLEDGED:
            change = self._last((Kind.CHANGE,), item.code, read.end, but=writer)
            if change and change.start >= writer.start:
                return self._verdict("lost", change, item, read)
            removal = self._last(_REMOVERS, item.code, read.end)
            if removal and removal.start >= writer.start:
                torn = self._half_removed(removal, read)
                return self._verdict("torn" if torn else "lost", removal, item, read)
        elif writer and read.kind is Kind.LIST and not read.seen.issuperset(writer.items):
            return self._verdict("torn", writer, item, read)
        return self._verdict("phantom", (read.owner, item.code), item, read)

    def _half_removed(self, removal: Operation, read: Operation) -> bool:
        """Whether a read shows some of what a list was to remove, and lacks some of it."""
        kept = set()
        for code in (item.code for item in removal.items):
            add = self._last(_WRITERS, code, removal.start)
            earlier = self._last(_REMOVERS, code, removal.start, but=removal)
            if add and not (earlier and earlier.start > add.start):
                kept.add(any(item in read.seen for item in add.items if item.code == code))
        return read.kind is Kind.LIST and len(kept) == 2

    def _last(
        self,
        kinds: tuple[Kind, ...],
        code: str,
        until: float,
        item: Item | None = None,
        but: Operation | None = None,
    ) -> Operation | None:
        """The last write about a code that had begun by then; of an item, the one that wrote it."""
        return next(
            (
                op
                for op in reversed(self.operations)
                if op.kind in kinds
                and op.start <= until
                and op is not but
                and op.covers(code)
                and (item in op.items if item else op.changes)
            ),
            None,
        )

    def _verdict(self, kind: str, what: object, item: Item, read: Operation) -> Verdict:
        by = f", of {what.describe()}" if isinstance(what, Operation) else ""
        return kind, what, f"{item} in {read.describe()}{by}"
