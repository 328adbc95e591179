"""FORMAT.md §18 in plain numpy, in double precision: what symbols mean, written from the document."""

import itertools
import json

import numpy as np
import pytest
from helpers import STAND_INS, memory, opened, pack, painting, with_region
from helpers import init as path_of
from safetensors.numpy import load

from nfcodec.options import DecodeOptions

PATH = path_of("tiny-lattice")


@pytest.fixture(scope="module")
def init():
    with open(PATH, "rb") as file:
        data = file.read()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    floats = {n: t.astype(np.float64) for n, t in load(data).items()}
    return json.loads(header["__metadata__"]["init"])["spec"], floats


def hats(quality):
    u = (quality * 112 + 50) // 100
    return np.array([max(0, 16 - abs(u - 16 * i)) for i in range(8)]) / 16


def companded(x):
    return np.sign(x) * np.log2(1 + np.abs(x))


def leaky(x):
    return np.maximum(x, x / 10)


def at(grid, y, x):
    """Beyond the border the border cells are repeated."""
    return grid[..., min(max(y, 0), grid.shape[-2] - 1), min(max(x, 0), grid.shape[-1] - 1)]


def restored(t, q, quality):
    """Last layers (196, h, w) of the symbols (3, 64, h, w) of a region."""
    h, w = q.shape[2:]
    step = 2 ** np.tensordot(hats(quality), t["log_step"], 1)
    eight = [o for o in itertools.product((-1, 0, 1), repeat=2) if o != (0, 0)]
    a = np.empty((len(t["restore/d.in.bias"]), h, w))
    for y, x in itertools.product(range(h), range(w)):
        means = [at(q[:, 0], y + dy, x + dx) - q[:, 0, y, x] for dy, dx in eight]
        inputs = [companded(q[:, 1:, y, x]).ravel(), companded(np.array(means)).ravel(), hats(quality)]
        a[:, y, x] = t["restore/d.in.weight"] @ np.concatenate(inputs) + t["restore/d.in.bias"]
    block = 0
    while f"restore/d.{block}.weight" in t:
        weight, before, a = t[f"restore/d.{block}.weight"], leaky(a), a.copy()
        for y, x in itertools.product(range(h), range(w)):
            a[:, y, x] += t[f"restore/d.{block}.bias"]
            for dy, dx in itertools.product((-1, 0, 1), repeat=2):
                a[:, y, x] += weight[:, :, 1 + dy, 1 + dx] @ at(before, y + dy, x + dx)
        block += 1
    d = np.einsum("oi,ihw->ohw", t["restore/d.out.weight"], leaky(a)) + t["restore/d.out.bias"][:, None, None]
    coded = (q.reshape(192, h, w) + d[:192]) * step.reshape(192, 1, 1)
    return np.concatenate([coded, d[192:] * step[0].mean()])


def functions(spec, t, where):
    """φ at one point of [−1, 1]²."""
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
        planes[0] += own[:64] @ phi[:64] + own[192:] @ phi[128:]
        planes[1] += own[64:128] @ phi[64:128]
        planes[2] += own[128:192] @ phi[64:128]
    return planes


T = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])


@pytest.mark.parametrize(("channels", "scale", "quality"), [(3, 1, 80), (1, 1, 40), (3, 2, 95)])
def test_samples_by_the_document(init, channels, scale, quality, monkeypatch):
    monkeypatch.setitem(STAND_INS, "tiny-lattice", with_region("tiny-lattice", 2, 2))
    spec, t = init
    picture = painting(21, 27, channels=channels)
    data, _ = pack(memory("image", picture), "tiny-lattice", quality=quality, effort=1)
    decoder = opened(data, "tiny-lattice")
    assert not decoder.init.levels[0].detail
    layers = np.empty((196, 3, 4))
    for chunk in range(2):
        symbols, start = decoder.symbols(chunk), 0
        for r in decoder.field.space.row(chunk):
            size = 192 * r.shape[0] * r.shape[1]
            q = symbols[start : start + size].reshape(3, 64, *r.shape).astype(np.float64)
            layers[r.cells] = restored(t, q, quality)
            start += size
    found = np.concatenate([b.values for b in decoder.blocks(DecodeOptions(scale=scale))])
    points = np.random.default_rng(0).integers(0, (21 * scale, 27 * scale), (60, 2))
    corners = [(0, 0), (21 * scale - 1, 0), (0, 27 * scale - 1), (21 * scale - 1, 27 * scale - 1)]
    for i, j in [*map(tuple, points), *corners]:
        planes = value(spec, t, layers, (i + 0.5) / scale, (j + 0.5) / scale)
        wanted = T.T @ planes + 0.5 if channels == 3 else planes[:1] / np.sqrt(3) + 0.5
        np.testing.assert_allclose(found[i, j], wanted, atol=2e-4)
