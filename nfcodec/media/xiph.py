"""FLAC and Ogg files: the streams joined in them, their comments, and what else lies beside the sound.

Sources: RFC 9639 (FLAC), RFC 3533 (Ogg), RFC 7845 (Opus in Ogg), "Vorbis I specification" 5 (comments).
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nfcodec.media.flac_length import with_true_length
from nfcodec.media.window import Stretch

_FLAC_START = b"fLaC\0\0\0\x22"  # the marker and the head of STREAMINFO, which comes first and has 34 bytes
_FIRST_PAGE = b"OggS\0\x02"
_MOST = 10_000  # joined streams, comments and pages of a header that are looked at
_HEADER = 1 << 20  # bytes of an Ogg stream in which its comments are looked for
_LOST_BLOCKS = {2: "application data", 5: "the cue sheet", 6: "the cover picture"}

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Streams:
    """``stretches``: the recordings, end to end. ``comments``: of the first one, with keys as written. ``lost``: names
    of what else it holds. ``codec``: "flac", "vorbis", "opus" or "". ``ordered``: whether its channels stand for
    loudspeakers. ``whole``: whether the last one has its end. ``announced``: samples that the headers promise, where
    that is wrong."""

    stretches: tuple[Stretch, ...]
    comments: Pairs = ()
    lost: tuple[str, ...] = ()
    codec: str = ""
    ordered: bool = True
    whole: bool = True
    announced: int | None = None


def id3_size(front: bytes) -> int:
    """Bytes of the ID3v2 tag that ``front`` (at least 10 bytes) starts with, 0 where there is none."""
    if not front.startswith(b"ID3") or len(front) < 10 or max(front[6:10]) > 0x7F:
        return 0
    size = front[6] << 21 | front[7] << 14 | front[8] << 7 | front[9]
    return size + (20 if front[5] & 0x10 else 10)


def read_flac(path: Path) -> Streams:
    """The streams of a FLAC file."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        starts = list(_places(data, _FLAC_START))
        comments, lost = _blocks(data, starts[0] + 4) if starts else ((), ())
        stretches = _stretches(starts, len(data))
        if len(stretches) != 1:
            return Streams(stretches, comments, lost, "flac")
        stretch, announced = with_true_length(data, stretches[0])
        return Streams((stretch,), comments, lost, "flac", announced=announced)


def _places(data: mmap.mmap, pattern: bytes) -> Iterator[int]:
    at = data.find(pattern)
    for _ in range(_MOST):
        if at < 0:
            return
        yield at
        at = data.find(pattern, at + len(pattern))


def _stretches(starts: list[int], size: int) -> tuple[Stretch, ...]:
    return tuple(Stretch(a, b) for a, b in zip(starts, [*starts[1:], size], strict=True))


def _blocks(data: mmap.mmap, at: int) -> tuple[Pairs, tuple[str, ...]]:
    """Comments and losses in the metadata blocks from ``at``."""
    comments: Pairs = ()
    lost: dict[str, None] = {}
    for _ in range(_MOST):
        head = data[at : at + 4]
        if len(head) < 4:
            break
        kind, size = head[0] & 0x7F, int.from_bytes(head[1:], "big")
        if kind == 4 and not comments:
            comments = read_comments(data[at + 4 : at + 4 + size])
        elif kind in _LOST_BLOCKS:
            lost[_LOST_BLOCKS[kind]] = None
        if head[0] & 0x80:
            break
        at += 4 + size
    return comments, tuple(lost)


def read_comments(data: bytes) -> Pairs:
    """The (key, value) pairs of a Vorbis comment without its framing, as far as they can be read; keys as written."""
    pairs: list[tuple[str, str]] = []
    at = 4 + int.from_bytes(data[:4], "little")
    count = int.from_bytes(data[at : at + 4], "little")
    at += 4
    for _ in range(min(count, _MOST)):
        size = int.from_bytes(data[at : at + 4], "little")
        key, equals, value = data[at + 4 : at + 4 + size].partition(b"=")
        if not equals:
            break
        pairs.append((key.decode("ascii", "replace"), value.decode("utf-8", "replace")))
        at += 4 + size
    return tuple(pairs)


def read_ogg(path: Path) -> Streams:
    """The streams of an Ogg file; those that lie beside each other count as one."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        starts: list[int] = []
        end = -1
        for at in _places(data, _FIRST_PAGE):
            if at != end:
                starts.append(at)
            end = at + page_size(data[at : at + 282])
        last = data.rfind(b"OggS\0")
        front = data[last : last + 282] if last >= 0 else b""
        whole = len(front) >= 27 and bool(front[5] & 4) and last + page_size(front) <= len(data)
        codec, ordered, comments = _ogg_header(data[:_HEADER])
        lost = ("the cover picture",) if any(k.lower() == "metadata_block_picture" for k, _ in comments) else ()
        return Streams(_stretches(starts, len(data)), comments, lost, codec, ordered, whole)


def page_size(front: bytes) -> int:
    """Bytes of the Ogg page that starts with ``front`` (282 bytes, or what there is)."""
    count = front[26] if len(front) > 26 else 0
    return 27 + count + sum(front[27 : 27 + count])


def _ogg_header(data: bytes) -> tuple[str, bool, Pairs]:
    """Codec, whether channels stand for loudspeakers, and comments of the first audio stream in ``data``."""
    packets: dict[bytes, list[bytes]] = {}
    for serial, packet in ogg_packets(data):
        packets.setdefault(serial, []).append(packet)
        first = packets[serial]
        if len(first) == 2 and first[0].startswith(b"\x01vorbis"):
            return "vorbis", True, read_comments(first[1][7:])
        if len(first) == 2 and first[0].startswith(b"OpusHead"):
            return "opus", first[0][18:19] in (b"\0", b"\1"), read_comments(first[1][8:])
        if len(first) == 2 and first[0].startswith(b"\x7fFLAC"):
            return "flac", True, read_comments(first[1][4:])
    return "", True, ()


def ogg_packets(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(serial number, packet) in the order of their ends; a last one that is cut counts."""
    open_packets: dict[bytes, bytes] = {}
    at = 0
    while data[at : at + 4] == b"OggS" and at + 27 <= len(data):
        serial, count = data[at + 14 : at + 18], data[at + 26]
        place = at + 27 + count
        for lacing in data[at + 27 : place]:
            open_packets[serial] = open_packets.get(serial, b"") + data[place : place + lacing]
            place += lacing
            if lacing < 255:
                yield serial, open_packets.pop(serial)
        at = place
    yield from open_packets.items()
