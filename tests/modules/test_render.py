import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import PICTURE, SPEC, own_forward, random_params

from nfcodec.coords import module_coords, modules_per_axis, plan_axis, sample_positions
from nfcodec.modules import render
from nfcodec.modules.partition import cut
from nfcodec.modules.render import batch_size, render_box
from nfcodec.modules.siren import forward
from nfcodec.modules.values import to_values

SIZES = st.integers(1, 19)


def field_over(spec, shape, seed=0):
    """Parameters (modules, …) of a field where every module differs, smooth enough for float32."""
    counts = modules_per_axis(shape, spec.tile)
    parts = [random_params(spec, seed + i, torch.float32) for i in range(math.prod(counts))]
    return {n: torch.stack([p[n] for p in parts]).numpy() for n in parts[0]}


def rendered(spec, params, shape, start=None, stop=None, size=None):
    """The region [start, stop) of the field on ``size`` samples."""
    start, stop = start or [0.0] * len(shape), stop or [float(n) for n in shape]
    size = size or [round(b - a) for a, b in zip(start, stop, strict=True)]
    counts = modules_per_axis(shape, spec.tile)
    plans = [
        plan_axis(sample_positions(a, b, n), t, c)
        for a, b, n, t, c in zip(start, stop, size, spec.tile, counts, strict=True)
    ]
    touched = np.meshgrid(*(np.arange(p.first, p.first + len(p.local)) for p in plans), indexing="ij")
    strides = [math.prod(counts[i + 1 :]) for i in range(len(shape))]
    flat = sum(t.reshape(-1) * s for t, s in zip(touched, strides, strict=True))
    return render_box(spec, lambda index: {n: p[flat[index]] for n, p in params.items()}, plans)


def by_hand(spec, params, shape, positions):
    """The field at native positions (n, axes), one sample after the other."""
    counts = modules_per_axis(shape, spec.tile)
    out = []
    for position in positions:
        owner = [min(int(p // t), c - 1) for p, t, c in zip(position, spec.tile, counts, strict=True)]
        local = [2 * (p - o * t) / t - 1 for p, o, t in zip(position, owner, spec.tile, strict=True)]
        module = int(np.ravel_multi_index(owner, counts))
        x = torch.tensor([local], dtype=torch.float64)
        out.append(own_forward(spec, {n: torch.from_numpy(p[module]).double() for n, p in params.items()}, x)[0])
    return torch.stack(out).numpy()


@settings(max_examples=25)
@given(SIZES, SIZES)
def test_10_native_grid_equals_the_modules_outputs(h, w):
    spec = dataclasses.replace(SPEC, tile=(4, 5))
    params = field_over(spec, (h, w))
    whole = rendered(spec, params, (h, w))
    assert whole.shape == (h, w, 3)
    rows, columns = modules_per_axis((h, w), spec.tile)
    native = forward(spec, params, module_coords(spec.tile)[None])
    tiles = native.reshape(rows, columns, 4, 5, 3).transpose(0, 2, 1, 3, 4).reshape(rows * 4, columns * 5, 3)
    np.testing.assert_allclose(whole, tiles[:h, :w], rtol=0, atol=1e-5)


@settings(max_examples=40)
@given(SIZES, SIZES, st.data())
def test_region_equals_the_crop(h, w, data):
    spec = dataclasses.replace(SPEC, tile=(4, 5))
    params = field_over(spec, (h, w))
    y, x = data.draw(st.integers(0, h - 1)), data.draw(st.integers(0, w - 1))
    bottom, right = data.draw(st.integers(y + 1, h)), data.draw(st.integers(x + 1, w))
    part = rendered(spec, params, (h, w), [float(y), float(x)], [float(bottom), float(right)])
    np.testing.assert_allclose(part, rendered(spec, params, (h, w))[y:bottom, x:right], rtol=0, atol=1e-5)


@settings(max_examples=20)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 20), st.integers(1, 20))
def test_any_grid_equals_the_field_point_by_point(h, w, rows, columns):
    spec = dataclasses.replace(SPEC, tile=(4, 5))
    params = field_over(spec, (h, w))
    got = rendered(spec, params, (h, w), size=[rows, columns])
    at = [
        (y, x) for y in sample_positions(0.0, float(h), rows) for x in sample_positions(0.0, float(w), columns)
    ]  # fmt: skip
    np.testing.assert_allclose(got.reshape(-1, 3), by_hand(spec, params, (h, w), at), rtol=0, atol=2e-5)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (4, 5), (9, 11)])
def test_10_two_resolutions_agree_at_shared_centres(shape):
    spec = dataclasses.replace(SPEC, tile=(4, 5))
    params = field_over(spec, shape)
    fine = rendered(spec, params, shape, size=[3 * n for n in shape])
    np.testing.assert_allclose(fine[1::3, 1::3], rendered(spec, params, shape), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("tile", "shape"), [((7,), (23,)), ((2, 3, 4), (5, 7, 6)), ((2, 3, 4), (1, 1, 1))])
def test_one_and_three_axes(tile, shape):
    spec = dataclasses.replace(SPEC, axes=len(tile), tile=tile)
    params = field_over(spec, shape)
    whole = rendered(spec, params, shape)
    at = np.stack(np.meshgrid(*(np.arange(n) + 0.5 for n in shape), indexing="ij"), -1).reshape(-1, len(shape))
    np.testing.assert_allclose(whole.reshape(-1, 3), by_hand(spec, params, shape, at), rtol=0, atol=2e-5)


def test_10_h_and_w_are_not_exchanged():
    """A field that is its own coordinate: cut and render must agree on which axis is which."""
    spec = dataclasses.replace(PICTURE, opponent=False, tile=(4, 5))
    shape = (6, 13)
    y, x = np.meshgrid(np.linspace(0, 1, 6), np.linspace(0, 1, 13), indexing="ij")
    picture = np.stack([y, x, y * x], -1).astype(np.float32)
    targets = cut(spec, picture)
    params = field_over(spec, shape)
    params["2.weight"] = np.zeros_like(params["2.weight"])
    params["2.bias"] = targets.mean(1)  # every module shows its own mean colour
    shown = to_values(spec, rendered(spec, params, shape), 3)
    padded = np.pad(picture, [(0, 2), (0, 2), (0, 0)], mode="edge")
    for i in range(2):
        for j in range(3):
            mean = padded[4 * i : 4 * i + 4, 5 * j : 5 * j + 5].mean((0, 1))
            np.testing.assert_allclose(shown[4 * i : 4 * i + 4, 5 * j : 5 * j + 5].mean((0, 1)), mean, atol=1e-6)


def test_small_batches_change_nothing(monkeypatch):
    spec = dataclasses.replace(SPEC, tile=(4, 5))
    params = field_over(spec, (17, 19))
    whole = rendered(spec, params, (17, 19))
    monkeypatch.setattr(render, "BATCH_SAMPLES", 45)
    assert batch_size(20) == 2 and batch_size(1000) == 1 and batch_size(0) == 45
    np.testing.assert_allclose(rendered(spec, params, (17, 19)), whole, rtol=0, atol=1e-6)
