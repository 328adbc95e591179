"""Small files, and ways to build wrong ones with correct checksums."""

import io
from fractions import Fraction

from nfcodec.container.layout import SIGNATURE, VERSION, Header, SectionType, chunk_payload, crc_bytes, pack_fields
from nfcodec.container.metadata import pack_metadata, pack_tags
from nfcodec.container.reader import Reader
from nfcodec.container.varint import encode_varint
from nfcodec.container.writer import Writer

INIT = bytes.fromhex("c0ffee0123456789")
IMAGE = Header("image", (512, 768), 3, "u8", INIT, 75, 8)
AUDIO = Header("audio", (480_000,), 2, "i16", INIT, 50, 1, rate=Fraction(48_000))
VIDEO = Header("video", (250, 1080, 1920), 3, "u8", INIT, 0, 2, rate=Fraction(30_000, 1001))
ARRAY = Header("array", (20, 30, 40), 1, "f32", INIT, 100, 5, value_range=(-1.5, 2.25))
RGBA = Header("image", (70_000 // 2, 9), 3, "u16", INIT, 1, 300, alpha=True)
HEADERS = (IMAGE, AUDIO, VIDEO, ARRAY, RGBA)


def delta(index, payload=b"\x12\x34\x56"):
    return SectionType.DELTA, chunk_payload(index, payload)


def cells(index, payload=b"\x11\x22"):
    return SectionType.CELLS, chunk_payload(index, payload)


def alpha(index, payload=b"\0\xff"):
    return SectionType.ALPHA, chunk_payload(index, payload)


TAGS = (SectionType.METADATA, pack_metadata("tags", pack_tags([("title", "naïve"), ("", "x" * 40)])))
ICC = (SectionType.METADATA, pack_metadata("icc", bytes(range(40))))
SOUND = (SectionType.SOUND, b"\x1a\x45\xdf\xa3 not really Matroska")


def written(header, *sections):
    out = io.BytesIO()
    with Writer() as writer:
        for kind, payload in sections:
            writer.add(kind, payload)
        size = writer.finish(header, out)
    assert size == len(out.getvalue())
    return out.getvalue()


def image_file():
    return written(IMAGE, delta(0, bytes(range(60))))


def audio_file():
    return written(AUDIO, delta(0), delta(1), delta(2, b""), TAGS)


def video_file():
    return written(VIDEO, ICC, delta(300), delta(2), alpha(2), SOUND)


def raw_front(fields, version=VERSION, length=None):
    front = SIGNATURE + bytes([version, len(fields) if length is None else length]) + fields
    return front + crc_bytes(front)


def raw_section(kind, payload, length=None):
    head = bytes([kind]) + (encode_varint(len(payload)) if length is None else length)
    return head + payload + crc_bytes(head, payload)


def raw_file(*sections, header=IMAGE, count=None):
    """A file of ready-made sections; ``count`` lies about their number."""
    from dataclasses import replace

    return raw_front(pack_fields(replace(header, sections=len(sections) if count is None else count))) + b"".join(
        sections
    )


class Pipe(io.RawIOBase):
    """A stream that cannot seek and returns little at a time."""

    def __init__(self, data):
        self._inner = io.BytesIO(data)

    def readable(self):
        return True

    def seekable(self):
        return False

    def read(self, size=-1):
        return self._inner.read(min(size, 7) if size >= 0 else 7)


def read_all(data, **options):
    reader = Reader(io.BytesIO(data), **options)
    return reader.header, [(s.type, s.payload) for s in reader.sections()]


def read_piped(data, **options):
    reader = Reader(Pipe(data), **options)
    return reader.header, [(s.type, s.payload) for s in reader.sections()]


def read_indexed(data, **options):
    reader = Reader(io.BytesIO(data), **options)
    found = [reader.read(entry) for entry in reversed(reader.index())]
    return reader.header, [(s.type, s.payload) for s in reversed(found)]


WAYS = (read_all, read_piped, read_indexed)
