"""FORMAT.md is normative: what it says in tables, constants and its worked example is what the code does."""

import ast
import importlib
import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import nfcodec.container
from nfcodec.container import layout, metadata
from nfcodec.container.layout import Header, SectionType, chunk_payload, split_chunk
from nfcodec.container.reader import Reader
from nfcodec.container.writer import Writer
from nfcodec.entropy import logistic, quantizer, tables
from nfcodec.entropy.lossless import _FILTERS
from nfcodec.entropy.networks import Layer
from nfcodec.lattice import order
from nfcodec.lattice.code import ALONE, RegionBytes, RegionSymbols
from nfcodec.lattice.prior import Network, Prior
from nfcodec.lattice.regions import LayerRun, pack_run, section_run, unpack_run
from nfcodec.modules.deltas import decode_deltas, encode_deltas

TEXT = (Path(nfcodec.container.__file__).parent / "FORMAT.md").read_text(encoding="utf-8")
PROSE = " ".join(TEXT.split())
SCALE = np.array([18, 18, 18, 6])
TENSOR = np.array([0, 0, 1, 1])
DELTAS = [[1, 0, -2, 0]]
HEADER = Header("image", (1, 1), 3, "u8", bytes.fromhex("c0ffee01"), 75, 1, sections=1)


def block(name):
    return re.search(rf"```{name}\n(.*?)```", TEXT, re.DOTALL).group(1)


def worked_example(name="dump"):
    """The bytes of a dump; every line must stand at the offset that it names."""
    data = b""
    for line in block(name).splitlines():
        offset, raw = re.match(r"([0-9a-f]{2})  ([0-9a-f ]+?) *; ", line).groups()
        assert int(offset, 16) == len(data)
        data += bytes.fromhex(raw)
    return data


def test_worked_example_decodes():
    reader = Reader(io.BytesIO(worked_example()))
    assert reader.header == HEADER
    (section,) = reader.sections()
    assert section.type == SectionType.DELTA
    index, payload = split_chunk(section.payload)
    assert index == 0
    assert decode_deltas(payload, modules=1, scale=SCALE, tensor_of=TENSOR).tolist() == DELTAS


def test_worked_example_is_what_the_writer_writes():
    out = io.BytesIO()
    with Writer() as writer:
        writer.add(SectionType.DELTA, chunk_payload(0, encode_deltas(np.array(DELTAS), SCALE, TENSOR)))
        writer.finish(HEADER, out)
    assert out.getvalue() == worked_example()


# -- lattices --------------------------------------------------------------------------------------------
CELLS = np.zeros((3, 64, 1, 2), np.int32)
CELLS[0, 0, 0] = 5, 6
CELLS[0, 1, 0] = 0, -1
CELLS_HEADER = Header("image", (1, 9), 1, "u8", bytes.fromhex("c0ffee02"), 75, 1, sections=1)


def same_everywhere(mean, scale):
    """The imaginary prior of the example."""

    def network(inputs, symbols):
        first = Layer(np.zeros((1, inputs), np.float32), np.zeros(1, np.float32), np.ones(1, np.int32))
        second = replace(first, weight=np.zeros((1, 1), np.float32))
        bias = np.repeat(np.array([2 * mean, 2 * scale], np.float32), symbols)
        last = Layer(np.zeros((2 * symbols, 1), np.float32), bias, np.ones(2 * symbols, np.int32))
        return Network((first, second, last))

    groups = tuple(network(order.feature_count(i), b - a) for i, (_, a, b) in enumerate(order.PASSES))
    return Prior(groups, tuple(network(order.mean_feature_count(i // 2), 1) for i in range(6)))


def test_worked_lattice_decodes():
    reader = Reader(io.BytesIO(worked_example("cells")))
    assert reader.header == CELLS_HEADER
    (section,) = reader.sections()
    assert section.type == SectionType.CELLS
    run = unpack_run(section.payload)
    assert (run.region, run.first, len(run.payloads)) == (0, 0, 3)
    found = ALONE.decode(same_everywhere(3, 14), RegionBytes(run.payloads, (1, 2), 75, 1))
    np.testing.assert_array_equal(found, CELLS)


def test_worked_lattice_is_what_the_writer_writes():
    payloads = ALONE.encode(same_everywhere(3, 14), RegionSymbols(CELLS, 75, 1))
    out = io.BytesIO()
    with Writer() as writer:
        writer.add(SectionType.CELLS, pack_run(LayerRun(0, 0, tuple(payloads))))
        writer.finish(CELLS_HEADER, out)
    assert out.getvalue() == worked_example("cells")


def test_codes_of_sections_and_passes():
    section = TEXT[TEXT.index("## 14.") : TEXT.index("## 15.")]
    codes = re.findall(r"^\| (\d) \| ([\d, ]+) \|$", section, re.MULTILINE)
    assert [int(code) for code, _ in codes] == list(range(6))
    for code, layers in codes:
        _, first, count = section_run(int(code))
        assert [int(n) for n in layers.split(", ")] == list(range(first, first + count))
    rows = sorted(tuple(map(int, row)) for row in re.findall(r"(\d+) \| (\d): (\d+) … (\d+)", section))
    assert rows == [(i, plane, low, high - 1) for i, (plane, low, high) in enumerate(order.PASSES)]


def test_theta_of_lattices():
    assert tuple(int(n, 16) for n in re.findall(r"0x[0-9A-F]+", block("theta64"))) == logistic.THETA


ALL_CONSTANTS = "".join(re.findall(r"```constants\n(.*?)```", TEXT, re.DOTALL)).splitlines()


@pytest.mark.parametrize("line", ALL_CONSTANTS)
def test_constants(line):
    name, value = line.split(" = ")
    module, attribute = name.rsplit(".", 1)
    assert getattr(importlib.import_module(f"nfcodec.{module}"), attribute) == ast.literal_eval(value)


def test_theta():
    assert tuple(int(n) for n in re.findall(r"\d+", block("theta"))) == tables.THETA


def test_eighths():
    assert tuple(map(float.fromhex, re.findall(r"0x[0-9a-fp.+]+", block("eighths")))) == quantizer._EIGHTHS


def test_section_types():
    found = re.findall(r"^\| (0x[0-9a-f]{2}) \| ([A-Z]+) \|", TEXT, re.MULTILINE)
    assert {name: int(code, 16) for code, name in found} == {kind.name: int(kind) for kind in SectionType}


def test_kinds_and_sample_types():
    found = re.findall(r"^\| (\d) \| (\w+) \| (\d) \|$", TEXT, re.MULTILINE)
    assert [int(code) for code, _, _ in found] == list(range(6))
    assert tuple((name, int(axes)) for _, name, axes in found) == layout._SHAPES
    assert f"`{' '.join(layout._SAMPLE_TYPES)}`" in PROSE


def test_signature_and_metadata_kinds():
    assert f"signature `{layout.SIGNATURE.hex(' ')}`" in TEXT
    assert ", ".join(f"{code} {kind}" for code, kind in enumerate(metadata.KINDS)) in PROSE


def test_dictionary_of_planes():
    assert _FILTERS[0]["dict_size"] == 1 << 22
    assert "dictionary of 2^22 bytes" in PROSE


def test_tables_by_the_recipe_of_the_document():
    """§6 again, written from the document's lines and not from the code."""
    for row, theta in enumerate(tables.THETA):
        w = [2**40]
        while w[-1]:
            w.append((w[-1] * theta) >> 24)
        w += [0] * 4
        total = w[0] + 2 * sum(w[1:])
        last = 2
        while last < 1023 and w[last + 1] * 2**20 >= 4 * total:
            last += 1
        c = [max(1, (x * 2**20 + total // 2) // total) for x in w[1 : last + 1]]
        escape = max(4, (2 * sum(w[last + 1 :]) * 2**20) // total)
        expected = [2**20 - escape - 2 * sum(c)] + [x for x in c for _ in range(2)] + [escape]
        assert list(tables.row_counts(row)) == expected
    tail = [max(1, int(2 ** (19 - k))) for k in range(1, 32)]
    assert list(tables.escape_counts()) == [2**20 - sum(tail), *tail]


def test_the_document_names_every_format_error():
    from nfcodec import errors

    for name, kind in vars(errors).items():
        if isinstance(kind, type) and issubclass(kind, errors.FormatError) and kind is not errors.FormatError:
            assert name in TEXT
