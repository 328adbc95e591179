"""Files that end too early, and what can still be seen of them."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from helpers import STAND_INS, MemorySource, memory, moving, opened, pack, painting, psnr_of, sound, with_region

from nfcodec.container.layout import CRC_BYTES, SIGNATURE, SectionType, crc_bytes, pack_fields
from nfcodec.container.reader import Reader
from nfcodec.container.writer import Writer
from nfcodec.errors import CorruptError, FormatError, TruncatedError
from nfcodec.lattice.fit import coded
from nfcodec.lattice.renderer import LatticeRenderer
from nfcodec.lattice.space import section_run
from nfcodec.options import DecodeOptions
from nfcodec.signal import Metadata

KIND = "tiny-lattice"
SIZE = (45, 70)  # 2 × 3 regions
PICTURE = np.clip(painting(*SIZE, 2) + np.random.default_rng(0).normal(0, 9, (*SIZE, 1)), 0, 255).astype(np.uint8)


@pytest.fixture(autouse=True)
def small_regions(monkeypatch):
    monkeypatch.setitem(STAND_INS, "tiny-lattice", with_region("tiny-lattice", 4, 4))
    monkeypatch.setattr(coded, "SPLIT_FROM", 0)


@pytest.fixture
def data():
    source = memory("image", PICTURE)
    alpha = np.full(SIZE, 99, np.uint8)
    source = MemorySource(replace(source.info, alpha=True), source.values, alpha, Metadata(xmp=b"<x/>"))
    return pack(source, KIND, quality=95, effort=1)[0]


def seen(data, **options):
    """Values and alpha of what is there."""
    blocks = list(opened(data, KIND, partial=True).blocks(DecodeOptions(**options)))
    return np.concatenate([b.values for b in blocks]), np.concatenate([b.alpha for b in blocks])


def quality_of(values):
    return psnr_of(np.clip(values, 0, 1) * 255, PICTURE, 255)


def body(data):
    """Where the first section starts."""
    return 6 + data[5] + CRC_BYTES


def ends(data):
    """Where each section ends, and what it is."""
    return [(e.offset + e.size, e) for e in opened(data, KIND).index]


def front(header, count):
    """The bytes before the first section of a file of ``count`` sections."""
    fields = pack_fields(replace(header, sections=count))
    start = SIGNATURE + bytes([header.version, len(fields)]) + fields
    return start + crc_bytes(start)


def rearranged(data, order):
    """The same sections in another order; ``order`` gives the old numbers, some perhaps twice or not at all."""
    reader, out = Reader(io.BytesIO(data)), io.BytesIO()
    sections = list(reader.sections())
    with Writer() as writer:
        for number in order:
            writer.add(SectionType(sections[number].type), sections[number].payload)
        writer.finish(reader.header, out)
    return out.getvalue()


def test_whole_files_are_what_they_are(data):
    values, alpha = seen(data)
    blocks = list(opened(data, KIND).blocks(DecodeOptions()))
    np.testing.assert_array_equal(values, np.concatenate([b.values for b in blocks]))
    np.testing.assert_array_equal(alpha, 99)


def test_more_layers_more_quality(data):
    """By layers of the whole picture, and section by section."""
    last, by_layer = 0.0, {}
    for end, entry in ends(data):
        if entry.type == SectionType.CELLS:
            now = quality_of(seen(data[:end])[0])
            assert now > last - 0.3  # a region may differ from what its neighbours expect
            last = now
            by_layer[section_run(entry.first)[2]] = now
    assert by_layer[0] + 1 < by_layer[1] and by_layer[1] + 0.5 < by_layer[2]
    assert by_layer[2] == quality_of(seen(data)[0]) > 30


def test_every_truncation_shows_a_picture(data):
    """From the end of the header on nothing is refused, and only whole sections count."""
    steps = [body(data), *(end for end, _ in ends(data))]
    values, alpha = seen(data[: steps[0]])
    for length in range(steps[0], len(data)):
        decoder = opened(data[:length], KIND, partial=True)
        assert len(decoder.index) == sum(step <= length for step in steps[1:])
        assert decoder.metadata.xmp == (b"<x/>" if length >= steps[-1] else b"")
        if length in steps:
            values, alpha = seen(data[:length])
        elif length % 97 == 0:
            now = seen(data[:length])
            np.testing.assert_array_equal(now[0], values)
            np.testing.assert_array_equal(now[1], alpha)
            assert np.isfinite(values).all() and values.shape == (*SIZE, 3)
    for length in range(steps[0]):
        with pytest.raises(FormatError):
            opened(data[:length], KIND, partial=True)


def test_nothing_there_is_the_mean(data):
    values, alpha = seen(data[: body(data)])
    decoder = opened(data, KIND)
    spaces = decoder.field.spaces

    def zeros(region, level):
        return np.zeros((3, 64, *spaces[level].box(region).shape), np.int32)

    nothing = LatticeRenderer(decoder.init, spaces, decoder.header.quality, decoder.info, zeros)

    native = [np.arange(n) + 0.5 for n in SIZE]
    np.testing.assert_allclose(values, nothing.render(native), atol=2e-6)
    assert np.abs(values - 0.5).max() < 0.2 and (alpha == 255).all()


def test_a_missing_region_leaves_the_others_alone(data):
    whole = seen(data)[0]
    kept = [i for i, (_, e) in enumerate(ends(data)) if e.type != SectionType.CELLS or section_run(e.first)[0] != 4]
    part = seen(rearranged(data, kept))[0]
    apart = np.abs(part - whole).max(-1)
    assert apart[32:, 32:64].mean() > 0.02
    apart[28:, 28:68] = 0.0  # it reaches four pixels into its neighbours
    assert apart.max() < 2e-6


def test_layers_after_a_missing_one_wait(data):
    """Without the second layer the third cannot be decoded."""
    layers = [section_run(e.first)[2] if e.type == SectionType.CELLS else -1 for _, e in ends(data)]
    first = [i for i, layer in enumerate(layers) if layer == 0]
    third = [i for i, layer in enumerate(layers) if layer == 2]
    np.testing.assert_array_equal(seen(rearranged(data, [*first, *third]))[0], seen(rearranged(data, first))[0])
    with pytest.raises(CorruptError, match="2 layers of region 0"):
        opened(rearranged(data, [*first, *third, *(i for i, layer in enumerate(layers) if layer < 0)]), KIND)


def test_sections_in_any_order(data):
    """The order is for progressive decoding only; any prefix of any order shows a picture."""
    count = len(ends(data))
    order = np.random.default_rng(3).permutation(count).tolist()
    mixed = rearranged(data, order)
    assert opened(mixed, KIND).digest() == opened(data, KIND).digest()
    np.testing.assert_array_equal(seen(mixed)[0], seen(data)[0])
    for end, _ in ends(mixed):
        assert np.isfinite(seen(mixed[:end])[0]).all()


def test_parts_of_a_truncated_file(data):
    cut = data[: len(data) // 2]
    whole, alpha = seen(cut)
    np.testing.assert_allclose(seen(cut, crop=(20, 10, 40, 35))[0], whole[10:45, 20:60], atol=2e-6)
    assert seen(cut, scale=2)[0].shape == (90, 140, 3) and alpha.shape == SIZE


def test_without_being_asked_it_is_an_error(data):
    for length in (body(data), len(data) // 2, len(data) - 1):
        with pytest.raises(TruncatedError):
            opened(data[:length], KIND)


def test_damage_is_no_truncation(data):
    """Partial decoding forgives what is missing, not what is wrong."""
    damaged = bytearray(data)
    damaged[ends(data)[2][0] - 6] ^= 1
    with pytest.raises(FormatError, match="CRC-32"):
        seen(bytes(damaged))
    with pytest.raises(CorruptError, match="after the last"):
        seen(data + b"\0")
    header, (_, first) = opened(data, KIND).header, ends(data)[0]
    twice = data[first.offset : first.offset + first.size] + data[body(data) :]
    with pytest.raises(CorruptError, match="second section"):
        seen(front(header, header.sections + 1) + twice[:-20])


@pytest.mark.parametrize("kind", ["image", "audio", "video"])
def test_modules_too(kind, monkeypatch):
    """Chunks that are missing are the mean signal."""
    from nfcodec.modules.fit import encode

    monkeypatch.setattr(encode, "CHUNK_MODULES", 6)
    signal = {"image": PICTURE, "audio": sound(900, 2), "video": moving(9, 16, 24)}[kind]
    full, _ = pack(memory(kind, signal), kind, effort=1)
    decoder = opened(full, kind)
    assert decoder.chunks > 2
    whole = np.concatenate([b.values for b in decoder.blocks(DecodeOptions())])
    end, rows = decoder.index[1].offset + decoder.index[1].size, 2 * decoder.chunk_length
    for length in (end, end + 3, len(full) - 1):
        part = opened(full[:length], kind, partial=True)
        values = np.concatenate([b.values for b in part.blocks(DecodeOptions())])
        assert values.shape == whole.shape and np.isfinite(values).all()
        np.testing.assert_allclose(values[:rows], whole[:rows], atol=2e-6)
        with pytest.raises(TruncatedError):
            opened(full[:length], kind)
    assert not part.symbols(part.chunks - 1).any()
