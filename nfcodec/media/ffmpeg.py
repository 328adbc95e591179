"""The bundled ffmpeg as a child process: run, stream, and say what went wrong.

Files are named with the ``file:`` protocol, so that no name is taken for an option, a pattern or a network
address. Children get a session of their own: Ctrl-C reaches nfc alone, which then ends them in order.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from nfcodec.media.reading import one_line

_PLACE = re.compile(r"^(\[[^\]]*\]\s*)+")
# Lines that only announce that an earlier line mattered.
_NOISE = (
    "Conversion failed", "Error opening input file", "Error opening output file", "Nothing was written",
    "Last message repeated", "Task finished with error", "Terminating thread", "Error writing trailer",
    "Error muxing a packet", "Error submitting", "Error closing file", "Error while opening", "Could not open encoder",
    "Error sending frames", "At least one output file", "Exiting with exit code",
)  # fmt: skip


def ffmpeg_path() -> str:
    """The ffmpeg that imageio-ffmpeg brings; raises ``RuntimeError`` when there is none."""
    import imageio_ffmpeg

    return str(imageio_ffmpeg.get_ffmpeg_exe())


def input_url(path: Path) -> str:
    """``path`` as ffmpeg must be given it."""
    return "file:" + os.fspath(path)


def complaint(log: str) -> str:
    """The line of ffmpeg's log that says most."""
    lines = [_PLACE.sub("", line).strip() for line in log.splitlines()]
    telling = [line for line in lines if line and not line.startswith(_NOISE)]
    # A file name in front of the reason would only repeat what nfc says itself.
    return one_line(re.sub(r"^file:.*: ", "", telling[-1])) if telling else ""


@dataclass(frozen=True, slots=True)
class Result:
    """How a run ended: exit code, standard output, and ffmpeg's log."""

    code: int
    output: bytes
    log: str


def run(arguments: Sequence[str], *, level: str = "error", timeout: float | None = None) -> Result:
    """Run ffmpeg to its end and collect what it writes; after ``timeout`` seconds it is ended (code 124)."""
    child = Child(arguments, level=level)
    try:
        output, _ = child.process.communicate(timeout=timeout)
        return Result(child.process.returncode, output, child.log())
    except subprocess.TimeoutExpired:
        return Result(124, b"", f"ffmpeg did not finish within {timeout:g} s")
    finally:
        child.end()


class Child:
    """A running ffmpeg whose standard output is read, or whose standard input is written, by the caller."""

    def __init__(self, arguments: Sequence[str], *, level: str = "error", feed: bool = False) -> None:
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed in end)
        try:
            self.process = subprocess.Popen(
                [ffmpeg_path(), "-hide_banner", "-nostdin", "-v", level, *arguments],
                stdin=subprocess.PIPE if feed else subprocess.DEVNULL,
                stdout=subprocess.DEVNULL if feed else subprocess.PIPE,
                stderr=self._log,
                start_new_session=True,
            )
        except BaseException:
            self._log.close()
            raise

    @property
    def output(self) -> IO[bytes]:
        """What ffmpeg writes."""
        assert self.process.stdout is not None
        return self.process.stdout

    @property
    def input(self) -> IO[bytes]:
        """What ffmpeg reads."""
        assert self.process.stdin is not None
        return self.process.stdin

    def log(self) -> str:
        """What ffmpeg has said so far, at most the last 64 KiB."""
        size = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, size - (1 << 16)))
        return self._log.read().decode("utf-8", "replace")

    def trouble(self) -> str:
        """Why ffmpeg ended, in one line."""
        code = self.process.poll()
        default = f"ffmpeg was ended by signal {-code}" if code and code < 0 else f"ffmpeg failed with code {code}"
        return complaint(self.log()) or default

    def end(self) -> None:
        """Kill the process if it runs, and release everything; may be called twice."""
        if self.process.poll() is None:
            self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                with suppress(OSError):  # flushing into a dead process
                    pipe.close()
        self.process.wait()
        self._log.close()
