"""What a batch is asked to do, and how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from nfcodec.batch.actions import DecodeAction, EncodeAction, action_of
from nfcodec.batch.events import Verdict
from nfcodec.batch.manifest import Record
from nfcodec.batch.permanent import is_permanent
from nfcodec.batch.places import Place, Url, place_of, recorded, with_state
from nfcodec.batch.plan import WHOLE
from nfcodec.errors import InputError, OptionError


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """``inputs``: folders, local or by URL. ``shard``: (i, n), the i-th of n parts, counted from 1."""

    inputs: tuple[Place, ...]
    output: Place
    action: EncodeAction | DecodeAction = field(default_factory=EncodeAction)
    shard: tuple[int, int] = WHOLE

    @property
    def local(self) -> bool:
        """Whether no part of it is a URL."""
        return not any(isinstance(place, Url) for place in (self.output, *self.inputs))

    def record(self) -> Record:
        """The request as the manifest keeps it."""
        return {
            "action": self.action.name, "settings": self.action.settings(), "key": self.action.key(),
            "inputs": [recorded(p) for p in self.inputs], "shard": list(self.shard),
        }  # fmt: skip


def request_of(record: Record, output: Place) -> BatchRequest:
    """The request of a run's line in the manifest. Raises :class:`~nfcodec.errors.InputError`."""
    try:
        action = action_of(record["action"], record["settings"])
        index, count = record["shard"]
        return BatchRequest(_inputs(record, output), output, action, (int(index), int(count)))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"the manifest in {output} names no job that this version knows: {error}") from error


def _inputs(record: Record, output: Place) -> tuple[Place, ...]:
    state = output.state if isinstance(output, Url) else None
    return tuple(with_state(place_of(text), state) for text in record["inputs"])


@dataclass(frozen=True, slots=True)
class MaxFailures:
    """How many failures are borne: a number, or a share of all files in percent."""

    number: float
    percent: bool = False

    @classmethod
    def parse(cls, text: str) -> MaxFailures:
        """5 or 1% → MaxFailures. Raises :class:`~nfcodec.errors.OptionError`."""
        bare = text.strip()
        percent = bare.endswith("%")
        try:
            number = float(bare[:-1]) if percent else int(bare)
        except ValueError:
            number = -1.0
        if not 0 <= number < float("inf") or (percent and number > 100):
            raise OptionError(f"{text!r} is no number of failures; examples are 10 and 1%")
        return cls(number, percent)

    def of(self, total: int) -> int:
        """The number for so many files."""
        return int(total * self.number / 100) if self.percent else int(self.number)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How to run a request; nothing here changes an output.

    ``workers``: processes, None for one on each core. ``resume``: go on with the batch in the output folder.
    ``force``: replace outputs that exist. ``skip_existing``: leave out inputs whose output exists.
    ``timeout``: seconds for any item, instead of a limit by its size. ``only``: these paths, of those that failed.
    ``keep_going``: files that would get one name fail, and do not stop the others.
    """

    workers: int | None = None
    resume: bool = False
    force: bool = False
    skip_existing: bool = False
    max_failures: MaxFailures | None = None
    timeout: float | None = None
    only: frozenset[str] | None = None
    keep_going: bool = False

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise OptionError(f"{self.workers} workers can do nothing; give at least 1")
        if self.force and self.skip_existing:
            raise OptionError("force and skip_existing exclude each other")
        if self.timeout is not None and not 0 < self.timeout < float("inf"):
            raise OptionError(f"a time limit must be positive, got {self.timeout}")


@dataclass(slots=True)
class Counts:
    """How far a run is. ``kept``: of ``done`` those that an earlier run had finished; bytes and PSNR are of this run.

    ``psnr``: mean in dB over the ``measured`` items that have a finite one.
    """

    total: int = 0
    done: int = 0
    kept: int = 0
    failed: int = 0
    skipped: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    psnr: float = 0.0
    measured: int = 0
    seconds: float = 0.0

    @property
    def over(self) -> int:
        """Files with a verdict."""
        return self.done + self.failed + self.skipped

    def add(self, verdict: Verdict, record: dict[str, Any]) -> None:
        """One more file has its verdict."""
        setattr(self, verdict, getattr(self, verdict) + 1)
        if verdict == "done":
            self.bytes_in += record.get("input_bytes", 0)
            self.bytes_out += record.get("bytes", 0)
            if record.get("psnr") is not None:
                self.measured += 1
                self.psnr += (record["psnr"] - self.psnr) / self.measured


@dataclass(frozen=True, slots=True)
class Summary:
    """How a run ended. ``failures``: the lines of the manifest. ``stopped``: too many failed, the rest was left."""

    request: BatchRequest
    counts: Counts
    failures: tuple[Record, ...] = ()
    stopped: bool = False

    @property
    def retryable(self) -> bool:
        """Whether any of the failures may go away by itself."""
        return not all(map(is_permanent, self.failures))


# Called for every file that gets its verdict: "done", "failed" or "skipped", the line of the manifest, the counts.
Listener = Callable[[Verdict, Record, Counts], None]
