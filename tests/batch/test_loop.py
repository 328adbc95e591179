"""Workers die, hang and run out of memory; every item gets its verdict."""

from __future__ import annotations

import os
from contextlib import closing
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import pytest

from nfcodec.batch import child_process
from nfcodec.batch.events import BatchItem, Failure, Finished, Started
from nfcodec.batch.loop import Patience, Watch, WorkerLoop
from nfcodec.batch.schedule import Schedule
from nfcodec.errors import InternalError, NfcError, OutputError

from .conftest import Files, fill, numbered, tree
from .gate import GIVE_UP, Gate
from .jobs import Copy, broken, stillborn


class Stopwatch(Watch):
    """A clock that stands still, until the only thing that still happens is an item that hangs.

    Others pass the gate; who hangs is not let on. Then time goes on to the next limit, and not further.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate, self._time, self._hanging, self.waited = gate, 1000.0, False, list[float]()

    def now(self) -> float:
        return self._time

    def wait(self, signs: Any, seconds: float) -> Any:
        while True:
            ready = wait([*signs, self._gate.socket], 0.0 if self._hanging else GIVE_UP)
            assert ready or self._hanging, "nothing happens, and nobody hangs"
            if self._gate.socket in ready:
                visit = self._gate.next()
                self._hanging = self._hanging or visit.point == "hang"
                if visit.point != "hang":
                    visit.pass_on()
            elif ready:
                return ready
            else:
                self._hanging = False
                self._time += seconds
                self.waited.append(seconds)
                return []


def engine(
    folder: Path, files: Files, *, workers: int = 1, setup: Any = None, small: float = 0.0, gate: Gate | None = None
) -> WorkerLoop:
    fill(folder / "in", files)
    watch, action = (None, Copy()) if gate is None else (Stopwatch(gate), Copy(gate=gate.address))
    items = [BatchItem(n, str(folder / "in" / n), n + ".out", float(len(data))) for n, data in files.items()]

    def place(item: BatchItem) -> str:
        return str(folder / "out" / item.target)

    schedule = Schedule(items, workers, small=small)
    setup = setup or action.setup()
    return WorkerLoop(setup, schedule, workers, place=place, patience=Patience(), watch=watch)


def verdicts(engine: WorkerLoop) -> dict[str, Any]:
    """By path the number of attempts of what is done, and the failure of what is not."""
    attempts: dict[str, int] = {}
    found: dict[str, Any] = {}
    for event in engine.run():
        if isinstance(event, Started):
            attempts[event.item.path] = event.attempt
        else:
            assert event.item.path not in found
            found[event.item.path] = attempts[event.item.path] if isinstance(event, Finished) else event
    return found


def test_everything_is_done_once(tmp_path: Path) -> None:
    files = numbered(30)
    found = verdicts(engine(tmp_path, files, workers=2))
    assert found == dict.fromkeys(files, 1)
    assert tree(tmp_path / "out") == {n + ".out": data[::-1] for n, data in files.items()}


def test_all_kinds_of_trouble(tmp_path: Path) -> None:
    words = ("die", "memory", "panic", "bug")
    files = {f"good{i}": b"good" for i in range(6)}
    files |= {w: w.encode() for w in words} | {w + "1": w.encode() + b" once" for w in words}
    found = verdicts(engine(tmp_path, files, workers=2))
    assert {n: v for n, v in found.items() if isinstance(v, int)} == {
        **{f"good{i}": 1 for i in range(6)}, **{w + "1": 2 for w in words}
    }  # fmt: skip
    failures = {n: v for n, v in found.items() if isinstance(v, Failure)}
    assert {n: (f.error, f.attempts) for n, f in failures.items()} == {
        "die": ("WorkerDied", 2), "memory": ("MemoryError", 2), "panic": ("Panic", 2), "bug": ("ZeroDivisionError", 2),
    }  # fmt: skip
    assert failures["memory"].message == "not enough memory"
    assert "SIGKILL" in failures["die"].message and "lack of memory" in failures["die"].message
    assert "Panic: index out of bounds" in failures["panic"].message
    assert "jobs.py" in failures["bug"].trace and failures["die"].trace is None
    assert "division by zero" in failures["bug"].message and "internal error" in failures["bug"].message


def test_trouble_in_company(tmp_path: Path) -> None:
    """What is given out together: the others get another chance when one of them takes the worker with it."""
    words = ("die", "memory", "panic", "bug", "bug once", "die once")
    files = {f"{word}{i}": word.encode() if i == 7 else b"good" for word in words for i in range(16)}
    found = verdicts(engine(tmp_path, files, workers=1, small=100))
    failures = {n: v for n, v in found.items() if isinstance(v, Failure)}
    assert {n: (f.error, f.attempts) for n, f in failures.items()} == {
        "die7": ("WorkerDied", 2), "memory7": ("MemoryError", 2), "panic7": ("Panic", 2),
        "bug7": ("ZeroDivisionError", 2),
    }  # fmt: skip
    assert {v for n, v in found.items() if n not in failures} == {1, 2} and len(found) == len(files)
    assert found["bug once7"] == found["die once7"] == 2
    assert sum(v == 2 for v in found.values() if isinstance(v, int)) < 40, "few others have to begin again"


def test_a_hanging_worker_and_its_company(tmp_path: Path) -> None:
    files = {"hang": b"hang", "once": b"hang once", **numbered(12)}
    with Gate() as gate:
        found = verdicts(engine(tmp_path, files, small=100, gate=gate))
    assert (found["hang"].error, found["hang"].attempts) == ("TimedOut", 2) and found["once"] == 2
    assert all(isinstance(found[n], int) for n in numbered(12))


def test_a_full_disk_stops_in_company(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="No space left on device"):
        verdicts(engine(tmp_path, {"full": b"full", **numbered(9)}, small=100))


def test_a_hanging_worker_is_ended(tmp_path: Path) -> None:
    files = {"hang": b"hang", "once": b"hang once", "good": b"good"}
    with Gate() as gate:
        loop = engine(tmp_path, files, gate=gate)
        found = verdicts(loop)
        waited = loop._watch.waited  # type: ignore[attr-defined]
    assert found["good"] == 1 and found["once"] == 2
    assert (found["hang"].error, found["hang"].attempts) == ("TimedOut", 2)
    # Two first attempts and one second one hang; a worker's first word has come by then.
    hangs = (("once", 1), ("hang", 1), ("hang", 2))
    limits = [Patience().seconds(len(files[name]), attempt) for name, attempt in hangs]
    assert waited == pytest.approx(limits)


def test_time_limits_follow_the_prediction() -> None:
    patience = Patience(per_sample=1e-3)
    assert patience.seconds(0, 1) == 60 and patience.seconds(1000, 1) == 80 and patience.seconds(1000, 2) == 160
    assert Patience(fixed=5.0).seconds(1e9, 2) == 5.0


def test_final_errors_are_not_repeated(tmp_path: Path) -> None:
    fill(tmp_path / "out", {"a.out": b"in the way"})
    found = verdicts(engine(tmp_path, {"a": b"a"}))
    assert (found["a"].error, found["a"].attempts) == ("OutputExistsError", 1)
    assert tree(tmp_path / "out") == {"a.out": b"in the way"}


def test_a_full_disk_is_no_fault_of_the_item(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="No space left on device") as caught:
        verdicts(engine(tmp_path, {"a": b"full", "b": b"b", "c": b"c"}))
    assert "--resume" in str(caught.value.hint)


def test_workers_that_cannot_start(tmp_path: Path) -> None:
    with pytest.raises(NfcError, match="workers cannot start: no codec here"):
        verdicts(engine(tmp_path, {"a": b"a"}, setup=broken))
    with pytest.raises(InternalError, match="workers cannot start: .* code 7"):
        verdicts(engine(tmp_path, {"a": b"a"}, setup=stillborn))


def children() -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, fields = entry.read_text().rsplit(")", 1)
        except OSError:
            continue
        if int(fields.split()[1]) == os.getpid() and fields.split()[0] != "Z":
            found.append(int(name.split()[0]))
    return found


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs /proc")
def test_leaving_early_ends_the_workers(tmp_path: Path) -> None:
    before = set(children())
    with closing(engine(tmp_path, {"a": b"hang", "b": b"back"}, workers=2).run()) as events:
        assert any(isinstance(e, Finished) for e in iter(lambda: next(events), None) if isinstance(e, Finished))
        assert len(set(children()) - before) >= 2
    # The helper process of multiprocessing stays.
    assert len(set(children()) - before) <= 1
    assert tree(tmp_path / "out") == {"b.out": b"kcab"}, "the temporary file is gone"


def test_workers_are_replaced_after_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_process, "_LIFE", 3)
    pids = [e.record["pid"] for e in engine(tmp_path, numbered(7)).run() if isinstance(e, Finished)]
    assert [pids.count(p) for p in dict.fromkeys(pids)] == [3, 3, 1]
