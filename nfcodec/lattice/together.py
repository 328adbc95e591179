"""Jobs that take turns, so that what several of them want coded is coded at once.

Each job runs as if it were alone, on a thread of its own, but only one of them at any time: it goes on until it wants
a region coded, or ends. When all of them wait, their regions are coded together
(:func:`~nfcodec.lattice.code.encode_regions`), and the first goes on. Regions that are coded together get the same
bytes and symbols as alone, so that nobody can tell who the others were.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from threading import Semaphore, get_ident
from typing import Any, Generic, TypeVar

from nfcodec.lattice.code import RegionBytes, RegionCoder, RegionSymbols, decode_regions, encode_regions
from nfcodec.lattice.prior import Prior
from nfcodec.types import Symbols

T = TypeVar("T")
MOST = 4  # jobs; more need more memory, and gain nothing
_MOST_CELLS = 1 << 14  # of regions that are coded at once
Job = Callable[[RegionCoder], T]


class Dropped(BaseException):
    """Raised in jobs that nobody waits for any more."""


@dataclass(eq=False)
class _Request:
    """A region that waits to be coded, and what became of it."""

    prior: Prior
    region: RegionSymbols | RegionBytes
    result: Any = None
    error: Exception | None = None

    @property
    def kind(self) -> Hashable:
        """Requests of one kind can be met together."""
        return type(self.region), id(self.prior), self.region.planes


def _coded(prior: Prior, regions: Sequence[Any]) -> Sequence[Any]:
    one = encode_regions if isinstance(regions[0], RegionSymbols) else decode_regions
    found: Sequence[Any] = one(prior, regions)
    return found


def _meet(requests: Sequence[_Request]) -> None:
    """Code the regions of requests of one kind; where one of them spoils the whole, each alone."""
    try:
        found = _coded(requests[0].prior, [r.region for r in requests])
        for request, result in zip(requests, found, strict=True):
            request.result = result
    except Exception as error:
        if len(requests) == 1:
            requests[0].error = error
            return
        for request in requests:
            _meet([request])


@dataclass(eq=False)
class _Turn(Generic[T]):
    """One job: it runs between a release of ``go`` and the next of ``over``, and is the :class:`RegionCoder` that it
    is given itself."""

    job: Job[T]
    go: Semaphore = field(default_factory=lambda: Semaphore(0))
    over: Semaphore = field(default_factory=lambda: Semaphore(0))
    request: _Request | None = None
    dropped: bool = False
    thread: int = 0

    def run(self) -> T:
        self.thread = get_ident()
        try:
            self._await()
            return self.job(self)
        finally:
            self.over.release()

    def on(self) -> None:
        """Let the job run until it waits or ends."""
        self.request = None
        self.go.release()
        self.over.acquire()

    def drop(self) -> None:
        """Let the job end at once, wherever it waits."""
        self.dropped = True
        self.go.release()

    def _await(self) -> None:
        self.go.acquire()
        if self.dropped:
            raise Dropped

    def encode(self, prior: Prior, region: RegionSymbols) -> list[bytes]:
        found: list[bytes] = self._wait(_Request(prior, region))
        return found

    def decode(self, prior: Prior, region: RegionBytes) -> Symbols:
        found: Symbols = self._wait(_Request(prior, region))
        return found

    def _wait(self, request: _Request) -> Any:
        if get_ident() == self.thread:
            self.request = request
            self.over.release()
            self._await()
        else:  # a thread that the job has started: the job itself still runs
            _meet([request])
        if request.error is not None:
            raise request.error
        return request.result


class Together:
    """Runs jobs in turns; see the module. Its threads are kept for further jobs: each new one would leave some memory
    behind in torch."""

    def __init__(self, most: int = MOST) -> None:
        """``most``: so many jobs take turns."""
        self.most = most
        self._pool = ThreadPoolExecutor(most)

    def run(self, jobs: Sequence[Job[T]]) -> list[Future[T]]:
        """Run jobs to their ends. Each is called with the coder that it has to use. The futures are done: ``result()``
        gives what a job returned, or raises what it raised."""
        parts = (jobs[i : i + self.most] for i in range(0, len(jobs), self.most))
        return [future for some in parts for future in self._run(some)]

    def _run(self, jobs: Sequence[Job[T]]) -> list[Future[T]]:
        turns = [_Turn(job) for job in jobs]
        # Each job with what holds where it is run: such as a limit of threads.
        futures = [self._pool.submit(copy_context().run, turn.run) for turn in turns]
        try:
            _take_turns(turns)
        except BaseException:
            for turn in turns:  # nobody would wake them any more
                turn.drop()
            raise
        return futures


def _take_turns(turns: Sequence[_Turn[Any]]) -> None:
    """Run jobs until all have ended."""
    while turns:
        for turn in turns:
            turn.on()
        turns = [turn for turn in turns if turn.request is not None]
        for requests in _groups(turn.request for turn in turns if turn.request is not None):
            _meet(requests)


def _groups(requests: Iterable[_Request]) -> list[list[_Request]]:
    """Requests of one kind, as many as have no more cells together than one large region."""
    closed: list[list[_Request]] = []
    open_ones: dict[Hashable, tuple[int, list[_Request]]] = {}
    for request in requests:
        cells, group = open_ones.get(request.kind, (0, []))
        cells += math.prod(request.region.shape)
        if group and cells > _MOST_CELLS:
            closed.append(group)
            cells, group = math.prod(request.region.shape), []
        open_ones[request.kind] = cells, [*group, request]
    return closed + [group for _, group in open_ones.values()]
