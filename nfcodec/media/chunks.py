"""Recordings made of chunks (WAV, RF64, BW64, Wave64, AIFF, CAF): what they say, and where their sound really ends.

The sizes in such a file are hints. Writers that cannot seek leave 0 or all ones there, a recorder that lost its power
leaves the size of its last pause, and a transfer may stop early. Decoders believe the sizes; here they are put right.
Sources: IBM and Microsoft 1991 (RIFF), EBU Tech 3306 (RF64), ITU-R BS.2088 (BW64), Apple 1989 (AIFF) and 2011 (CAF).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from nfcodec.media.window import Stretch

_UNKNOWN = 0x7FFF0000  # where writers that cannot seek leave the largest number they know, or a little less
_HEAD = 1 << 16  # bytes of a chunk that are looked at
_FEW = 64  # bytes at the end that are not taken for forgotten sound
_MOST = 10_000  # chunks of one file that are looked at
# What may follow a recording and is no sound.
_TRAILERS = (b"TAG", b"ID3", b"APETAGEX", b"RIFF", b"RIFX", b"RF64", b"BW64", b"FORM", b"riff", b"caff")


@dataclass(frozen=True, slots=True)
class Form:
    """How a file is cut into chunks: bytes before the first chunk, of a chunk's name and of its size, and alignment.

    ``inclusive``: the size of a chunk counts its head. ``total``: where the size of the whole lies, as (offset, bytes,
    bytes of the file that it does not count), or None. ``sound``: the chunk with the samples, whose first ``skip``
    bytes are none.
    """

    head: int
    name: int
    size: int
    align: int
    order: Literal["little", "big"]
    total: tuple[int, int, int] | None
    sound: bytes
    skip: int = 0
    inclusive: bool = False


_RIFF = Form(12, 4, 4, 2, "little", (4, 4, 8), b"data")
FORMS = {
    b"RIFF": _RIFF, b"RF64": _RIFF, b"BW64": _RIFF,
    b"RIFX": Form(12, 4, 4, 2, "big", (4, 4, 8), b"data"),
    b"FORM": Form(12, 4, 4, 2, "big", (4, 4, 8), b"SSND", 8),
    b"caff": Form(8, 4, 8, 1, "big", None, b"data", 4),
    b"riff": Form(40, 16, 8, 8, "little", (16, 8, 0), b"data", 0, True),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk: its name, the offset of its payload and of its size, the size announced and what there is of it."""

    name: bytes
    at: int
    size_at: int
    size: int
    head: bytes


@dataclass(frozen=True, slots=True)
class Chunked:
    """One recording of a file.

    ``magic``: its first four bytes. ``chunks``: all that were found. ``sound``: the one with the samples. ``room``:
    bytes of samples that are really there. ``announced``: bytes that the header announces, None where it leaves them
    open. ``stretch``: what a decoder should be given.
    """

    magic: bytes
    chunks: tuple[Chunk, ...]
    sound: Chunk
    room: int
    announced: int | None
    stretch: Stretch

    def payload(self, *names: bytes) -> bytes:
        """The first 64 KiB of the first chunk with one of these names, or nothing."""
        return next((c.head for c in self.chunks if c.name in names), b"")


def read_chunks(path: Path) -> list[Chunked]:
    """The recordings in a file of chunks, joined end to end; none where it is no such file or has no sound."""
    size, found = path.stat().st_size, []  # type: int, list[Chunked]
    with path.open("rb") as file:
        start = 0
        while start < size and len(found) < _MOST:
            one = _recording(file, start, size)
            if one is None or (found and one.magic != found[0].magic):
                break
            found.append(one)
            start = one.stretch.stop
    return found


def _recording(file: BinaryIO, start: int, size: int) -> Chunked | None:
    file.seek(start)
    magic = file.read(4)
    form = FORMS.get(magic)
    if form is None:
        return None
    chunks = tuple(_walk(file, form, start, size))
    sound = next((c for c in chunks if c.name == form.sound), None)
    if sound is None:
        return None
    wide = int.from_bytes(_first(chunks, b"ds64")[8:16], "little")
    announced = wide if wide and sound.size == 0xFFFFFFFF else sound.size
    there = max(0, size - sound.at)
    open_end = announced - form.skip <= 0 < there - form.skip or announced > max(there, _UNKNOWN - 1)
    after = _behind(file, form, sound, announced, size)
    stale = announced < there and after is None
    known = not open_end or (announced <= form.skip and not stale)
    room = min(announced, there) if known and not stale else there
    stop = _end(file, form, after, size) if room == announced and after is not None else size
    patches = _patches(form, start, stop, chunks, sound, room)
    return Chunked(
        magic, chunks, sound, max(0, room - form.skip), announced - form.skip if known else None,
        Stretch(start, stop, patches),
    )  # fmt: skip


def _first(chunks: tuple[Chunk, ...], name: bytes) -> bytes:
    return next((c.head for c in chunks if c.name == name), b"")


def _walk(file: BinaryIO, form: Form, start: int, size: int) -> Iterator[Chunk]:
    """The chunks from ``start``; those behind a chunk of samples whose size is wrong are not found."""
    at, wide = start + form.head, 0
    for _ in range(_MOST):
        chunk = _chunk(file, form, at, size)
        if chunk is None:
            return
        yield chunk
        if chunk.name == b"ds64":
            wide = int.from_bytes(chunk.head[8:16], "little")
        length = wide if wide and chunk.size == 0xFFFFFFFF else chunk.size
        after = _next(form, chunk, length)
        if chunk.name == form.sound:
            after = _behind(file, form, chunk, length, size) or size
        at = after


def _chunk(file: BinaryIO, form: Form, at: int, size: int) -> Chunk | None:
    head = form.name + form.size
    if at + head > size:
        return None
    file.seek(at)
    front = file.read(head)
    length = int.from_bytes(front[form.name :], form.order)
    name = front[:4]
    if not _is_name(name):
        return None
    length = max(0, length - head) if form.inclusive else length
    payload = b"" if name == form.sound else file.read(min(length, _HEAD))
    return Chunk(name, at + head, at + form.name, length, payload)


def _is_name(name: bytes) -> bool:
    return len(name) == 4 and all(0x20 <= byte < 0x7F for byte in name)


def _next(form: Form, chunk: Chunk, length: int) -> int:
    return chunk.at + -(-length // form.align) * form.align


def _behind(file: BinaryIO, form: Form, chunk: Chunk, length: int, size: int) -> int | None:
    """Where the file goes on behind its sound, None where more sound lies there. Not every writer aligns chunks."""
    places = (_next(form, chunk, length), chunk.at + length)
    return next((at for at in places if _goes_on(file, form, at, size)), None)


def _goes_on(file: BinaryIO, form: Form, at: int, size: int) -> bool:
    """Whether what lies at ``at`` is no sound: the end, further chunks, a tag, another file, or padding."""
    if at + _FEW > size:
        return True
    file.seek(at)
    front = file.read(_FEW)
    if front.startswith(_TRAILERS) or not any(front):
        return True
    chunk = _chunk(file, form, at, size)
    return chunk is not None and chunk.at + chunk.size <= size + 1


def _end(file: BinaryIO, form: Form, at: int, size: int) -> int:
    """Where the chunks end that begin at ``at``."""
    for _ in range(_MOST):
        file.seek(min(at, size))
        if file.read(8).startswith(_TRAILERS):
            break
        chunk = _chunk(file, form, at, size)
        if chunk is None:
            break
        at = _next(form, chunk, chunk.size)
    return min(at, size)


def _patches(
    form: Form, start: int, stop: int, chunks: tuple[Chunk, ...], sound: Chunk, room: int
) -> tuple[tuple[int, bytes], ...]:
    """The sizes as they should be."""
    extra = form.name + form.size if form.inclusive else 0
    right = min(room + extra, (1 << 8 * form.size) - 1)
    patches = [(sound.size_at, right.to_bytes(form.size, form.order))]
    if form.total:
        at, width, less = form.total
        patches.append((start + at, min(stop - start - less, (1 << 8 * width) - 1).to_bytes(width, form.order)))
    wide = next((c for c in chunks if c.name == b"ds64"), None)
    if wide and form is _RIFF and len(wide.head) >= 16:
        ones = b"\xff" * 4
        patches = [(sound.size_at, ones), (start + 4, ones)]
        patches.append((wide.at, (stop - start - 8).to_bytes(8, "little") + room.to_bytes(8, "little")))
        patches.append((start, b"RF64"))  # BW64 is the same under another name
    return tuple(patches)


