"""FORMAT.md §18 in plain numpy, in double precision: what lies between the samples, written from the document.

At the samples it is near what they are in whole numbers.
"""

import itertools
import json

import numpy as np
import pytest
from helpers import init as path_of
from helpers import memory, opened, pack, painting
from reference_samples import region_weights
from safetensors.numpy import load

from nfcodec.lattice import regions
from nfcodec.options import DecodeOptions

PATH = path_of("tiny-lattice")


@pytest.fixture(scope="module")
def init():
    with open(PATH, "rb") as file:
        data = file.read()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    tensors = {n.removeprefix("0/"): t for n, t in load(data).items()}
    return json.loads(header["__metadata__"]["init"])["levels"][0], tensors


def functions(spec, t, where):
    """φ at one point of [−1, 1]²."""
    t = {n: a.astype(np.float64) for n, a in t.items() if n.startswith("trunk/")}
    a = np.sin(spec["w0"] * t["trunk/trunk.0.weight"] @ where + t["trunk/trunk.0.bias"])
    a = np.sin(t["trunk/trunk.1.weight"] @ a + t["trunk/trunk.1.bias"])
    return t["trunk/trunk.2.weight"] @ a * np.prod(1 - where**8)


def mirrored(cell, t, n):
    """A cell beyond the border and t of its axis."""
    return (0, -t) if cell < 0 else (n - 1, -t) if cell == n else (cell, t)


def value(spec, t, layers, u, v):
    """The planes at a point."""
    (h, w), planes = layers.shape[1:], np.zeros(3)
    y0, x0 = int(np.floor(u / 8 - 0.5)), int(np.floor(v / 8 - 0.5))
    for y, x in itertools.product((y0, y0 + 1), (x0, x0 + 1)):
        (row, ty), (column, tx) = mirrored(y, u / 8 - y - 0.5, h), mirrored(x, v / 8 - x - 0.5, w)
        phi, own = functions(spec, t, np.array([ty, tx])), layers[:, row, column]
        planes[0] += own[:64] @ phi[:64]
        planes[1] += own[64:128] @ phi[64:128]
        planes[2] += own[128:192] @ phi[64:128]
    return planes


T = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])


@pytest.mark.parametrize(("channels", "scale", "quality"), [(3, 1, 80), (1, 1, 40), (3, 2, 95)])
def test_samples_by_the_document(init, channels, scale, quality, monkeypatch):
    monkeypatch.setattr(regions, "REGION", 2)
    spec, t = init
    picture = painting(21, 27, channels=channels)
    data, _ = pack(memory("image", picture), "tiny-lattice", quality=quality, effort=1)
    decoder = opened(data, "tiny-lattice")
    assert not decoder.init.levels[0].detail
    whole = {f"0/{n}": a.tolist() for n, a in t.items() if a.dtype.kind in "iu"}
    layers = np.empty((192, 3, 4))
    for chunk in range(2):
        symbols, start = decoder.symbols(chunk), 0
        for r in decoder.field.layout.row(chunk):
            size = 192 * r.shape[0] * r.shape[1]
            q = symbols[start : start + size].reshape(3, 64, *r.shape).tolist()
            for (y, x), w in region_weights(whole, q, quality).items():
                layers[:, r.top + y, r.left + x] = np.ravel(w) / 65536
            start += size
    found = np.concatenate([b.values for b in decoder.blocks(DecodeOptions(scale=scale))])
    points = np.random.default_rng(0).integers(0, (21 * scale, 27 * scale), (60, 2))
    corners = [(0, 0), (21 * scale - 1, 0), (0, 27 * scale - 1), (21 * scale - 1, 27 * scale - 1)]
    for i, j in [*map(tuple, points), *corners]:
        planes = value(spec, t, layers, (i + 0.5) / scale, (j + 0.5) / scale)
        wanted = T.T @ planes + 0.5 if channels == 3 else planes[:1] / np.sqrt(3) + 0.5
        np.testing.assert_allclose(found[i, j], wanted, atol=2e-4)
