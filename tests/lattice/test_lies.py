"""Lattice files whose checksums hold and whose contents contradict themselves."""

from __future__ import annotations

import contextlib
import io
from dataclasses import replace

import numpy as np
import pytest
from helpers import STAND_INS, init, memory, opened, pack, painting, with_region

from nfcodec import api, zoo
from nfcodec.container.layout import SectionType, chunk_payload
from nfcodec.container.reader import Reader
from nfcodec.container.writer import Writer
from nfcodec.entropy.coder import LOGISTIC, SymbolEncoder
from nfcodec.entropy.logistic import ROWS
from nfcodec.entropy.lossless import encode_plane
from nfcodec.errors import CorruptError, FormatError, LimitError
from nfcodec.lattice.space import LayerRun, pack_run, unpack_run
from nfcodec.limits import Limits
from nfcodec.options import DecodeOptions

KIND = "tiny-lattice"
CELLS, DELTA, ALPHA = SectionType.CELLS, SectionType.DELTA, SectionType.ALPHA
SIZE = (40, 70)  # 2 × 3 regions of 4 × 4 cells


@pytest.fixture(autouse=True)
def small_regions(monkeypatch):
    monkeypatch.setitem(STAND_INS, "tiny-lattice", with_region("tiny-lattice", 4, 4))


@pytest.fixture
def parts():
    """Header and sections, one of all three layers per region."""
    data = pack(memory("image", painting(*SIZE)), KIND, effort=1)[0]
    reader = Reader(io.BytesIO(data))
    sections = [(SectionType(s.type), s.payload) for s in reader.sections()]
    assert [kind for kind, _ in sections] == [CELLS] * 6
    return reader.header, sections


def written(header, sections):
    out = io.BytesIO()
    with Writer() as writer:
        for kind, payload in sections:
            writer.add(kind, payload)
        writer.finish(header, out)
    return out.getvalue()


def layers(section, *wanted):
    """A section of some layers of one that holds all."""
    run = unpack_run(section[1])
    return CELLS, pack_run(LayerRun(run.region, wanted[0], tuple(run.payloads[i] for i in wanted)))


def refused(header, sections, words, tmp_path, *, partial=True):
    """The file is refused with exit code 4, truncated or not."""
    data = written(header, sections)
    for options in ({}, {"partial": True}) if partial else ({},):
        with pytest.raises(CorruptError, match=words):
            opened(data, KIND, **options)
    (tmp_path / "a.nfc").write_bytes(data)
    with pytest.raises(FormatError) as caught:
        api.verify(tmp_path / "a.nfc", init=init(KIND))
    assert caught.value.exit_code == 4


def test_the_frame_of_the_lies_is_honest(parts):
    header, sections = parts
    assert opened(written(*parts), KIND).digest()[1] == 5 * 9 * 192
    split = [layers(s, i) for i in range(3) for s in sections]
    assert opened(written(header, split), KIND).digest() == opened(written(*parts), KIND).digest()
    pairs = [layers(s, *run) for s in sections for run in ((0, 1), (2,))] if sections else []
    assert opened(written(header, pairs), KIND).digest() == opened(written(*parts), KIND).digest()


@pytest.mark.parametrize("rows", [1, 3, 5, 128, 2**64 - 1])
def test_other_rows_per_chunk(parts, tmp_path, rows):
    header, sections = parts
    refused(replace(header, chunk_rows=rows), sections, "rows of cells per chunk", tmp_path)


def test_missing_regions(parts, tmp_path):
    header, sections = parts
    for kept in (sections[:-1], sections[1:], sections[::2], []):
        refused(header, kept, f"{len(kept)} regions for 6 regions", tmp_path, partial=False)


@pytest.mark.parametrize("region", [6, 7, 1000, 2**61])
def test_regions_that_do_not_exist(parts, tmp_path, region):
    header, sections = parts
    run = unpack_run(sections[0][1])
    beyond = CELLS, pack_run(replace(run, region=region))
    refused(header, [*sections, beyond], "7 regions for 6", tmp_path)
    refused(header, [*sections[1:], beyond], "6 regions for 6", tmp_path)


def test_layers_missing_or_doubled(parts, tmp_path):
    header, sections = parts
    first, rest = sections[0], sections[1:]
    for wanted in ((0,), (1,), (2,), (0, 1), (1, 2)):
        refused(header, [layers(first, *wanted), *rest], f"{len(wanted)} layers of region 0", tmp_path, partial=False)
    refused(header, [layers(first, 0), layers(first, 2), *rest], "2 layers of region 0", tmp_path, partial=False)
    for doubled in (((0, 1), (1, 2)), ((0, 1), (1,), (2,)), ((0,), (0, 1), (2,)), ((0, 1, 2), (2,)), ((0,), (0, 1, 2))):
        lie = [layers(first, *wanted) for wanted in doubled]
        refused(header, [*rest, *lie], "a layer of region 0 comes twice", tmp_path)


def test_sections_of_the_other_field(parts, tmp_path):
    header, sections = parts
    refused(header, [*sections, (DELTA, chunk_payload(0, b""))], "DELTA section in a file of a lattice", tmp_path)
    modules = pack(memory("image", painting(*SIZE)), "image", effort=1)[0]
    reader = Reader(io.BytesIO(modules))
    mixed = written(reader.header, [*((SectionType(s.type), s.payload) for s in reader.sections()), sections[0]])
    for options in ({}, {"partial": True}):
        with pytest.raises(CorruptError, match="CELLS section with init test-image, which is no lattice"):
            opened(mixed, "image", **options)


def test_alpha_sections_that_do_not_match(parts, tmp_path):
    header, sections = parts
    rows = [(ALPHA, chunk_payload(i, encode_plane(np.full((n, 70), 7, np.uint8)))) for i, n in enumerate((32, 8))]
    beyond = ALPHA, chunk_payload(2, rows[0][1][1:])
    with_alpha = replace(header, alpha=True)
    assert opened(written(with_alpha, [*sections, *rows]), KIND).alpha(1).shape == (8, 70)
    refused(header, [*sections, rows[0]], "ALPHA sections", tmp_path)
    refused(with_alpha, [*sections, *rows, beyond], "ALPHA sections", tmp_path)
    for kept in ([], rows[:1], rows[1:]):
        refused(with_alpha, [*sections, *kept], "ALPHA sections", tmp_path, partial=False)
    data = written(with_alpha, [*sections, rows[0], (ALPHA, chunk_payload(1, encode_plane(np.eye(9, 70, dtype="u1"))))])
    with pytest.raises(CorruptError):
        opened(data, KIND).alpha(1)


@pytest.mark.parametrize(
    "changes", [{"modality": "audio", "shape": (70,)}, {"modality": "video", "shape": (1, 40, 70)}]
)
def test_signals_that_no_lattice_holds(parts, tmp_path, changes):
    header, sections = parts
    refused(replace(header, **changes), sections, "does not fit", tmp_path)


def test_other_shapes(parts, tmp_path):
    """As many regions as before, but of other sizes: the streams do not fit, or say something else."""
    header, sections = parts
    real = opened(written(*parts), KIND).digest()
    for shape in ((48, 80), (64, 96)):
        with contextlib.suppress(CorruptError):
            assert opened(written(replace(header, shape=shape), sections), KIND).digest() != real
    refused(replace(header, shape=(400, 70)), sections, "6 regions for 39", tmp_path, partial=False)


def test_layers_that_are_cut_short(parts):
    header, sections = parts
    run, real = unpack_run(sections[0][1]), opened(written(*parts), KIND).digest()
    assert len(run.payloads[0]) > 20
    for layer, payload in enumerate(run.payloads):
        for length in range(0, len(payload), 9):
            wrong = [*run.payloads]
            wrong[layer] = payload[:length]
            lie = CELLS, pack_run(replace(run, payloads=tuple(wrong)))
            with contextlib.suppress(CorruptError):
                assert opened(written(header, [lie, *sections[1:]]), KIND).digest() != real


def test_lengths_of_layers_beyond_the_section(parts):
    header, sections = parts
    lie = CELLS, bytes([5, 100, 100]) + b"abc"
    with pytest.raises(CorruptError, match="section of 3"):
        opened(written(header, [lie, *sections[1:]]), KIND).digest()


def test_wild_symbols_are_refused_or_rendered(parts):
    """A stream of huge symbols in every place: nothing overflows on the way to samples."""
    header, sections = parts
    encoder = SymbolEncoder()
    encoder.put(np.full(400, 2**20 + 5), np.full(400, ROWS - 1), LOGISTIC)
    lie = CELLS, pack_run(LayerRun(0, 0, (encoder.finish(), b"", b"")))
    with pytest.raises(CorruptError):
        opened(written(header, [lie, *sections[1:]]), KIND).digest()
    decoder = opened(written(header, sections), KIND)
    wild = np.full((3, 64, 4, 4), -(2**20), np.int32)
    decoder.field._decoded = lambda region: wild
    decoder.field._renderer._symbols_of = lambda region: wild
    for options in (DecodeOptions(crop=(0, 0, 20, 20)), DecodeOptions(crop=(0, 0, 20, 20), scale=3)):
        assert all(np.isfinite(b.values).all() for b in decoder.blocks(options))


# -- limits ----------------------------------------------------------------------------------------------
def test_limits_come_before_work(parts, monkeypatch):
    header, sections = parts
    data = written(header, sections)
    with pytest.raises(LimitError, match="max_symbols"):
        opened(data, KIND, limits=Limits(max_symbols=192 * 16 - 1)).digest()
    assert opened(data, KIND, limits=Limits(max_symbols=192 * 16)).digest()[1] == 192 * 45
    with pytest.raises(LimitError, match="max_section"):
        opened(data, KIND, limits=Limits(max_section=3))
    with pytest.raises(LimitError, match="max_pixels"):
        opened(data, KIND, limits=Limits(max_pixels=40 * 70 - 1))
    monkeypatch.setattr(type(opened(data, KIND).field), "render", None)
    with pytest.raises(LimitError, match="max_dimension"):
        list(opened(data, KIND).blocks(DecodeOptions(scale=1e5)))


def test_a_small_file_that_announces_a_huge_picture(monkeypatch):
    """Regions are counted, not listed."""
    data = pack(memory("image", painting(1, 1)), KIND, effort=1)[0]
    reader = Reader(io.BytesIO(data))
    sections = [(SectionType(s.type), s.payload) for s in reader.sections()]
    wide = Limits(max_pixels=2**126, max_dimension=2**63)
    lie = written(replace(reader.header, shape=(2**62, 2**62), chunk_rows=4), sections)
    with pytest.raises(CorruptError, match="1 regions for"):
        opened(lie, KIND, limits=wide)
    assert opened(lie, KIND, limits=wide, partial=True).chunks == 2**57


def test_an_init_of_another_kind_with_that_hash(parts, monkeypatch):
    """What a lattice file says makes no sense to modules, and they say so."""
    modules = zoo.load(init("image"))
    monkeypatch.setattr(zoo, "load_prefix", lambda prefix, candidates=(): modules)
    with pytest.raises(CorruptError, match="DELTA sections|no planes to turn"):
        opened(written(*parts), KIND)
