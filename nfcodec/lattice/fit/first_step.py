"""The first inner steps: the preconditioned gradient from Δ = 0, and its learned correction."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from nfcodec.lattice.code import LARGEST_SYMBOL
from nfcodec.lattice.context import Context
from nfcodec.lattice.fit.scores import best_blocks, block_scores, sample_norms, sample_scores
from nfcodec.lattice.fit.tensors import tensors
from nfcodec.lattice.fit.window import Canvas, Window, weighed
from nfcodec.lattice.init import Level
from nfcodec.lattice.space import strips
from nfcodec.lattice.spec import LatticeSpec
from nfcodec.lattice.trunk import Params, cut, surround
from nfcodec.types import Symbols

log = logging.getLogger(__name__)
# What patches (N, P, *cells, samples) that are missing, and the step (N, P, K, *cells) that they ask for, make of it: a
# factor that broadcasts against the step.
Factor = Callable[[Tensor, Tensor], Tensor]


def analysis(level: Level, window: Window) -> Tensor:
    """Last layers (P, K, *cells) of a window, by preconditioned gradient steps from zero; see :func:`descend`.

    Along the sides where the signal goes on, as many rows of cells as there are further steps come out wrong, for want
    of their neighbours.
    """
    canvas, spec = Canvas(level, window.outer), level.spec
    params = tensors(level.first_step)
    tables = [params[f"analysis.{plane.functions}"] for plane in spec.planes]
    native = tuple(slice(s // 2, -(s // 2)) for s in spec.spacing)

    def missing(weights: Tensor) -> Tensor:
        left = canvas(weights[0].flatten(0, 1)).neg_().add_(window.samples)
        wide: Tensor = surround(left[(slice(None), *native)], spec.spacing)
        return wide

    def asked(samples: Tensor) -> Tensor:
        return weighed(samples, spec.spacing, tables)[None]

    norms = sample_norms(spec, canvas.functions)
    factor = None if level.context.full else _OfSamples(level.context, norms, spec.spacing)
    return descend(spec, params, window.samples, missing, factor, asked)[0]


def descend(
    spec: LatticeSpec, params: Params, patches: Tensor, missing: Callable[[Tensor], Tensor],
    factor: Factor | None = None, asked: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:  # fmt: skip  # fmt: skip
    """Last layers (N, P, K, *cells) for patches (N, P, *cells, samples) of planes, by preconditioned gradient steps.

    The field is linear in its last layers, so the first step is a transform of the signal, and every further one the
    transform of the patches that are still ``missing`` with the weights so far, times the ``factor`` of its context.
    ``asked``: the transform (N, P, K, *cells) of whatever stands for patches, :func:`precondition` if of patches.
    """
    alone, asked = (..., *(None,) * spec.axes), asked or partial(precondition, spec, params)
    weights = asked(patches) * torch.exp2(params["log_gain"])[alone]
    for gain in torch.exp2(params.get("log_again", weights.new_zeros(0))):
        left = missing(weights)
        step = asked(left) * gain[alone]
        weights = weights + (step if factor is None else step * factor(left, step))
    return weights


def context_of(context: Context, norms: Tensor, left: Tensor, step: Tensor) -> Tensor:
    """Which cells (N, *cells), bool, belong to a ``context``, from the patches (N, P, *cells, samples) that are left
    and the step (N, P, K, *cells) that they ask for; ``norms`` (P, samples) of the trunk's functions. No gradient
    flows through the choice."""
    left, step = left.detach(), step.detach()
    if context.score == "samples":
        found = sample_scores(left, norms.detach())
    else:
        # The step is the gradient through the preconditioner already: the expected fall along it, weight by weight.
        found = block_scores(step, step.new_ones(step.shape[1:3]))
    return best_blocks(found, context.share, side=context.side)


class Pruning:
    """The factor of a step on the best share γ of the cells alone. The loss is a mean over these (GradNCP's inner loss,
    Tack et al. 2023, §3.1), so the step of a chosen cell is 1/γ times that of a mean over all."""

    def __init__(self, context: Context, norms: Tensor) -> None:
        self.context, self.norms = context, norms

    def __call__(self, left: Tensor, step: Tensor) -> Tensor:
        """(N, 1, 1, *cells): 1/γ for the chosen cells, 0 for the others."""
        chosen = self._chosen(left, step)
        share = chosen.flatten(1).float().mean(1)[(..., *(None,) * (chosen.ndim - 1))]
        return (chosen / share)[:, None, None]

    def _chosen(self, left: Tensor, step: Tensor) -> Tensor:
        return context_of(self.context, self.norms, left, step)


class Rescaling(Pruning):
    """The factor of a step on all cells with an init that learned on a share γ of them: ‖g_γ‖/‖g‖, the norm of the
    pruned step over that of the full one, signal by signal (GradNCP's gradient re-scaling, Tack et al. 2023, §3.3)."""

    def __call__(self, left: Tensor, step: Tensor) -> Tensor:
        """(N, 1, 1, …)."""
        pruned = (step * super().__call__(left, step)).flatten(1).norm(dim=1)
        found: Tensor = pruned / step.flatten(1).norm(dim=1).clamp(min=1e-12)
        log.info("step on all cells re-scaled by %s", " ".join(f"{f:.3f}" for f in found.tolist()))
        return found[(..., *(None,) * (step.ndim - 1))]


class _OfSamples(Rescaling):
    """The same for one signal, of which the samples (P, *(s·cells + s)) that are left are given instead of patches."""

    def __init__(self, context: Context, norms: Tensor, spacing: tuple[int, ...]) -> None:
        super().__init__(context, norms)
        self._spacing = spacing

    def _chosen(self, left: Tensor, step: Tensor) -> Tensor:
        if self.context.score != "samples":
            return super()._chosen(left, step)
        s, rows = self._spacing[0], strips(tuple(step.shape[3:]))
        parts = (left[:, s * r.start : s * (r.stop + 1)] for r in rows)
        scores = torch.cat([sample_scores(cut(part, self._spacing)[None], self.norms) for part in parts], 1)
        return best_blocks(scores, self.context.share, side=self.context.side)


def precondition(spec: LatticeSpec, params: Params, patches: Tensor) -> Tensor:
    """The gradient (N, P, K, *cells) that patches (N, P, *cells, samples) ask for, through the learned
    preconditioner."""
    planes = enumerate(spec.planes)
    found = [patches[:, i] @ params[f"analysis.{plane.functions}"].T for i, plane in planes]
    return torch.stack(found, 1).movedim(-1, 2)


def corrected(level: Level, weights: Tensor, quality: int, rounding: float = 0.0) -> Tensor:
    """Symbols before rounding (P, K, *cells) of the weights (P, K, *cells) of :func:`analysis`. Where steps grow with
    activity, they do with that of the means as they will be rounded (:func:`rounded`)."""
    alone = (..., *(None,) * level.spec.axes)
    left = weights - torch.from_numpy(level.base)[alone]
    hats = torch.from_numpy(level.hats(quality))[None]
    sizes = torch.from_numpy(level.steps(quality))[alone]
    if level.masking is None:
        return correct(tensors(level.first_step), level.correction_blocks, (left / sizes)[None], hats)[0]
    sizes = _sizes_for(level, left / sizes, quality, 0.0)
    y = correct(tensors(level.first_step), level.correction_blocks, (left / sizes)[None], hats)[0]
    return y * (sizes / _sizes_for(level, y, quality, rounding))


def _sizes_for(level: Level, y: Tensor, quality: int, rounding: float) -> Tensor:
    """Step sizes (P, K, *cells) that go with the means of y (P, K, *cells)."""
    return torch.from_numpy(level.sizes(rounded(y[:1, :1], rounding), quality).astype("float32"))


def rounded(y: Tensor, rounding: float) -> Symbols:
    """The nearest integers of ``y`` after drawing it towards zero; ties to even."""
    drawn = torch.sign(y) * (y.abs() - rounding).clamp(min=0.0) if rounding else y
    return torch.round(drawn).clamp(-LARGEST_SYMBOL, LARGEST_SYMBOL).to(torch.int32).numpy()


def correct(params: Params, blocks: int, y: Tensor, hats: Tensor) -> Tensor:
    """Weights in steps, y (N, P, K, *cells), shifted and drawn towards zero where that saves more bits than it costs,
    as the network "e" of ``params`` has learned."""
    out = apply_net(params, "e", blocks, inputs(y, hats))
    shift, zone = out.reshape(len(y), 2, *y.shape[1:]).unbind(1)
    drawn: Tensor = y + shift - 0.5 * torch.sigmoid(zone - 1.4) * torch.tanh(3.0 * y)
    return drawn


def apply_net(params: Params, prefix: str, blocks: int, x: Tensor) -> Tensor:
    """(N, outputs, *cells) of inputs (N, inputs, *cells): a layer on each cell alone, residual 3^d layers with the
    border repeated, a layer on each cell alone."""
    axes = x.ndim - 2
    convolve = (F.conv1d, F.conv2d, F.conv3d)[axes - 1]
    alone = (..., *(None,) * axes)
    h = convolve(x, params[f"{prefix}.in.weight"][alone], params[f"{prefix}.in.bias"])
    for i in range(blocks):
        wide = F.pad(F.leaky_relu(h, 0.1), (1, 1) * axes, mode="replicate")
        h = h + convolve(wide, params[f"{prefix}.{i}.weight"], params[f"{prefix}.{i}.bias"])
    h = F.leaky_relu(h, 0.1)
    return convolve(h, params[f"{prefix}.out.weight"][alone], params[f"{prefix}.out.bias"])


def compand(x: Tensor) -> Tensor:
    """sign(x) · log2(1 + |x|)."""
    return torch.sign(x) * torch.log2(1.0 + x.abs())


def inputs(symbols: Tensor, hats: Tensor) -> Tensor:
    """Inputs (N, C, *cells) of symbols (N, P, K, *cells) and quality features (N, Q) that sum to 1.

    Their order: symbols 1 … K − 1 of every plane, companded; differences of the means to those of the neighbours,
    neighbour by neighbour, companded, the border repeated; the quality features, alike in all cells.
    """
    cells = symbols.shape[3:]
    means = symbols[:, :, 0]
    wide = F.pad(means, (1, 1) * len(cells), mode="replicate")
    around = [
        wide[(slice(None), slice(None), *(slice(o, o + n) for o, n in zip(offset, cells, strict=True)))] - means
        for offset in itertools.product(range(3), repeat=len(cells)) if any(o != 1 for o in offset)
    ]  # fmt: skip
    rest = [compand(symbols[:, :, 1:]).flatten(1, 2), compand(torch.cat(around, 1))]
    return torch.cat([*rest, hats[(..., *(None,) * len(cells))].expand(-1, -1, *cells)], 1)
