"""Scores of cells against gradients and finite differences, and the choice of blocks."""

import numpy as np
import pytest
import torch

from nfcodec.lattice.fit.scores import best_blocks, block_scores, sample_norms, sample_scores
from nfcodec.lattice.spec import MID_SIDE, OPPONENT, LatticeSpec
from nfcodec.lattice.trunk import render, unfold

SPECS = [
    LatticeSpec.of(spacing=(4, 4), planes=OPPONENT, width=8),
    LatticeSpec.of(spacing=(6,), planes=MID_SIDE, width=8),
]


def field(spec, seed=0):
    """Functions (F, S), last layers (2, P, K, *cells) and a target of the same geometry, in double precision."""
    generator = torch.Generator().manual_seed(seed)
    places = int(np.prod([2 * s for s in spec.spacing]))
    functions = torch.randn(spec.functions, places, generator=generator, dtype=torch.float64)
    weights = torch.randn(2, len(spec.planes), spec.bases, *(3,) * spec.axes, generator=generator, dtype=torch.float64)
    size = [3 * s for s in spec.spacing]
    target = torch.randn(2, len(spec.planes), *size, generator=generator, dtype=torch.float64)
    return functions, weights, target


def errors_of(spec, functions, weights, target):
    """What is missing, patch by patch: (N, P, *cells, S)."""
    missing = target - render(spec, weights.flatten(1, 2), functions, spec.spacing)
    patches = unfold(missing.flatten(0, 1), spec.spacing)
    return patches.reshape(*missing.shape[:2], *patches.shape[1:])


@pytest.mark.parametrize("spec", SPECS)
def test_the_sample_score_is_the_norm_of_the_gradients_of_single_samples(spec):
    """For every sample and cell: the gradient of ½ e² to the last layer of the cell, squared and summed."""
    functions, weights, target = field(spec)
    errors = errors_of(spec, functions, weights, target)
    found = sample_scores(errors, sample_norms(spec, functions))
    inner = (1, *(1,) * spec.axes)  # a cell whose reach is not mirrored anywhere
    wanted = 0.0
    for plane in range(len(spec.planes)):
        own = functions[spec.functions_of(plane)]
        for place in range(own.shape[1]):
            last = torch.zeros(spec.bases, dtype=torch.float64, requires_grad=True)
            error = errors[(1, plane, *inner[1:], place)] - last @ own[:, place]
            (gradient,) = torch.autograd.grad(0.5 * error**2, last)
            wanted += float(gradient.square().sum())
    assert float(found[inner]) == pytest.approx(wanted)


@pytest.mark.parametrize("spec", SPECS)
def test_the_block_score_is_the_expected_fall_along_the_gradient(spec):
    """Against finite differences of the true error: d/dt of the error when a cell moves by −t · step² · G."""
    functions, weights, target = field(spec, 1)

    def error(w):
        missing = target - render(spec, w.flatten(1, 2), functions, spec.spacing)
        return missing.square().flatten(1).sum(1)

    leaf = weights.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(error(leaf).sum(), leaf)
    steps = torch.rand(len(spec.planes), spec.bases, dtype=torch.float64) + 0.5
    found = block_scores(gradient, steps)
    small = 1e-6
    for cell in [(0,) * spec.axes, (1,) * spec.axes]:
        moved = weights.clone()
        at = (slice(None), slice(None), slice(None), *cell)
        moved[at] -= small * steps.square() * gradient[at]
        fall = (error(weights) - error(moved)) / small
        assert torch.allclose(fall, found[(slice(None), *cell)], rtol=1e-3)


def test_errors_that_cancel_vanish_from_the_block_score_alone():
    spec = SPECS[1]
    functions = torch.ones(spec.functions, 12)
    errors = torch.zeros(1, 2, 3, 12)
    errors[0, 0, 1, :2] = torch.tensor([1.0, -1.0])
    gradient = torch.stack([-2 * errors[:, p] @ functions[spec.functions_of(p)].T for p in range(2)], 1).movedim(-1, 2)
    assert sample_scores(errors, sample_norms(spec, functions))[0].tolist() == [0, 2 * spec.bases, 0]
    assert not block_scores(gradient, torch.ones(2, spec.bases)).any()


def test_steps_may_differ_from_signal_to_signal():
    gradient, steps = torch.randn(2, 3, 4, 5, 6), torch.rand(2, 3, 4)
    together = block_scores(gradient, steps)
    for one in range(2):
        assert torch.equal(block_scores(gradient[one : one + 1], steps[one])[0], together[one])


def test_the_best_cells():
    scores = torch.tensor([[[3.0, 1.0], [4.0, 1.0]], [[0.0, 0.0], [0.0, 2.0]]])
    assert best_blocks(scores, 0.5).tolist() == [[[1, 0], [1, 0]], [[1, 0], [0, 1]]]
    assert best_blocks(scores, 1.0).all()
    assert best_blocks(scores, 0.01).flatten(1).sum(1).tolist() == [1, 1]


def test_blocks_are_chosen_whole():
    scores = torch.zeros(1, 5, 5)
    scores[0, 4, 4] = 1.0  # the last block is one cell
    scores[0, :2, 2:4] = 0.2
    kept = best_blocks(scores, 1 / 9, side=2)[0]
    assert kept.sum() == 1 and kept[4, 4]
    kept = best_blocks(scores, 2 / 9, side=2)[0]
    assert kept.sum() == 5 and kept[:2, 2:4].all()
    one = best_blocks(torch.tensor([[0.0, 1.0, 5.0, 0.0, 0.0, 9.0, 0.0]]), 0.5, side=3)
    assert one.tolist() == [[False] * 3 + [True] * 3 + [False]]
