import dataclasses
import math

import numpy as np
import pytest
import torch
from tiny import PAPERS_30, PAPERS_200, PICTURE, SPEC, generator, own_forward, random_params, stacked

from nfcodec.modules import siren
from nfcodec.modules.train.sparse import apply_mask, full_mask, magnitude, prune
from nfcodec.modules.values import to_values

BOTH = pytest.mark.parametrize("spec", [PAPERS_30, PAPERS_200], ids=["w0=30", "w0=200"])


def numpy_siren(weights, biases, x, w0):
    """The reference code's convention: torch.nn.Linear weights (fan_out, fan_in), sine on every layer but the last."""
    h = x
    for w, b in zip(weights[:-1], biases[:-1], strict=True):
        h = np.sin(w0 * (h @ w.T + b))
    return h @ weights[-1].T + biases[-1]


def linear_layers(spec, params):
    layers = range(spec.depth + 1)
    return [params[f"{i}.weight"].numpy().T for i in layers], [params[f"{i}.bias"].numpy() for i in layers]


def preactivations(spec, params, coords):
    """w0·(h W + b) of every hidden layer after the first, through the public functions."""
    batched = {n: t.unsqueeze(0) for n, t in params.items()}
    for layer in range(1, spec.depth):
        part = dataclasses.replace(spec, depth=layer, channels=spec.width)
        yield spec.w0 * siren.head(part, batched, siren.features(part, batched, coords))


def points(n=2000, axes=2):
    return torch.rand((1, n, axes), generator=generator(5), dtype=torch.float64) * 2 - 1


def test_count_of_parameters():
    shapes = siren.tensors(PAPERS_200)
    assert sum(math.prod(t.shape) for t in shapes if t.role == "weight") == 197_888
    assert sum(math.prod(t.shape) for t in shapes if t.role == "bias") == 1_027
    video = dataclasses.replace(PAPERS_200, axes=3, tile=(8, 16, 16))
    assert sum(math.prod(t.shape) for t in siren.tensors(video)) == 199_171
    assert [t.name for t in siren.tensors(SPEC)] == ["0.weight", "0.bias", "1.weight", "1.bias", "2.weight", "2.bias"]


@BOTH
def test_08_init_bounds(spec):
    params = random_params(spec)
    for layer in range(spec.depth + 1):
        bound = 0.5 if layer == 0 else math.sqrt(6 / 256) / spec.w0
        for kind in ("weight", "bias"):
            values = params[f"{layer}.{kind}"]
            assert float(values.abs().max()) <= bound
            if kind == "weight":
                assert float(values.abs().max()) > 0.98 * bound
                assert float(values.std()) == pytest.approx(bound / math.sqrt(3), rel=0.05)
                assert abs(float(values.mean())) < 5 * bound / math.sqrt(3 * values.numel())


@BOTH
def test_08_preactivations_have_unit_deviation(spec):
    sine_power = 0.5
    for pre in preactivations(spec, random_params(spec), points()):
        assert 0.85 < float(pre.std()) < 1.1
        # 6/256 is twice 3/256: unit variance for sines of power ½, and a little from the biases.
        assert float(pre.var()) == pytest.approx(2 * sine_power + 2 / 256, rel=0.12)
        sine_power = float(torch.sin(pre).square().mean())


@BOTH
@pytest.mark.parametrize("rounds", [3, 10])
def test_08_preactivations_after_pruning(spec, rounds):
    """What is left of the variance is what is left of the weights' energy, times that of the sines before."""
    theta = random_params(spec)
    mask, specs = full_mask(theta), siren.tensors(spec)
    for _ in range(rounds):
        mask = prune(mask, magnitude(theta), specs, 0.2)
    pruned = apply_mask(theta, mask)
    sine_power = 0.5  # the first layer's phases are wide: its sines are spread over whole periods
    for layer, pre in enumerate(preactivations(spec, pruned, points()), 1):
        w, b = pruned[f"{layer}.weight"], pruned[f"{layer}.bias"]
        variance = spec.w0**2 * (float(w.square().sum()) / spec.width * sine_power + float(b.square().mean()))
        assert float(pre.std()) == pytest.approx(math.sqrt(variance), rel=0.12)
        sine_power = float(torch.sin(pre).square().mean())
    if rounds == 10:
        assert float(pre.std()) < 0.8  # deeper pruning does silence hidden layers


@pytest.mark.parametrize("c", [2, 3, 0.5])
def test_09_w0_and_weights_trade_off(c):
    spec = dataclasses.replace(SPEC, w0=12)
    params = stacked(random_params(spec), 1)
    moved = {n: t if n[0] == str(spec.depth) else t * c for n, t in params.items()}
    slower = dataclasses.replace(spec, w0=int(12 / c))
    x = points(50)
    torch.testing.assert_close(siren.forward(slower, moved, x), siren.forward(spec, params, x), rtol=0, atol=1e-12)
    everything = {n: t * c for n, t in params.items()}
    assert not torch.allclose(siren.forward(slower, everything, x), siren.forward(spec, params, x), atol=1e-3)


@pytest.mark.parametrize("scale", [1, 4])
def test_forward_is_the_references(scale):
    spec = dataclasses.replace(SPEC, coord_scale=scale)
    params = random_params(spec)
    x = points(40)
    expected = numpy_siren(*linear_layers(spec, params), x[0].numpy() * scale, spec.w0)
    got = siren.forward(spec, stacked(params, 1), x)[0]
    np.testing.assert_allclose(got.numpy(), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(own_forward(spec, params, x[0]), got, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("offset", "shift"), [(True, 0.5), (False, 0.0)], ids=["GradNCP", "Meta-SparseINR"])
def test_11_output_offset(offset, shift):
    spec = dataclasses.replace(SPEC, offset=offset)
    params = random_params(spec)
    x = points(40)
    expected = numpy_siren(*linear_layers(spec, params), x[0].numpy(), spec.w0) + shift
    got = to_values(spec, siren.forward(spec, stacked(params, 1), x), 3)[0]
    np.testing.assert_allclose(got.numpy(), expected, rtol=0, atol=1e-12)


def test_modules_are_evaluated_apart():
    params = {n: torch.stack([random_params(SPEC, s)[n] for s in range(3)]) for n in random_params(SPEC)}
    x = torch.rand((3, 11, 2), generator=generator(), dtype=torch.float64)
    together = siren.forward(SPEC, params, x)
    for i in range(3):
        torch.testing.assert_close(together[i], own_forward(SPEC, random_params(SPEC, i), x[i]), rtol=0, atol=1e-13)


def test_init_depends_on_the_seed_only():
    for a, b in zip(random_params(PICTURE, 4).values(), random_params(PICTURE, 4).values(), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(random_params(PICTURE, 4)["1.weight"], random_params(PICTURE, 5)["1.weight"])
