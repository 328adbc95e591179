"""Which item next, and with how many threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import islice

from nfcodec.batch.events import BatchItem
from nfcodec.lattice.together import MOST

# How much of a further core one item can use: its parts are coded one after the other, and its file is written once.
EFFICIENCY = 0.7


@dataclass(frozen=True, slots=True)
class Assignment:
    """Some small items, or one. ``alone``: nothing else may run meanwhile. ``attempt`` counts from 1."""

    items: tuple[BatchItem, ...]
    threads: int = 1
    attempt: int = 1
    alone: bool = False


class Schedule:
    """The largest items first, so that the end is made of small ones; failed items once more, alone, at the end.

    An item that would keep the others waiting at the end runs alone on all cores; so does one over ``room``
    samples, because several at once might not fit into memory. When fewer items than workers are left, each gets
    its share of the cores. Items up to ``small`` samples are given out several at a time, to be done together; fewer
    towards the end, so that no worker waits long for another. Bytes do not depend on threads and company, so none of
    this changes a file.
    """

    def __init__(
        self, items: Iterable[BatchItem], workers: int, *, room: float = float("inf"), patience: int | None = None,
        small: float = 0.0,
    ) -> None:  # fmt: skip
        """``patience``: so many failures wait for their second attempt before other items go on (None: any)."""
        self._queue = deque(sorted(items, key=lambda item: (-item.cost, item.path)))
        self._rest = sum(item.cost for item in self._queue)
        self._again: deque[BatchItem] = deque()
        self._workers, self._room, self._patience, self._small = workers, room, patience, small
        self._running: dict[str, Assignment] = {}
        self._broken = 0

    @property
    def finished(self) -> bool:
        """Whether nothing waits and nothing runs."""
        return not self.unfinished

    @property
    def unfinished(self) -> int:
        """Items without a verdict."""
        return len(self._queue) + len(self._again) + len(self._running)

    @property
    def exhausted(self) -> bool:
        """Whether more items failed for good than patience allows."""
        return self._patience is not None and self._broken > self._patience

    def next(self) -> Assignment | None:
        """What to do now on one more free worker, or None when that must wait for something that runs."""
        assignment = self._choose()
        if assignment is None or (assignment.alone and self._running):
            return None
        if any(a.alone for a in self._running.values()):
            return None
        self._take(assignment)
        return assignment

    def _choose(self) -> Assignment | None:
        if self._again and (not self._queue or self._impatient()):
            return Assignment((replace(self._again[0], replace=True),), attempt=2, alone=True)
        if not self._queue:
            return None
        company = min(MOST, len(self._queue) // (2 * self._workers))
        if company > 1 and self._queue[0].cost <= self._small:
            return Assignment(tuple(islice(self._queue, company)))
        item, share = self._queue[0], max(1, self._workers // (len(self._running) + len(self._queue)))
        if self._workers > 1 and (item.cost > self._room or self._better_alone(item, share)):
            return Assignment((item,), threads=self._workers, alone=True)
        return Assignment((item,), threads=share)

    def _impatient(self) -> bool:
        return self._patience is not None and self._broken + len(self._again) > self._patience

    def _better_alone(self, item: BatchItem, share: int) -> bool:
        """Whether all cores on this item first end the whole sooner than ``share`` threads beside the others."""
        if self._running:
            return False  # it would have to wait
        together = max(item.cost / _speed(share), self._rest / self._workers)
        others = (self._rest - item.cost) / self._workers
        if len(self._queue) > 1:
            later = max(1, self._workers // (len(self._queue) - 1))
            others = max(others, self._queue[1].cost / _speed(later))
        return item.cost / _speed(self._workers) + others < together

    def _take(self, assignment: Assignment) -> None:
        for item in assignment.items:
            self._running[item.path] = assignment
            if assignment.attempt == 1:
                self._queue.popleft()
                self._rest -= item.cost
            else:
                self._again.popleft()

    def done(self, item: BatchItem) -> None:
        """An item came to a good end."""
        del self._running[item.path]

    def failed(self, item: BatchItem, *, again: bool) -> bool:
        """An attempt failed; returns whether that was the last one. ``again``: another one may help."""
        first = self._running.pop(item.path).attempt == 1
        if first and again:
            self._again.append(item)
            return False
        self._broken += 1
        return True


def _speed(threads: int) -> float:
    """How many times faster one item is on so many threads."""
    return 1 + (threads - 1) * EFFICIENCY
