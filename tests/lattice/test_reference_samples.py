"""Samples are what FORMAT.md says: a decoder that was written from the document finds the same, to the last bit."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers import STAND_INS, decode_array, memory, opened, pack, painting, with_region
from helpers import init as path_of
from reference_heads import reference_heads
from reference_lattice import reference_region
from reference_overlay import ReferenceOverlay
from reference_samples import exponents, mantissa, reference_picture
from safetensors import safe_open
from safetensors.numpy import load_file

from nfcodec.container.layout import SectionType, split_chunk
from nfcodec.lattice.space import unpack_run
from nfcodec.lattice.steps import mantissa as mantissa_of

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="module")
def tensors():
    whole = {n: a for n, a in load_file(path_of("tiny-lattice")).items() if a.dtype.kind in "iu"}
    assert {"0/table", "0/log_step", "0/restore/out.weight"} <= set(whole)
    return {n: a.tolist() for n, a in whole.items()}


def prior_of(tensors):
    """The networks by name: three layers of (weights, biases, shifts)."""
    names = {n.split("/")[2].rsplit(".", 2)[0] for n in tensors if n.startswith("0/prior/")}
    parts = ("weight", "bias", "shift")
    return {n: [tuple(tensors[f"0/prior/{n}.{i}.{p}"] for p in parts) for i in range(3)] for n in names}


def regions_of(decoder, tensors, quality):
    """(row, column, symbols) of every region, from the bytes of the file by the document alone."""
    space, planes = decoder.field.space, decoder.info.channels
    payloads = {}
    for entry in sorted((e for e in decoder.index if e.type == SectionType.CELLS), key=lambda e: e.first):
        run = unpack_run(decoder.reader.read(entry).payload)
        payloads.setdefault(run.region, []).extend(run.payloads)
    for index, layers in payloads.items():
        region = space.box(index)
        q = reference_region(prior_of(tensors), layers, region.shape, quality, planes)
        yield *region.start, q


def metadata(kind):
    with safe_open(path_of(kind), "numpy") as file:
        return json.loads(file.metadata()["init"])


def wider(header, kind):
    """By how much steps are finer, and the number of the spacing."""
    finer = metadata(kind).get("wider", {})
    if not header.spacing:
        return 0, 0
    return finer[str(header.spacing)], 1 + sorted(map(int, finer)).index(header.spacing)


def heads_of(decoder):
    """The heads of all blocks that a HEADS section tells of, by (row, column) in the picture."""
    (rows, columns), per_chunk, heads = decoder.field.space.cells, decoder.header.chunk_rows, {}
    for entry in decoder.index:
        if entry.type == SectionType.HEADS:
            chunk, payload = split_chunk(decoder.reader.read(entry).payload)
            height = -(-min(per_chunk, rows - chunk * per_chunk) // 4)
            found = reference_heads(payload, height, -(-columns // 4))
            heads |= {(chunk * per_chunk // 4 + y, x): head for (y, x), head in found.items()}
    return heads


def by_the_document(data, tensors, top=255, kind="tiny-lattice"):
    decoder = opened(data, kind)
    finer, number = wider(decoder.header, kind)
    quality = decoder.header.quality + finer
    overlay = None
    for entry in decoder.index:
        if entry.type == SectionType.OVERLAY:
            _, payload = split_chunk(decoder.reader.read(entry).payload)
            overlay = ReferenceOverlay(payload, *decoder.info.shape, decoder.info.channels)
    found = list(regions_of(decoder, tensors, quality))
    info, spacing = decoder.info, decoder.header.spacing
    return np.array(reference_picture(
        tensors, found, info.shape, info.channels, quality, top, overlay, spacing, finer, number,
        decoder.header.dither, decoder.header.turn, metadata(kind).get("filter", 1), heads_of(decoder),
    ))  # fmt: skip


@pytest.mark.parametrize("name", ["lattice", "drawn"])
def test_golden_files_by_the_document(tensors, name):
    found = by_the_document((GOLDEN / f"{name}.nfc").read_bytes(), tensors)
    with np.load(GOLDEN / "samples.npz") as stored:
        np.testing.assert_array_equal(found, stored[name][..., :3])


@pytest.mark.parametrize(("channels", "quality"), [(3, 95), (1, 40), (3, 0)])
def test_pictures_by_the_document(tensors, channels, quality, tmp_path, monkeypatch):
    """Of several regions, with cells that are not whole."""
    monkeypatch.setitem(STAND_INS, "tiny-lattice", with_region("tiny-lattice", 2, 2))
    data, _ = pack(memory("image", painting(21, 27, channels=channels)), "tiny-lattice", quality=quality, effort=1)
    (tmp_path / "a.nfc").write_bytes(data)
    np.testing.assert_array_equal(by_the_document(data, tensors), decode_array(tmp_path / "a.nfc", "tiny-lattice"))


def test_steps_by_the_document(tensors):
    assert [mantissa(i) for i in range(256)] == [mantissa_of(i) for i in range(256)]
    assert exponents(tensors, 0) == tensors["0/log_step"][0] and exponents(tensors, 100) == tensors["0/log_step"][7]
