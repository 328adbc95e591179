"""Slopes through D are those of autograd."""

import numpy as np
import pytest
import torch
from helpers import init as path_of

from nfcodec import zoo
from nfcodec.lattice.fit.tensors import on_torch
from nfcodec.lattice.fit.through import Through
from nfcodec.lattice.fit.window import Canvas
from nfcodec.lattice.steps import WEIGHT_UNIT
from nfcodec.lattice.synthesis import last_layers


@pytest.mark.parametrize("tune", ["psnr", "perceptual"])
@pytest.mark.parametrize(
    ("name", "shape"),
    [("tiny-lattice", (6, 7)), ("photo-lattice", (9, 5)), ("tiny-lattice", (1, 1)), ("tiny-lattice", (37, 30))],
)
def test_slopes_are_those_of_autograd(name, shape, tune):
    [level] = zoo.load(path_of(name)).tuned(tune).levels
    random = np.random.default_rng(0)
    symbols = np.rint(random.laplace(size=(3, 64, *shape), scale=0.7)).astype(np.int32)
    symbols[:, 0] *= 9
    towards = torch.from_numpy(random.normal(size=(192, *shape)).astype(np.float32))
    q = torch.from_numpy(symbols.astype(np.float32)).requires_grad_(True)
    (wanted,) = torch.autograd.grad(last_layers(on_torch(level), q, 60) * WEIGHT_UNIT, q, towards)
    through, canvas = Through(level, 60), Canvas(level, ((True, True),) * 2)
    sizes = level.sizes(symbols, 60).astype(np.float32)
    shown, passed = through.forward(symbols, sizes, canvas)
    layers = last_layers(on_torch(level), q.detach(), 60) * WEIGHT_UNIT
    torch.testing.assert_close(shown, canvas(layers), rtol=1e-5, atol=1e-5)
    found = through.slopes(passed, symbols, sizes, towards)
    np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-3, atol=1e-4 * float(wanted.abs().max()))
