"""A batch whose inputs or output are URLs.

Workers see local files only. The tree is worked through in slices: what is remote of a slice is fetched into a folder
in transit, the workers do it, and each output goes to its place as soon as it is made. While one slice is worked on,
the next one is fetched. A ``done`` line is written when the output has its name in the remote folder. The manifest is
in the state folder of the output's URL; a copy goes beside the outputs before each slice and at the end.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from nfcodec.batch.batch_run import BatchRun, refuse_second
from nfcodec.batch.events import BatchItem, Event, Failure
from nfcodec.batch.keys import file_sha256, item_key
from nfcodec.batch.manifest import BatchState, Manifest, Record, is_open, manifest_path, manifests, read_state
from nfcodec.batch.places import Url, folder_in, make_folder
from nfcodec.batch.plan import BatchPlan
from nfcodec.batch.remote_plan import Opened, RemoteSource, check_reach, items_in, remote_plan
from nfcodec.batch.remote_state import pull
from nfcodec.batch.remote_tree import Listed, Tree, stale_target, unreadable
from nfcodec.batch.request import BatchRequest, Listener, RunOptions, Summary
from nfcodec.batch.transfer import Transfers, disk_full
from nfcodec.errors import OutputError
from nfcodec.media.reading import reason

_MOST_WAITING = 64  # outputs that wait to be sent while workers make more
_ROOM = "make room and go on with --resume; nothing is lost"
_AGAIN = "nothing is lost: when it can be reached, --resume goes on"

Arrivals = list[tuple[BatchItem, Future[None] | None]]


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is in transit: a slice has at most so many items, and so many bytes to fetch. Two can be here."""

    size: int = 10**9
    items: int = 1000


def run_remote(
    request: BatchRequest, options: RunOptions, *, listener: Listener | None = None, bounds: Bounds = Bounds()
) -> Summary:  # fmt: skip
    """As :func:`nfcodec.batch.runner.run`, for requests with URLs.

    Raises :class:`~nfcodec.errors.OptionError` when a package for a URL is missing.
    """
    opened = Opened.of(request)
    with Transfers(opened.trees) as transfers:
        plan, sources = remote_plan(
            request, opened, transfers, only=options.only, keep_going=options.keep_going
        )  # fmt: skip
        state = _state(request)
        home = request.output if isinstance(request.output, Path) else state
        make_folder(home)
        path = manifest_path(home, request.shard)
        if isinstance(opened.output, Tree):
            _take_copies(opened.output, path, options)
        with Manifest(path) as manifest, _transit(state, request.shard) as folder:
            refuse_second(read_state([path]), request, options)
            way = _Way(opened, sources, transfers, folder, bounds)
            return RemoteRun(request, options, plan, manifest, listener, way).run(read_state(manifests(home)))


def _state(request: BatchRequest) -> Path:
    named = [p.state for p in (request.output, *request.inputs) if isinstance(p, Url) and p.state is not None]
    return folder_in(named[0] if named else None, request.output)


def _take_copies(output: Tree, path: Path, options: RunOptions) -> None:
    names = pull(output, path.parent)
    if path.name not in names and not options.resume and not is_open(path):
        # Somebody has removed that batch; the first thing that a run does there is to leave a copy.
        path.unlink(missing_ok=True)


@contextmanager
def _transit(state: Path, shard: tuple[int, int]) -> Iterator[Path]:
    """An empty folder for files on their way; what a killed run left there is removed."""
    folder = state / "transit" / f"{shard[0]}-of-{shard[1]}"
    shutil.rmtree(folder, ignore_errors=True)
    make_folder(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        for empty in (folder.parent, state):
            with suppress(OSError):  # another shard is in it, or a manifest
                empty.rmdir()


@dataclass(frozen=True, slots=True)
class _Way:
    """What a run needs to move files."""

    opened: Opened
    sources: dict[str, RemoteSource]
    transfers: Transfers
    folder: Path
    bounds: Bounds


class RemoteRun(BatchRun):
    """A run that fetches inputs slice by slice, and counts an output as made when it is in its remote place."""

    def __init__(
        self, request: BatchRequest, options: RunOptions, plan: BatchPlan, manifest: Manifest,
        listener: Listener | None, way: _Way,
    ) -> None:  # fmt: skip
        remote = isinstance(way.opened.output, Tree)
        output = way.folder / "out" if remote or not isinstance(request.output, Path) else request.output
        super().__init__(request, options, plan, manifest, listener, output)
        self._way, self._sources, self._transfers = way, way.sources, way.transfers
        self._tree = way.opened.output if isinstance(way.opened.output, Tree) else None
        self._there: dict[str, Listed] = {}
        self._doubtful: dict[str, Record] = {}
        self._sent: dict[Future[None], tuple[BatchItem, Record]] = {}
        self._lost = False  # the output cannot be reached any more

    def run(self, state: BatchState) -> Summary:
        """Do everything that ``state`` does not say is done."""
        if self._tree is not None:
            self._there = self._outputs(self._tree)
        summary = super().run(state)
        self._publish()
        return summary

    # -- what is there already -------------------------------------------------------------------------------
    def _outputs(self, tree: Tree) -> dict[str, Listed]:
        """The files of the output; what killed runs left of the items of this one is removed."""
        try:
            found = list(tree.files()) if tree.is_folder() else []
        except Exception as error:
            raise unreadable(tree.url, error) from error
        for name, _ in found:
            if stale_target(name) in self._targets:
                with suppress(Exception):
                    tree.remove(name)
        return {name: listed for name, listed in found if isinstance(listed, Listed)}

    def _exists(self, item: BatchItem) -> bool:
        return item.target in self._there if self._tree is not None else super()._exists(item)

    def _named(self, item: BatchItem) -> str:
        return self._tree.named(item.target) if self._tree is not None else super()._named(item)

    def _size(self, item: BatchItem) -> int | None:
        return self._there[item.target].size if self._tree is not None else super()._size(item)

    def _same_question(self, item: BatchItem, line: Record) -> bool:
        """Of a remote input whose mark has changed, that is only known when it is here."""
        source = self._sources.get(item.path)
        if source is None:
            return super()._same_question(item, line)
        if line["key"] != item_key(line["sha256"], self._key):
            return False
        if source.listed.mark is not None and line.get("mark") == source.listed.mark:
            return True
        self._doubtful[item.path] = line
        return False

    # -- the work --------------------------------------------------------------------------------------------
    def _work(self, items: list[BatchItem]) -> bool:
        bounds = self._way.bounds
        parts = list(items_in(items, self._sources, bounds.size, bounds.items))
        try:
            coming = self._fetch(0, parts[0]) if parts else []
            for number, part in enumerate(parts):
                if self._tree is not None:
                    self._append("slice", targets=[item.target for item in part])
                    self._publish()
                ready = self._arrived(coming)
                coming = self._fetch(number + 1, parts[number + 1]) if number + 1 < len(parts) else []
                stopped = super()._work(ready)
                self._settle(len(self._sent))
                shutil.rmtree(self._folder(number), ignore_errors=True)
                if stopped:
                    self._transfers.cancel()
                    return True
        except BaseException:
            self._leave()
            raise
        return super()._work([])

    def _leave(self) -> None:
        """Before an exception goes on: let what is half sent arrive, and count it."""
        self._transfers.cancel()
        for future, (item, record) in list(self._sent.items()):
            if not future.cancelled() and future.exception() is None:
                with suppress(Exception):
                    super()._finished(item, record)
        with suppress(Exception):
            if not self._lost:
                self._publish()

    # -- inputs ----------------------------------------------------------------------------------------------
    def _folder(self, number: int) -> Path:
        return self._way.folder / "in" / str(number)

    def _fetch(self, number: int, part: list[BatchItem]) -> Arrivals:
        """Begin to fetch what is remote of a slice."""
        coming: Arrivals = []
        for item in part:
            source = self._sources.get(item.path)
            if source is None:
                coming.append((item, None))
                continue
            place = self._folder(number) / item.path
            get = partial(source.tree.get, source.name, place)
            coming.append((replace(item, source=str(place)), self._transfers.submit(get)))
        return coming

    def _arrived(self, coming: Arrivals) -> list[BatchItem]:
        """Wait for a slice; returns the items that are left to do."""
        return [item for item, future in coming if future is None or self._is_needed(item, future)]

    def _is_needed(self, item: BatchItem, future: Future[None]) -> bool:
        source = self._sources[item.path]
        error = future.exception()
        if error is not None:
            check_reach(source.tree, error)
            message = f"cannot read {source.named}: {reason(error)}"
            self._failed(item.path, error="MediaReadError", message=message, hint=None, attempts=2)
            return False
        line = self._doubtful.get(item.path)
        if line is None or line["sha256"] != file_sha256(item.source):
            return True
        # The same bytes under a new date, or in another place: the line says so from now on.
        values = {name: value for name, value in line.items() if name not in ("type", "time", "mark")}
        self._append("done", **values, **self._mark(item))
        self._keep()
        return False

    def _mark(self, item: BatchItem) -> dict[str, Any]:
        source = self._sources.get(item.path)
        return {"mark": source.listed.mark} if source is not None and source.listed.mark is not None else {}

    # -- outputs ---------------------------------------------------------------------------------------------
    def _note(self, event: Event) -> None:
        if isinstance(event, Failure):
            event = replace(event, message=self._told(event.item, event.message))
        super()._note(event)
        self._settle(max(0, len(self._sent) - _MOST_WAITING))

    def _told(self, item: BatchItem, message: str) -> str:
        """A message about files in transit, told of where they come from and go to."""
        source = self._sources.get(item.path)
        if source is not None:
            message = message.replace(item.source, source.named)
        return message.replace(self._place(item), self._named(item)) if self._tree is not None else message

    def _finished(self, item: BatchItem, record: Record) -> None:
        record = {**record, **self._mark(item)}
        if self._tree is None:
            super()._finished(item, record)
            return
        put = partial(self._tree.put, Path(self._place(item)), item.target)
        self._sent[self._transfers.submit(put)] = (item, record)

    def _settle(self, number: int) -> None:
        """Note what has arrived; wait for at least the ``number`` first of what was sent."""
        for i, future in enumerate(list(self._sent)):
            if i < number or future.done():
                future.exception()
                self._came(future, *self._sent.pop(future))

    def _came(self, future: Future[None], item: BatchItem, record: Record) -> None:
        error = future.exception()
        if error is None:
            super()._finished(item, record)
        else:
            if not isinstance(error, Exception):
                raise error
            if disk_full(error):
                raise OutputError(f"cannot write {self._named(item)}: {reason(error)}", hint=_ROOM) from error
            self._publish()  # which says whether anything can be written there
            message = f"cannot write {self._named(item)}: {reason(error)}"
            self._failed(item.path, error="OutputError", message=message, hint=None, attempts=2)
        Path(self._place(item)).unlink(missing_ok=True)

    def _publish(self) -> None:
        """Put a copy of the manifest beside the outputs. Raises :class:`~nfcodec.errors.OutputError`."""
        if self._tree is None:
            return
        path = self._manifest.path
        try:
            self._transfers.submit(partial(self._tree.put, path, path.name)).result()
        except Exception as error:
            self._lost = True
            message = f"cannot write {self._tree.named(path.name)}: {reason(error)}"
            raise OutputError(message, hint=_AGAIN) from error
