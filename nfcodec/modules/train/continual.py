"""Meta-learning for parts that come one after another (Woo, Yun & Kim 2025, meta-continual learning of neural fields).

One network that is adapted to segment after segment forgets the earlier ones. Three answers are compared here:

* ``mod``: a module for each segment, all from the same θ0; nothing is ever forgotten, since nothing is ever changed
  (:class:`nfcodec.modules.fit.sequence.ModuleSequence`). Its meta-training is MAML on single segments.
* MAML through the sequence: the inner loop visits the segments in turn, the outer loss is of all of them at its end.
* OML (Javed & White 2019): the same, but the inner loop moves the last layer alone; what lies below is a representation
  that only the outer loop changes.

``mim`` is ``mod`` with Fisher sample weights in the inner loss (:mod:`nfcodec.modules.fit.fisher`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from nfcodec.errors import OptionError
from nfcodec.modules.fit.inner import InnerLoop, adapt_from, begin, module_loss
from nfcodec.modules.kinds import field_kind
from nfcodec.modules.train.maml import Learner


def segments_of(tile: tuple[int, ...], count: int) -> Tensor:
    """Positions (count, N / count) of the samples of each segment among the N of a tile, in row-major order.

    Pictures are cut into √count × √count patches, sound and video into ``count`` stretches of time.
    """
    parts = [math.isqrt(count)] * 2 if len(tile) == 2 else [count, *[1] * (len(tile) - 1)]
    if math.prod(parts) != count or any(n % p for n, p in zip(tile, parts, strict=True)):
        raise OptionError(f"a tile of {'×'.join(map(str, tile))} samples cannot be cut into {count} equal segments")
    index = torch.arange(math.prod(tile)).reshape([k for n, p in zip(tile, parts, strict=True) for k in (p, n // p)])
    d = len(tile)
    return index.permute(*range(0, 2 * d, 2), *range(1, 2 * d, 2)).reshape(count, -1)


def head_only(learner: Learner) -> Learner:
    """The learner whose inner loop moves the last layer alone (OML)."""
    last = [t.name for t in field_kind(learner.spec.kind).tensors(learner.spec)[-2:]]
    mask = {n: m if n in last else torch.zeros_like(m) for n, m in learner.mask.items()}
    return replace(learner, mask=mask)


def adapt_sequence(
    learner: Learner, coords: Tensor, targets: Tensor, loop: InnerLoop, segments: Sequence[Tensor], *,
    create_graph: bool = False,
) -> dict[str, Tensor]:  # fmt: skip
    """θ (M, *shape) after ``loop.steps`` inner steps on each of ``segments`` in turn, of targets (M, N, c) at coords
    (1, N, d). While one segment is learned the others are out of sight."""
    params = begin(learner.start, len(targets), create_graph=create_graph)
    for index in segments:
        some, wanted = coords[:, index], targets[:, index]
        params, _ = adapt_from(
            learner.spec, params, learner.rate, learner.mask, some, wanted, loop, create_graph=create_graph
        )
    return params


def sequence_loss(
    learner: Learner, coords: Tensor, targets: Tensor, loop: InnerLoop, segments: Sequence[Tensor]
) -> tuple[Tensor, Tensor]:
    """The mean loss of all samples after the whole sequence, second order, and the losses (M,) alone."""
    params = adapt_sequence(learner, coords, targets, loop, segments, create_graph=True)
    losses = module_loss(learner.spec, params, coords, targets)
    return losses.mean(), losses.detach()
