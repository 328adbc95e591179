"""Raw frames as a Matroska stream (RFC 9559), which tells ffmpeg through a pipe when each of them is shown.

ffmpeg's plain raw video has one steady rate. Here every frame is a cluster of its own, whose 64-bit time counts
nanoseconds; sizes are known as they are written, so nothing has to be sought.
"""

from __future__ import annotations

from typing import IO

import numpy as np
import numpy.typing as npt

from nfcodec.media.timing import Ints64

# Element identifiers, RFC 9559 section 5.
_EBML, _EBML_READ_VERSION, _DOC_TYPE, _DOC_TYPE_VERSION = 0x1A45DFA3, 0x42F7, 0x4282, 0x4287
_SEGMENT, _INFO, _TIMESTAMP_SCALE = 0x18538067, 0x1549A966, 0x2AD7B1
_TRACKS, _TRACK, _NUMBER, _UID, _KIND, _CODEC, _LANGUAGE = 0x1654AE6B, 0xAE, 0xD7, 0x73C5, 0x83, 0x86, 0x22B59C
_VIDEO, _WIDTH, _HEIGHT, _FOURCC = 0xE0, 0xB0, 0xBA, 0x2EB524
_CLUSTER, _TIMESTAMP, _BLOCK_GROUP, _BLOCK, _BLOCK_DURATION = 0x1F43B675, 0xE7, 0xA0, 0xA1, 0x9B
_UNKNOWN_SIZE = b"\x01" + b"\xff" * 7
# Track 1, no time beside that of the cluster, no flags.
_BLOCK_HEAD = b"\x81\0\0\0"
# ffmpeg's codes of raw pixels.
_PIXELS = {1: b"Y800", 3: b"RGB\x18", 4: b"RGBA"}


def _identifier(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _head(number: int, size: int) -> bytes:
    return _identifier(number) + (1 << 56 | size).to_bytes(8, "big")


def _element(number: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return _head(number, len(body)) + body


def _whole(number: int, value: int) -> bytes:
    return _element(number, value.to_bytes(8, "big"))


class RawStream:
    """Writes frames (H, W, depth) of 8 bit to a pipe; ``edges`` (n + 1,), nanoseconds, says when each is shown."""

    def __init__(self, pipe: IO[bytes], edges: Ints64, width: int, height: int, depth: int) -> None:
        self._pipe, self._edges, self._frame = pipe, edges, 0
        video = _element(_VIDEO, _whole(_WIDTH, width), _whole(_HEIGHT, height), _element(_FOURCC, _PIXELS[depth]))
        track = _element(
            _TRACK, _whole(_NUMBER, 1), _whole(_UID, 1), _whole(_KIND, 1), _element(_CODEC, b"V_UNCOMPRESSED"),
            _element(_LANGUAGE, b"und"), video,
        )  # fmt: skip
        versions = _whole(_DOC_TYPE_VERSION, 4) + _whole(_EBML_READ_VERSION, 1)
        head = _element(_EBML, _element(_DOC_TYPE, b"matroska"), versions)
        head += _identifier(_SEGMENT) + _UNKNOWN_SIZE + _element(_INFO, _whole(_TIMESTAMP_SCALE, 1))
        self._head = head + _element(_TRACKS, track)

    def write(self, frames: npt.NDArray[np.uint8]) -> None:
        """Take the next frames (n, H, W, depth). Raises :class:`OSError` when the pipe is broken."""
        for frame in frames:
            start, stop = int(self._edges[self._frame]), int(self._edges[self._frame + 1])
            pixels, time = np.ascontiguousarray(frame).data.cast("B"), _whole(_TIMESTAMP, start)
            duration = _whole(_BLOCK_DURATION, stop - start)
            block = _head(_BLOCK, len(_BLOCK_HEAD) + len(pixels)) + _BLOCK_HEAD
            group = _head(_BLOCK_GROUP, len(block) + len(pixels) + len(duration))
            cluster = _head(_CLUSTER, len(time) + len(group) + len(block) + len(pixels) + len(duration))
            self._pipe.write(self._head + cluster + time + group + block)
            self._pipe.write(pixels)
            self._pipe.write(duration)
            self._head = b""
            self._frame += 1
