import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from nfcodec.entropy.quantizer import dequantize
from nfcodec.errors import CorruptError, InternalError, OptionError
from nfcodec.modules.deltas import decode_deltas, encode_deltas
from nfcodec.modules.fit.adapt import Adapter
from nfcodec.modules.train.export import export, provisional
from nfcodec.modules.train.loop import Stage, Trainer, plan
from nfcodec.modules.train.sparse import kept_weights
from nfcodec.zoo import read_init, write_init

from .training import CONFIG, TOTAL, changed, same, state_of, tasks


def trained(config=CONFIG, until=None):
    trainer = Trainer(config, tasks(config.field))
    trainer.run(until=until)
    return trainer


@pytest.fixture(scope="module")
def whole():
    torch.set_num_threads(1)
    return state_of(trained())


def test_plan():
    stages = plan(changed(sparse={"rounds": 2}))
    assert stages == [
        Stage("psnr", 0, 4), Stage("psnr", 4, 7, True), Stage("psnr", 7, 10, True), Stage("rate", 10, 14),
    ]  # fmt: skip


def test_one_seed_is_one_result(whole):
    assert same(state_of(trained()), whole)
    assert not same(state_of(trained(changed(seed=6))), whole)


def test_six_steps_twice():
    assert same(state_of(trained(until=6)), state_of(trained(until=6)))


@pytest.mark.parametrize("at", range(1, TOTAL + 1))
def test_resumed_equals_uninterrupted(whole, tmp_path, at):
    """Interrupted after any step: inside a stage, just before pruning, just before the rate enters."""
    checkpoint = tmp_path / "state.ckpt"
    first = Trainer(CONFIG, tasks())
    first.run(checkpoint=checkpoint, until=at)
    assert first.at == at
    second = Trainer(CONFIG, tasks())
    second.resume(checkpoint)
    assert same(state_of(second), state_of(first))
    second.run()
    assert same(state_of(second), whole)


def test_saving_on_the_way_changes_nothing(whole, tmp_path):
    trainer = Trainer(CONFIG, tasks())
    trainer.run(checkpoint=tmp_path / "state.ckpt", every=0.0)
    assert same(state_of(trainer), whole)
    assert [p.name for p in tmp_path.iterdir()] == ["state.ckpt"]


def test_training_learns():
    config = changed(outer={"steps": 60, "lr": 1e-2, "bootstrap_weight": 0.0}, sparse={"rounds": 0})
    trainer = Trainer(config, tasks())
    trainer.step()
    first = trainer.loss
    trainer.run(until=60)
    assert trainer.loss < 0.6 * first


def test_pruning_happens_once_per_round():
    config = changed(sparse={"rounds": 3, "fraction": 0.2, "steps": 2})
    trainer = Trainer(config, tasks())
    counts = []
    for _ in range(10):
        trainer.step()
        counts.append(kept_weights(trainer.mask, trainer.specs))
    assert counts == [104] * 4 + [84] * 2 + [68] * 2 + [55] * 2


def test_18_rounds_without_retraining_still_prune():
    trainer = Trainer(changed(sparse={"rounds": 3, "fraction": 0.2, "steps": 0}), tasks())
    trainer.run()
    assert kept_weights(trainer.mask, trainer.specs) == 55


@pytest.mark.parametrize("score", ["theta", "delta", "random"])
def test_score_decides_what_is_pruned(score):
    trainer = trained(changed(sparse={"score": score}), until=4)
    theta = {n: t.detach().clone() for n, t in trainer.theta0.items()}
    trainer._prune()
    weights = [t.name for t in trainer.specs if t.role == "weight"]
    size = torch.cat([theta[n].abs().reshape(-1) for n in weights])
    kept = torch.cat([trainer.mask[n].reshape(-1) for n in weights]).bool()
    by_magnitude = bool(size[~kept].max() <= size[kept].min())
    assert by_magnitude == (score == "theta")


@pytest.mark.parametrize("base", ["masked", "dense"])
def test_14_pruned_weights_through_training_export_reload_and_decode(tmp_path, base):
    """From the optimizer to the decoded field: exactly zero, or exactly θ0 where only Δ is masked."""
    config = changed(sparse={"base": base, "score": "theta", "fraction": 0.5})
    trainer = trained(config, until=4)
    for _ in range(4, TOTAL):
        before = {n: t.detach().clone() for n, t in trainer.log_rate.items()}
        trainer.step()
        for n, m in trainer.mask.items():
            if base == "masked":
                assert not trainer.learner.start[n][m == 0].any()
                assert not trainer.theta0[n].grad[m == 0].any()
            if trainer.at > 5:  # Adam's momentum may still move the step sizes, which nobody uses
                assert not trainer.log_rate[n].grad[m == 0].any()
            assert before[n].shape == m.shape
    init = export(trainer, modules=32)
    write_init(init, tmp_path / "i.safetensors")
    init = read_init(tmp_path / "i.safetensors")
    adapter = Adapter(init, 90, 3, 3)
    q = adapter.deltas(tasks().batch(1, 1, 6))
    coding = adapter.coding
    data = encode_deltas(q, coding.scale, coding.tensor_of)
    back = decode_deltas(data, modules=6, scale=coding.scale, tensor_of=coding.tensor_of)
    params = init.params(dequantize(back, coding.exponent), coding.kept)
    assert q.any()
    for n, m in init.mask.items():
        off = m == 0
        assert (params[n][:, off] == init.theta0[n][off]).all()
        assert base == "dense" or not params[n][:, off].any()
    pruned = sum(int((m == 0).sum()) for m in init.mask.values())
    assert pruned == 52


def test_masked_training_does_not_export_what_was_pruned():
    """The optimizer's copy of a pruned weight stays alive; the init must not show it."""
    trainer = trained(changed(sparse={"base": "masked", "score": "random"}))
    hidden = torch.cat([trainer.theta0[n].detach()[m == 0] for n, m in trainer.mask.items()])
    assert hidden.any()
    init = provisional(trainer)
    assert not np.concatenate([init.theta0[n][m == 0] for n, m in init.mask.items()]).any()


def test_another_config_is_refused(tmp_path):
    trainer = Trainer(CONFIG, tasks())
    trainer.run(checkpoint=tmp_path / "state.ckpt", until=2)
    for other in (changed(seed=6), changed(inner={"steps": 3}), changed(rate={"lr": 2e-3})):
        with pytest.raises(OptionError, match="another config"):
            Trainer(other, tasks()).resume(tmp_path / "state.ckpt")


def damaged(data):
    yield "empty", b""
    yield "cut in the header", data[:40]
    yield "cut in the data", data[:-7]
    yield "longer", data + b"\0"
    yield "text", b"not a checkpoint at all, but long enough to look at"
    yield "zeros", bytes(len(data))
    yield "key", data.replace(b"theta0/1.bias", b"theta0/9.bias")
    yield "group", data.replace(b"log_rate/", b"log_rite/")
    yield "group without slash", data.replace(b"mask/0.bias", b"maskz0.bias")
    yield "state", data.replace(b'"state"', b'"stete"', 1)
    yield "json", data.replace(b'{\\"at\\"', b'[\\"at\\"')
    yield "number", data.replace(b'\\"at\\"', b'\\"ta\\"')
    named = b'"theta0/1.weight":{"dtype":"F32","shape":['
    yield "shape", data.replace(named + b"8,8]", named + b"4,16]")


def test_damaged_checkpoints_are_refused(tmp_path):
    trainer = Trainer(CONFIG, tasks())
    path = tmp_path / "state.ckpt"
    trainer.run(checkpoint=path, until=TOTAL)
    good = path.read_bytes()
    for name, data in damaged(good):
        assert data != good, name
        path.write_bytes(data)
        with pytest.raises(CorruptError, match="cannot resume"):
            Trainer(CONFIG, tasks()).resume(path)
    path.unlink()
    with pytest.raises(CorruptError, match="cannot resume"):
        Trainer(CONFIG, tasks()).resume(path)


def test_checkpoint_without_a_part_of_the_state(tmp_path):
    path = tmp_path / "state.ckpt"
    trained().save(path)
    with safe_open(path, "pt") as file:
        meta, tensors = file.metadata(), {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
    assert json.loads(meta["state"])["at"] == TOTAL
    for missing in ("theta0/0.bias", "mask/2.weight", "log_rate/1.weight", "state/fisher", "adam/0/step"):
        save_file({k: v for k, v in tensors.items() if k != missing}, path, meta)
        with pytest.raises(CorruptError, match="cannot resume"):
            Trainer(CONFIG, tasks()).resume(path)


def test_crash_while_saving_keeps_the_previous_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "state.ckpt"
    trainer = Trainer(CONFIG, tasks())
    trainer.run(checkpoint=path, until=2)
    before = path.read_bytes()
    monkeypatch.setattr("os.replace", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        trainer.run(checkpoint=path, until=4)
    assert path.read_bytes() == before


def test_reports(monkeypatch):
    clock = iter(range(0, 1000, 2))
    monkeypatch.setattr("time.monotonic", lambda: float(next(clock)))
    heard = []
    Trainer(CONFIG, tasks()).run(report=heard.append)
    assert [r.step for r in heard] == list(range(1, TOTAL + 1))
    assert all(r.total == TOTAL and r.eta >= 0 and 0 < r.psnr < 60 for r in heard)
    assert heard[-1].eta == 0 and heard[-1].bits > 0 and heard[0].bits == 0


def test_no_export_before_the_rate_stage():
    with pytest.raises(InternalError):
        provisional(trained(until=5))


def test_random_masks_differ_by_seed():
    masks = []
    for seed in (1, 2):
        trainer = trained(changed(seed=seed, sparse={"rounds": 1, "score": "random"}), until=5)
        masks.append(torch.cat([m.flatten() for m in trainer.mask.values()]))
    assert masks[0].sum() == masks[1].sum() < len(masks[0]) and not torch.equal(*masks)
