"""FORMAT.md is normative: what it says in tables, constants and its worked example is what the code does."""

import ast
import importlib
import io
import re
from pathlib import Path

import numpy as np
import pytest

import nfcodec.container
from nfcodec.coding import quantizer, tables
from nfcodec.coding.deltas import decode_deltas, encode_deltas
from nfcodec.coding.planes import _FILTERS
from nfcodec.container import layout, metadata
from nfcodec.container.layout import Header, SectionType, chunk_payload, split_chunk
from nfcodec.container.reader import Reader
from nfcodec.container.writer import Writer

TEXT = (Path(nfcodec.container.__file__).parent / "FORMAT.md").read_text(encoding="utf-8")
PROSE = " ".join(TEXT.split())
SCALE = np.array([18, 18, 18, 6])
TENSOR = np.array([0, 0, 1, 1])
DELTAS = [[1, 0, -2, 0]]
HEADER = Header("image", (1, 1), 3, "u8", bytes.fromhex("c0ffee01"), 75, 1, sections=1)


def block(name):
    return re.search(rf"```{name}\n(.*?)```", TEXT, re.DOTALL).group(1)


def worked_example():
    """The bytes of the dump; every line must stand at the offset that it names."""
    data = b""
    for line in block("dump").splitlines():
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


@pytest.mark.parametrize("line", block("constants").splitlines())
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
