"""Hostile files whose checksums hold, through info, verify and decode.

    python benchmarks/hostile.py [--count 100000] [--seed 0] [--workers 2] [--only NUMBER] [--out FILE]

Small good files of every decoder are taken apart, one thing in them is made hostile (tags, other metadata, the payload
of a section, the header, the list of sections, the sound track), and they are put together with valid CRCs. Every file
must be decoded, or refused by an error of nfc with a documented exit code; nothing but the output may be written, no
argument of another program may hold text of the file, and memory must not grow. Else the exit code is 1.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from hostile_parts import CHANGES, OUTPUTS, SEEDS, Parts, parts_of
from machine import build_fingerprint, describe
from results import plain_command, say, table, today, write_json

from nfcodec import DecodeOptions, EncodeOptions, api
from nfcodec.errors import (
    FormatError,
    InternalError,
    LimitError,
    ModelNotFoundError,
    NfcError,
    UnsupportedMediaError,
)
from nfcodec.limits import Limits

ROOT = Path(__file__).resolve().parent.parent
INITS = ROOT / "tests" / "data"
# What a small file announces must not cost much: that, too, is what limits are for.
LIMITS = Limits(max_pixels=1 << 14, max_dimension=1 << 12, max_frames=64, max_samples=1 << 16, max_array=1 << 16,
                max_symbols=1 << 21, max_channels=8)  # fmt: skip
PRECIOUS = "precious"
CHUNK = 100  # files of one task of a worker
GROWTH = 64 * 2**20  # bytes that the resident set may grow by after the first task


@dataclass
class Tally:
    """What became of files. ``bad``: (number, what was wrong)."""

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    changes: Counter[tuple[str, str]] = field(default_factory=Counter)
    tags: Counter[str] = field(default_factory=Counter)
    outputs: Counter[str] = field(default_factory=Counter)
    bad: list[tuple[int, str]] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Take the counts of another part."""
        for name in ("outcomes", "changes", "tags", "outputs"):
            getattr(self, name).update(getattr(other, name))
        self.bad += other.bad
        self.memory += other.memory


class Cage:
    """A folder with a file that nobody may touch, one for a hostile file, and one for its output."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.victim, self.source = folder, folder / "victim.txt", folder / "evil.nfc"
        self.output, self.temporary = folder / "output", folder / "temporary"
        for place in (self.output, self.temporary):
            place.mkdir(parents=True)
        self.victim.write_text(PRECIOUS)
        self.escapes: list[str] = []

    def watch(self, event: str, arguments: tuple[Any, ...]) -> None:
        """An audit hook: files opened for writing outside, and arguments of programs that hold text of the file."""
        if event == "open" and isinstance(arguments[0], str | bytes) and _writes(arguments[1], arguments[2]):
            path = os.path.realpath(os.fsdecode(arguments[0]))
            inside = path.startswith((str(self.output), str(self.temporary))) or path in (str(self.source), os.devnull)
            if not inside:
                self.escapes.append(f"opened {path} for writing")
        if event == "subprocess.Popen" and any("victim" in os.fsdecode(a) for a in arguments[1]):
            self.escapes.append(f"a program was given {arguments[1]}")

    def faults(self) -> Iterator[str]:
        """What is not as it must be after a file; everything but the victim is cleared away."""
        yield from self.escapes
        self.escapes.clear()
        if self.victim.read_text() != PRECIOUS:
            yield "the victim was changed"
            self.victim.write_text(PRECIOUS)
        known = {self.victim, self.source, self.output, self.temporary}
        yield from (f"{p.name} is new" for p in self.folder.iterdir() if p not in known)
        yield from (f"{p.name} was left" for p in self.temporary.iterdir())
        yield from (f"{p.name} is beside the output" for p in self.output.iterdir() if p.stem != "out")
        for place in (self.output, self.temporary):
            for path in place.iterdir():
                path.unlink()


def _writes(mode: str | None, flags: int) -> bool:
    return bool(flags & (os.O_WRONLY | os.O_RDWR)) if mode is None else any(c in mode for c in "wax+")


def seed_files(folder: Path) -> dict[str, Parts]:
    """A small good file of every decoder, taken apart."""
    found = {}
    for name, (init, make, options) in SEEDS.items():
        source = make(folder / name)
        api.encode(source, folder / f"{name}.nfc", options=EncodeOptions(init=_init(init), verify=False, **options))
        found[name] = parts_of((folder / f"{name}.nfc").read_bytes())
    return found


def _init(name: str) -> str:
    return str(INITS / f"{name}.safetensors")


class Trial:
    """One worker's seeds, cage and counts."""

    def __init__(self, seed: int, folder: Path) -> None:
        self._seed, self._cage = seed, Cage(folder / "cage")
        (folder / "seeds").mkdir()
        self._seeds = seed_files(folder / "seeds")
        os.chdir(self._cage.folder)
        tempfile.tempdir = str(self._cage.temporary)
        os.environ["TMPDIR"] = tempfile.tempdir
        sys.addaudithook(self._cage.watch)

    def run(self, numbers: range) -> Tally:
        """The files of these numbers."""
        tally = Tally()
        for number in numbers:
            self._one(number, tally)
        tally.memory.append(_resident())
        return tally

    def _one(self, number: int, tally: Tally) -> None:
        rng = random.Random(f"{self._seed} {number}")
        name = list(SEEDS)[number % len(SEEDS)]
        change = rng.choice(list(CHANGES))
        parts, keys = CHANGES[change](self._seeds[name], self._seeds, rng, str(self._cage.victim))
        self._cage.source.write_bytes(parts.joined())
        form = rng.choice(OUTPUTS[name])
        outcome = self._outcome(SEEDS[name][0], form)
        tally.outcomes[name, outcome] += 1
        tally.changes[change, outcome] += 1
        tally.tags.update(keys)
        tally.outputs[f"{name} to {form}"] += 1
        wrong = [outcome] if outcome.startswith("FOREIGN") else []
        tally.bad += [(number, fault) for fault in (*wrong, *self._cage.faults())]

    def _outcome(self, init: str, form: str) -> str:
        path, options = self._cage.source, DecodeOptions(limits=LIMITS)
        calls: list[Callable[[], Any]] = [
            lambda: api.info(path, limits=LIMITS),
            lambda: api.verify(path, limits=LIMITS, init=_init(init)),
            lambda: api.decode(path, self._cage.output / f"out.{form}", options=options, init=_init(init), force=True),
        ]
        said = [_said(call) for call in calls]
        # The last word is that of decode: info reads less of the file.
        return next((word for word in said if word.startswith("FOREIGN")), said[-1])


def _said(call: Callable[[], Any]) -> str:
    try:
        call()
    except NfcError as error:
        return _judged(error)
    except Exception as error:
        return f"FOREIGN {type(error).__name__}: {error}"[:300]
    return "decoded"


def _judged(error: NfcError) -> str:
    """The class of an error that a hostile file may cause."""
    name = type(error).__name__
    # Another init, or a signal that the format of the output cannot hold: exit code 1, as documented.
    good = isinstance(error, FormatError | LimitError | UnsupportedMediaError | ModelNotFoundError) and not isinstance(
        error, InternalError
    )
    one_line = "\n" not in str(error) and str(error).isprintable()
    return name if good and one_line else f"FOREIGN {name}: {error}"[:300]


def _resident() -> int:
    """Bytes of memory of this process; 0 where the system does not tell."""
    with contextlib.suppress(OSError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def work(job: tuple[int, range, str]) -> Tally:
    """All files of one worker; it is a process of its own, so that its memory is its own."""
    seed, numbers, folder = job
    np.seterr(all="ignore")
    warnings.simplefilter("error", RuntimeWarning)
    place = Path(folder) / f"worker{numbers.start}"
    place.mkdir()
    trial, total = Trial(seed, place), Tally()
    for start in range(numbers.start, numbers.stop, CHUNK):
        total.add(trial.run(range(start, min(start + CHUNK, numbers.stop))))
    return total


def spread(count: int, workers: int) -> list[range]:
    """The numbers 0 … count − 1 in as many runs as there are workers."""
    edges = [round(count * i / workers) for i in range(workers + 1)]
    return [range(a, b) for a, b in zip(edges, edges[1:], strict=False) if b > a]


def run_all(count: int, seed: int, workers: int, only: int | None) -> tuple[Tally, list[int]]:
    """The counts, and by how many bytes each worker's memory grew after its first files."""
    folder = tempfile.mkdtemp(prefix="nfc-hostile-")
    try:
        runs = spread(count, workers) if only is None else [range(only, only + 1)]
        with multiprocessing.get_context("spawn").Pool(len(runs)) as pool:
            tallies = pool.map(work, [(seed, numbers, folder) for numbers in runs], chunksize=1)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    total = Tally()
    for tally in tallies:
        total.add(tally)
    # The second measure: the first files load libraries and fill caches.
    return total, [t.memory[-1] - t.memory[min(1, len(t.memory) - 1)] for t in tallies]


def nested(counts: Counter[tuple[str, str]]) -> dict[str, dict[str, int]]:
    """(a, b) → n as a → b → n, sorted."""
    found: dict[str, dict[str, int]] = {}
    for (a, b), n in sorted(counts.items()):
        found.setdefault(a, {})[b] = n
    return found


def main() -> int:
    """Run, print a table, and write the counts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", type=int, help="the file of this number alone")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "hostile.json")
    options = parser.parse_args()
    began = time.monotonic()
    tally, growth = run_all(options.count, options.seed, options.workers, options.only)
    seconds = time.monotonic() - began
    decoders = nested(tally.outcomes)
    say(
        table(["decoder", "files", "decoded"], [[k, sum(v.values()), v.get("decoded", 0)] for k, v in decoders.items()])
    )
    for number, fault in tally.bad[:20]:
        say(f"file {number}: {fault}")
    grew = max(growth)
    say(f"{tally.outcomes.total()} files in {seconds:.0f} s, {len(tally.bad)} bad, memory grew {grew / 1e6:.1f} MB")
    if options.only is None:
        write_json(options.out, {
            "name": "hostile", "date": today(), "command": plain_command(sys.argv), "machine": describe(),
            "build": build_fingerprint(), "count": options.count, "seed": options.seed, "seconds": round(seconds, 1),
            "decoders": decoders, "changes": nested(tally.changes), "tags": dict(sorted(tally.tags.items())),
            "outputs": dict(sorted(tally.outputs.items())), "bad": tally.bad[:100], "memory_growth_bytes": growth,
        })  # fmt: skip
    return int(bool(tally.bad) or grew > GROWTH)


if __name__ == "__main__":
    sys.exit(main())
