"""A job from beginning to end: plan, manifest, engine."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from nfcodec import __version__
from nfcodec.batch.engine import Engine, Patience
from nfcodec.batch.items import Event, Failure, Finished, Item, Skipped, Started, Verdict
from nfcodec.batch.job import Counts, How, Job, Listener, Summary, job_of
from nfcodec.batch.keys import file_sha256, item_key
from nfcodec.batch.manifest import Manifest, Record, State, manifest_path, manifests, read_state
from nfcodec.batch.places import Place, shown
from nfcodec.batch.plan import Plan, in_shard, make_plan
from nfcodec.batch.schedule import Schedule
from nfcodec.errors import InputError, OutputError, OutputExistsError
from nfcodec.media.atomic import sweep_folder
from nfcodec.media.reading import named, reason

_SAMPLE_BYTES = 100  # memory for one sample of a picture, encoder included
_WORKER_BYTES = 5e8  # memory of a worker with small files


def run(job: Job, how: How | None = None, *, listener: Listener | None = None) -> Summary:
    """Do a job; every file gets its line in the manifest of the output folder.

    Raises :class:`~nfcodec.errors.NfcError` for what stops the whole (folders that cannot be read, names that
    collide, outputs in the way, a full disk), never for a single file. After any exception, KeyboardInterrupt
    included, and after a crash, the same job with ``How(resume=True)`` goes on.
    """
    how = how or How()
    inputs, output = local_folders(job)
    if output is None:
        from nfcodec.batch.remote import run_remote

        return run_remote(job, how, listener=listener)
    plan = make_plan(inputs, output, job.action, shard=job.shard, only=how.only)
    make_folder(output)
    path = manifest_path(output, job.shard)
    with Manifest(path) as manifest:
        refuse_second(read_state([path]), job, how)
        return Run(job, how, plan, manifest, listener, output).run(read_state(manifests(output)))


def local_folders(job: Job) -> tuple[tuple[Path, ...], Path | None]:
    """The inputs and the output of a job without URLs; an output of None for one with URLs."""
    if job.local and isinstance(job.output, Path):
        return tuple(p for p in job.inputs if isinstance(p, Path)), job.output
    return (), None


def retry(output: Place, how: How | None = None, *, listener: Listener | None = None) -> list[Summary]:
    """Do what failed in a batch once more, with its own settings; one summary for each shard with failures."""
    return [
        run(job, replace(how or How(), resume=True, only=failed), listener=listener)
        for job, failed in failed_of(output)
    ]


def failed_of(output: Place) -> Iterator[tuple[Job, frozenset[str]]]:
    """The jobs of a batch with the paths that failed. Raises :class:`~nfcodec.errors.InputError` without a batch."""
    state = read_state(existing_manifests(output))
    failed = frozenset(r["path"] for r in state.of("failed"))
    for record in sorted(state.runs, key=lambda r: -float(r["time"])):
        job = job_of(record, output)
        mine = frozenset(p for p in failed if in_shard(p, job.shard))
        if mine:
            yield job, mine
        failed -= mine


def existing_manifests(output: Place) -> list[Path]:
    """The manifests of a batch; of a remote one they are fetched first.

    Raises :class:`~nfcodec.errors.InputError` when there is none.
    """
    if isinstance(output, Path):
        found = manifests(output)
    else:
        from nfcodec.batch.remote_state import pulled

        found = pulled(output)
    if not found:
        raise InputError(f"{shown(output)} holds no batch", hint="nfc batch DIR -d OUT begins one")
    return found


def usable_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def auto_workers() -> int:
    """One process for each usable core, as far as the machine has memory for them."""
    return max(1, min(usable_cores(), int(_memory() / _WORKER_BYTES)))


def preview(job: Job, how: How | None = None) -> Plan:
    """The plan alone; nothing is written."""
    only = how.only if how else None
    inputs, output = local_folders(job)
    if output is None:
        from nfcodec.batch.remote_plan import preview_remote

        return preview_remote(job, only)
    return make_plan(inputs, output, job.action, shard=job.shard, only=only)


def make_folder(output: Path) -> None:
    """Make an output folder and those above it. Raises :class:`~nfcodec.errors.OutputError`."""
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {named(output)}: {reason(error)}") from error


def refuse_second(own: State, job: Job, how: How) -> None:
    """Raises :class:`~nfcodec.errors.OutputExistsError` when a batch has begun and nobody said what to do with it."""
    if own.runs and not (how.resume or how.force or how.skip_existing):
        hint = "--resume goes on with it, -f does all of it again"
        raise OutputExistsError(f"{shown(job.output)} holds a batch already", hint=hint)


class Run:
    """One run: what it was asked, its counts, and the items that are in the works."""

    def __init__(
        self, job: Job, how: How, plan: Plan, manifest: Manifest, listener: Listener | None, output: Path
    ) -> None:
        """``output``: the local folder that workers write to."""
        self._job, self._how, self._plan, self._output = job, how, plan, output
        self._manifest, self._listener = manifest, listener
        self._counts = Counts(total=plan.total)
        self._failures: list[Record] = []
        self._began = time.monotonic()
        self._key = job.action.key()
        self._active: dict[str, Item] = {}

    def run(self, state: State) -> Summary:
        """Do everything that ``state`` does not say is done."""
        items, skipped = self._open_items(state)
        sweep(self._output, self._plan.items)
        about = {"tool": __version__, "total": self._plan.total, "retry": self._how.only is not None}
        self._append("run", **{**self._job.record(), **about})
        for refused in self._plan.refused:
            self._failed(refused.path, error=refused.error, message=refused.message, hint=refused.hint, attempts=0)
        for skip in (*self._plan.skipped, *skipped):
            self._verdict("skipped", {"path": skip.path, "reason": skip.reason})
        stopped = self._work(items)
        self._counts.seconds = time.monotonic() - self._began
        counts = self._counts
        self._append("end", done=counts.done, failed=counts.failed, skipped=counts.skipped, seconds=counts.seconds)
        return Summary(self._job, counts, tuple(self._failures), stopped)

    # -- what is there already -------------------------------------------------------------------------------
    def _open_items(self, state: State) -> tuple[list[Item], list[Skipped]]:
        """The items to do, and those to skip; counts what is done. Refuses outputs that are in the way."""
        todo: list[Item] = []
        skipped: list[Skipped] = []
        for item in self._plan.items:
            exists = self._exists(item)
            ours = self._how.force or (self._how.resume and item.target in state.begun)
            if self._how.resume and exists and self._is_done(item, state.last.get(item.path)):
                self._keep()
            elif not exists or ours:
                todo.append(replace(item, replace=exists))
            elif self._how.skip_existing:
                skipped.append(Skipped(item.path, f"{item.target} exists already"))
            else:
                hint = "--skip-existing leaves such files, -f replaces them"
                raise OutputExistsError(f"{self._named(item)} exists already", hint=hint)
        return todo, skipped

    def _is_done(self, item: Item, line: Record | None) -> bool:
        """Whether the line of an item stands, its output has that size, and it is of this input and these options."""
        if line is None or line["type"] != "done" or line["target"] != item.target:
            return False
        with suppress(OSError):
            return bool(self._size(item) == line["bytes"] and self._same_question(item, line))
        return False

    def _exists(self, item: Item) -> bool:
        """Whether something has the name of an output."""
        return os.path.lexists(self._place(item))

    def _named(self, item: Item) -> str:
        """An output as messages name it."""
        return named(self._output / item.target)

    def _size(self, item: Item) -> int | None:
        """Bytes of an output that exists. Raises ``OSError``."""
        return os.path.getsize(self._place(item))

    def _same_question(self, item: Item, line: Record) -> bool:
        """Whether a line is of this input's bytes and these options. Raises ``OSError``."""
        return bool(line["key"] == item_key(file_sha256(item.source), self._key))

    def _keep(self) -> None:
        self._counts.done += 1
        self._counts.kept += 1

    def _place(self, item: Item) -> str:
        return os.path.abspath(self._output / item.target)

    # -- the work --------------------------------------------------------------------------------------------
    def _work(self, items: list[Item]) -> bool:
        """Run the engine; returns whether too many failed."""
        bound = self._how.max_failures.of(self._plan.total) if self._how.max_failures else None
        left = None if bound is None else bound - self._counts.failed
        if left is not None and left < 0:
            return True
        if not items:
            return False
        workers = max(1, min(self._how.workers or auto_workers(), len(items)))
        room, small = _memory() / _SAMPLE_BYTES / workers, self._job.action.small()
        schedule = Schedule(items, workers, room=room, patience=left, small=small)
        patience = Patience(self._job.action.per_sample(), self._how.timeout)
        engine = Engine(self._job.action.setup(), schedule, workers, place=self._place, patience=patience)
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

    def _finished(self, item: Item, record: Record) -> None:
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


def sweep(output: Path, items: Iterable[Item]) -> None:
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
