"""Invariants 36 and 37: modules that are learned one after another."""

import torch
from tiny import SPEC, coords_of, make_learner, random_targets

from nfcodec.modules.fit.inner import InnerLoop, adapt
from nfcodec.modules.fit.sequence import ModuleSequence

LOOP = InnerLoop(3, rho=0.4)


def sequence(learner):
    return ModuleSequence(
        SPEC, {n: t.detach() for n, t in learner.theta0.items()}, {n: r.detach() for n, r in learner.rate.items()},
        learner.mask, LOOP,
    )  # fmt: skip


def test_36_nothing_is_forgotten():
    """Bit for bit: what a module says after others have been learned is what it said before."""
    learner, coords, targets = make_learner(), coords_of(SPEC)[0], random_targets(SPEC, 4)
    modules, before = sequence(learner), []
    for target in targets:
        number = modules.learn(coords, target)
        before.append(modules.outputs(number, coords).clone())
        for earlier, said in enumerate(before):
            assert torch.equal(modules.outputs(earlier, coords), said)
    assert len(modules) == 4
    assert not torch.equal(before[0], before[1])


def test_37_one_module_is_plain_maml():
    learner, coords, targets = make_learner(), coords_of(SPEC), random_targets(SPEC, 1)
    modules = sequence(learner)
    modules.learn(coords[0], targets[0])
    params, _ = adapt(SPEC, learner.start, learner.rate, learner.mask, coords, targets, LOOP)
    alone = sequence(learner)
    assert all(torch.equal(modules._modules[0][n], params[n].detach()) for n in params)
    assert not alone


def test_37_every_module_begins_at_theta0():
    """The order does not matter, and a batch is the same as one after another."""
    learner, coords, targets = make_learner(), coords_of(SPEC), random_targets(SPEC, 3)
    forwards, backwards = sequence(learner), sequence(learner)
    for i in range(3):
        forwards.learn(coords[0], targets[i])
        backwards.learn(coords[0], targets[2 - i])
    together, _ = adapt(SPEC, learner.start, learner.rate, learner.mask, coords, targets, LOOP)
    for i in range(3):
        assert torch.equal(forwards.outputs(i, coords[0]), backwards.outputs(2 - i, coords[0]))
        for n, t in together.items():
            torch.testing.assert_close(forwards._modules[i][n][0], t[i].detach(), rtol=1e-12, atol=1e-15)


def test_37_theta0_is_left_alone():
    learner, coords, targets = make_learner(), coords_of(SPEC)[0], random_targets(SPEC, 1)
    before = {n: t.detach().clone() for n, t in learner.theta0.items()}
    sequence(learner).learn(coords, targets[0])
    assert all(torch.equal(before[n], t) for n, t in learner.theta0.items())
