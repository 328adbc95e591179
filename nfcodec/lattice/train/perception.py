"""How alike two pictures look, with gradients: SSIMULACRA 2.1 (Sneyers, Cloudinary, 2022–2023) on batches.

Structural similarity without its term of luminance, and what edges gained (ringing, blocks) or lost (blur), in the XYB
colours of JPEG XL at several scales, as means and as 4-norms over the picture. Weights below a hundredth are left out,
and borders are mirrored: on small pictures scores are a few points lower than those of the tool, in the same order.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

_SMALLEST = 8
_SIGMA, _RADIUS = 1.5, 5
_CONTRAST = 0.0009
_ABSORBANCE = (
    (0.30, 0.622, 0.078),
    (0.23, 0.692, 0.078),
    (0.24342268924547819, 0.20476744424496821, 0.5518098665095536),
)
_BIAS = 0.0037930732552754493
_MEAN, _NORM = 0, 1
_SSIM, _ARTIFACT, _LOST = 0, 1, 2
# Weights of (plane of XYB, scale, mean or 4-norm, map).
_WEIGHTS = {
    (0, 1, _NORM, _SSIM): 1.1041726, (0, 2, _NORM, _SSIM): 1.8422456, (0, 2, _NORM, _ARTIFACT): 11.4411726,
    (0, 3, _NORM, _SSIM): 1.8787595, (0, 3, _NORM, _ARTIFACT): 10.9490699, (0, 4, _MEAN, _ARTIFACT): 0.9677937,
    (0, 4, _NORM, _ARTIFACT): 0.9981767, (1, 0, _NORM, _SSIM): 7.4668903, (1, 0, _NORM, _LOST): 17.4458340,
    (1, 1, _NORM, _SSIM): 6.6836781, (1, 1, _NORM, _LOST): 1.0278899, (1, 2, _MEAN, _SSIM): 225.2051530,
    (1, 2, _NORM, _SSIM): 19.2132382, (1, 3, _MEAN, _SSIM): 176.3931760, (1, 3, _NORM, _SSIM): 24.4330100,
    (1, 3, _NORM, _ARTIFACT): 0.2852080, (1, 4, _NORM, _SSIM): 34.7790634, (1, 4, _NORM, _ARTIFACT): 44.8356253,
    (2, 3, _NORM, _SSIM): 8.8269828, (2, 3, _NORM, _ARTIFACT): 23.1924334, (2, 4, _MEAN, _SSIM): 95.1080499,
    (2, 4, _MEAN, _ARTIFACT): 0.9863978, (2, 4, _MEAN, _LOST): 0.9834382, (2, 4, _NORM, _ARTIFACT): 171.2667255,
    (2, 4, _NORM, _LOST): 0.9807859,
}  # fmt: skip
_USED = 1 + max(scale for _, scale, _, _ in _WEIGHTS)
_LEAST = 1e-20  # under roots, whose slope must stay finite


def score(original: Tensor, shown: Tensor) -> Tensor:
    """Scores (N,) of pictures ``shown`` (N, 3, H, W) against the originals, sRGB in [0, 1]: 100 for no difference, 90
    for one that is not seen, 30 for low quality, and below. Gradients reach both."""
    if min(original.shape[2:]) < _SMALLEST:
        raise ValueError(f"pictures of {tuple(original.shape[2:])} samples are too small")
    total = original.new_zeros(len(original))
    light = [_linear(original), _linear(shown)]
    for scale in range(_USED):
        if min(light[0].shape[2:]) < _SMALLEST:
            break
        total = total + _at_scale(scale, *map(_xyb, light))
        light = [F.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False) for x in light]
    return _to_score(total)


def _to_score(total: Tensor) -> Tensor:
    x = 0.9562382616834844 * total
    x = 2.326765642916932 * x - 0.020884521182843837 * x**2 + 6.248496625763138e-05 * x**3
    return 100.0 - 10.0 * x.clamp(min=1e-6) ** 0.6276336467831387


def _linear(values: Tensor) -> Tensor:
    """Linear light of sRGB values, which gradients pass where they are clipped."""
    values = values + (values.clamp(0.0, 1.0) - values).detach()
    return torch.where(values <= 0.04045, values / 12.92, ((values.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4)


def _xyb(light: Tensor) -> Tensor:
    """Positive XYB (N, 3, H, W) of linear light."""
    matrix = light.new_tensor(_ABSORBANCE)
    mixed = torch.einsum("ij,njhw->nihw", matrix, light) + _BIAS
    roots = mixed.clamp(min=1e-6) ** (1.0 / 3.0) - _BIAS ** (1.0 / 3.0)
    first, second, third = roots.unbind(1)
    x, y = 0.5 * (first - second), 0.5 * (first + second)
    return torch.stack([14.0 * x + 0.42, y + 0.01, third - y + 0.55], 1)


@lru_cache(maxsize=1)
def _kernel() -> tuple[float, ...]:
    weights = [math.exp(-0.5 * (i / _SIGMA) ** 2) for i in range(-_RADIUS, _RADIUS + 1)]
    return tuple(w / sum(weights) for w in weights)


def _blurred(x: Tensor) -> Tensor:
    """Gaussian means (N, C, H, W), the border mirrored."""
    kernel, n = x.new_tensor(_kernel()), x.shape[1]
    for axis in (2, 3):
        shape = (n, 1, -1, 1) if axis == 2 else (n, 1, 1, -1)
        pad = (0, 0, _RADIUS, _RADIUS) if axis == 2 else (_RADIUS, _RADIUS, 0, 0)
        x = F.conv2d(F.pad(x, pad, mode="reflect"), kernel.expand(n, 1, -1).reshape(shape), groups=n)
    return x


def _at_scale(scale: int, a: Tensor, b: Tensor) -> Tensor:
    """The weighted sum (N,) of one scale."""
    mean_a, mean_b, aa, bb, ab = _blurred(torch.cat([a, b, a * a, b * b, a * b], 1)).chunk(5, 1)
    similar = (1.0 - (mean_a - mean_b) ** 2) * (2.0 * (ab - mean_a * mean_b) + _CONTRAST)
    spread = (aa - mean_a**2) + (bb - mean_b**2) + _CONTRAST
    edges = (1.0 + (b - mean_b).abs()) / (1.0 + (a - mean_a).abs()) - 1.0
    maps = torch.stack([1.0 - similar / spread, edges, -edges], 1).clamp(min=0.0)  # (N, 3 maps, 3 planes, H, W)
    means, norms = maps.mean((3, 4)), (maps**4).mean((3, 4)).add(_LEAST) ** 0.25
    both = torch.stack([means, norms], 1)
    weights = both.new_zeros(both.shape[1:])
    for (plane, at, norm, kind), weight in _WEIGHTS.items():
        if at == scale:
            weights[norm, kind, plane] = weight
    found: Tensor = (both * weights).sum((1, 2, 3))
    return found
