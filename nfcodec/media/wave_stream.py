"""RIFF WAVE that is still being written: from a pipe, or from a file that a recorder appends to.

Recorders that write to pipes cannot know the length, and say 0 or a number near 2^31 or 2^32 in its place; those that
write to files often say so until they stop. A pipe ends when it is closed; a file when it has not grown for a while.
"""

from __future__ import annotations

import os
import select
import stat
import time
from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np

from nfcodec.errors import MediaReadError, UnsupportedMediaError
from nfcodec.limits import DEFAULT_LIMITS, Limits
from nfcodec.media.samples import dequantize
from nfcodec.signal import Block, Floats, Ints, Metadata, SampleType, SignalInfo

PATIENCE = 5.0  # seconds after which a file that does not grow is at its end
_AT_ONCE = 1 << 16
_LOOK = 0.1  # seconds between two looks at what may have come
_UNKNOWN = 0x7FFF0000  # lengths from here on, and 0, mean that nobody knew
_KINDS: dict[tuple[int, int], SampleType] = {
    (1, 8): "u8", (1, 16): "i16", (1, 24): "i24", (1, 32): "i32", (3, 32): "f32", (3, 64): "f64",
}  # fmt: skip
_EXTENSIBLE = 0xFFFE


class WaveStream:
    """A recording of unknown length, as a :class:`~nfcodec.signal.Source`; ``info.shape`` is (1,) until it was read.

    ``descriptor`` stays the caller's to close. ``stopped`` is asked again and again; once it says yes, the recording
    ends with what was read. ``patience``: seconds, of files.
    """

    def __init__(
        self, descriptor: int, name: str, *, stopped: Callable[[], bool] = lambda: False, patience: float = PATIENCE,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:  # fmt: skip
        self._file, self._name, self._stopped, self._patience = descriptor, name, stopped, patience
        self._regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
        self._limits = limits
        self._end: int | None = None
        self._start = 0
        self.metadata, self.warnings = Metadata(), list[str]()
        self.info = self._head()

    # -- bytes -------------------------------------------------------------------------------------------
    def _more(self, taken: int) -> bytes:
        """What comes behind the first ``taken`` bytes of samples, at most 64 KiB; nothing at the end."""
        quiet = time.monotonic()
        while not self._stopped():
            if self._regular:
                if data := self._read_at(self._start + taken, self._room(taken, self._declared())):
                    return data
                if time.monotonic() - quiet > self._patience:
                    break
                time.sleep(_LOOK)
            elif _readable(self._file):
                return os.read(self._file, self._room(taken, self._end))
        return b""

    @staticmethod
    def _room(taken: int, end: int | None) -> int:
        return _AT_ONCE if end is None else max(0, min(_AT_ONCE, end - taken))

    def _declared(self) -> int | None:
        """The length of a file's samples as its recorder has it by now: a chunk of titles may follow them."""
        return _known(self._read_at(self._start - 4, 4))

    def _read_at(self, position: int, size: int) -> bytes:
        os.lseek(self._file, position, os.SEEK_SET)
        return os.read(self._file, size)

    def _take(self, size: int) -> bytes:
        """Exactly so many bytes of the head."""
        parts = b""
        while len(parts) < size:
            if self._regular or _readable(self._file):
                part = os.read(self._file, size - len(parts))
                if not part and not (self._regular and not self._stopped()):
                    raise MediaReadError(f"cannot read {self._name}: it ends before its first sample")
                parts += part
                if not part:
                    time.sleep(_LOOK)
            elif self._stopped():
                raise MediaReadError(f"cannot read {self._name}: stopped before its first sample")
        return parts

    # -- head --------------------------------------------------------------------------------------------
    def _head(self) -> SignalInfo:
        """Everything up to the first sample."""
        front = self._take(12)
        if front[:4] != b"RIFF" or front[8:] != b"WAVE":
            raise UnsupportedMediaError(f"{self._name} is no RIFF WAVE", hint="ffmpeg -i … -f wav - makes one")
        form = b""
        while True:
            head = self._take(8)
            size = int.from_bytes(head[4:], "little")
            if head[:4] == b"data":
                self._end = _known(head[4:])
                self._start = os.lseek(self._file, 0, os.SEEK_CUR) if self._regular else 0
                return self._described(form)
            body = self._take(size + size % 2)
            form = body if head[:4] == b"fmt " else form

    def _described(self, form: bytes) -> SignalInfo:
        if len(form) < 16:
            raise MediaReadError(f"cannot read {self._name}: it has no format before its samples")
        tag, channels, rate = (int.from_bytes(form[a:b], "little") for a, b in ((0, 2), (2, 4), (4, 8)))
        bits = int.from_bytes(form[14:16], "little")
        if tag == _EXTENSIBLE and len(form) >= 26:
            tag = int.from_bytes(form[24:26], "little")
        kind = _KINDS.get((tag, bits))
        if kind is None or not channels or not rate:
            raise UnsupportedMediaError(f"{self._name}: {channels} channels of {bits} bits with tag {tag} cannot grow")
        self._limits.check("max_channels", channels, f"recording with {channels} channels")
        return SignalInfo("audio", (1,), channels, kind, rate=Fraction(rate))

    # -- samples -----------------------------------------------------------------------------------------
    def blocks(self, rows: int) -> Iterator[Block]:
        """Yield blocks of exactly ``rows`` samples as they come; the last may be shorter."""
        width = self.info.channels * (int(self.info.sample_type[1:]) // 8)
        waiting, taken, total = bytearray(), 0, 0
        while data := self._more(taken):
            taken += len(data)
            waiting += data
            while len(waiting) >= rows * width:
                total += rows
                self._limits.check("max_samples", total, f"recording of {total} samples")
                yield Block(self._values(bytes(waiting[: rows * width])))
                del waiting[: rows * width]
        if len(waiting) >= width:
            yield Block(self._values(bytes(waiting[: len(waiting) // width * width])))

    def _values(self, raw: bytes) -> Floats:
        """Values (n, C) of whole samples; floats beyond full scale are clipped, since nobody knows the loudest yet."""
        kind = self.info.sample_type
        if kind == "i24":
            wide = np.zeros((len(raw) // 3, 4), np.uint8)
            wide[:, 1:] = np.frombuffer(raw, np.uint8).reshape(-1, 3)
            samples: Ints = wide.view("<i4")[:, 0] >> 8
        else:
            samples = np.frombuffer(raw, {"u8": "u1", "i16": "<i2", "i32": "<i4", "f32": "<f4", "f64": "<f8"}[kind])
        values = dequantize(samples.reshape(-1, self.info.channels), kind, signed=True)
        if kind in ("f32", "f64") and not (np.abs(values) <= 1.0).all():
            if not self.warnings:
                self.warnings.append("samples beyond full scale are clipped, and those that are no numbers are zero")
            values = np.clip(np.nan_to_num(values, nan=0.0), -1.0, 1.0)
        return values

    def sidecar(self) -> bytes:
        """No sound track beside the sound."""
        return b""

    def close(self) -> None:
        """Nothing of its own to release."""


def _known(field: bytes) -> int | None:
    """The length that a header gives, or None where it was not known."""
    size = int.from_bytes(field, "little")
    return None if size == 0 or size >= _UNKNOWN else size


def _readable(descriptor: int) -> bool:
    """Whether a pipe has something to read, or its end, after at most a tenth of a second."""
    if os.name == "nt":
        return True  # there only sockets can be waited for; reading blocks
    return bool(select.select([descriptor], [], [], _LOOK)[0])
