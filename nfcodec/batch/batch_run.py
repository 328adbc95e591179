"""One run of a batch: from a plan and a manifest to a verdict for every item."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from nfcodec import __version__
from nfcodec.batch.events import BatchItem, Event, Failure, Finished, Skipped, Started, Verdict
from nfcodec.batch.keys import file_sha256, item_key
from nfcodec.batch.loop import Patience, WorkerLoop
from nfcodec.batch.manifest import BatchState, Manifest, Record
from nfcodec.batch.places import shown
from nfcodec.batch.plan import BatchPlan
from nfcodec.batch.request import BatchRequest, Counts, Listener, RunOptions, Summary
from nfcodec.batch.schedule import Schedule
from nfcodec.errors import OutputExistsError
from nfcodec.files import aside_name
from nfcodec.media.atomic import sweep_folder
from nfcodec.media.reading import named
from nfcodec.parallel import usable_cores

_SAMPLE_BYTES = 100  # memory for one sample of a picture, encoder included
_WORKER_BYTES = 5e8  # memory of a worker with small files


def auto_workers() -> int:
    """One process for each usable core, as far as the machine has memory for them."""
    return max(1, min(usable_cores(), int(_memory() / _WORKER_BYTES)))


def refuse_second(own: BatchState, request: BatchRequest, options: RunOptions) -> None:
    """Raises :class:`~nfcodec.errors.OutputExistsError` when a batch has begun and nobody said what to do with it."""
    if own.runs and not (options.resume or options.force or options.skip_existing):
        hint = "--resume goes on with it, -f does all of it again"
        raise OutputExistsError(f"{shown(request.output)} holds a batch already", hint=hint)


class BatchRun:
    """One run: what it was asked, its counts, and the items that are in the works."""

    def __init__(
        self, request: BatchRequest, options: RunOptions, plan: BatchPlan, manifest: Manifest,
        listener: Listener | None, output: Path,
    ) -> None:  # fmt: skip
        """``output``: the local folder that workers write to."""
        self._request, self._options, self._plan, self._output = request, options, plan, output
        self._manifest, self._listener = manifest, listener
        self._counts = Counts(total=plan.total)
        self._failures: list[Record] = []
        self._began = time.monotonic()
        self._key = request.action.key()
        self._active: dict[str, BatchItem] = {}
        self._targets = {item.target for item in self._plan.items}

    def run(self, state: BatchState) -> Summary:
        """Do everything that ``state`` does not say is done."""
        items, skipped = self._open_items(state)
        sweep(self._output, self._plan.items)
        about = {"tool": __version__, "total": self._plan.total, "retry": self._options.only is not None}
        self._append("run", **{**self._request.record(), **about})
        for refused in self._plan.refused:
            self._failed(refused.path, error=refused.error, message=refused.message, hint=refused.hint, attempts=0)
        for skip in (*self._plan.skipped, *skipped):
            self._verdict("skipped", {"path": skip.path, "reason": skip.reason})
        stopped = self._work(items)
        self._counts.seconds = time.monotonic() - self._began
        counts = self._counts
        self._append("end", done=counts.done, failed=counts.failed, skipped=counts.skipped, seconds=counts.seconds)
        return Summary(self._request, counts, tuple(self._failures), stopped)

    # -- what is there already -------------------------------------------------------------------------------
    def _open_items(self, state: BatchState) -> tuple[list[BatchItem], list[Skipped]]:
        """The items to do, and those to skip; counts what is done. Refuses outputs that are in the way."""
        todo: list[BatchItem] = []
        skipped: list[Skipped] = []
        for item in map(partial(self._beside, state), self._plan.items):
            exists = self._exists(item)
            ours = self._options.force or (self._options.resume and item.target in state.begun)
            if self._options.resume and exists and self._is_done(item, state.last.get(item.path)):
                self._keep()
            elif not exists or ours:
                todo.append(replace(item, replace=exists))
            elif self._options.skip_existing:
                skipped.append(Skipped(item.path, f"{item.target} exists already"))
            else:
                other = "it is not of this batch: move it away; " if self._options.resume else ""
                hint = f"{other}--skip-existing leaves such files, -f replaces them"
                raise OutputExistsError(f"{self._named(item)} exists already", hint=hint)
        return todo, skipped

    def _beside(self, state: BatchState, item: BatchItem) -> BatchItem:
        """A decoded item with another target where something lies that no attempt of ours wrote: maybe the original."""
        if self._request.action.name != "decode" or item.target in state.begun or not self._exists(item):
            return item
        other = replace(item, target=str(aside_name(PurePosixPath(item.target))))
        if other.target in self._targets:
            return item if not self._options.force else self._in_the_way(item)
        return other if self._options.force or other.target in state.begun else item

    def _in_the_way(self, item: BatchItem) -> BatchItem:
        hint = "it may be an original, and its other name is taken, too: decode to another folder"
        raise OutputExistsError(f"{self._named(item)} exists already", hint=hint)

    def _is_done(self, item: BatchItem, line: Record | None) -> bool:
        """Whether the line of an item stands, its output has that size, and it is of this input and these options."""
        if line is None or line["type"] != "done" or line["target"] != item.target:
            return False
        with suppress(OSError):
            return bool(self._size(item) == line["bytes"] and self._same_question(item, line))
        return False

    def _exists(self, item: BatchItem) -> bool:
        """Whether something has the name of an output."""
        return os.path.lexists(self._place(item))

    def _named(self, item: BatchItem) -> str:
        """An output as messages name it."""
        return named(self._output / item.target)

    def _size(self, item: BatchItem) -> int | None:
        """Bytes of an output that exists. Raises ``OSError``."""
        return os.path.getsize(self._place(item))

    def _same_question(self, item: BatchItem, line: Record) -> bool:
        """Whether a line is of this input's bytes and these options. Raises ``OSError``."""
        return bool(line["key"] == item_key(file_sha256(item.source), self._key))

    def _keep(self) -> None:
        self._counts.done += 1
        self._counts.kept += 1

    def _place(self, item: BatchItem) -> str:
        return os.path.abspath(self._output / item.target)

    # -- the work --------------------------------------------------------------------------------------------
    def _work(self, items: list[BatchItem]) -> bool:
        """Run the engine; returns whether too many failed."""
        bound = self._options.max_failures.of(self._plan.total) if self._options.max_failures else None
        left = None if bound is None else bound - self._counts.failed
        if left is not None and left < 0:
            return True
        if not items:
            return False
        workers = max(1, min(self._options.workers or auto_workers(), len(items)))
        room, small = _memory() / _SAMPLE_BYTES / workers, self._request.action.small()
        schedule = Schedule(items, workers, room=room, patience=left, small=small)
        patience = Patience(self._request.action.per_sample(), self._options.timeout)
        engine = WorkerLoop(self._request.action.setup(), schedule, workers, place=self._place, patience=patience)
        try:
            with closing(engine.run()) as events:
                for event in events:
                    self._note(event)
        finally:
            # What killed workers were writing; those that ended by themselves have removed it.
            sweep(self._output, self._active.values())
        return schedule.exhausted

    def _note(self, event: Event) -> None:
        item = event.item
        if isinstance(event, Started):
            self._active[item.path] = item
            self._append("start", path=item.path, target=item.target)
        elif isinstance(event, Finished):
            self._active.pop(item.path, None)
            self._finished(item, event.record)
        elif isinstance(event, Failure):
            about = {"error": event.error, "message": event.message, "hint": event.hint, "attempts": event.attempts}
            trace = {"trace": event.trace} if event.trace else {}
            self._failed(item.path, **about, **trace)

    def _finished(self, item: BatchItem, record: Record) -> None:
        """A worker has made the output of an item; ``record``: what it says of it."""
        key = item_key(record["sha256"], self._key)
        self._verdict("done", {"path": item.path, "target": item.target, "key": key, **record})

    def _failed(self, path: str, **about: Any) -> None:
        record = {"path": path, **about}
        self._failures.append(record)
        self._verdict("failed", record)

    def _verdict(self, verdict: Verdict, record: Record) -> None:
        self._append(verdict, **record)
        self._counts.add(verdict, record)
        self._counts.seconds = time.monotonic() - self._began
        if self._listener is not None:
            self._listener(verdict, record, self._counts)

    def _append(self, kind: str, **values: Any) -> None:
        self._manifest.append(kind, **values, time=round(time.time(), 3))


def sweep(output: Path, items: Iterable[BatchItem]) -> None:
    """Remove the temporary files that killed processes left behind for the outputs of ``items``."""
    folders: dict[Path, set[str]] = {}
    for item in items:
        place = output / item.target
        folders.setdefault(place.parent, set()).add(place.name)
    for folder, names in folders.items():
        with suppress(OSError):
            sweep_folder(folder, names)


def _memory() -> float:
    """Bytes of memory of this machine."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return 4e9
