"""Meta-SparseINR's loop: one global mask over the trunk, the first step and D."""

import pytest
import torch

from nfcodec.lattice.train.config import SparseConfig
from nfcodec.lattice.train.sparse import SparseRounds, sparse

NAMES = ["0.trunk.1.weight", "0.d.0.weight", "0.e.in.weight", "0.analysis.0"]
OTHERS = ["0.trunk.1.bias", "0.d.0.bias", "0.log_gain", "0.p.3.0.weight", "0.m.1.out.weight", "0.offset"]


def params_of(seed=0, scales=(1.0, 1.0, 1.0, 1.0)):
    generator = torch.Generator().manual_seed(seed)
    sizes = [(30, 10), (5, 40), (7, 20), (4, 15)]
    both = zip(NAMES, sizes, scales, strict=True)
    params = {n: scale * torch.randn(size, generator=generator) for n, size, scale in both}
    return params | {n: torch.full((3, 2), 1e-6) for n in OTHERS}


def weights(params):
    return torch.cat([params[n].flatten() for n in NAMES])


def test_what_is_pruned():
    both = (*NAMES[:3], "1.trunk.0.weight", "0.d.in.weight", "0.e.out.weight")
    assert all(sparse(n, scope) for n in both for scope in ("networks", "all"))
    assert not any(sparse(n, scope) for n in OTHERS for scope in ("networks", "all"))
    assert sparse(NAMES[3], "all") and not sparse(NAMES[3], "networks")
    assert sparse(NAMES[0], "inner") and sparse("0.e.out.weight", "inner")
    assert not sparse("0.trunk.0.weight", "inner") and not sparse(NAMES[3], "inner")


def test_the_threshold_is_global():
    """Whatever tensor they are in, the smallest fifth of all weights goes, and nothing else."""
    params = params_of(scales=(1.0, 0.1, 2.0, 0.5))
    before = weights(params).clone()
    rounds = SparseRounds(SparseConfig(rounds=1, unit="weight", scope="all"), 10, 0)
    rounds.remember(params)
    rounds.apply(params, 0)
    found, count = weights(params), int(0.2 * before.numel())
    gone = found == 0
    assert int(gone.sum()) == count
    assert before[gone].abs().max() <= before[~gone].abs().min()
    assert torch.equal(found[~gone], before[~gone])
    shares = [float((params[n] == 0).float().mean()) for n in NAMES]
    assert shares[1] > 0.5 > 0.3 > shares[2]  # small tensors lose most
    assert all((params[n] == 1e-6).all() for n in OTHERS)


def test_in_units_of_the_spread_no_tensor_is_small():
    params = params_of(scales=(1.0, 0.01, 30.0, 0.5))
    rounds = SparseRounds(SparseConfig(rounds=1, scope="all"), 10, 0)
    rounds.remember(params)
    rounds.apply(params, 0)
    shares = [float((params[n] == 0).float().mean()) for n in NAMES]
    assert all(0.1 < s < 0.3 for s in shares)
    assert int((weights(params) == 0).sum()) == int(0.2 * weights(params).numel())


@pytest.mark.parametrize("choice", ["magnitude", "random"])
def test_rounds_prune_the_survivors_and_nothing_comes_back(choice):
    params = params_of(1)
    rounds = SparseRounds(SparseConfig(rounds=3, choice=choice, scope="all"), 12, 5)
    rounds.remember(params)
    left, counts, total = weights(params).numel(), [], weights(params).numel()
    gone = torch.zeros(total, dtype=torch.bool)
    for step in range(12):
        for n in NAMES:
            params[n] += 0.01  # an outer step, momentum and all
        rounds.apply(params, step)
        now = weights(params) == 0
        assert (now & gone).sum() == gone.sum()
        gone = now
        counts.append(int(now.sum()))
    wanted = []
    for _ in range(3):
        left -= int(0.2 * left)
        wanted += 4 * [total - left]
    assert counts == wanted
    assert torch.equal(torch.cat([z.flatten() for z in rounds.zeros().values()]), gone)


def test_random_masks_depend_on_the_seed_and_are_no_larger():
    masks = []
    for seed in (0, 0, 1):
        params = params_of(2)
        rounds = SparseRounds(SparseConfig(rounds=1, choice="random", scope="all"), 10, seed)
        rounds.remember(params)
        rounds.apply(params, 0)
        masks.append(weights(params) == 0)
    assert torch.equal(masks[0], masks[1]) and not torch.equal(masks[0], masks[2])
    assert masks[2].sum() == masks[0].sum()


def test_what_was_zero_stays_zero_and_is_no_survivor():
    params = params_of(3)
    params[NAMES[0]][:15] = 0.0
    rounds = SparseRounds(SparseConfig(rounds=1, scope="all"), 10, 0)
    rounds.remember(params)
    params[NAMES[0]] += 0.1
    rounds.apply(params, 0)
    assert (params[NAMES[0]][:15] == 0).all()
    rest = weights(params).numel() - 150
    assert int((weights(params) == 0).sum()) == 150 + int(0.2 * rest)


def test_no_rounds_no_mask():
    params = params_of(4)
    params[NAMES[0]][0] = 0.0
    rounds = SparseRounds(SparseConfig(), 10, 0)
    rounds.remember(params)
    params[NAMES[0]] += 0.1
    rounds.apply(params, 0)
    assert not (weights(params) == 0).any() and not rounds.zeros()
