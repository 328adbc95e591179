"""What a batch works on, and what becomes of it. Paths inside the tree are relative, with "/" between the parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Verdict = Literal["done", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file of the input tree: its place in the tree and where it is now."""

    path: str
    source: str


@dataclass(frozen=True, slots=True)
class BatchItem:
    """A file to process. ``target``: its output, relative to the output folder.

    ``cost``: a guess of the samples in it. ``replace``: what has the target's name is of an earlier, unfinished
    attempt (or unwanted), and may be replaced.
    """

    path: str
    source: str
    target: str
    cost: float = 1.0
    replace: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """A file that cannot be processed, as its first bytes say: no worker needs to try."""

    path: str
    error: str
    message: str
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that is left out on purpose."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Started:
    """A worker has begun with an item; ``attempt`` counts from 1."""

    item: BatchItem
    attempt: int


@dataclass(frozen=True, slots=True)
class Finished:
    """An item is done. ``record``: what its line in the manifest says of it."""

    item: BatchItem
    record: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Failure:
    """An item failed ``attempts`` times; ``error`` is the class of the last exception, ``trace`` of a bug its stack."""

    item: BatchItem
    error: str
    message: str
    hint: str | None = None
    attempts: int = 1
    trace: str | None = None


Event = Started | Finished | Failure
