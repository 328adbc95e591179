"""GradNCP's parts one by one: weight of the bootstrapped target, contexts by lot, length of training, the sphere.

Pictures at half the side of the table ``gradncp``, so that several seeds and longer trainings are affordable.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import fmean
from zlib import crc32

import torch
from torch import Tensor

from benchmarks.seeds.context import Context
from benchmarks.seeds.curvature import edges
from benchmarks.seeds.domains import Domain, pictures, sphere
from benchmarks.seeds.gradncp import GAMMA, METHODS, judged
from benchmarks.seeds.learning import Loss, Params, Recipe, expanded, learner_of, meta_train, stepped
from benchmarks.seeds.rows import Row, Rows, averaged
from nfcodec.modules.fit.context import context_size, gather
from nfcodec.modules.fit.inner import InnerLoop, begin, descend, gradients, module_loss
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
    f"{BY_LOT}, 3 × rate": {**_PRUNED, "rate": 3 * Recipe.rate},
    "MAML K=16": {"steps": 16},
}
_LONG = ("MAML K=4", "GradNCP", "no bootstrap", "λ=0.3", BY_LOT)
# On the sphere, where GradNCP loses; half the grid, 100 outer steps. The step of a pruned context is up to 1/γ as long.
REMEDIES: dict[str, Row] = {
    "MAML K=4": {},
    "no bootstrap": _PRUNED,
    "MAML K=4, γ × rate": {"rate": GAMMA * Recipe.rate},
    "no bootstrap, γ × rate": {**_PRUNED, "rate": GAMMA * Recipe.rate},
    "no bootstrap, γ² × rate": {**_PRUNED, "rate": GAMMA**2 * Recipe.rate},
    "GradNCP, γ × rate": {**METHODS["GradNCP"], "rate": GAMMA * Recipe.rate},
    "no bootstrap, K=8, γ=0.5": {"steps": 8, "gamma": 0.5},
    BY_LOT: _PRUNED,
    "MAML K=4, 3 × as long": {"outer": 300},
    "no bootstrap, 3 × as long": {**_PRUNED, "outer": 300},
    "GradNCP": METHODS["GradNCP"],
}
_SPHERE_GRID, _SPHERE_OUTER = (23, 45), 100


@dataclass(frozen=True)
class Planned:
    """A row to be measured."""

    domain: Domain
    method: str
    recipe: Recipe
    seed: int

    @property
    def key(self) -> Row:
        """What the row is known by: data, method, seed, and the recipe where rows differ."""
        recipe = self.recipe.to_dict()
        own = {n: recipe[n] for n in ("outer", "steps", "gamma", "boot", "weight", "rate")}
        return {"data": self.domain.name, "method": self.method, "seed": self.seed, **own}


def run(context: Context) -> Path:
    """One row per data set, length of training, method and seed."""
    protocol, name = context.protocol, context.protocol.name
    protocol = protocol if protocol.full else replace(protocol, side=protocol.side // 2)
    base = Recipe(batch=_BATCH[name], lr=_LR[name])
    settings = {"recipe": base.to_dict(), "tested": _TESTED[name], "grid": _SPHERE_GRID}
    rows = Rows("controls", protocol, context.work, settings)
    for planned in _plan(replace(context, protocol=protocol), base):
        if context.wanted(**planned.key) or rows.has(planned.key):
            rows.row(planned.key, partial(_row, rows, planned, _TESTED[name]))
            keys, values = (
                ("data", "method", "outer"),
                ("k16_plain", "k16_rescaled", "k16", "k32", "factor", "edge", "edge_context"),
            )
            written = rows.write(averaged(rows.rows, keys, values))
    return written


def _plan(context: Context, base: Recipe) -> list[Planned]:
    protocol = context.protocol
    images, field = pictures(protocol, context.data), sphere(protocol, context.data, grid=_SPHERE_GRID)
    short, *longer = _OUTER[protocol.name]
    plan = [Planned(images, m, replace(base, outer=short, **CONTROLS[m]), s) for m in CONTROLS for s in protocol.seeds]
    on_sphere = replace(base, outer=_SPHERE_OUTER)
    plan += [Planned(field, m, replace(on_sphere, **d), s) for m, d in REMEDIES.items() for s in protocol.other_seeds]
    for n in longer:
        plan += [Planned(images, m, replace(base, outer=n, **CONTROLS[m]), s) for s in protocol.seeds for m in _LONG]
    return plan


def _row(rows: Rows, planned: Planned, count: int) -> Row:
    domain, recipe = planned.domain, planned.recipe
    parts = [domain.name, planned.method, recipe.outer, planned.seed]
    checkpoint = rows.checkpoint(*[str(p).replace(" ", "") for p in parts])
    loss = by_lot(domain, recipe) if planned.method.startswith(BY_LOT) else None
    theta = meta_train(domain, recipe, planned.seed, checkpoint, loss, every=250)
    return judged(domain, theta, recipe, count, scored=False) | steepness(domain, theta, count, recipe.rate)


def steepness(domain: Domain, theta: Params, count: int, rate: float) -> Row:
    """How much longer re-scaled steps are, and how far steps are from the edge of stability."""
    factor = mean_factor(domain, theta, domain.test(count), rate)
    return {"factor": factor, **edges(domain, theta, domain.test(2), rate, GAMMA)}


def mean_factor(domain: Domain, theta: Params, targets: Tensor, rate: float) -> float:
    """By how much 16 re-scaled steps on the best quarter are longer than plain ones: 1/γ is the most that smooth
    errors can make it, where all of the gradient comes from the context."""
    params, learner, found = expanded(theta, len(targets)), learner_of(domain.spec, theta, rate), []
    for _ in range(16):
        params, factor = stepped(domain, params, targets, InnerLoop(1, GAMMA, rescale=True), learner)
        found.append(float(factor.mean()))
    return round(fmean(found), 3)


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
