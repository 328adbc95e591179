"""Texts and channel masks that libsndfile cannot write, put into a finished WAV, FLAC or Ogg Vorbis file.

Texts come cleaned and bounded from :mod:`nfcodec.tags`; here they become bytes with counted lengths, nothing else.
Sources: RFC 9639, 8 (FLAC), RFC 3533, 6 (Ogg pages), "Vorbis I specification" 5, ID3 tag version 2.4.0, 4.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

from nfcodec.media.chunks import read_chunks
from nfcodec.media.xiph import page_size

Pairs = Sequence[tuple[str, str]]

_FRAMES = {
    "composer": "TCOM", "albumartist": "TPE2", "discnumber": "TPOS", "lyricist": "TEXT", "publisher": "TPUB",
    "isrc": "TSRC", "bpm": "TBPM", "language": "TLAN", "subtitle": "TIT3", "grouping": "TIT1", "compilation": "TCMP",
    "mood": "TMOO",
}  # fmt: skip
_PAGES = 16  # of an Ogg header
_SEGMENTS = 255  # of a page


def _replace(path: Path, start: int, stop: int, data: bytes, then: Callable[[mmap.mmap], None] | None = None) -> None:
    """Put ``data`` in the place of bytes [``start``, ``stop``) of a file, moving what follows."""
    size, more = path.stat().st_size, len(data) - (stop - start)
    with path.open("r+b") as file:
        if more > 0:
            file.truncate(size + more)
            file.flush()
        with mmap.mmap(file.fileno(), 0) as view:
            view.move(stop + more, stop, size - stop)
            view[start : start + len(data)] = data
            if then:
                then(view)
        if more < 0:
            file.truncate(size + more)


def _packed(comments: bytes, pairs: Pairs) -> bytes:
    """A Vorbis comment without framing, with ``pairs`` added."""
    at = 4 + int.from_bytes(comments[:4], "little")
    count = int.from_bytes(comments[at : at + 4], "little")
    texts = [f"{key.upper()}={value}".encode() for key, value in pairs]
    added = b"".join(len(text).to_bytes(4, "little") + text for text in texts)
    return comments[:at] + (count + len(texts)).to_bytes(4, "little") + comments[at + 4 :] + added


# -- FLAC ------------------------------------------------------------------------------------------------
def add_flac_comments(path: Path, pairs: Pairs) -> None:
    """Add ``pairs`` to the comments of a FLAC file."""
    with path.open("rb") as file:
        head = file.read(1 << 20)
    at, last = 4, 4
    while True:
        kind, size = head[at] & 0x7F, int.from_bytes(head[at + 1 : at + 4], "big")
        if kind == 4:
            body = _packed(head[at + 4 : at + 4 + size], pairs)
            _replace(path, at, at + 4 + size, head[at : at + 1] + len(body).to_bytes(3, "big") + body)
            return
        last, at = at, at + 4 + size
        if head[last] & 0x80:
            break
    body = _packed(bytes(8), pairs)
    _replace(path, at, at, b"\x84" + len(body).to_bytes(3, "big") + body, lambda view: view.__setitem__(
        last, head[last] & 0x7F
    ))  # fmt: skip


# -- WAV -------------------------------------------------------------------------------------------------
def set_wave_mask(path: Path, mask: int) -> None:
    """Write the channel mask of an extensible WAV or RF64 file."""
    form = next(c for c in read_chunks(path)[0].chunks if c.name == b"fmt ")
    with path.open("r+b") as file:
        file.seek(form.at + 20)
        file.write(mask.to_bytes(4, "little"))


def add_wave_texts(path: Path, pairs: Pairs) -> None:
    """Append ``pairs`` to a WAV or RF64 file as a chunk with an ID3v2.4 tag."""
    frames = b"".join(_frame(key, value) for key, value in pairs)
    tag = b"ID3\4\0\0" + _synchsafe(len(frames)) + frames
    wide = next((c for c in read_chunks(path)[0].chunks if c.name == b"ds64"), None)
    with path.open("r+b") as file:
        end = file.seek(0, 2)
        file.write(bytes(end % 2) + b"id3 " + struct.pack("<I", len(tag)) + tag + bytes(len(tag) % 2))
        size = file.tell() - 8
        file.seek(wide.at if wide else 4)
        file.write(size.to_bytes(8 if wide else 4, "little"))


def _synchsafe(number: int) -> bytes:
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))


def _frame(key: str, value: str) -> bytes:
    """A frame of ID3v2.4; 3 stands for UTF-8."""
    if key == "lyrics":
        name, body = "USLT", b"\3und\0" + value.encode()
    elif key in _FRAMES:
        name, body = _FRAMES[key], b"\3" + value.encode()
    else:
        # ffmpeg passes over one called "description".
        title = "SYNOPSIS" if key == "description" else key.upper()
        name, body = "TXXX", b"\3" + title.encode() + b"\0" + value.encode()
    return name.encode() + _synchsafe(len(body)) + b"\0\0" + body


# -- Ogg Vorbis ------------------------------------------------------------------------------------------
def add_ogg_comments(path: Path, pairs: Pairs) -> bool:
    """Add ``pairs`` to the comments of an Ogg Vorbis file; False where its header pages have no room for them.

    The number of pages stays, so that the pages behind keep their numbers and checksums.
    """
    with path.open("rb") as file:
        head = file.read(_PAGES * 65_307)
    spans, packets = _header_pages(head)
    if len(packets) != 2:
        return False
    comments = b"\3vorbis" + _packed(packets[0][7:-1], pairs) + b"\1"
    pages = _pages([comments, packets[1]], len(spans), head[14:18])
    if pages is None:
        return False
    _replace(path, spans[0][0], spans[-1][1], pages)
    return True


def _header_pages(head: bytes) -> tuple[list[tuple[int, int]], list[bytes]]:
    """Places of the pages behind the first one that hold the comments and the setup, and these two packets."""
    at, spans, packets, packet = page_size(head), [], [], b""  # type: int, list[tuple[int, int]], list[bytes], bytes
    while len(packets) < 2 and head[at : at + 4] == b"OggS":
        end = at + page_size(head[at:])
        place = at + 27 + head[at + 26]
        for lacing in head[at + 27 : at + 27 + head[at + 26]]:
            packet += head[place : place + lacing]
            place += lacing
            if lacing < 255:
                packets.append(packet)
                packet = b""
        spans.append((at, end))
        at = end
    return spans, packets


def _pages(packets: list[bytes], count: int, serial: bytes) -> bytes | None:
    """The packets in exactly ``count`` pages, numbered from 1; None where that cannot be."""
    lacings = [n for p in packets for n in (*[255] * (len(p) // 255), len(p) % 255)]
    if not count <= len(lacings) <= count * _SEGMENTS:
        return None
    data, out, goes_on = b"".join(packets), [], False
    for number in range(1, count + 1):
        taken = lacings[: min(_SEGMENTS, len(lacings) - (count - number))]
        lacings = lacings[len(taken) :]
        # No packet ends on the page: its position is −1.
        position = b"\xff" * 8 if min(taken) == 255 else bytes(8)
        front = b"OggS\0" + bytes([goes_on]) + position + serial + number.to_bytes(4, "little")
        body = bytes([len(taken), *taken]) + data[: sum(taken)]
        data, goes_on = data[sum(taken) :], taken[-1] == 255
        out.append(front + _crc(front + bytes(4) + body).to_bytes(4, "little") + body)
    return b"".join(out)


@lru_cache(maxsize=1)
def _crc_table() -> tuple[int, ...]:
    def row(value: int) -> int:
        for _ in range(8):
            value = value << 1 ^ (0x04C11DB7 if value & 0x80000000 else 0)
        return value & 0xFFFFFFFF

    return tuple(row(i << 24) for i in range(256))


def _crc(data: bytes) -> int:
    """The checksum of a page (RFC 3533, 6): polynomial 0x04C11DB7, not reflected, from 0."""
    table, value = _crc_table(), 0
    for byte in data:
        value = (value << 8 & 0xFFFFFFFF) ^ table[value >> 24 ^ byte]
    return value
