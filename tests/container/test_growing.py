"""Files that are read while they grow: at every byte they are what was complete, or nothing."""

import io
from fractions import Fraction

import container_files as files
import pytest

from nfcodec.container.growing import GrowingWriter
from nfcodec.container.layout import Header, SectionType, length_payload, split_length
from nfcodec.container.reader import Reader
from nfcodec.errors import CorruptError, FormatError, InternalError, TruncatedError, UnsupportedFeatureError

HEADER = Header(
    "audio", (1,), 2, "i16", b"12345678", 60, 4, rate=Fraction(8000), growing=True
)  # fmt: skip
LENGTHS = (100, 250, 400)


def grown(told=None):
    out = io.BytesIO()
    with GrowingWriter(out, HEADER, told) as writer:
        for chunk, length in enumerate(LENGTHS):
            writer.add(*files.delta(chunk, bytes([chunk]) * 50))
            if chunk < 2:
                writer.grown(length)
        size = writer.end(LENGTHS[-1])
    assert size == len(out.getvalue())
    return out.getvalue()


def test_a_finished_file_knows_its_length():
    reader = Reader(io.BytesIO(grown()))
    assert reader.header.shape == (400,) and reader.header.growing and not reader.unfinished
    entries = reader.index()
    assert [(e.type, e.first) for e in entries] == [(SectionType.DELTA, i) for i in range(3)]
    assert [s.payload for s in reader.sections()] == [reader.read(e).payload for e in entries]


def test_at_every_byte_it_is_what_was_complete():
    data, ends = grown(), []
    heard = []
    grown(heard.append)
    assert heard == list(LENGTHS)
    for size in range(1, len(data)):
        try:
            reader = Reader(io.BytesIO(data[:size]))
        except TruncatedError:
            assert not ends
            continue
        assert reader.unfinished
        length, entries = reader.header.shape[0], reader.index()
        assert len(entries) == LENGTHS.index(length) + 1
        assert len(list(reader.sections())) == len(entries)
        ends.append(length)
    assert ends == sorted(ends) and set(ends) == set(LENGTHS[:2])


def test_every_bit_flip_is_a_format_error_or_a_shorter_file():
    """A length that points beyond the end looks like a section that is being written."""
    data = grown()
    for at in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[at // 8] ^= 1 << at % 8
        try:
            reader = Reader(io.BytesIO(bytes(flipped)))
            sections = list(reader.sections())
        except FormatError:
            continue
        assert reader.unfinished and len(sections) < 3


@pytest.mark.parametrize(
    ("tail", "error"),
    [
        ([(SectionType.LENGTH, length_payload(90, last=False))], CorruptError),
        ([(SectionType.LENGTH, length_payload(100, last=False))], CorruptError),
        ([(SectionType.LENGTH, b"\x00\x00")], CorruptError),
        ([(SectionType.LENGTH, b"\x70\x02")], CorruptError),
        ([(SectionType.LENGTH, b"\x70")], FormatError),
        ([(SectionType.LENGTH, length_payload(100, last=True)), (SectionType.DELTA, b"\x07x")], CorruptError),
    ],
)
def test_lies(tail, error):
    out = io.BytesIO()
    with GrowingWriter(out, HEADER) as writer:
        writer.add(*files.delta(0))
        writer.grown(100)
    data = out.getvalue() + b"".join(files.raw_section(kind, payload) for kind, payload in tail)
    with pytest.raises(error):
        list(Reader(io.BytesIO(data)).sections())


def test_length_sections_are_of_growing_files():
    data = files.raw_file(files.raw_section(SectionType.LENGTH, length_payload(5, last=True)))
    with pytest.raises(CorruptError, match="does not grow"):
        list(Reader(io.BytesIO(data)).sections())


def test_a_pipe_cannot_be_looked_through():
    with pytest.raises(UnsupportedFeatureError, match="pipe"):
        Reader(files.Pipe(grown()))


def test_nothing_is_written_before_a_chunk_is_complete():
    out = io.BytesIO()
    with GrowingWriter(out, HEADER) as writer:
        writer.add(*files.delta(0))
        assert not out.getvalue()
        with pytest.raises(InternalError):
            writer.finish(HEADER, out)


@pytest.mark.parametrize(("length", "last"), [(1, False), (127, True), (1 << 40, False)])
def test_lengths_round_trip(length, last):
    assert split_length(length_payload(length, last=last)) == (length, last)
