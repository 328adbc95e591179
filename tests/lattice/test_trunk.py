import math

import numpy as np
import pytest
import torch

from nfcodec.lattice.spec import LatticeSpec, Plane
from nfcodec.lattice.trunk import (
    fold,
    reach_positions,
    render,
    table,
    trunk,
    unfold,
)

SPEC = LatticeSpec.of(spacing=(4, 6), bases=3, width=9, w0=3.0)


def random_params(spec=SPEC, seed=0, dtype=torch.float64):
    g = torch.Generator().manual_seed(seed)
    return {n: 0.5 * torch.randn(s, generator=g, dtype=dtype) for n, s in spec.shapes().items()}


def random(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def named(count):
    return [Plane(f"plane {i}", min(i, 1)) for i in range(count)]


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
    spec = LatticeSpec.of(spacing=(4, 6), bases=3, width=9, w0=3.0, planes=named(planes))
    functions = table(spec, random_params(spec), (4, 6))
    weights = random(2, spec.coded, 3, 2)
    out = render(spec, weights, functions, (4, 6))
    assert out.shape == (2, planes, 12, 12)
    for plane in range(planes):
        own = weights[:, 3 * plane : 3 * plane + 3]
        phi = functions[:3] if plane == 0 else functions[3:6]
        wanted = fold(torch.einsum("nkhw,kp->nhwp", own, phi), (4, 6))
        torch.testing.assert_close(out[:, plane], wanted, rtol=1e-10, atol=1e-10)
        parts = torch.einsum("nkhw,kp->nhwp", weights[:, spec.weights_of(plane)], functions[spec.functions_of(plane)])
        torch.testing.assert_close(out[:, plane], fold(parts, (4, 6)), rtol=1e-10, atol=1e-10)
