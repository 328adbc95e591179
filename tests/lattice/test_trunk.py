import dataclasses
import json
import math

import numpy as np
import pytest
import torch

from nfcodec.errors import CorruptError, LimitError
from nfcodec.lattice.trunk import (
    LatticeSpec,
    by_plane,
    fold,
    reach_positions,
    render,
    table,
    trunk,
    unfold,
)
from nfcodec.limits import Limits

SPEC = LatticeSpec(spacing=(4, 6), bases=3, width=9, w0=3.0)


def random_params(spec=SPEC, seed=0, dtype=torch.float64):
    g = torch.Generator().manual_seed(seed)
    return {n: 0.5 * torch.randn(s, generator=g, dtype=dtype) for n, s in spec.shapes().items()}


def random(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


LATTICES = [((1,), (4,)), ((5,), (2,)), ((1, 1), (4, 6)), ((3, 4), (8, 2)), ((2, 1, 3), (2, 4, 6))]


@pytest.mark.parametrize(("cells", "per_cell"), LATTICES)
def test_fold_and_unfold_are_adjoint(cells, per_cell):
    patches = random(2, *cells, math.prod(2 * p for p in per_cell))
    values = random(2, *(n * p for n, p in zip(cells, per_cell, strict=True)), seed=2)
    assert fold(patches, per_cell).shape == values.shape
    one, other = (fold(patches, per_cell) * values).sum(), (patches * unfold(values, per_cell)).sum()
    torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def mirror(i, n):
    """Where sample i, perhaps outside, lies in a mirrored signal of n samples."""
    i = i if i >= 0 else -1 - i
    return i if i < n else 2 * n - 1 - i


@pytest.mark.parametrize(("cells", "per_cell"), LATTICES)
def test_fold_by_hand(cells, per_cell):
    patches = random(1, *cells, math.prod(2 * p for p in per_cell))
    wanted = torch.zeros(1, *(n * p for n, p in zip(cells, per_cell, strict=True)), dtype=torch.float64)
    shaped = patches.reshape(1, *cells, *(2 * p for p in per_cell))
    for cell in np.ndindex(*cells):
        for offset in np.ndindex(*(2 * p for p in per_cell)):
            at = zip(cell, offset, per_cell, cells, strict=True)
            where = tuple(mirror(c * p - p // 2 + o, n * p) for c, o, p, n in at)
            wanted[(0, *where)] += shaped[(0, *cell, *offset)]
    torch.testing.assert_close(fold(patches, per_cell), wanted, rtol=1e-12, atol=1e-12)


def test_unfold_by_hand():
    values = torch.arange(8.0)[None]
    assert unfold(values, (4,)).tolist() == [[[1, 0, 0, 1, 2, 3, 4, 5], [2, 3, 4, 5, 6, 7, 7, 6]]]


def test_render_is_differentiable_and_fold_keeps_its_input():
    weights = random(1, 9, 2, 2).requires_grad_(True)
    params = random_params()
    render(SPEC, weights, table(SPEC, params, (4, 6)), (4, 6)).square().sum().backward()
    assert weights.grad is not None and bool(weights.grad.abs().min() > 0)


def test_reach_positions_are_sample_centres_of_two_spacings():
    assert reach_positions(4).tolist() == [-0.75, -0.25, 0.25, 0.75]


def test_table_is_the_trunk_at_the_samples():
    params = random_params()
    functions = table(SPEC, params, (2, 4)).reshape(SPEC.functions, 4, 8)
    where = torch.tensor([[-0.25, 0.625]], dtype=torch.float64)
    torch.testing.assert_close(functions[:, 1, 6], trunk(SPEC, params, where)[:, 0])


def test_trunk_by_hand():
    p, t = random_params(), np.array([0.3, -0.8])
    w = {n: v.numpy() for n, v in p.items()}
    hidden = np.sin(SPEC.w0 * (w["trunk.0.weight"] @ t) + w["trunk.0.bias"])
    hidden = np.sin(w["trunk.1.weight"] @ hidden + w["trunk.1.bias"])
    wanted = w["trunk.2.weight"] @ hidden * np.prod(1 - t**8)
    np.testing.assert_allclose(trunk(SPEC, p, torch.from_numpy(t)[None])[:, 0].numpy(), wanted, rtol=1e-12)


def test_window_vanishes_at_the_border_of_the_reach():
    t = torch.tensor([[1.0, 0.2], [-1.0, 0.2], [0.3, 1.0], [0.3, -1.0], [0.3, 0.2]], dtype=torch.float64)
    size = trunk(SPEC, random_params(), t).abs().amax(0)
    assert size[:4].tolist() == [0.0] * 4 and size[4] > 0.01


@pytest.mark.parametrize("planes", [1, 2, 3, 4])
def test_planes_and_functions(planes):
    """Every plane is the sum of its own weights times its functions, and has no others."""
    spec = dataclasses.replace(SPEC, planes=planes)
    functions = table(spec, random_params(spec), (4, 6))
    weights = random(2, spec.weights, 3, 2)
    out = render(spec, weights, functions, (4, 6))
    assert out.shape == (2, planes, 12, 12)
    for plane in range(planes):
        own = weights[:, 3 * plane : 3 * plane + 3]
        phi = functions[:3] if plane == 0 else functions[3:6]
        wanted = fold(torch.einsum("nkhw,kp->nhwp", own, phi), (4, 6))
        torch.testing.assert_close(out[:, plane], wanted, rtol=1e-10, atol=1e-10)
        parts = sum(
            torch.einsum("nkhw,kp->nhwp", weights[:, own], functions[shared]) for own, shared in spec.parts(plane)
        )
        torch.testing.assert_close(out[:, plane], fold(parts, (4, 6)), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(by_plane(spec, functions)[0], functions[:3])


# -- the spec --------------------------------------------------------------------------------------------


def test_spec_survives_json():
    for spec in (SPEC, LatticeSpec(), LatticeSpec(spacing=(128,), planes=2, w0=12)):
        assert LatticeSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def test_counts_of_the_default():
    spec = LatticeSpec()
    assert (spec.axes, spec.tables, spec.functions, spec.weights) == (2, 2, 128, 192)


@pytest.mark.parametrize(
    "change",
    [
        {"spacing": [8, 7]}, {"spacing": []}, {"spacing": [2] * 4}, {"spacing": [8, 0]}, {"spacing": [8, -2]},
        {"spacing": [8.0, 8]}, {"spacing": 8}, {"spacing": None}, {"bases": 0}, {"bases": "3"}, {"bases": 3.0},
        {"bases": True}, {"extra": 0}, {"width": 0}, {"planes": 0}, {"planes": 1.0}, {"w0": 0.0},
        {"w0": -1.0}, {"w0": math.inf}, {"w0": math.nan}, {"w0": "12"}, {"w0": 12}, {"w0": True}, {"depth": 2},
    ],
)  # fmt: skip
def test_impossible_specs(change):
    with pytest.raises(CorruptError):
        LatticeSpec.from_dict({**SPEC.to_dict(), **change})


@pytest.mark.parametrize("key", sorted(SPEC.to_dict()))
def test_missing_keys(key):
    data = SPEC.to_dict()
    del data[key]
    with pytest.raises(CorruptError):
        LatticeSpec.from_dict(data)


@pytest.mark.parametrize("data", [None, 3, [], [1, 2], "spec"])
def test_other_things_than_a_dictionary(data):
    with pytest.raises(CorruptError):
        LatticeSpec.from_dict(data)


def test_limits_are_met_exactly():
    spec = LatticeSpec()
    count = sum(math.prod(s) for s in spec.shapes().values())
    spec.validate(Limits(max_parameters=count))
    with pytest.raises(LimitError):
        spec.validate(Limits(max_parameters=count - 1))


@pytest.mark.parametrize("change", [{"spacing": [100_000, 100_000]}, {"width": 100_000}, {"bases": 10**9}])
def test_large_specs_meet_a_limit(change):
    with pytest.raises(LimitError):
        LatticeSpec.from_dict({**SPEC.to_dict(), **change})
