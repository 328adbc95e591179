"""Fourier feature network, FFN: fixed sines and cosines of the coordinates, then ReLU layers (Tancik et al. 2020, §4).

γ(x) = √2·[cos(π·w0·Bx), sin(π·w0·Bx)], h_l = max(0, h_{l-1} W_l + b_l), and a linear last layer. B has one row of
normal numbers per pair of features and w0 stands for the paper's σ (coordinates run over [-1, 1] here, over [0, 1]
there, hence π for 2π). The paper draws B once; here it is a fixed quasi-random sample of the same distribution, a
function of the spec alone, so that inits need not hold it and every machine has the same one.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from nfcodec.arrays import Array, device, namespace
from nfcodec.errors import CorruptError
from nfcodec.modules.siren import affine
from nfcodec.modules.siren import head as head  # the last layer is the same
from nfcodec.modules.spec import FieldSpec, Params, TensorSpec
from nfcodec.types import Floats


def tensors(spec: FieldSpec) -> tuple[TensorSpec, ...]:
    """The parameter tensors in their coded order. ``depth`` ReLU layers follow ``width`` features."""
    if spec.width % 2:
        raise CorruptError(f"Fourier features come in pairs, so {spec.width} units cannot be")
    out: list[TensorSpec] = []
    for i in range(spec.depth + 1):
        units = spec.channels if i == spec.depth else spec.width
        out.append(TensorSpec(f"{i}.weight", (spec.width, units), "weight"))
        out.append(TensorSpec(f"{i}.bias", (units,), "bias"))
    return tuple(out)


@lru_cache(maxsize=16)
def frequencies(axes: int, pairs: int) -> Floats:
    """B (axes, pairs): normal numbers with σ = 1, by Box and Muller from an additive low-discrepancy sequence.

    The sequence is that of the generalized golden ratio g, the root of g^(d+1) = g + 1 in d dimensions.
    """
    dimensions = axes + axes % 2
    g = 2.0
    for _ in range(64):
        g = (1.0 + g) ** (1.0 / (dimensions + 1))
    steps = np.array([g ** -(i + 1.0) for i in range(dimensions)])
    uniform = (0.5 + steps * np.arange(1, pairs + 1)[:, None]) % 1.0
    radius = np.sqrt(-2.0 * np.log1p(-uniform[:, ::2]))
    angle = 2.0 * math.pi * uniform[:, 1::2]
    normal = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], 1)
    return np.ascontiguousarray(normal[:, :axes].T, np.float32)


def features(spec: FieldSpec, params: Params, coords: Array) -> Array:
    """Penultimate features φ (M, N, width) of coords (M or 1, N, axes) in [-1, 1]."""
    xp = namespace(coords)
    b = xp.asarray(frequencies(spec.axes, spec.width // 2), dtype=coords.dtype, device=device(coords))
    angle = (math.pi * spec.w0 * spec.coord_scale) * (coords @ b)
    h = math.sqrt(2.0) * xp.concat([xp.cos(angle), xp.sin(angle)], axis=-1)
    for i in range(spec.depth):
        h = affine(params, i, h)
        h = h * (h > 0)
    return h


def forward(spec: FieldSpec, params: Params, coords: Array) -> Array:
    """Raw outputs (M, N, channels) of the modules at coords (M or 1, N, axes)."""
    return head(spec, params, features(spec, params, coords))
