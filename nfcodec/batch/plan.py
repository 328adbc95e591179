"""The plan of a batch: every file of the inputs with its output, and everything refused that can be refused now."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from nfcodec.batch.actions import Action, Sorted
from nfcodec.batch.events import BatchItem, FoundFile, Refused, Skipped
from nfcodec.batch.walk import walk
from nfcodec.errors import InputError, MediaReadError, OptionError, OutputError
from nfcodec.media.reading import named

WHOLE = (1, 1)


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """Sorted by path; the three parts together are all files that were found (of this shard)."""

    items: tuple[BatchItem, ...]
    refused: tuple[Refused, ...]
    skipped: tuple[Skipped, ...]

    @property
    def total(self) -> int:
        """All files."""
        return len(self.items) + len(self.refused) + len(self.skipped)


def make_plan(
    inputs: Sequence[Path], output: Path, action: Action, *, shard: tuple[int, int] = WHOLE,
    only: frozenset[str] | None = None, keep_going: bool = False,
) -> BatchPlan:  # fmt: skip
    """Walk the folders ``inputs`` and sort what is there.

    One folder's tree becomes the tree of ``output``; of several, each has a folder of its name there. ``shard``
    (i, n) keeps one of n parts, by hash of the path. ``only``: just these paths, also where they are gone. Raises
    :class:`~nfcodec.errors.MediaReadError` for a folder that cannot be read, and
    :class:`~nfcodec.errors.OutputError` where two files would get one name (in any shard); with ``keep_going`` these
    are refused, and no other.
    """
    found = [f for f in _all(inputs, output) if only is None or f.path in only]
    known: list[Sorted] = [f if isinstance(f, Skipped) else action.sort(f) for f in found]
    everything = [*known, *gone(only, {f.path for f in found})]
    return plan_of(everything, shard, hint=rename_hint(action), keep_going=keep_going)


def plan_of(known: Sequence[Sorted], shard: tuple[int, int], *, hint: str, keep_going: bool) -> BatchPlan:
    """The plan of a shard out of everything in the tree. Raises :class:`~nfcodec.errors.OutputError` as above."""
    collisions = collisions_of([k for k in known if isinstance(k, BatchItem)])
    if collisions and not keep_going:
        raise OutputError(next(iter(collisions.values())), hint=f"{hint}; with --keep-going only they fail")
    refused = {p: Refused(p, OutputError.__name__, message, hint) for p, message in collisions.items()}
    known = [refused.get(k.path, k) for k in known]
    kept = [k for k in known if in_shard(k.path, shard)]
    return BatchPlan(
        tuple(k for k in kept if isinstance(k, BatchItem)),
        tuple(k for k in kept if isinstance(k, Refused)),
        tuple(k for k in kept if isinstance(k, Skipped)),
    )


def gone(only: frozenset[str] | None, found: Set[str]) -> list[Refused]:
    """Those of the paths ``only`` that are not there any more."""
    lost = sorted((only or frozenset()) - found)
    return [Refused(p, MediaReadError.__name__, f"cannot read {p}: No such file or directory") for p in lost]


def _all(inputs: Sequence[Path], output: Path) -> Iterator[FoundFile | Skipped]:
    names: dict[str, str] = {}
    for folder in inputs:
        check_folder(folder)
        prefix = own_prefix(Path(os.path.realpath(folder)).name, named(folder), names)
        yield from local_files(folder, prefix if len(inputs) > 1 else "", output)


def check_folder(folder: Path) -> None:
    """Raises :class:`~nfcodec.errors.MediaReadError` for an input that is no folder."""
    if not folder.is_dir():
        what = "is no folder" if folder.exists() else "there is no such folder"
        raise MediaReadError(f"cannot read {named(folder)}: {what}", hint="nfc encode takes single files")


def own_prefix(name: str, shown: str, taken: dict[str, str]) -> str:
    """What leads the paths of one of several inputs. Raises :class:`~nfcodec.errors.InputError` for a second one.

    ``taken``: the inputs so far, as messages show them; the new one is added.
    """
    if _plain(name) in taken:
        both = f"{taken[_plain(name)]} and {shown}"
        raise InputError(f"{both} would both be the folder {name} of the output", hint="run them apart")
    taken[_plain(name)] = shown
    return f"{name}/"


def local_files(folder: Path, prefix: str, output: Path) -> Iterator[FoundFile | Skipped]:
    """The files of a local input, without those of an output folder inside of it."""
    same = os.path.realpath(folder) == os.path.realpath(output)
    return walk(folder, prefix, leave_out=None if same else output)


def in_shard(path: str, shard: tuple[int, int]) -> bool:
    """Whether a path belongs to part i of n: the same on every machine, whatever else is in the tree."""
    index, count = shard
    name = unicodedata.normalize("NFC", path).encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.sha256(name).digest()[:8], "big") % count == index - 1


def parse_shard(text: str) -> tuple[int, int]:
    """2/8 → (2, 8). Raises :class:`~nfcodec.errors.OptionError`."""
    try:
        index, count = (int(part) for part in text.split("/"))
    except ValueError:
        raise OptionError(f"{text!r} is no shard; an example is 1/4 (the first of four)") from None
    if not 1 <= index <= count:
        raise OptionError(f"shard {text} does not exist: the shards are 1/{count} to {count}/{count}")
    return index, count


def rename_hint(action: Action) -> str:
    """What to do about two files that would get one name."""
    if getattr(action, "keep_suffix", True):
        return "rename one of them"
    return "rename one of them, or run with --keep-suffix: photo.png becomes photo.png.nfc"


def collisions_of(items: Sequence[BatchItem]) -> dict[str, str]:
    """The paths whose outputs would get the name of another's on some file system, by letter case or Unicode form; or
    that of a folder above one. What is wrong, by path."""
    owners: dict[str, BatchItem] = {}
    found: dict[str, str] = {}
    for item in items:
        other = owners.setdefault(_plain(item.target), item)
        if other is not item:
            _collide(other, item, found)
    for key, item in owners.items():
        for parent in PurePosixPath(key).parents:
            if str(parent) in owners:
                _collide(owners[str(parent)], item, found)
    return found


def _collide(a: BatchItem, b: BatchItem, found: dict[str, str]) -> None:
    message = f"{a.path} and {b.path} would both be written to {b.target}"
    found.setdefault(a.path, message)
    found.setdefault(b.path, message)


def _plain(path: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())
