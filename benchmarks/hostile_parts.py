"""Files taken apart and made hostile, for hostile.py: the good files, and what is done to them."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from nfcodec.container.layout import SIGNATURE, SectionType, crc_bytes
from nfcodec.container.metadata import pack_tags
from nfcodec.container.varint import ByteReader, encode_varint

Section = tuple[int, bytes]


@dataclass(frozen=True)
class Parts:
    """A file: version, header fields, and sections as (type, payload)."""

    version: int
    fields: bytes
    sections: tuple[Section, ...]

    def joined(self) -> bytes:
        """The file with valid checksums."""
        front = SIGNATURE + bytes([self.version, len(self.fields) & 0xFF]) + self.fields
        out = front + crc_bytes(front)
        for kind, payload in self.sections:
            section = bytes([kind]) + encode_varint(len(payload)) + payload
            out += section + crc_bytes(section)
        return out


def parts_of(data: bytes) -> Parts:
    """Inverse of :meth:`Parts.joined`, of a good file."""
    stop = 6 + data[5]
    reader, sections = ByteReader(data[stop + 4 :]), []
    while reader.left:
        kind = reader.byte("type")
        sections.append((kind, reader.take(reader.varint("length"), "payload")))
        reader.take(4, "checksum")
    return Parts(data[4], data[6:stop], tuple(sections))


# -- good files ------------------------------------------------------------------------------------------
def _texture(*shape: int) -> Any:
    rng = np.random.default_rng(len(shape))
    slope = np.add.outer(np.arange(shape[0]) * 5, np.arange(shape[1]) * 7)[..., None]
    return np.clip(slope + rng.normal(0, 9, shape), 0, 255).astype(np.uint8)


def _photo(path: Path) -> Path:
    Image.fromarray(_texture(20, 27, 3)).save(path.with_suffix(".png"), dpi=(300, 300))
    return path.with_suffix(".png")


def _transparent(path: Path) -> Path:
    Image.fromarray(_texture(12, 18, 4), "RGBA").save(path.with_suffix(".png"))
    return path.with_suffix(".png")


def _drawing(path: Path) -> Path:
    samples = _texture(24, 40, 3)
    samples[:16, :32], samples[:16, 3:32:4] = 30, 220
    Image.fromarray(samples).save(path.with_suffix(".png"))
    return path.with_suffix(".png")


def _recording(path: Path) -> Path:
    import soundfile

    t = np.arange(150)[:, None] / 8000
    with soundfile.SoundFile(path.with_suffix(".wav"), "w", 8000, 2, "PCM_16") as file:
        file.title = "a title"
        file.write(np.sin(t * [900.0, 1300.0]) * 0.5)
    return path.with_suffix(".wav")


def _clip(path: Path) -> Path:
    images = [Image.fromarray(np.roll(_texture(12, 17, 3), i, 1)) for i in range(4)]
    images[0].save(path.with_suffix(".png"), save_all=True, append_images=images[1:], duration=[10, 20, 30, 40], loop=2)
    return path.with_suffix(".png")


def _table(path: Path) -> Path:
    np.save(path.with_suffix(".npy"), np.sin(np.arange(180) / 20).reshape(12, 15).astype(np.float32))
    return path.with_suffix(".npy")


# Decoder → test init, what makes a media file, options of the encoder.
SEEDS: Mapping[str, tuple[str, Callable[[Path], Path], dict[str, Any]]] = {
    "image lattice": ("tiny-lattice", _photo, {"quality": 85, "effort": 1}),
    "overlay": ("tiny-lattice", _drawing, {"quality": 85, "effort": 4}),
    "siren image": ("image", _transparent, {"quality": 40, "effort": 1}),
    "audio": ("audio", _recording, {"quality": 85, "effort": 1}),
    "video": ("video", _clip, {"quality": 90, "effort": 1}),
    "array": ("image", _table, {"quality": 90, "effort": 1}),
}
_PICTURES = ("png", "jpg", "webp", "tif", "bmp", "gif", "npy", "avif")
# Those that start ffmpeg are slow, so they come less often.
OUTPUTS: Mapping[str, tuple[str, ...]] = {
    "image lattice": _PICTURES, "overlay": _PICTURES, "siren image": _PICTURES, "audio": ("wav", "flac", "ogg", "npy"),
    "video": ("gif", "png", "webp", "npy", "gif", "png", "webp", "mp4", "mkv", "webm"), "array": ("npy",),
}  # fmt: skip

# -- what is done to them --------------------------------------------------------------------------------
KEYS = (
    "sar", "dpi", "loop", "durations", "source", "title", "artist", "album", "date", "tracknumber", "genre",
    "copyright", "comment", "license", "software", "-y", "",
)  # fmt: skip
_SIGNS = (",", ":", ";", "/", "=", "[a]", "'", '"', "\\", "\n", "|", " ", "%s", "@", "", "\0")
_ATOMS = (
    "1", "0", "-1", "1e999", "nan", "4294967296", "99999999999999999999", "0.001", "split", "psnr=stats_file=VICTIM",
    "movie=VICTIM", "VICTIM", "../victim.txt", "victim.txt", "-i", "é", "\ud800", "\u202e", "x" * 300, "animation",
)  # fmt: skip
_ATTACKS = (
    "1,split[a][b];[a][b]psnr=stats_file=VICTIM", "1,metadata=print:file=VICTIM", "1:1,drawtext=textfile=VICTIM",
    "4:3", "1:100", "10,20,30,40", "300,300", "65536", "1e6,1e6", "A" * 100_000, "9" * 6000, "1,1,1,1",
    "1," * 5000,
)  # fmt: skip


def _value(rng: random.Random, victim: str) -> str:
    if rng.random() < 0.4:
        return rng.choice(_ATTACKS).replace("VICTIM", victim)
    parts = [rng.choice(_ATOMS) + rng.choice(_SIGNS) for _ in range(rng.choice((1, 2, 4, 8)))]
    return "".join(parts).replace("VICTIM", victim)


Change = Callable[[Parts, Mapping[str, Parts], random.Random, str], tuple[Parts, list[str]]]


def _with(parts: Parts, sections: list[Section]) -> Parts:
    """The file with these sections, and as many of them in the header as there are."""
    flags, rest, axes = parts.fields[0], parts.fields, {0: 2, 1: 1, 2: 3, 3: 1, 4: 2, 5: 3}[parts.fields[0] & 7]
    reader = ByteReader(rest[1:])
    for _ in range(axes + 1):
        reader.varint("samples or shape")
    reader.take(9, "init and quality")
    reader.varint("rows")
    head = rest[1 : len(rest) - reader.left]
    if not flags & 0x40:
        reader.varint("sections")
    tail = reader.rest()
    count = len(sections)
    flags = flags | 0x40 if count == 1 else flags & ~0x40
    return replace(
        parts,
        fields=bytes([flags]) + head + (b"" if count == 1 else encode_varint(count)) + tail,
        sections=tuple(sections),
    )


def _metadata(parts: Parts, kind: int, payload: bytes, rng: random.Random) -> Parts:
    """The payload in place of the file's own metadata of its kind, deflated or not."""
    own = [
        s for s in parts.sections if s[0] != SectionType.METADATA or s[1][:1] not in (bytes([kind]), bytes([kind | 64]))
    ]
    if rng.random() < 0.3:
        deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
        return _with(
            parts, [*own, (SectionType.METADATA, bytes([kind | 64]) + deflate.compress(payload) + deflate.flush())]
        )
    return _with(parts, [*own, (SectionType.METADATA, bytes([kind]) + payload)])


def tags(parts: Parts, _: Mapping[str, Parts], rng: random.Random, victim: str) -> tuple[Parts, list[str]]:
    """One to many tags, of a grammar; the bytes are sometimes damaged too."""
    keys = [rng.choice(KEYS) for _ in range(rng.choice((1, 2, 5, 20)))]
    data = pack_tags((key, _value(rng, victim)) for key in keys)
    return _metadata(parts, 3, _mutated(data, rng) if rng.random() < 0.1 else data, rng), keys


_PAYLOADS = (
    b"", b"II*\0", b"MM\0*\xff\xff\xff\xff", b"II*\0\x08\0\0\0\xff\xff" + bytes(64), bytes(70_000), bytes(1 << 20),
    b"II*\0\x08\0\0\0\x01\0\x69\x87\x04\0\x01\0\0\0\x08\0\0\0\0\0\0\0", b"<x:xmpmeta " + b"<a>" * 500,
    b"II*\0\x08\0\0\0\x02\0\x11\x01\x04\0\x01\0\0\0\xff\xff\xff\x7f\0\x01\x04\0\x01\0\0\0\xff\xff\0\0\0\0\0\0",
)  # fmt: skip


def metadata(parts: Parts, _: Mapping[str, Parts], rng: random.Random, __: str) -> tuple[Parts, list[str]]:
    """ICC, EXIF and XMP that are none."""
    for kind in rng.sample((0, 1, 2), rng.choice((1, 3))):
        parts = _metadata(parts, kind, _mutated(rng.choice(_PAYLOADS), rng), rng)
    return parts, []


def payload(parts: Parts, _: Mapping[str, Parts], rng: random.Random, __: str) -> tuple[Parts, list[str]]:
    """The payload of one section, changed here and there."""
    sections = list(parts.sections)
    i = rng.randrange(len(sections))
    sections[i] = sections[i][0], _mutated(sections[i][1], rng)
    return replace(parts, sections=tuple(sections)), []


def header(parts: Parts, _: Mapping[str, Parts], rng: random.Random, __: str) -> tuple[Parts, list[str]]:
    """The header fields, changed here and there."""
    return replace(parts, fields=_mutated(parts.fields, rng)[:127]), []


def sections(parts: Parts, others: Mapping[str, Parts], rng: random.Random, __: str) -> tuple[Parts, list[str]]:
    """Sections dropped, doubled, in another order, of another type, or from another file."""
    own = list(parts.sections)
    i = rng.randrange(len(own))
    foreign = rng.choice(rng.choice(list(others.values())).sections)
    done = rng.choice((
        own[:i] + own[i + 1 :], own + [own[i]], rng.sample(own, len(own)), [*own, foreign],
        [*own[:i], foreign, *own[i + 1 :]],
        [*own[:i], (rng.choice((1, 2, 3, 4, 5, 0x81, 0x82, 0xFF)), own[i][1]), *own[i + 1 :]],
    ))  # fmt: skip
    return _with(parts, done), []


def sound(parts: Parts, _: Mapping[str, Parts], rng: random.Random, victim: str) -> tuple[Parts, list[str]]:
    """A sound track that is none, or a list of other files."""
    tracks = (
        b"\x1a\x45\xdf\xa3" + rng.randbytes(60),
        b"#EXTM3U\n" + victim.encode(),
        b"ffconcat version 1.0\nfile x",
        b"",
    )
    return _with(parts, [*parts.sections, (SectionType.SOUND, rng.choice(tracks))]), []


def _mutated(data: bytes, rng: random.Random) -> bytes:
    """A few bytes changed, removed or added."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(len(out) + 1)
        how = rng.random()
        if how < 0.7 and at < len(out):
            out[at] = rng.choice((rng.randrange(256), 0, 0xFF, 0x7F, 0x80, out[at] ^ 1 << rng.randrange(8)))
        elif how < 0.85:
            del out[at : at + rng.randrange(1, 4)]
        else:
            out[at:at] = rng.randbytes(rng.randrange(1, 4))
    return bytes(out)


# Tags twice: they reach most of what is not ours.
CHANGES: Mapping[str, Change] = {
    "tags": tags, "more tags": tags, "metadata": metadata, "payload": payload, "header": header, "sections": sections,
    "sound": sound,
}  # fmt: skip
