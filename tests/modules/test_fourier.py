import dataclasses
import math

import numpy as np
import pytest
import torch
from tiny import generator

from nfcodec.coords import module_coords
from nfcodec.errors import CorruptError
from nfcodec.modules import fourier
from nfcodec.modules.spec import FieldSpec
from nfcodec.modules.train.start import init_params

SPEC = FieldSpec("fourier", 2, 3, 16, 3, 3, 1, True, False, (8, 8))


def own_forward(spec, params, x):
    """Tancik et al. (2020), one module in numpy, coordinates in [0, 1] and σ = w0."""
    angle = 2 * math.pi * spec.w0 * ((x + 1) / 2) @ fourier.frequencies(spec.axes, spec.width // 2)
    # Coordinates over [0, 1] turn every pair by its own constant angle; undo it.
    turn = math.pi * spec.w0 * fourier.frequencies(spec.axes, spec.width // 2).sum(0)
    h = math.sqrt(2) * np.concatenate([np.cos(angle - turn), np.sin(angle - turn)], -1)
    for i in range(spec.depth):
        h = np.maximum(0, h @ params[f"{i}.weight"] + params[f"{i}.bias"])
    return h @ params[f"{spec.depth}.weight"] + params[f"{spec.depth}.bias"]


def test_forward_is_the_papers_network():
    params = {n: t.double().numpy() for n, t in init_params(SPEC, generator(3)).items()}
    x = module_coords(SPEC.tile).astype(np.float64)
    found = fourier.forward(SPEC, {n: t[None] for n, t in params.items()}, x[None])
    np.testing.assert_allclose(found[0], own_forward(SPEC, params, x), atol=1e-5)


def test_numpy_and_torch_agree():
    params = {n: t[None] for n, t in init_params(SPEC, generator(3)).items()}
    x = module_coords(SPEC.tile)[None]
    plain = fourier.forward(SPEC, {n: t.numpy() for n, t in params.items()}, x)
    np.testing.assert_allclose(fourier.forward(SPEC, params, torch.from_numpy(x)).numpy(), plain, atol=1e-5)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_frequencies_are_normal_numbers(axes):
    b = fourier.frequencies(axes, 4096)
    assert b.shape == (axes, 4096) and b.dtype == np.float32
    np.testing.assert_allclose(b.mean(1), 0, atol=0.02)
    np.testing.assert_allclose(np.cov(b).reshape(axes, axes), np.eye(axes), atol=0.03)
    within = (np.abs(b) < 1).mean()
    assert within == pytest.approx(math.erf(1 / math.sqrt(2)), abs=0.01)


def test_frequencies_are_the_same_everywhere():
    """They are part of what an init means: other numbers would make other pictures of the same files."""
    np.testing.assert_allclose(fourier.frequencies(2, 3)[:, 0], [0.6944032907, 0.3259106874], rtol=1e-6)


def test_relu_layers_keep_the_scale_of_their_input():
    wide = dataclasses.replace(SPEC, width=256)
    params = {n: t[None] for n, t in init_params(wide, generator()).items()}
    phi = fourier.features(wide, params, torch.from_numpy(module_coords(wide.tile))[None])
    assert float(phi.square().mean()) == pytest.approx(1.0, rel=0.35)


def test_counts_and_odd_widths():
    weights = [t for t in fourier.tensors(SPEC) if t.role == "weight"]
    assert sum(math.prod(t.shape) for t in weights) == 3 * 16 * 16 + 16 * 3
    with pytest.raises(CorruptError, match="pairs"):
        fourier.tensors(dataclasses.replace(SPEC, width=15))
