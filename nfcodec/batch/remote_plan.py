"""The plan of a batch with URLs: listings, and of remote inputs the first bytes, which say what a file is."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from nfcodec.batch.actions import Action, Sorted
from nfcodec.batch.events import BatchItem, FoundFile, Refused, Skipped
from nfcodec.batch.places import Place, shown
from nfcodec.batch.plan import BatchPlan, check_folder, gone, local_files, own_prefix, plan_of, rename_hint
from nfcodec.batch.remote_tree import Listed, Tree, unreadable
from nfcodec.batch.request import BatchRequest
from nfcodec.batch.transfer import Transfers, disk_full
from nfcodec.errors import InputError, MediaReadError, NfcError, OutputError
from nfcodec.media.reading import named, reason

HEAD = 1 << 16  # bytes


@dataclass(frozen=True, slots=True)
class RemoteSource:
    """A remote input: its tree, its name there, and what the listing says of it."""

    tree: Tree
    name: str
    listed: Listed

    @property
    def named(self) -> str:
        """Its URL, for messages."""
        return self.tree.named(self.name)


@dataclass(frozen=True, slots=True)
class Opened:
    """The places of a request, with the trees of those that are URLs."""

    inputs: tuple[Path | Tree, ...]
    output: Path | Tree

    @classmethod
    def of(cls, request: BatchRequest) -> Opened:
        """Open them. Raises :class:`~nfcodec.errors.OptionError` when a package is missing."""
        return cls(tuple(_opened(p) for p in request.inputs), _opened(request.output))

    @property
    def trees(self) -> list[Tree]:
        """Those that are URLs."""
        return [p for p in (*self.inputs, self.output) if isinstance(p, Tree)]


def _opened(place: Place) -> Path | Tree:
    return place if isinstance(place, Path) else Tree(place)


def preview_remote(request: BatchRequest, only: frozenset[str] | None, *, keep_going: bool = False) -> BatchPlan:
    """The plan alone; nothing is written."""
    opened = Opened.of(request)
    with Transfers(opened.trees) as transfers:
        return remote_plan(request, opened, transfers, only=only, keep_going=keep_going)[0]


def remote_plan(
    request: BatchRequest, opened: Opened, transfers: Transfers, *, only: frozenset[str] | None = None,
    keep_going: bool = False,
) -> tuple[BatchPlan, dict[str, RemoteSource]]:
    """As :func:`nfcodec.batch.plan.make_plan`, and the remote inputs by path. No file is fetched as a whole.

    (But .nfc files whose first 64 kB do not tell what they decode to.)
    """
    found: list[FoundFile | Skipped | Refused] = []
    sources: dict[str, RemoteSource] = {}
    taken: dict[str, str] = {}
    for place in opened.inputs:
        prefix = _prefix(place, taken) if len(opened.inputs) > 1 else ""
        if isinstance(place, Path):
            found += local_files(place, prefix, _local(opened.output))
        else:
            found += _remote_files(place, prefix, opened.output, sources)
    found = sorted((f for f in found if only is None or f.path in only), key=lambda f: f.path)
    remote = {p: s for p, s in sources.items() if only is None or p in only}
    known: dict[str, Sorted] = {f.path: f for f in found if not isinstance(f, FoundFile)}
    known |= {f.path: request.action.sort(f) for f in found if isinstance(f, FoundFile) and f.path not in remote}
    known |= {item.path: item for item in _sorted(request.action, remote, transfers)}
    everything: list[Sorted] = [known[path] for path in sorted(known)]
    everything += gone(only, known.keys())
    hint = rename_hint(request.action)
    return plan_of(everything, request.shard, hint=hint, keep_going=keep_going), sources


def _local(output: Path | Tree) -> Path:
    return output if isinstance(output, Path) else Path(os.devnull)


def _prefix(place: Path | Tree, taken: dict[str, str]) -> str:
    if isinstance(place, Path):
        check_folder(place)
        return own_prefix(Path(os.path.realpath(place)).name, named(place), taken)
    return own_prefix(str(place.url).rstrip("/").rpartition("/")[2] or "root", str(place.url), taken)


def _remote_files(
    tree: Tree, prefix: str, output: Path | Tree, sources: dict[str, RemoteSource]
) -> Iterator[FoundFile | Skipped | Refused]:
    """The files of a remote tree; those that can be fetched go to ``sources``."""
    leave_out = output.inside(tree) if isinstance(output, Tree) else None
    for name, listed in _listing(tree):
        path = prefix + name
        if any(part.startswith(".") for part in name.split("/")) and not _escapes(name):
            continue
        if leave_out and name.startswith(leave_out):
            continue
        if isinstance(listed, Skipped):
            yield replace(listed, path=path)
        elif _escapes(name):
            yield Refused(path, InputError.__name__, f"{tree.named(name)} has a name that no file here can have")
        else:
            sources[path] = RemoteSource(tree, name, listed)
            yield FoundFile(path, "")


def _listing(tree: Tree) -> list[tuple[str, Listed | Skipped]]:
    try:
        if tree.is_folder():
            return list(tree.files())
    except Exception as error:
        raise unreadable(tree.url, error) from error
    raise MediaReadError(f"cannot read {shown(tree.url)}: there is no such folder")


def _escapes(name: str) -> bool:
    """Whether a key of an object store is no path below a folder."""
    return (
        any(part in ("", ".", "..") for part in name.split("/")) or "\0" in name or (os.sep != "/" and os.sep in name)
    )


def _sorted(action: Action, sources: dict[str, RemoteSource], transfers: Transfers) -> Iterator[Sorted]:
    """Sort remote files by their first bytes, in files of the right size that hold nothing else."""
    with tempfile.TemporaryDirectory(prefix="nfc-") as folder:
        for (path, source), head in transfers.map(lambda pair: pair[1].tree.head(pair[1].name, HEAD), sources.items()):
            stub = Path(folder) / f"stub{Path(path).suffix}"
            error = head.exception()
            if error is not None:
                check_reach(source.tree, error)
            else:
                _write(stub, head.result(), source.listed.size)
            known = action.sort(FoundFile(path, str(stub)))
            if isinstance(known, Refused) and action.name == "decode" and (source.listed.size or HEAD) >= HEAD:
                known = _sorted_whole(action, path, source, stub)
            yield _renamed(known, str(stub), source)
            stub.unlink(missing_ok=True)


def _sorted_whole(action: Action, path: str, source: RemoteSource, stub: Path) -> Sorted:
    """Sort by the whole file, where its beginning is not enough."""
    stub.unlink(missing_ok=True)
    try:
        source.tree.get(source.name, stub)
    except Exception as error:
        check_reach(source.tree, error)
        stub.unlink(missing_ok=True)
    return action.sort(FoundFile(path, str(stub)))


def _write(stub: Path, head: bytes, size: int | None) -> None:
    try:
        with open(stub, "wb") as file:
            file.write(head)
            file.truncate(max(len(head), size or 0))
    except OSError as error:
        raise OutputError(f"cannot write {named(stub)}: {reason(error)}") from error


def _renamed(known: Sorted, stub: str, source: RemoteSource) -> Sorted:
    if isinstance(known, BatchItem):
        return replace(known, source=source.named)
    if isinstance(known, Refused):
        return replace(known, message=known.message.replace(stub, source.named))
    return replace(known, reason=known.reason.replace(stub, source.named))


def check_reach(tree: Tree, error: BaseException) -> None:
    """After a file could not be read: nothing where others may do, or the error of a tree that is gone.

    Raises :class:`~nfcodec.errors.MediaReadError`; :class:`~nfcodec.errors.OutputError` for a full local disk.
    """
    if isinstance(error, NfcError) or not isinstance(error, Exception):
        raise error
    if disk_full(error):
        hint = "make room, or name another folder with --state; --resume goes on"
        raise OutputError(f"cannot store files that are on their way: {reason(error)}", hint=hint) from error
    try:
        tree.reach()
    except Exception as lost:
        raise unreadable(tree.url, lost) from lost


def items_in(
    items: Iterable[BatchItem], sources: dict[str, RemoteSource], most_bytes: int, most: int
) -> Iterator[list[BatchItem]]:  # fmt: skip
    """Cut items into slices of at most so many items, and so many bytes to fetch (or one larger file)."""
    part: list[BatchItem] = []
    size = 0
    for item in items:
        source = sources.get(item.path)
        more = source.listed.size or 0 if source else 0
        if part and (len(part) >= most or size + more > most_bytes):
            yield part
            part, size = [], 0
        part.append(item)
        size += more
    if part:
        yield part
