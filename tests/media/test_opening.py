from __future__ import annotations

import threading
import warnings
from pathlib import Path

from nfcodec.media import opening
from nfcodec.media.opening import pillow


def test_pillow_warnings_become_notes():
    notes = []
    with pillow(Path("a.png"), "PNG", notes):
        for _ in range(2):
            warnings.warn("odd\n chunk", UserWarning, stacklevel=1)
    assert notes == ["PNG: odd chunk"]


class Turnstile:
    """The lock, telling when somebody comes to it."""

    def __init__(self):
        self.lock, self.second = threading.RLock(), threading.Event()
        self.came = 0

    def __enter__(self):
        self.came += 1
        if self.came == 2:
            self.second.set()
        return self.lock.__enter__()

    def __exit__(self, *error):
        return self.lock.__exit__(*error)


def test_two_threads_leave_the_filters_of_the_process_alone(monkeypatch):
    """Overlapping, the one that leaves last would put the other's filters back for good."""
    turnstile = Turnstile()
    monkeypatch.setattr(opening, "_hearing", turnstile)
    before, notes, entered = list(warnings.filters), ([], []), []

    def later():
        with pillow(Path("b.png"), "PNG", notes[1]):
            entered.append(True)
            warnings.warn("second", UserWarning, stacklevel=1)

    thread = threading.Thread(target=later)
    with pillow(Path("a.png"), "PNG", notes[0]):
        thread.start()
        assert turnstile.second.wait(30) and not entered, "the second waits its turn"
        warnings.warn("first", UserWarning, stacklevel=1)
    thread.join(30)
    assert entered and notes == (["PNG: first"], ["PNG: second"])
    assert warnings.filters == before
