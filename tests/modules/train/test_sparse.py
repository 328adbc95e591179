"""Invariants 12 to 18: Meta-SparseINR's pruning."""

import dataclasses
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import (
    PAPERS_200,
    SPEC,
    coords_of,
    generator,
    make_learner,
    own_forward,
    random_params,
    random_targets,
    stacked,
)

from nfcodec.errors import OptionError
from nfcodec.modules.fit.inner import InnerLoop, adapt, module_loss
from nfcodec.modules.siren import forward, tensors
from nfcodec.modules.train.maml import Bootstrap, Learner, outer_loss
from nfcodec.modules.train.sparse import (
    apply_mask,
    dense_weights,
    full_mask,
    kept_weights,
    magnitude,
    narrowed,
    prune,
    random_score,
    spread_score,
    survivors,
)

TABLE = [  # weights that survive each round, Lee et al. 2021
    158_311, 126_649, 101_320, 81_056, 64_845, 51_876, 41_501, 33_201, 26_561, 21_249,
    17_000, 13_600, 10_880, 8_704, 6_964, 5_572, 4_458, 3_567, 2_854, 2_284,
]  # fmt: skip
NARROW = {
    230: 159_850, 206: 128_338, 184: 102_488, 164: 81_508, 148: 66_452, 132: 52_932, 118: 42_362, 106: 34_238,
    94: 26_978, 84: 21_588, 76: 17_708, 68: 14_212, 60: 11_100, 54: 9_018, 48: 7_152, 44: 6_028, 38: 4_522,
    34: 3_638, 32: 3_232, 28: 2_492,
}  # fmt: skip
SPECS = tensors(SPEC)


def theta_like(seed, spec=SPEC):
    return random_params(spec, seed)


@pytest.mark.parametrize("kind", ["magnitude", "random"])
def test_12_counts_after_every_round(kind):
    specs = tensors(PAPERS_200)
    theta = random_params(PAPERS_200, dtype=torch.float32)
    mask, draw, counts = full_mask(theta), generator(), []
    assert kept_weights(mask, specs) == 197_888
    for _ in range(20):
        score = magnitude(theta) if kind == "magnitude" else random_score(theta, draw)
        mask = prune(mask, score, specs, 0.2)
        counts.append(kept_weights(mask, specs))
    assert counts == TABLE
    assert (counts[10], counts[13], counts[14]) == (17_000, 8_704, 6_964)


def test_12_counts_without_a_network():
    assert dense_weights(PAPERS_200) == 197_888 and survivors(197_888, 20) == TABLE
    assert survivors(197_888, 0) == [] and survivors(100, 2, 0.5) == [50, 25]


def test_12_narrow_nets_are_those_of_the_paper():
    """The narrowest net of at least the weights of a sparse one, of even width (Lee et al. 2021, Fig. 2)."""
    expected = dict(zip(TABLE[:10], [230, 206, 184, 164, 148, 132, 118, 106, 94, 84], strict=True))
    expected |= {17_000: 76, 13_600: 68, 10_880: 60, 8_704: 54, 6_964: 48}
    assert {n: narrowed(PAPERS_200, n).width for n in expected} == expected
    assert dense_weights(narrowed(PAPERS_200, 6_964)) == 7_152
    assert narrowed(SPEC, 10**6) == SPEC


def test_12_dense_narrow_counts():
    for width, count in NARROW.items():
        spec = dataclasses.replace(PAPERS_200, width=width)
        mask = full_mask({t.name: torch.empty(t.shape) for t in tensors(spec)})
        assert kept_weights(mask, tensors(spec)) == count == 3 * width**2 + 5 * width
        assert sum(m.numel() for n, m in mask.items() if n.endswith("bias")) == 4 * width + 3


@settings(max_examples=30)
@given(st.lists(st.tuples(st.floats(0, 0.6), st.integers(0, 2**31)), min_size=1, max_size=6))
def test_13_masks_only_shrink(rounds):
    """Whatever the later scores say."""
    mask = full_mask(theta_like(0))
    for fraction, seed in rounds:
        score = magnitude(theta_like(seed))
        after = prune(mask, {n: s + 100.0 * (1 - mask[n]) for n, s in score.items()}, SPECS, fraction)
        expected = kept_weights(mask, SPECS) - int(fraction * kept_weights(mask, SPECS))
        assert kept_weights(after, SPECS) == expected
        assert all((after[n] <= mask[n]).all() for n in mask)
        assert all(((m == 0) | (m == 1)).all() for m in after.values())
        mask = after


def test_13_the_given_mask_is_not_changed():
    mask = full_mask(theta_like(0))
    prune(mask, magnitude(theta_like(0)), SPECS, 0.5)
    assert kept_weights(mask, SPECS) == 16 + 64 + 24


@settings(max_examples=30)
@given(st.integers(0, 2**31), st.floats(0, 0.9), st.floats(0, 0.9), st.booleans())
def test_15_one_threshold_over_all_tensors(seed, first, second, ties):
    score = magnitude(theta_like(seed))
    if ties:
        score = {n: (s * 20).round() for n, s in score.items()}
    before = prune(full_mask(score), score, SPECS, first)
    after = prune(before, score, SPECS, second)
    weights = [t.name for t in SPECS if t.role == "weight"]
    pruned = torch.cat([score[n][(before[n] == 1) & (after[n] == 0)] for n in weights])
    kept = torch.cat([score[n][after[n] == 1] for n in weights])
    assert not len(pruned) or pruned.max() <= kept.min()
    assert len(pruned) == int(second * (len(pruned) + len(kept)))


@pytest.mark.parametrize("fraction", [0.2, 0.99])
def test_16_biases_are_never_pruned(fraction):
    theta = theta_like(1)
    score = {n: s + (1.0 if n.endswith("weight") else -1.0) for n, s in magnitude(theta).items()}
    mask = prune(full_mask(theta), score, SPECS, fraction)
    assert all(m.all() for n, m in mask.items() if n.endswith("bias"))
    assert kept_weights(mask, SPECS) == 104 - int(fraction * 104)


def chi_square(mask, specs, share):
    total = 0.0
    for t in specs:
        if t.role == "weight":
            expected = share * math.prod(t.shape)
            total += (float(mask[t.name].sum()) - expected) ** 2 / (expected * (1 - share))
    return total


def test_17_random_pruning_is_even_over_layers():
    """χ² with 4 degrees of freedom: neither uneven nor dealt out by layer."""
    specs, theta = tensors(PAPERS_200), random_params(PAPERS_200, dtype=torch.float32)
    values = []
    for seed in range(12):
        mask = full_mask(theta)
        for _ in range(2):
            mask = prune(mask, random_score(theta, generator(100 * seed + len(values))), specs, 0.4)
        values.append(chi_square(mask, specs, kept_weights(mask, specs) / 197_888))
    assert 2.0 < sum(values) / len(values) < 7.0
    assert max(values) < 23.5  # one in ten thousand


def test_17_random_scores_depend_on_the_generator_only():
    theta = theta_like(0)
    a, b, c = (random_score(theta, generator(s)) for s in (1, 1, 2))
    assert all(torch.equal(a[n], b[n]) for n in a) and not torch.equal(a["1.weight"], c["1.weight"])
    assert all(s.dtype == theta[n].dtype for n, s in a.items())


def test_18_pruning_nothing_changes_nothing():
    mask = prune(full_mask(theta_like(0)), magnitude(theta_like(0)), SPECS, 0.3)
    again = prune(mask, magnitude(theta_like(5)), SPECS, 0.0)
    assert all(torch.equal(mask[n], again[n]) for n in mask)


def test_18_pruned_without_retraining_is_the_masked_function():
    theta = theta_like(2)
    mask = prune(full_mask(theta), magnitude(theta), SPECS, 0.5)
    learner = Learner(SPEC, apply_mask(theta, mask), {n: torch.zeros_like(t) for n, t in theta.items()}, mask)
    coords = coords_of(SPEC)
    params, _ = adapt(SPEC, learner.start, learner.rate, mask, coords, random_targets(SPEC, 1), InnerLoop(0))
    by_hand = own_forward(SPEC, {n: torch.where(mask[n] == 1, t, 0.0) for n, t in theta.items()}, coords[0])
    torch.testing.assert_close(forward(SPEC, params, coords)[0], by_hand, rtol=0, atol=1e-13)
    dense = own_forward(SPEC, theta, coords[0])
    assert not torch.allclose(by_hand, dense, atol=1e-3)


@pytest.mark.parametrize("fraction", [-0.1, 1.0, 1.5, float("nan")])
def test_impossible_fractions_are_refused(fraction):
    with pytest.raises(OptionError, match="fraction"):
        prune(full_mask(theta_like(0)), magnitude(theta_like(0)), SPECS, fraction)


@pytest.mark.parametrize("loop", [InnerLoop(2), InnerLoop(2, 0.4)])
@pytest.mark.parametrize("boot", [Bootstrap(), Bootstrap(2, 5.0, 10.0)], ids=["MAML", "GradNCP"])
def test_14_masked_weights_have_no_meta_gradient(loop, boot):
    """As the trainer wires it: leaves, times the mask, into the learner."""
    dense = make_learner()
    mask = prune(dense.mask, magnitude(dense.theta0), SPECS, 0.5)
    learner = Learner(SPEC, apply_mask(dense.theta0, mask), dense.log_rate, mask)
    coords, targets = coords_of(SPEC), random_targets(SPEC, 2)
    total, _ = outer_loss(learner, coords, targets, loop, boot)
    leaves = [*dense.theta0.values(), *dense.log_rate.values()]
    for (n, m), g in zip([*mask.items(), *mask.items()], torch.autograd.grad(total, leaves), strict=True):
        assert not g[m == 0].any(), n
        assert g[m == 1].count_nonzero() > 0.7 * m.sum(), n  # all but those of units without successors
    params, _ = adapt(SPEC, learner.start, learner.rate, mask, coords, targets, loop)
    assert all(not p[:, mask[n] == 0].any() for n, p in params.items())


def test_14_a_mask_on_deltas_keeps_theta0():
    """A dense θ0 with masked Δ: θ0 still learns everywhere, only Δ is limited."""
    dense = make_learner()
    mask = prune(dense.mask, magnitude(dense.theta0), SPECS, 0.5)
    learner = Learner(SPEC, dense.theta0, dense.log_rate, mask)
    coords, targets = coords_of(SPEC), random_targets(SPEC, 2)
    total, _ = outer_loss(learner, coords, targets, InnerLoop(2), Bootstrap())
    grads = torch.autograd.grad(total, [*dense.theta0.values(), *dense.log_rate.values()])
    assert all(g.all() for g in grads[:6])
    assert all(not g[m == 0].any() for g, m in zip(grads[6:], mask.values(), strict=True))
    params, _ = adapt(SPEC, learner.start, learner.rate, mask, coords, targets, InnerLoop(2))
    for n, p in params.items():
        assert torch.equal(p[:, mask[n] == 0], dense.theta0[n][mask[n] == 0].expand(2, -1))
    before = module_loss(SPEC, stacked(dense.theta0, 2), coords, targets)
    assert (module_loss(SPEC, params, coords, targets) < before).all()


def test_16_biases_keep_the_mask_they_had():
    mask = full_mask(theta_like(0))
    mask["1.bias"] = (torch.arange(8) % 2).double()
    assert torch.equal(prune(mask, magnitude(theta_like(0)), SPECS, 0.3)["1.bias"], mask["1.bias"])


def test_spread_score_does_not_know_the_units_of_a_tensor():
    """Scaling a layer's weights by 100 leaves what is pruned as it was; by magnitude that layer would be kept whole."""
    theta = theta_like(4)
    large = {n: t * 100 if n == "0.weight" else t for n, t in theta.items()}
    full = full_mask(theta)
    masks = [prune(full, spread_score(t, full), SPECS, 0.4) for t in (theta, large)]
    assert all(torch.equal(masks[0][n], masks[1][n]) for n in full)
    assert prune(full, magnitude(large), SPECS, 0.4)["0.weight"].all()
    assert not masks[0]["0.weight"].all()


def test_spread_score_counts_survivors_alone():
    theta, mask = theta_like(4), prune(full_mask(theta_like(4)), magnitude(theta_like(4)), SPECS, 0.5)
    score = spread_score(theta, mask)
    for t in SPECS:
        alive = score[t.name][mask[t.name] > 0]
        assert float(alive.square().mean()) == pytest.approx(1.0, rel=1e-6)
