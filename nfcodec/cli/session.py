"""What one run of the command line knows about itself."""

from __future__ import annotations

import signal
import sys
from dataclasses import dataclass
from types import FrameType
from typing import NoReturn


@dataclass(slots=True)
class Session:
    """``verbose``: -v was given. ``signal``: number of the signal that asked this run to end, or 0."""

    verbose: bool = False
    signal: int = 0

    def on_signal(self, number: int, frame: FrameType | None) -> NoReturn:
        """Remember the signal and unwind, so that temporary files are removed on the way."""
        self.signal = number
        raise KeyboardInterrupt

    def stopped(self) -> int:
        """Say that the run was ended from outside; the exit code is 128 + signal (130 for Ctrl-C)."""
        number = self.signal or signal.SIGINT
        word = "interrupted" if number == signal.SIGINT else "terminated"
        if sys.stderr is not None:
            print(f"nfc: {word}", file=sys.stderr)
        return 128 + number
