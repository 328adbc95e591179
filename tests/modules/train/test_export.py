from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import PICTURE, make_init, textured

from nfcodec.entropy.quantizer import step_size
from nfcodec.entropy.tables import LMAX, ROWS, magnitude_bits
from nfcodec.modules.classes import SHIFTS
from nfcodec.modules.fit.adapt import Adapter
from nfcodec.modules.fit.rounds import class_of
from nfcodec.modules.init import QUALITY_ANCHORS
from nfcodec.modules.train.export import best_rows, calibrate, export, provisional, step_exponents
from nfcodec.modules.train.loop import Trainer

from .training import CONFIG, tasks


def bits_of(q, classes, rows):
    """Code length (K,) of every weight with its row, symbol by symbol."""
    total = np.zeros(q.shape[1])
    for m in range(len(q)):
        for j in range(q.shape[1]):
            if classes[m]:
                row = min(max(int(rows[j]) + SHIFTS[classes[m]], 0), ROWS - 1)
                total[j] += magnitude_bits()[row, min(abs(int(q[m, j])), LMAX)]
    return total


@settings(max_examples=15)
@given(st.integers(0, 2**31), st.floats(0.1, 300))
def test_best_rows_against_brute_force(seed, size):
    rng = np.random.default_rng(seed)
    q = np.rint(rng.laplace(0, size, (6, 3)) * [1.0, 0.1, 5.0]).astype(np.int32)
    classes = rng.integers(0, 16, 6)
    q[classes == 0] = 0
    rows = best_rows(q, classes)
    assert rows.dtype == np.int32 and rows.min() >= 0 and rows.max() < ROWS
    found = bits_of(q, classes, rows)
    every = np.stack([bits_of(q, classes, np.full(3, row)) for row in range(ROWS)])
    np.testing.assert_allclose(found, every.min(0), rtol=1e-12)


def test_best_rows_without_any_active_module():
    assert not best_rows(np.zeros((3, 4), np.int32), np.zeros(3, np.int64)).any()


def test_steps_follow_one_over_root_fisher():
    fisher = torch.tensor([1e-6, 0.01, 0.25, 1.0, 3.0, 100.0, 4e4])
    e = step_exponents(fisher, 0.8)
    assert e.dtype == np.int32
    steps = step_size(e) * np.sqrt(fisher.numpy().astype(float))
    assert (np.abs(8 * np.log2(steps / 0.8)) <= 0.5 + 1e-4).all()
    assert (step_exponents(4 * fisher, 0.8) == e - 8).all()
    assert (step_exponents(fisher, 1.6) == e + 8).all()


@pytest.fixture(scope="module")
def trainer():
    torch.set_num_threads(1)
    trainer = Trainer(CONFIG, tasks())
    trainer.run()
    return trainer


def test_provisional_holds_what_training_found(trainer):
    init = provisional(trainer)
    init.validate()
    assert init.inner_steps == 2 and init.gamma == 0.5 and init.coarsest == 0.4 and init.id == "tiny"
    for n in init.theta0:
        assert (init.theta0[n] == trainer.theta0[n].detach().numpy()).all()
        assert (init.mask[n] == trainer.mask[n].numpy()).all()
        assert (init.log_rate[n] == trainer.log_rate[n].detach().numpy()).all()
        assert not np.shares_memory(init.theta0[n], trainer.theta0[n].detach().numpy())
    assert (init.step == step_exponents(trainer.state.fisher, 0.4)).all()
    trainer_scale = np.exp(trainer.state.log_scale.numpy().astype(float))
    free = (init.scale > 0) & (init.scale < ROWS - 1)
    row_scale = 2.0 ** ((init.scale - 18) / 4)
    assert free.any() and (np.abs(4 * np.log2(row_scale / trainer_scale))[free] <= 0.51).all()


def total_bits(init, targets):
    bits = []
    for quality in QUALITY_ANCHORS:
        adapter = Adapter(init, quality, 5, 3)
        bits.append(float(class_of(adapter.deltas(targets), adapter.coding)[1].sum()))
    return np.array(bits)


def test_calibration_lowers_the_rate():
    init = make_init()
    init.scale[:] = 30  # far off
    targets = textured(PICTURE, 48, dtype=torch.float32)
    better = calibrate(init, targets)
    assert (init.scale == 30).all()
    before, after = total_bits(init, targets), total_bits(better, targets)
    assert (after < before).all()
    kept = better.kept(3)
    off = np.setdiff1d(np.arange(init.scale.shape[1]), kept)
    assert (better.scale[:, off] == 30).all()
    # At every anchor no other row of any one weight would have been cheaper, given the classes.
    adapter = Adapter(better, 50, 5, 3)
    q = adapter.deltas(targets)
    classes, _ = class_of(q, adapter.coding)
    ideal = replace(adapter.coding, scale=best_rows(q, classes))
    assert class_of(q, adapter.coding)[1].sum() <= 1.03 * class_of(q, ideal)[1].sum()


def test_export_is_reproducible(trainer):
    a, b = export(trainer, modules=32), export(trainer, modules=32)
    a.validate()
    assert (a.scale == b.scale).all() and (a.step == b.step).all()
    assert all((a.theta0[n] == b.theta0[n]).all() for n in a.theta0)


def test_large_modules_need_fewer_of_them_to_calibrate():
    from nfcodec.modules.train.export import calibration_modules

    assert [calibration_modules(n) for n in (256, 576, 1024, 8192, 10**6)] == [1024, 1024, 1024, 36, 32]
