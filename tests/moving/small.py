"""A small init for moving pictures, and small clips."""

from dataclasses import replace
from functools import cache

import numpy as np
from helpers import INITS, painting

from nfcodec import zoo
from nfcodec.lattice.prior import Network, Prior
from nfcodec.moving.given import told
from nfcodec.moving.init import MovingInit


@cache
def small_init(frames=8):
    pictures = zoo.read_init(INITS / "tiny-lattice.safetensors")
    return MovingInit("small", "video", pictures, replace(pictures.levels[0], offset=None), frames, b"")


def panning(frames, height, width, step=(1, 2), seed=0, channels=3):
    """A picture that moves by ``step`` samples from frame to frame: uint8 (T, H, W, C)."""
    reach = [abs(s) * frames for s in step]
    whole = painting(height + reach[0], width + reach[1], seed, channels)
    y, x = (0 if s >= 0 else r for s, r in zip(step, reach, strict=True))
    return np.stack([whole[y + t * step[0] :, x + t * step[1] :][:height, :width] for t in range(frames)])


@cache
def told_init(frames=8):
    """One whose prior is told of predictions: random weights of one unit for that."""
    init, random = small_init(frames), np.random.default_rng(0)
    level, what = init.residuals, told(init.residuals.spec)

    def wider(network, symbols):
        first, *rest = network.layers
        more = random.choice([-1.0, 0.0, 0.0, 1.0], (len(first.bias), what.inputs(symbols))).astype(np.float32)
        weight = np.concatenate([first.weight, more], 1)
        return Network((replace(first, weight=weight), *rest))

    groups = tuple(wider(n, s) for n, (_, s) in zip(level.prior.groups, level.prior.order.groups, strict=True))
    means = tuple(wider(n, s) for n, (_, s) in zip(level.prior.means, level.prior.order.means, strict=True))
    found = replace(init, id="told", residuals=replace(level, prior=Prior(level.spec, groups, means, what)))
    found.validate()
    return found
