"""How the tables of GradNCP and MCL-NF train and judge: on signals that are drawn here."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from benchmarks.seeds import breaks, controls, curvature, domains, gradncp, learning, mcl, scores
from benchmarks.seeds.protocol import Protocol
from nfcodec.coords import module_coords
from nfcodec.modules.fit.inner import InnerLoop
from nfcodec.modules.kinds import field_kind
from nfcodec.modules.train.continual import segments_of

TINY = Protocol("small", 8, 8, 2, 4, 2, (0,), (0,))
RECIPE = learning.Recipe(steps=2, outer=4, batch=2)


@pytest.fixture(scope="module")
def domain():
    spec = domains.siren(TINY, axes=2, channels=3, tile=(8, 8), w0=10)
    coords = torch.from_numpy(module_coords((8, 8))).unsqueeze(0)

    def batch(seed, step, count):
        g = torch.Generator().manual_seed(1000 * seed + step)
        slope = torch.rand((count, 1, 3), generator=g) - 0.5
        return 0.4 * torch.sin(3 * coords[..., :1] * slope + slope)

    return domains.Domain("imagenette", spec, coords, (8, 8), batch, lambda n: batch(9, 9, n))


def test_training_goes_on_where_it_stopped(domain, tmp_path):
    whole = learning.meta_train(domain, RECIPE, 0, tmp_path / "a.ckpt")

    class Stop(Exception):
        pass

    calls = []
    plain = learning.signal_loss(domain, RECIPE)

    def loss(learner, target):
        calls.append(1)
        if len(calls) > 6:
            raise Stop
        return plain(learner, target)

    with pytest.raises(Stop):
        learning.meta_train(domain, RECIPE, 0, tmp_path / "b.ckpt", loss, every=1)
    again = learning.meta_train(domain, RECIPE, 0, tmp_path / "b.ckpt", plain)
    assert all(torch.equal(whole[n], again[n]) for n in whole)
    assert not torch.equal(whole["0.weight"], learning.meta_train(domain, RECIPE, 1, tmp_path / "c.ckpt")["0.weight"])


def test_curves_begin_at_theta0_and_rise(domain, tmp_path):
    theta = learning.meta_train(domain, RECIPE, 0, tmp_path / "a.ckpt")
    targets = domain.test(3)
    found = learning.curve(domain, theta, targets, InnerLoop(1), 1e-2, (0, 1, 8))
    out = field_kind("siren").forward(domain.spec, {n: t[None] for n, t in theta.items()}, domain.coords)
    each = (out.clamp(-0.5, 0.5) - targets).square().mean((1, 2))
    assert found[0] == pytest.approx(float((-10 * torch.log10(each)).mean()), abs=1e-3)
    assert found[2] > found[1] > found[0]


@pytest.mark.parametrize("method", ["MAML K=4", "GradNCP"])
def test_rows_say_what_was_measured(domain, method, tmp_path):
    recipe = learning.Recipe(**{"outer": 1, **gradncp.METHODS[method]})
    row = gradncp.judged(domain, learning.meta_train(domain, recipe, 0, tmp_path / "a.ckpt"), recipe, 2)
    assert row["k16"] == max(row["k16_plain"], row["k16_rescaled"]) and len(row["plain"]) == len(gradncp.STEPS)
    assert all(-1 <= c <= 1 for c in row["correlation"])


def test_full_norms_are_autograds(domain):
    theta = learning.init_params(domain.spec, torch.Generator().manual_seed(0))
    targets = domain.test(1)[0]
    found = scores.full_norms(domain.spec, theta, domain.coords[0, :3], targets[:3])
    for i in range(3):
        leaves = {n: t.clone()[None].requires_grad_() for n, t in theta.items()}
        out = field_kind("siren").forward(domain.spec, leaves, domain.coords[:, i : i + 1])[0, 0]
        grads = torch.autograd.grad(0.5 * (out - targets[i]).square().sum(), list(leaves.values()))
        assert float(found[i]) == pytest.approx(float(torch.cat([g.flatten() for g in grads]).norm()), rel=1e-4)


def test_segments_of_modules_are_the_signal_in_quarters(domain):
    own = mcl.module_domain(domain)
    whole, parts = domain.test(3), own.test(3)
    assert parts.shape == (12, 16, 3) and own.spec.tile == (4, 4) and own.spec.width == domain.spec.width // 2
    index = segments_of((8, 8), 4)
    assert torch.equal(parts[5], whole[1, index[1]])


@pytest.mark.parametrize("method", ["mod", "MAML, in turn", "OML", "MAML, together"])
def test_continual_rows(domain, method, tmp_path):
    chosen = mcl.METHODS[method]
    own = mcl.module_domain(domain) if chosen.training == "modules" else domain
    theta = learning.init_params(own.spec, torch.Generator().manual_seed(0))
    row = mcl.judged(own, theta, chosen, RECIPE, 2, (1, 2, 4))
    assert row["best"] == max(row["psnr"]) and row["step_1"] == row["psnr"][0] and len(row["psnr"]) == 3
    assert {"mod": row["forgotten"] == 0, "MAML, together": row["forgotten"] is None}.get(method, True)


def test_drawn_fields_are_on_the_sphere():
    coords = domains.sphere_coords()
    torch.testing.assert_close(coords.norm(dim=-1), torch.ones(1, 46 * 90), rtol=1e-6, atol=0)
    field = domains.drawn_field(np.random.default_rng(0), coords[0].numpy())
    assert field.shape == (46 * 90, 1) and field.min() == -0.5 and field.max() == 0.5
    grid = field.reshape(46, 90)
    assert np.ptp(grid[0]) < 1e-6 < np.ptp(grid[20]), "the pole is one point"
    assert abs(grid[20, 0] - grid[20, 89]) < 0.3 * np.ptp(grid[20]), "longitudes meet"


def test_a_break_is_taken_back(tmp_path):
    (tmp_path / "nfcodec" / "modules" / "fit").mkdir(parents=True)
    path = tmp_path / "nfcodec" / "modules" / "fit" / "context.py"
    change = next(b for b in breaks.BREAKS if b.file.endswith("context.py"))
    path.write_text(f"# {change.old}\n", encoding="utf-8")
    with breaks.broken(change, tmp_path):
        assert change.new in path.read_text(encoding="utf-8")
    assert path.read_text(encoding="utf-8") == f"# {change.old}\n"
    path.write_text("nothing", encoding="utf-8")
    with pytest.raises(ValueError, match="0 times"), breaks.broken(change, tmp_path):
        pass


def test_contexts_by_lot(domain):
    """All samples drawn is MAML; fewer are a function of the signal, and not the ones that GradNCP selects."""
    theta = {n: t.requires_grad_() for n, t in learning.init_params(domain.spec, torch.Generator()).items()}
    learner, targets = learning.learner_of(domain.spec, theta, 1e-2), domain.batch(3, 0, 2)
    whole, part = (learning.Recipe(steps=2, gamma=gamma) for gamma in (1.0, 0.25))
    plain = learning.signal_loss(domain, whole)(learner, targets)
    torch.testing.assert_close(controls.by_lot(domain, whole)(learner, targets), plain)
    losses = [make(domain, part) for make in (controls.by_lot, controls.by_lot, learning.signal_loss)]
    first, again, selected = (loss(learner, targets) for loss in losses)
    assert torch.equal(first, again) and not torch.equal(first, selected)
    assert all(g.abs().sum() > 0 for g in torch.autograd.grad(first, list(theta.values())))


def test_factors_of_steps(domain):
    """A context of all samples is plain descent; where a quarter holds all of the error, steps are 1/γ as long."""
    theta = learning.init_params(domain.spec, torch.Generator().manual_seed(0))
    found = controls.mean_factor(domain, theta, domain.test(2), 1e-2)
    assert 1.0 < found < 4.0
    out = field_kind("siren").forward(domain.spec, {n: t[None] for n, t in theta.items()}, domain.coords)
    off = torch.cat([out[:, :16] + 0.4, out[:, 16:]], 1).detach()
    assert controls.mean_factor(domain, theta, off, 1e-9) == pytest.approx(4.0, abs=0.01)


def test_largest_curvature_is_that_of_the_whole_hessian(domain):
    theta = learning.init_params(domain.spec, torch.Generator().manual_seed(0))
    theta = {n: 3 * t if n.startswith("2.") else t for n, t in theta.items()}
    targets, names = domain.test(1), ["2.weight", "2.bias"]

    def loss(*last):
        params = {n: t[None] for n, t in (theta | dict(zip(names, last, strict=True))).items()}
        return learning.module_loss(domain.spec, params, domain.coords, targets).sum()

    def flat(vector):
        parts = vector.split([theta[n].numel() for n in names])
        return loss(*[p.reshape(theta[n].shape) for p, n in zip(parts, names, strict=True)])

    hessian = torch.autograd.functional.hessian(flat, torch.cat([theta[n].flatten() for n in names]))
    found = curvature.largest(domain.spec, {n: t[None] for n, t in theta.items()}, domain.coords, targets)
    assert found >= 0.95 * float(torch.linalg.eigvalsh(hessian)[-1]) > 0
    edge = curvature.edges(domain, theta, targets, 1e-3, 1.0, steps=0)
    assert edge["edge"] == edge["edge_context"] == pytest.approx(1e-3 * abs(found), abs=0.01)
