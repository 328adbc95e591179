import io
import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import replace

import container_files as files
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nfcodec.container import layout
from nfcodec.container.layout import SectionType, chunk_payload, split_chunk
from nfcodec.container.metadata import kind_name
from nfcodec.container.reader import Reader
from nfcodec.container.writer import Writer
from nfcodec.errors import (
    CorruptError,
    FormatError,
    InternalError,
    LimitError,
    NotNfcError,
    OutputError,
    TruncatedError,
)
from nfcodec.limits import Limits

FILES = {"image": files.image_file, "audio": files.audio_file, "video": files.video_file}
ways = pytest.mark.parametrize("read", files.WAYS, ids=["stream", "pipe", "index"])
each_file = pytest.mark.parametrize("make", FILES.values(), ids=FILES)


@ways
@pytest.mark.parametrize("header", files.HEADERS, ids=lambda h: h.modality)
def test_headers_round_trip(read, header):
    sections = [files.delta(0), files.TAGS]
    for count in range(3):
        found, payloads = read(files.written(header, *sections[:count]))
        assert found == replace(header, sections=count)
        assert payloads == sections[:count]


@ways
def test_sections_round_trip(read):
    _, payloads = read(files.video_file())
    assert payloads == [files.ICC, files.delta(300), files.delta(2), files.alpha(2), files.SOUND]


def test_overhead_of_a_plain_picture_is_35_bytes():
    payload = bytes(20_000)
    assert len(files.written(files.IMAGE, files.delta(0, payload))) - len(payload) == 35
    largest = replace(files.IMAGE, shape=(16_383, 16_383), quality=100, chunk_rows=127)
    assert len(files.written(largest, files.delta(0, bytes(2**21 - 2)))) - (2**21 - 2) == 35


def test_index_tells_where_everything_is():
    data = files.video_file()
    reader = Reader(io.BytesIO(data))
    entries = reader.index()
    assert [e.first for e in entries] == [files.ICC[1][0], 300, 2, 2, None]
    assert kind_name(entries[0].first) == "icc"
    assert entries[-1].offset + entries[-1].size == len(data)
    assert sum(e.size for e in entries) == len(data) - entries[0].offset
    assert reader.read(entries[1]).payload == files.delta(300)[1]


def test_file_need_not_start_at_zero():
    file = io.BytesIO(b"junk" + files.video_file())
    file.seek(4)
    reader = Reader(file)
    assert len(list(reader.sections())) == len(reader.index()) == 5


def test_reading_between_the_sections_does_not_disturb():
    reader = Reader(io.BytesIO(files.video_file()))
    entries = reader.index()
    types = []
    for section in reader.sections():
        types.append(section.type)
        reader.read(entries[0])
    assert types == [e.type for e in entries]


def test_unknown_ancillary_sections_are_skipped():
    data = files.raw_file(files.raw_section(0xF0, b"later"), files.raw_section(*files.delta(0)))
    for read in files.WAYS:
        assert read(data)[1] == [files.delta(0)]


def test_second_pass_over_a_pipe():
    reader = Reader(files.Pipe(files.image_file()))
    list(reader.sections())
    with pytest.raises(InternalError):
        list(reader.sections())


@ways
@each_file
def test_every_truncation_is_a_format_error(make, read):
    data = make()
    for length in range(len(data)):
        with pytest.raises(NotNfcError if length == 0 else TruncatedError):
            read(data[:length])


@ways
@each_file
def test_every_bit_flip_is_a_format_error(make, read):
    data = make()
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FormatError):
            read(bytes(flipped))


@ways
@each_file
def test_every_byte_set_to_extremes_is_a_format_error(make, read):
    data = make()
    for position in range(len(data)):
        for value in (0x00, 0x0A, 0x7F, 0xFF):
            if data[position] != value:
                with pytest.raises(FormatError):
                    read(data[:position] + bytes([value]) + data[position + 1 :])


@ways
def test_line_ends_rewritten_in_transfer(read):
    for old, new in ((b"\n", b"\r\n"), (b"\n", b"\r")):
        with pytest.raises(NotNfcError):
            read(files.image_file().replace(old, new))


mutation = st.tuples(
    st.sampled_from(["flip", "insert", "delete", "set"]), st.integers(0, 10_000), st.integers(0, 255), st.integers(1, 4)
)


def mutated(data, changes):
    out = bytearray(data)
    for what, where, value, count in changes:
        where %= max(1, len(out))
        if what == "flip" and out:
            out[where] ^= 1 << value % 8
        elif what == "set" and out:
            out[where] = value
        elif what == "insert":
            out[where:where] = bytes([value]) * count
        elif what == "delete":
            del out[where : where + count]
    return bytes(out)


@settings(max_examples=300, deadline=None)
@given(st.lists(mutation, min_size=1, max_size=4), st.lists(mutation, max_size=2), st.integers(0, 3), st.data())
def test_mutations_with_repaired_checksums_raise_only_our_errors(in_header, in_section, count, data):
    """The checksum would hide the parsers behind it, so it is made to fit again."""
    header = data.draw(st.sampled_from(files.HEADERS))
    fields = mutated(layout.pack_fields(replace(header, sections=count)), in_header)[:127]
    kinds = st.sampled_from([1, 2, 3, 0x81, 0x82, 0xF0])
    sections = [files.raw_section(data.draw(kinds), mutated(files.ICC[1], in_section)) for _ in range(count)]
    for read in files.WAYS:
        with suppress(FormatError, LimitError):
            read(files.raw_front(fields) + b"".join(sections))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80))
def test_any_bytes_after_the_signature_raise_only_our_errors(data):
    for read in files.WAYS:
        with pytest.raises((FormatError, LimitError)):
            read(layout.SIGNATURE + data)


@ways
@pytest.mark.parametrize("size", [99, 100, 101])
def test_section_limit(size, read):
    data = files.written(files.IMAGE, files.delta(0, bytes(size - 1)))
    limits = Limits(max_section=100)
    if size > 100:
        with pytest.raises(LimitError, match="max_section"):
            read(data, limits=limits)
    else:
        assert len(read(data, limits=limits)[1][0][1]) == size


LIMITS = {
    "max_pixels": (files.IMAGE, 512 * 768),
    "max_dimension": (files.IMAGE, 768),
    "max_frames": (files.VIDEO, 250),
    "max_samples": (files.AUDIO, 480_000),
    "max_channels": (files.AUDIO, 2),
    "max_array": (files.ARRAY, 24_000),
}


@pytest.mark.parametrize(("name", "value"), LIMITS.items(), ids=LIMITS)
@pytest.mark.parametrize("slack", [-1, 0, 1])
def test_header_limits(name, value, slack):
    header, exact = value
    data = files.written(header)
    limits = Limits(**{name: exact + slack})
    if slack < 0:
        with pytest.raises(LimitError, match=name):
            Reader(io.BytesIO(data), limits=limits)
    else:
        assert Reader(io.BytesIO(data), limits=limits).header == header


def test_chunk_payloads():
    assert split_chunk(chunk_payload(300, b"abc")) == (300, b"abc")
    with pytest.raises(TruncatedError):
        split_chunk(b"\x80")


def test_writer_refuses_a_second_section_for_a_chunk():
    with Writer() as writer:
        writer.add(*files.delta(1))
        writer.add(*files.alpha(1))
        with pytest.raises(InternalError):
            writer.add(*files.delta(1))
        assert writer.sections == 2


@pytest.mark.parametrize(
    "change",
    [
        {"modality": "smell"},
        {"shape": (1,)},
        {"shape": (0, 4)},
        {"channels": 0},
        {"sample_type": "u7"},
        {"init": b"abc"},
        {"quality": 101},
        {"quality": -1},
        {"chunk_rows": 0},
        {"rate": files.AUDIO.rate * 0},
        {"value_range": (1.0, 0.0)},
        {"value_range": (0.0, float("nan"))},
        {"version": 2},
    ],
    ids=str,
)
def test_writer_refuses_impossible_headers(change):
    with Writer() as writer, pytest.raises(InternalError):
        writer.finish(replace(files.IMAGE, **change), io.BytesIO())


def test_spool_goes_to_disk_and_disappears(tmp_path):
    payload = os.urandom(3 << 20)
    out = io.BytesIO()
    with Writer(tmp_path) as writer:
        writer.add(*files.delta(0, payload))
        writer.add(*files.delta(1, b"x"))
        writer.finish(files.IMAGE, out)
    assert not list(tmp_path.iterdir())
    assert files.read_all(out.getvalue())[1] == [files.delta(0, payload), files.delta(1, b"x")]


def test_spool_disappears_after_an_error(tmp_path):
    writer = Writer(tmp_path)
    with writer:
        writer.add(*files.delta(0, bytes(3 << 20)))
        with pytest.raises(InternalError):
            writer.add(*files.delta(0))
    assert not list(tmp_path.iterdir())
    writer.close()


def test_a_full_disk_is_an_output_error(monkeypatch):
    class Full(io.BytesIO):
        def write(self, data):
            raise OSError(28, "No space left on device")

    with Writer() as writer, pytest.raises(OutputError, match="No space"):
        writer.finish(files.IMAGE, Full())
    monkeypatch.setattr(tempfile, "SpooledTemporaryFile", lambda *a, **k: Full())
    with Writer() as writer, pytest.raises(OutputError):
        writer.add(*files.delta(0))


def test_container_imports_neither_torch_nor_numpy():
    code = (
        "import sys, nfcodec.container.reader, nfcodec.container.writer, nfcodec.container.metadata\n"
        "assert not {'numpy', 'torch', 'constriction'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_sample_types_are_those_of_signals():
    from nfcodec.signal import MODALITIES, SAMPLE_TYPES

    assert layout._SAMPLE_TYPES == SAMPLE_TYPES
    assert {name for name, _ in layout._SHAPES} == set(MODALITIES)


def test_section_types_say_whether_they_may_be_skipped():
    ancillary = [kind for kind in SectionType if kind & layout.ANCILLARY]
    assert ancillary == [SectionType.METADATA, SectionType.SOUND, SectionType.SILENCE]


def test_a_section_that_changes_between_index_and_read():
    file = io.BytesIO(files.raw_file(files.raw_section(*files.delta(0))))
    reader = Reader(file)
    entry = reader.index()[0]
    file.seek(entry.offset)
    file.write(files.raw_section(*files.alpha(0, b"\0\xff\0")))
    with pytest.raises(CorruptError, match="changed"):
        reader.read(entry)
