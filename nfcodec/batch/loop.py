"""Items through worker processes. Workers may die, hang or run out of memory; every item gets its verdict."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from nfcodec.batch.child_process import ChildProcess, end_all
from nfcodec.batch.events import BatchItem, Event, Failure, Finished, Started
from nfcodec.batch.schedule import Schedule
from nfcodec.batch.task import Setup
from nfcodec.errors import InternalError, NfcError, OutputError

FIRST_WORD = 300.0  # seconds until a worker has hashed an input and read its header
_BASE, _MARGIN = 60.0, 20.0
_MOST_STILLBIRTHS = 3
# A second attempt gives the same for these, whatever the machine was doing during the first.
_FINAL = frozenset(("UnsupportedMediaError", "LimitError", "OptionError", "OutputExistsError", "ModelNotFoundError"))


@dataclass(frozen=True, slots=True)
class Patience:
    """When an item counts as hanging. ``per_sample``: predicted seconds; ``fixed``: seconds for any item instead."""

    per_sample: float = 1e-4
    fixed: float | None = None

    def seconds(self, samples: float, attempt: int, items: int = 1) -> float:
        """Twenty times the prediction, and a minute; twice that for a second attempt."""
        if self.fixed is not None:
            return self.fixed * items
        return (_BASE + _MARGIN * self.per_sample * samples) * attempt


class Watch:
    """The clock of a loop, and how it waits."""

    def now(self) -> float:
        """Monotonic seconds."""
        return time.monotonic()

    def wait(self, signs: Sequence[Connection | int], seconds: float) -> Sequence[Any]:
        """Those of ``signs`` that have come, after at most so many seconds."""
        return wait(signs, seconds)


class WorkerLoop:
    """Runs a schedule on at most ``workers`` processes; :meth:`run` gives what happens, as it happens."""

    def __init__(
        self, setup: Setup, schedule: Schedule, workers: int, *, place: Callable[[BatchItem], str], patience: Patience,
        watch: Watch | None = None,
    ) -> None:  # fmt: skip
        """``place``: the absolute path of an item's output."""
        self._watch = watch or Watch()
        self._setup, self._schedule, self._wanted = setup, schedule, workers
        self._place, self._patience = place, patience
        self._workers: list[ChildProcess] = []
        self._stillbirths = 0

    def run(self) -> Generator[Event, None, None]:
        """Give events until every item has its verdict, or too many failed.

        Raises :class:`~nfcodec.errors.OutputError` when the target takes no more files, and
        :class:`~nfcodec.errors.NfcError` when workers cannot be started. Closing the iterator ends the workers.
        """
        try:
            while not self._schedule.finished and not self._schedule.exhausted:
                yield from self._dispatch()
                for worker in self._heard():
                    yield from self._listen(worker)
        finally:
            end_all(self._workers)

    # -- giving out ------------------------------------------------------------------------------------------
    def _dispatch(self) -> Iterator[Event]:
        """Give an item to every idle worker, as far as the schedule has some for now."""
        for worker in [w for w in self._workers if w.leaving or (w.idle and w.old)]:
            self._workers.remove(worker)
            end_all([worker])
        while len(self._workers) < min(self._wanted, self._schedule.unfinished):
            self._workers.append(ChildProcess(self._setup, now=self._watch.now))
        for worker in self._workers:
            if worker.idle:
                assignment = self._schedule.next()
                if assignment is None:
                    return
                first = self._patience.fixed or FIRST_WORD
                worker.give(assignment, [self._place(item) for item in assignment.items], patience=first)
                for item in assignment.items:
                    yield Started(item, assignment.attempt)

    # -- hearing ---------------------------------------------------------------------------------------------
    def _heard(self) -> Sequence[ChildProcess]:
        """The workers from which there is news: a message, their end, or too long a silence."""
        soonest = min((w.deadline for w in self._workers if not w.idle), default=self._watch.now() + 60.0)
        signs = [sign for worker in self._workers for sign in worker.signs]
        heard = set(self._watch.wait(signs, max(0.0, soonest - self._watch.now())))
        now = self._watch.now()
        return [w for w in self._workers if heard & set(w.signs) or (not w.idle and now >= w.deadline)]

    def _listen(self, worker: ChildProcess) -> Iterator[Event]:
        alive = worker.alive  # asked before, so that the last words of a dying worker are not missed
        for message in worker.messages():
            yield from self._understood(worker, message)
        if not alive:
            yield from self._buried(worker)
        elif not worker.idle and self._watch.now() >= worker.deadline:
            worker.kill()
            self._workers.remove(worker)
            yield from self._hung(worker)

    def _understood(self, worker: ChildProcess, message: dict[str, Any]) -> Iterator[Event]:
        event, assignment = message["event"], worker.assignment
        if event == "ready":
            worker.ready, self._stillbirths = True, 0
        elif event == "broken":
            raise NfcError(f"workers cannot start: {message['message']}", hint=message["hint"])
        elif assignment is not None:
            if event == "begun":
                worker.samples += message["samples"]
                patience = self._patience.seconds(worker.samples, assignment.attempt, len(assignment.items))
                worker.deadline = self._watch.now() + patience
            elif event == "over":
                worker.assignment, worker.leaving = None, message["leaving"]
            else:
                yield from self._answered(worker.open.pop(message["item"]), assignment.attempt, message)

    def _answered(self, item: BatchItem, attempt: int, message: dict[str, Any]) -> Iterator[Event]:
        if message["event"] == "done":
            self._schedule.done(item)
            yield Finished(item, message["record"])
        elif message["full"]:
            raise OutputError(message["message"], hint="make room and go on with --resume; nothing is lost")
        else:
            about = {name: message[name] for name in ("error", "message", "hint", "trace")}
            yield from self._failed(item, attempt, **about)

    def _buried(self, worker: ChildProcess) -> Iterator[Event]:
        """A worker is dead: what it had not answered for failed."""
        self._workers.remove(worker)
        reason = worker.obituary()
        if worker.assignment is not None:
            for item in worker.open.values():
                yield from self._failed(item, worker.assignment.attempt, error="WorkerDied", message=reason)
        elif not worker.ready:
            self._stillbirths += 1
            if self._stillbirths >= _MOST_STILLBIRTHS:
                raise InternalError(f"workers cannot start: {reason}")

    def _hung(self, worker: ChildProcess) -> Iterator[Event]:
        if worker.assignment is None:
            raise InternalError("workers cannot start: no sign of life")
        about = {"message": "no result in the time that it may take", "hint": "--timeout gives more"}
        for item in worker.open.values():
            yield from self._failed(item, worker.assignment.attempt, error="TimedOut", **about)

    def _failed(self, item: BatchItem, attempt: int, *, error: str, **about: Any) -> Iterator[Event]:
        last = self._schedule.failed(item, again=error not in _FINAL)
        if last:
            yield Failure(item, error, attempts=attempt, **about)
