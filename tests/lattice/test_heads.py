"""Heads of Y: how those of blocks are coded, where blocks lie, and what a reader refuses."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import (
    STAND_INS,
    decode_array,
    init,
    memory,
    opened,
    pack,
    painting,
    psnr_of,
    rewritten,
    unpack,
    with_region,
)
from hypothesis import given
from hypothesis import strategies as st
from reference_heads import reference_heads

from nfcodec import api
from nfcodec.container.layout import SIGNATURE, SectionType, chunk_payload, crc_bytes, pack_fields
from nfcodec.container.reader import Reader
from nfcodec.errors import ChecksumError, CorruptError, FormatError, LimitError
from nfcodec.lattice.filtering import MOST_HEADS
from nfcodec.lattice.fit import encode
from nfcodec.lattice.heads import BLOCK, PictureHeads, blocks, decode_heads, encode_heads
from nfcodec.lattice.space import Space
from nfcodec.limits import Limits

KIND = "filtered-lattice"
GOLDEN = Path(__file__).parents[1] / "golden"
EXPECTED = json.loads((GOLDEN / "expected.json").read_text())
SHAPES = [(1, 1), (1, 2), (1, 9), (2, 1), (9, 1), (2, 2), (3, 7), (7, 3), (16, 16), (5, 32)]


def random_heads(shape, count=MOST_HEADS, seed=0):
    heads = np.random.default_rng(seed).integers(0, count, shape).astype(np.uint8)
    heads[-1, -1] = heads[-1, -1] or 1
    return heads


def patches(shape, count=MOST_HEADS):
    """Heads that are alike over some blocks."""
    y, x = np.indices(shape)
    return ((y // 5 + x // 3 + 1) % count).astype(np.uint8)


# -- coding ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("count", [2, 3, MOST_HEADS])
@pytest.mark.parametrize("make", [random_heads, patches])
def test_there_and_back(shape, count, make):
    heads = make(shape, count)
    payload = encode_heads(heads)
    found = decode_heads(payload, shape, count)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, heads)
    reference = reference_heads(payload, *shape)
    assert [reference[at] for at in np.ndindex(shape)] == heads.ravel().tolist()


def test_one_block_of_many_costs_little():
    heads = np.zeros((32, 32), np.uint8)
    heads[17, 5] = 6
    assert len(encode_heads(heads)) <= 8
    assert len(encode_heads(np.full((32, 32), 6, np.uint8))) <= 8
    assert len(encode_heads(patches((32, 32)))) < len(encode_heads(random_heads((32, 32)))) / 2
    assert len(encode_heads(random_heads((32, 32)))) < 1.25 * 32 * 32 * 3 / 8


def test_many_blocks_of_few_kinds_reach_the_largest_counts():
    """So many that counts are halved."""
    heads = np.zeros((40, 60), np.uint8)
    heads[20:, 30:] = 3
    payload = encode_heads(heads)
    assert reference_heads(payload, 40, 60) == {at: int(h) for at, h in np.ndenumerate(heads)}
    np.testing.assert_array_equal(decode_heads(payload, (40, 60), 4), heads)


@pytest.mark.parametrize("count", [2, 3, 7])
def test_heads_that_do_not_exist_are_refused(count):
    heads = patches((4, 6), count)
    heads[2, 3] = count
    payload = encode_heads(heads)
    np.testing.assert_array_equal(decode_heads(payload, (4, 6), count + 1), heads)
    with pytest.raises(CorruptError, match=f"heads up to {count}, there are {count}"):
        decode_heads(payload, (4, 6), count)


@pytest.mark.parametrize("shape", SHAPES)
def test_nothing_but_zeros_is_refused(shape):
    with pytest.raises(CorruptError, match="all 0 has no section"):
        decode_heads(encode_heads(np.zeros(shape, np.uint8)), shape, 8)


@given(st.data())
def test_any_change_decodes_or_is_corrupt(data):
    shape = 9, 11
    payload = bytearray(encode_heads(patches(shape)))
    payload[data.draw(st.integers(0, len(payload) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        found = decode_heads(bytes(payload), shape, 5)
    except CorruptError:
        return
    assert found.shape == shape and 0 < found.max() < 5


def test_what_is_cut_or_longer_is_corrupt():
    payload = encode_heads(random_heads((9, 11), 3))
    for wrong in (payload[1:], payload[:9], payload + b"\0", payload + b"\1", b"", b"\xff" * 16):
        with pytest.raises(CorruptError):
            decode_heads(wrong, (9, 11), 3)
    for shape in ((9, 10), (8, 11), (11, 9)):
        with pytest.raises(CorruptError):
            decode_heads(payload, shape, 3)


def test_limits_hold():
    heads = random_heads((9, 11))
    with pytest.raises(LimitError):
        decode_heads(encode_heads(heads), heads.shape, 8, limits=Limits(max_symbols=90))


# -- places ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("spacing", [8, 12, 16])
@pytest.mark.parametrize("cells", [(21, 13), (8, 4), (9, 1), (3, 30)])
def test_squares_have_the_heads_of_their_blocks(spacing, cells):
    """Square by square, over chunks of two rows of blocks of which some have none."""
    space = Space(cells, (8, 12))
    chunks = [None if y == 1 else random_heads((blocks(min(8, cells[0] - 8 * y)), blocks(cells[1])), 8, y)
              for y in range(space.rows)]  # fmt: skip
    picture = PictureHeads(space, (spacing, spacing), lambda y: chunks[y])
    assert [picture.shape(y) for y in range(space.rows)] == [
        (-(-min(8, cells[0] - 8 * y) // 4), -(-cells[1] // 4)) for y in range(space.rows)
    ]  # fmt: skip
    height, width = (n * spacing for n in cells)

    def head(y, x):
        row, column = y // spacing, x // spacing
        own = chunks[row // 8]
        return 0 if own is None else own[row % 8 // BLOCK, column // BLOCK]

    whole = picture.of_squares([(0, height), (0, width)])
    assert whole.dtype == np.uint8 and whole.shape == (height // 2, width // 2)
    expected = np.array([[head(y, x) for x in range(0, width, 2)] for y in range(0, height, 2)])
    np.testing.assert_array_equal(whole, expected)
    for rows, columns in (
        ((0, 2), (0, 2)),
        ((height - 2, height), (width - 2, width)),
        ((height // 4 * 2, height), (2, width)),
    ):
        found = picture.of_squares([rows, columns])
        part = expected[rows[0] // 2 : rows[1] // 2, columns[0] // 2 : columns[1] // 2]
        if part.any():
            np.testing.assert_array_equal(found, part)
        else:
            assert found is None


def test_squares_of_chunks_without_heads_have_none():
    picture = PictureHeads(Space((16, 8), (8, 8)), (8, 8), lambda y: np.ones((2, 2), np.uint8) if y else None)
    assert picture.of_squares([(0, 64), (0, 64)]) is None
    np.testing.assert_array_equal(picture.of_squares([(62, 66), (0, 4)]), [[0, 0], [1, 1]])


def test_only_the_chunks_that_are_seen_are_asked_for():
    asked = []
    picture = PictureHeads(Space((40, 8), (8, 8)), (8, 8), lambda y: asked.append(y))
    picture.of_squares([(64, 192), (0, 64)])
    assert asked == [1, 2]


# -- files -----------------------------------------------------------------------------------------------
SIZE = (75, 70)  # 3 × 3 regions


@pytest.fixture
def small_regions(monkeypatch):
    monkeypatch.setitem(STAND_INS, KIND, with_region(KIND, 4, 4))


def heads_of(data):
    """The chunks that have heads."""
    return [e.first for e in Reader(io.BytesIO(data)).index() if e.type == SectionType.HEADS]


def without_heads(data):
    return rewritten(data, lambda sections: [s for s in sections if s[0] != SectionType.HEADS])


def made(effort=5, quality=85, seed=12, shape=SIZE):
    return pack(memory("image", painting(*shape, seed)), KIND, quality=quality, effort=effort, tune="psnr")


@pytest.fixture(scope="module")
def coded():
    """A file of regions that chose heads of their own, and what the encoder says of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(STAND_INS, KIND, with_region(KIND, 4, 4))
        return made()


def test_an_encoded_file_has_the_psnr_and_the_digest_that_were_reported(coded, small_regions, tmp_path):
    data, encoded = coded
    assert heads_of(data)
    (tmp_path / "a.nfc").write_bytes(data)
    found = decode_array(tmp_path / "a.nfc", KIND)
    assert encoded.psnr == pytest.approx(psnr_of(found, painting(*SIZE, 12), 255), abs=1e-6)
    assert api.verify(tmp_path / "a.nfc", init=init(KIND)).digest == encoded.digest
    assert data == made()[0] and len(data) == encoded.bytes
    decoder = opened(data, KIND)
    kinds = {int(h) for y in heads_of(data) for h in decoder.field._heads.chunk(y).ravel()}
    assert len(kinds) > 1


def test_heads_are_of_use(coded, small_regions):
    """The same symbols without them are farther from the picture."""
    data, encoded = coded
    shown = [
        psnr_of(np.clip(unpack(d, KIND), 0, 1) * 255, painting(*SIZE, 12), 255) for d in (data, without_heads(data))
    ]
    assert shown[0] > shown[1] + 0.03


def test_the_digest_sees_heads(coded, small_regions):
    def digest(change=None):
        decoder = opened(data, KIND)
        if change is not None:
            decoder.field._heads.chunk(chunk)[0, change] ^= 1
        return decoder.digest()[0]

    data, [chunk, *_] = coded[0], heads_of(coded[0])
    assert len({digest(), digest(0), digest(1), opened(without_heads(data), KIND).digest()[0]}) == 4


@pytest.mark.parametrize("crop", [(0, 0, 70, 75), (13, 21, 30, 25), (31, 30, 3, 3), (66, 71, 4, 4)])
def test_a_crop_is_that_of_the_whole(coded, small_regions, crop):
    x, y, width, height = crop
    part, whole = unpack(coded[0], KIND, crop=crop), unpack(coded[0], KIND)
    np.testing.assert_array_equal(part, whole[y : y + height, x : x + width])


def test_enlarged_crops_are_those_of_the_whole(coded, small_regions):
    whole, plain = (unpack(d, KIND, scale=2.0) for d in (coded[0], without_heads(coded[0])))
    part = unpack(coded[0], KIND, scale=2.0, crop=(13, 21, 30, 25))
    np.testing.assert_allclose(part, whole[42:92, 26:86], atol=2e-6)
    assert np.abs(whole - plain).max() > 1e-3


def test_regions_choose_alone_and_show_together(small_regions):
    """A file whose regions are one picture: the second row of regions has no heads, the third has."""
    chosen = np.arange(6, dtype=np.uint8).reshape(2, 3) % 3
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encode, "chunk_heads", lambda *_: (chosen[:1], None, chosen[1:]))
        data, encoded = made(effort=1)
    assert heads_of(data) == [0, 2]
    assert opened(data, KIND).digest()[0] == encoded.digest
    plain = unpack(without_heads(data), KIND)
    changed = np.abs(unpack(data, KIND) - plain).max(-1) > 0
    # Blocks of 32 × 32 samples; those with head 0 are what they were.
    for y, heads in ((0, chosen[0]), (1, (0, 0, 0)), (2, chosen[1])):
        for x, head in enumerate(heads):
            assert changed[32 * y : 32 * y + 32, 32 * x : 32 * x + 32].any() == (head > 0)


def test_efforts_without_rounds_have_none(small_regions):
    assert not heads_of(made(effort=1)[0])


def test_the_perceptual_tune_has_none(small_regions):
    data, _ = pack(memory("image", painting(*SIZE, 12)), KIND, quality=85, effort=5, tune="perceptual")
    assert not heads_of(data)
    lie = rewritten(data, lambda sections: [*sections, (SectionType.HEADS, heads_payload(0))])
    with pytest.raises(CorruptError, match="HEADS section with init .*, which has none"):
        opened(lie, KIND)


# -- damage ----------------------------------------------------------------------------------------------
def heads_payload(chunk, heads=((1, 0, 2),)):
    return chunk_payload(chunk, encode_heads(np.array(heads, np.uint8)))


def with_section(data, *payloads):
    """The file with other HEADS sections."""
    return rewritten(without_heads(data), lambda sections: [*((SectionType.HEADS, p) for p in payloads), *sections])


def doubled(data):
    """The file with its first section once more at the end."""
    reader = Reader(io.BytesIO(data))
    first, header = reader.index()[0], reader.header
    fields = pack_fields(replace(header, sections=header.sections + 1))
    start = SIGNATURE + bytes([header.version, len(fields)]) + fields
    return start + crc_bytes(start) + data[first.offset :] + data[first.offset : first.offset + first.size]


def test_sections_may_come_in_any_order(coded, small_regions):
    data = coded[0]
    last = rewritten(data, lambda sections: sorted(sections, key=lambda s: s[0] == SectionType.HEADS))
    np.testing.assert_array_equal(unpack(last, KIND), unpack(data, KIND))
    assert opened(last, KIND).digest() == opened(data, KIND).digest()


@pytest.mark.parametrize("chunk", [3, 4, 1000, 2**61])
def test_chunks_that_do_not_exist(coded, small_regions, chunk):
    assert unpack(with_section(coded[0], heads_payload(2)), KIND).shape == (*SIZE, 3)
    for options in ({}, {"partial": True}):
        with pytest.raises(CorruptError, match=f"HEADS section {chunk} of a picture of 3 rows of regions"):
            opened(with_section(coded[0], heads_payload(2), heads_payload(chunk)), KIND, **options)


def test_second_sections_of_a_chunk(coded, small_regions):
    with pytest.raises(CorruptError, match="second section of type 0x09 for chunk 1"):
        opened(doubled(with_section(coded[0], heads_payload(1))), KIND)


@pytest.mark.parametrize(("payload", "words"), [
    (heads_payload(0, [[3, 0, 1]]), "heads up to 3, there are 3"), (heads_payload(0, [[0, 0, 0]]), "all 0"),
    (heads_payload(0, [[1, 0, 2], [2, 2, 1]]), "coded payload of 3 bytes is not the 1 "),
    (chunk_payload(0, b""), "a head is spelled"), (chunk_payload(0, b"\xff" * 9), "range coder"),
])  # fmt: skip
def test_payloads_that_no_writer_makes(coded, small_regions, tmp_path, payload, words):
    data = with_section(coded[0], payload)
    (tmp_path / "a.nfc").write_bytes(data)
    with pytest.raises(CorruptError, match=words):
        api.verify(tmp_path / "a.nfc", init=init(KIND))
    with pytest.raises(CorruptError, match=words):
        unpack(data, KIND)


@pytest.mark.parametrize("name", ["rgb", "nerv", "stereo", "voice", "lattice", "moving", "grid"])
def test_fields_without_heads(name):
    """Of all kinds."""
    data, kind = (GOLDEN / f"{name}.nfc").read_bytes(), EXPECTED[name]["init"]
    lie = rewritten(data, lambda sections: [*sections, (SectionType.HEADS, heads_payload(0))])
    assert opened(rewritten(data, lambda sections: sections), kind)
    for options in ({}, {"partial": True}):
        with pytest.raises(CorruptError, match="HEADS section with init"):
            opened(lie, kind, **options)


def test_a_flipped_bit_is_found(coded, small_regions, tmp_path):
    data = coded[0]
    entry = next(e for e in Reader(io.BytesIO(data)).index() if e.type == SectionType.HEADS)
    for byte in range(entry.offset, entry.offset + entry.size):
        wrong = bytearray(data)
        wrong[byte] ^= 4
        (tmp_path / "a.nfc").write_bytes(wrong)
        with pytest.raises(FormatError):
            api.verify(tmp_path / "a.nfc", init=init(KIND))
    wrong = bytearray(data)
    wrong[entry.offset + entry.size - 1] ^= 4
    with pytest.raises(ChecksumError):
        unpack(bytes(wrong), KIND)


def test_what_is_missing_of_a_truncated_file_counts_as_0(coded, small_regions, tmp_path):
    """Heads behind the cells: all of the picture is there but for them."""
    data = rewritten(coded[0], lambda sections: sorted(sections, key=lambda s: s[0] == SectionType.HEADS))
    count, path = len(heads_of(data)), tmp_path / "a.nfc"
    index = Reader(io.BytesIO(data)).index()
    cut = data[: index[-count].offset]
    path.write_bytes(cut)
    np.testing.assert_array_equal(
        decode_array(path, KIND, partial=True), np.rint(np.clip(unpack(without_heads(data), KIND), 0, 1) * 255)
    )
    with pytest.raises(FormatError):
        decode_array(path, KIND)
    # Those that are there count, wherever the file ends.
    path.write_bytes(coded[0][:-40])
    assert decode_array(path, KIND, partial=True).shape == (*SIZE, 3)
    assert heads_of(coded[0]) == list(opened(coded[0][:-40], KIND, partial=True).field._heads._entries)
