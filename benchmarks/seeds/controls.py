"""GradNCP's parts one by one: weight of the bootstrapped target, contexts by lot, length of training.

Pictures at half the side of the table ``gradncp``, so that several seeds and longer trainings are affordable.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from zlib import crc32

import torch
from torch import Tensor

from benchmarks.seeds.context import Context
from benchmarks.seeds.domains import Domain, pictures
from benchmarks.seeds.gradncp import GAMMA, METHODS, judged
from benchmarks.seeds.learning import Loss, Recipe, meta_train
from benchmarks.seeds.rows import Row, Rows, averaged
from nfcodec.modules.fit.context import context_size, gather
from nfcodec.modules.fit.inner import begin, descend, gradients, module_loss
from nfcodec.modules.train.maml import Learner

_OUTER = {"small": (250, 1000), "medium": (5000, 20_000), "full": (150_000,)}
_BATCH = {"small": 2, "medium": 4, "full": 8}
_LR = {"small": 1e-3, "medium": 3e-4, "full": 1e-5}
_TESTED = {"small": 12, "medium": 50, "full": 100}
_PRUNED: Row = {"steps": 16, "gamma": GAMMA}
BY_LOT = "contexts by lot"

# Method → what differs from plain MAML with K = 4; λ is the weight of the bootstrapped target, the paper's is 100.
CONTROLS: dict[str, Row] = {
    "MAML K=4": {},
    "GradNCP": METHODS["GradNCP"],
    "λ=3": {**_PRUNED, "boot": 5, "weight": 3.0},
    "λ=0.3": {**_PRUNED, "boot": 5, "weight": 0.3},
    "no bootstrap": _PRUNED,
    BY_LOT: _PRUNED,
    "MAML K=16": {"steps": 16},
}
_LONG = ("MAML K=4", "GradNCP", "no bootstrap", "λ=0.3", BY_LOT)


def run(context: Context) -> Path:
    """One row per length of training, method and seed, the short ones first."""
    protocol, name = context.protocol, context.protocol.name
    protocol = protocol if protocol.full else replace(protocol, side=protocol.side // 2)
    base = Recipe(batch=_BATCH[name], lr=_LR[name])
    settings = {"recipe": base.to_dict(), "tested": _TESTED[name], "methods": CONTROLS}
    rows, domain = Rows("controls", protocol, context.work, settings), pictures(protocol, context.data)
    plan = [(_OUTER[name][0], m, s) for m in CONTROLS for s in protocol.seeds]
    plan += [(n, m, s) for n in _OUTER[name][1:] for s in protocol.seeds for m in _LONG]
    for outer, method, seed in plan:
        key = {"data": domain.name, "method": method, "outer": outer, "seed": seed}
        if context.wanted(**key) or rows.has(key):
            path = rows.checkpoint(method.replace(" ", ""), outer, seed)
            recipe = replace(base, outer=outer, **CONTROLS[method])
            rows.row(key, lambda m=method, s=seed, r=recipe, p=path: _row(domain, r, m, s, p, _TESTED[name]))
            written = rows.write(averaged(rows.rows, ("method", "outer"), ("k16_plain", "k16_rescaled", "k16", "k32")))
    return written


def _row(domain: Domain, recipe: Recipe, method: str, seed: int, checkpoint: Path, count: int) -> Row:
    loss = by_lot(domain, recipe) if method == BY_LOT else None
    theta = meta_train(domain, recipe, seed, checkpoint, loss, every=250)
    return judged(domain, theta, recipe, count, scored=False)


def by_lot(domain: Domain, recipe: Recipe) -> Loss:
    """The outer loss of GradNCP without target, with contexts of the same size drawn in each step instead of selected.
    The draw is a function of the signal, so that a training that was cut off goes on as it would have."""
    n = domain.coords.shape[1]

    def loss(learner: Learner, targets: Tensor) -> Tensor:
        draw = torch.Generator().manual_seed(crc32(targets.numpy().tobytes()))
        params = begin(learner.start, len(targets), create_graph=True)
        for _ in range(recipe.steps):
            index = torch.rand((len(targets), n), generator=draw).topk(context_size(recipe.gamma, n), dim=1).indices
            some, wanted = gather(domain.coords, index), gather(targets, index)
            grads = gradients(learner.spec, params, some, wanted, create_graph=True)
            params = descend(params, grads, learner.rate, learner.mask)
        return module_loss(learner.spec, params, domain.coords, targets).mean()

    return loss
