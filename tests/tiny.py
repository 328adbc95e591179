"""Fields small enough for finite differences, and plain re-implementations to test the fast ones against."""

import math

import numpy as np
import torch

from nfcodec.coords import module_coords
from nfcodec.modules.init import QUALITY_ANCHORS, Init
from nfcodec.modules.kinds import field_kind
from nfcodec.modules.siren import init_params
from nfcodec.modules.spec import FieldSpec
from nfcodec.modules.train.export import step_exponents
from nfcodec.modules.train.maml import Learner
from nfcodec.modules.train.rate_loss import sensitivity
from nfcodec.modules.train.sparse import full_mask

SPEC = FieldSpec("siren", 2, 3, 8, 2, 6, 1, True, False, (6, 6))
PICTURE = FieldSpec("siren", 2, 3, 8, 2, 6, 1, True, True, (6, 6))
# The network of the papers with the two w0 in use.
PAPERS_30 = FieldSpec("siren", 2, 3, 256, 4, 30, 1, True, False, (178, 178))
PAPERS_200 = FieldSpec("siren", 2, 3, 256, 4, 200, 1, False, False, (178, 178))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def coords_of(spec, dtype=torch.float64):
    return module_coords(spec.tile).to(dtype).unsqueeze(0)


def random_params(spec, seed=0, dtype=torch.float64):
    return init_params(spec, generator(seed), dtype)


def random_targets(spec, modules, seed=1, dtype=torch.float64):
    n = math.prod(spec.tile)
    return torch.rand((modules, n, spec.channels), generator=generator(seed), dtype=torch.float64).to(dtype) - 0.5


def textured(spec, modules, seed=1, dtype=torch.float64):
    """Targets with a 1/f spectrum along both axes, as photographs have."""
    h, w = spec.tile
    y, x = np.meshgrid(np.fft.fftfreq(h), np.fft.fftfreq(w), indexing="ij")
    size = np.hypot(y, x)
    size[0, 0] = 1.0
    noise = np.random.default_rng(seed).standard_normal((modules, spec.channels, h, w))
    values = np.fft.ifft2(np.fft.fft2(noise) / size).real
    values = 0.25 * values / values.std((2, 3), keepdims=True)
    return torch.from_numpy(values).flatten(2).transpose(1, 2).to(dtype).contiguous()


def make_learner(spec=SPEC, seed=0, rate=0.02, mask=None):
    """A learner in float64 whose step sizes differ from weight to weight."""
    theta = {n: t.requires_grad_() for n, t in random_params(spec, seed).items()}
    spread = generator(seed + 100)
    log_rate = {
        n: (math.log(rate) + torch.rand(t.shape, generator=spread, dtype=t.dtype) - 0.5).requires_grad_()
        for n, t in theta.items()
    }
    return Learner(
        spec, theta, log_rate, full_mask({n: t.detach() for n, t in theta.items()}) if mask is None else mask
    )


def own_forward(spec, params, coords):
    """SIREN of one module, written down again: params without a module axis, coords (N, axes)."""
    h = coords * spec.coord_scale
    for layer in range(spec.depth):
        h = torch.sin(spec.w0 * (h @ params[f"{layer}.weight"] + params[f"{layer}.bias"]))
    return h @ params[f"{spec.depth}.weight"] + params[f"{spec.depth}.bias"]


def own_loss(spec, params, coords, targets):
    """Mean squared error of one module over samples and channels."""
    return (own_forward(spec, params, coords) - targets).square().mean()


def module_of(params, i):
    return {n: p[i] for n, p in params.items()}


def stacked(params, modules):
    return {n: p.detach().expand(modules, *p.shape).clone() for n, p in params.items()}


def flat(params):
    return torch.cat([p.reshape(-1) for p in params.values()])


def relative(a, b):
    return float((a - b).norm() / b.norm())


def make_init(spec=PICTURE, seed=0, *, keep=0.6, masked=False, steps=3, gamma=0.5, rate=5.0, coarsest=0.4):
    """An untrained init that keeps ``keep`` of its weights; its steps and rates follow sensitivity."""
    theta = random_params(spec, seed, torch.float32)
    chosen = generator(seed + 1)
    mask = full_mask(theta)
    for n in mask:
        if n.endswith("weight"):
            mask[n] = (torch.rand(theta[n].shape, generator=chosen) < keep).float()
    if masked:
        theta = {n: t * mask[n] for n, t in theta.items()}
    fisher = sensitivity(spec, stacked(theta, 1), coords_of(spec, torch.float32), chosen, 64).clamp_min(1e-3)
    rates = torch.split(rate / fisher, [t.numel() for t in theta.values()])
    scale = np.tile(8 + 4 * np.arange(len(QUALITY_ANCHORS), dtype=np.int32)[:, None], (1, len(fisher)))
    init = Init(
        id="tiny", modality="image", spec=spec, theta0=theta, mask=mask,
        log_rate={n: r.log().reshape(t.shape) for (n, t), r in zip(theta.items(), rates, strict=True)},
        step=step_exponents(fisher, coarsest), scale=scale.astype(np.int32), inner_steps=steps, gamma=gamma,
        coarsest=coarsest, sha256=b"",
    )  # fmt: skip
    init.validate()
    return init


def outputs(spec, params, coords):
    return field_kind(spec.kind).forward(spec, params, coords)
