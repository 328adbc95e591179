"""Payloads of SILENCE sections: where a recording is digitally silent, channel by channel. See ``FORMAT.md`` §9."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nfcodec.container.varint import ByteReader, encode_varint
from nfcodec.errors import CorruptError
from nfcodec.types import Mask


@dataclass(frozen=True, slots=True)
class Silence:
    """``runs``: for every channel int64 (k, 2), the samples [start, stop) of each silent stretch, ascending, apart."""

    runs: tuple[npt.NDArray[np.int64], ...]

    def __bool__(self) -> bool:
        return any(len(runs) for runs in self.runs)

    def covers(self, length: int) -> bool:
        """Whether ``length`` samples from the start are silent in every channel."""
        return all(len(runs) == 1 and runs[0, 0] == 0 and runs[0, 1] >= length for runs in self.runs)

    def apply(self, values: npt.NDArray[Any], positions: npt.NDArray[np.float64]) -> None:
        """Set ``values`` (n, C) to 0 where ``positions`` (n,), in samples from the start, are in a silent stretch."""
        index = np.floor(positions).astype(np.int64)
        for channel, runs in enumerate(self.runs):
            if len(runs):
                last = np.searchsorted(runs[:, 0], index, side="right") - 1
                values[(last >= 0) & (index < runs[last, 1]), channel] = 0

    def joined(self, later: Silence, offset: int) -> Silence:
        """This and what a later block has, which starts at sample ``offset``."""
        return Silence(tuple(_join(a, b + offset) for a, b in zip(self.runs, later.runs, strict=True)))


def _join(a: npt.NDArray[np.int64], b: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    if len(a) and len(b) and a[-1, 1] == b[0, 0]:
        return np.concatenate([a[:-1], [[a[-1, 0], b[0, 1]]], b[1:]])
    return np.concatenate([a, b])


def find_silence(silent: Mask, shortest: int) -> Silence:
    """The stretches of ``silent`` (n, C) that are at least ``shortest`` long, or touch an end of the block: there they
    may go on in the next one."""
    runs = []
    for column in silent.T:
        edges = np.flatnonzero(np.diff(column, prepend=False, append=False))
        found = edges.reshape(-1, 2).astype(np.int64)
        long = found[:, 1] - found[:, 0] >= shortest
        runs.append(found[long | (found[:, 0] == 0) | (found[:, 1] == len(silent))])
    return Silence(tuple(runs))


def pack_silence(silence: Silence) -> bytes:
    """For every channel the number of stretches, and for each the distance from the last one and its length."""
    out = bytearray()
    for runs in silence.runs:
        out += encode_varint(len(runs))
        at = 0
        for start, stop in runs.tolist():
            out += encode_varint(start - at) + encode_varint(stop - start)
            at = stop
    return bytes(out)


def unpack_silence(payload: bytes, length: int, channels: int) -> Silence:
    """Inverse of :func:`pack_silence` for a recording of ``length`` samples. Raises :class:`CorruptError`."""
    reader = ByteReader(payload)
    silence = Silence(tuple(_unpack_channel(reader, length) for _ in range(channels)))
    reader.expect_end("SILENCE section")
    return silence


def _unpack_channel(reader: ByteReader, length: int) -> npt.NDArray[np.int64]:
    count = reader.varint("number of silent stretches")
    if count > reader.left // 2:  # before anything is allocated: a stretch takes two bytes
        raise CorruptError(f"{count} silent stretches in {reader.left} bytes")
    runs = np.zeros((count, 2), np.int64)
    at = 0
    for i in range(count):
        start = at + reader.varint("start of a silent stretch")
        at = start + reader.varint("length of a silent stretch")
        if not start < at <= length or (i and start == runs[i - 1, 1]):
            raise CorruptError(f"silent stretch {start} … {at} of {length} samples")
        runs[i] = start, at
    return runs
