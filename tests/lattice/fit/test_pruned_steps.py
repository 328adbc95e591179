"""Pruned contexts of the further inner steps, and their gradient re-scaling."""

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import init as path_of
from helpers import painting

from nfcodec import zoo
from nfcodec.errors import CorruptError, ModelError
from nfcodec.lattice.context import FULL, Context
from nfcodec.lattice.fit.first_step import Pruning, Rescaling, analysis, context_of
from nfcodec.lattice.fit.scores import sample_norms
from nfcodec.lattice.fit.window import whole_window
from nfcodec.lattice.planes import OPPONENT_SET


@pytest.fixture(scope="module")
def level():
    """The tiny level with two further inner steps."""
    found = zoo.load(path_of("tiny-lattice")).levels[0]
    return replace(found, first_step={**found.first_step, "log_again": np.zeros((2, 3, 64), np.float32)})


@pytest.fixture(scope="module")
def window(level):
    planes = OPPONENT_SET.to_planes(torch.from_numpy(painting(40, 48).astype(np.float32) / 255), 0.5)
    return whole_window(planes, level.spec)


def given(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, 3, 4, 5, 16, generator=generator), torch.randn(2, 3, 6, 4, 5, generator=generator)


NORMS = torch.rand(3, 16, generator=torch.Generator().manual_seed(9))


@pytest.mark.parametrize("score", ["samples", "blocks"])
def test_a_pruned_step_is_that_of_a_mean_over_the_best_cells(score):
    left, step = given()
    factor = Pruning(Context(0.25, score), NORMS)(left, step)
    assert factor.shape == (2, 1, 1, 4, 5)
    assert factor.flatten(1).count_nonzero(1).tolist() == [5, 5]
    assert set(factor.unique().tolist()) == {0.0, 4.0}
    ranked = (left.square() * NORMS[:, None, None]).sum((1, 4)) if score == "samples" else step.square().sum((1, 2))
    worst = torch.where(factor[:, 0, 0] > 0, ranked, torch.inf).amin((1, 2))
    others = torch.where(factor[:, 0, 0] > 0, -torch.inf, ranked).amax((1, 2))
    assert (worst >= others).all()


@pytest.mark.parametrize("score", ["samples", "blocks"])
def test_the_full_context_changes_nothing(level, window, score):
    """γ = 1 gives today's numbers exactly: trained on all cells, and as an init says it."""
    left, step = given(1)
    assert (Pruning(Context(1.0, score), NORMS)(left, step) == 1.0).all()
    assert torch.allclose(Rescaling(Context(1.0, score), NORMS)(left, step), torch.ones(()))
    assert torch.equal(analysis(replace(level, context=Context(1.0, score)), window), analysis(level, window))


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_a_full_step_has_the_norm_of_the_pruned_one(share):
    left, step = given(2)
    context = Context(share)
    full = step * Rescaling(context, NORMS)(left, step)
    pruned = step * Pruning(context, NORMS)(left, step)
    assert torch.allclose(full.flatten(1).norm(dim=1), pruned.flatten(1).norm(dim=1))
    directions = torch.nn.functional.cosine_similarity(full.flatten(1), step.flatten(1))
    assert torch.allclose(directions, torch.ones(2))


def test_the_encoder_rescales_and_says_so(level, window, caplog):
    plain = analysis(level, window)
    with caplog.at_level(logging.INFO, "nfcodec"):
        found = analysis(replace(level, context=Context(0.5)), window)
    told = [float(r.getMessage().split()[-1]) for r in caplog.records]
    assert len(told) == 2 and all(1.0 < f < 2.0 for f in told)
    one = replace(level, first_step={**level.first_step, "log_again": np.zeros((0, 3, 64), np.float32)})
    start = analysis(one, window)
    second = replace(level, first_step={**level.first_step, "log_again": np.zeros((1, 3, 64), np.float32)})
    moved = analysis(replace(second, context=Context(0.5)), window) - start
    torch.testing.assert_close(moved, told[0] * (analysis(second, window) - start), atol=1e-4, rtol=2e-3)
    assert not torch.equal(found, plain)


def test_no_gradient_through_the_choice():
    left, step = given(3)
    left.requires_grad_()
    chosen = context_of(Context(0.5), NORMS.requires_grad_(), left, step)
    assert chosen.dtype == torch.bool and not Pruning(Context(0.5), NORMS)(left, step).requires_grad


def test_norms_are_of_the_planes(level):
    functions = torch.rand(level.spec.functions, 256)
    norms = sample_norms(level.spec, functions)
    assert torch.allclose(norms[0], functions[:64].square().sum(0)) and torch.equal(norms[1], norms[2])


def test_inits_say_their_context(tmp_path):
    plain = zoo.load(path_of("tiny-lattice"))
    context = Context(0.25, "blocks", 2)
    zoo.write_init(replace(plain, levels=(replace(plain.levels[0], context=context),)), tmp_path / "c.safetensors")
    assert zoo.read_init(tmp_path / "c.safetensors").levels[0].context == context
    assert plain.levels[0].context == FULL and FULL.full and not context.full
    wrong = replace(plain, levels=(replace(plain.levels[0], context=Context(-1.0)),))
    zoo.write_init(wrong, tmp_path / "d.safetensors")
    with pytest.raises(ModelError, match="context"):
        zoo.read_init(tmp_path / "d.safetensors")


@pytest.mark.parametrize("change", [{"share": 0}, {"share": 1.5}, {"share": "x"}, {"score": "best"}, {"side": 0}])
def test_what_is_no_context(change):
    with pytest.raises(CorruptError, match="context"):
        Context.from_dict({**FULL.to_dict(), **change})
