"""A small lapped init with networks that nobody trained: what they say differs from bin to bin, and that is enough."""

from functools import lru_cache

import numpy as np

from nfcodec.entropy.networks import Layer
from nfcodec.lapped import order
from nfcodec.lapped.gains import SHAPE
from nfcodec.lapped.init import LappedInit
from nfcodec.lapped.law import Law
from nfcodec.lapped.prior import Network, Prior
from nfcodec.lapped.spec import LappedSpec
from nfcodec.lapped.train.export import tables_of
from nfcodec.zoo import init_bytes

SPEC = LappedSpec(32, 8000, block=8, frames=16, splits=2, sets=2, bands=(0, 8, 20))
LAWS = (Law(2 * 256, 12 * 256, 6, 0.12), Law(3 * 256, 16 * 256, 3, 0.12, 0.6, 0.2, 1.0))


def layer(rng, rows, columns, largest, bias=0):
    weight = rng.integers(-largest, largest + 1, (rows, columns)).astype(np.float32)
    return Layer(weight, np.full(rows, bias, np.float32), np.full(rows, 7, np.int32))


def network(rng, inputs, outputs):
    return Network((layer(rng, 12, inputs, 40), layer(rng, 10, 12, 40), layer(rng, outputs, 10, 60, 128 * 12)))


@lru_cache
def small_init(spec=SPEC, seed=0):
    rng = np.random.default_rng(seed)
    sets = tuple(
        tuple(network(rng, order.inputs(spec, plane > 0, step), spec.block // 2) for step in order.ORDER)
        for plane in range(spec.sets)
    )
    prior = Prior(spec, sets, tables_of(np.zeros((2, 48, 256))))
    corrections = rng.integers(-20, 21, (2, 48, 5)).astype(np.int8)
    corrections[..., 0] = np.array([[0], [64]])
    gains = rng.integers(4, 24, SHAPE).astype(np.uint8)
    init = LappedInit("small", "audio", spec, LAWS, prior, corrections, gains, b"12345678" * 4)
    init.validate()
    assert init_bytes(init)
    return init
