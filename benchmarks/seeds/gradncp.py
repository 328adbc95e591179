"""GradNCP against MAML (Learnit): memory-matched and not, with its parts taken away, on four kinds of signals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

from benchmarks.seeds.context import Context
from benchmarks.seeds.domains import Domain, clips, pictures, speech, sphere
from benchmarks.seeds.learning import Params, Recipe, curve, meta_train
from benchmarks.seeds.rows import Row, Rows, averaged
from benchmarks.seeds.scores import correlations
from nfcodec.modules.fit.inner import InnerLoop

# Outer steps, test signals and inner rate by protocol; the papers train 150,000 steps on batches of 8.
_OUTER = {"small": 250, "medium": 5000, "full": 150_000}
_BATCH = {"small": 2, "medium": 4, "full": 8}
_LR = {"small": 1e-3, "medium": 3e-4, "full": 1e-5}
_TESTED = {"small": 12, "medium": 50, "full": 100}
STEPS = (0, 1, 2, 4, 8, 16, 32)
GAMMA = 0.25

# Method → what differs from plain MAML with K = 4. All but the last three hold 4 contexts' worth of graph in memory.
METHODS: dict[str, Row] = {
    "MAML K=4": {},
    "GradNCP": {"steps": 16, "gamma": GAMMA, "boot": 5},
    "GradNCP, no bootstrap": {"steps": 16, "gamma": GAMMA},
    "MAML K=4 + bootstrap": {"boot": 5},
    "GradNCP K=8, γ=0.5": {"steps": 8, "gamma": 0.5, "boot": 5},
    "GradNCP K=32, γ=0.125": {"steps": 32, "gamma": 0.125, "boot": 5},
    "MAML K=16": {"steps": 16},
}
_EVERYWHERE = ("MAML K=4", "GradNCP")
_SEEDED = ("MAML K=4", "GradNCP", "GradNCP, no bootstrap")
# Data set → (its domain, a share of the outer steps, the inner rate of all methods).
DOMAINS: dict[str, tuple[Callable[[Context], Domain], float, float]] = {
    "imagenette": (lambda c: pictures(c.protocol, c.data), 1.0, 1e-2),
    "speech 1 s": (lambda c: speech(c.protocol, c.data, 1, reduce=_reduce(c)), 0.6, 1e-1),
    "sphere": (lambda c: sphere(c.protocol, c.data), 0.4, 1e-2),
    "speech 3 s": (lambda c: speech(c.protocol, c.data, 3, reduce=_reduce(c)), 0.2, 1e-1),
    "video": (lambda c: clips(c.protocol, c.data), 0.2, 1e-2),
}


def _reduce(context: Context) -> int:
    return 1 if context.protocol.full else 4


def run(context: Context) -> Path:
    """All rows, first the ones that the claims rest on."""
    rows = table(context)
    load = cache(lambda data: DOMAINS[data][0](context))
    for data, method, seed in _plan(context):
        key = {"data": data, "method": method, "seed": seed}
        if context.wanted(**key) or rows.has(key):
            rows.row(key, lambda data=data, method=method, seed=seed: _row(rows, context, load(data), method, seed))
            rows.write(_means(rows.rows))
    return rows.write(_means(rows.rows))


def table(context: Context) -> Rows:
    """The rows, and the names of their checkpoints."""
    name = context.protocol.name
    settings = {
        "outer": _OUTER[name], "batch": _BATCH[name], "lr": _LR[name], "tested": _TESTED[name], "steps": STEPS,
        "methods": METHODS, "rates": {d: r for d, (_, _, r) in DOMAINS.items()},
        "shares": {d: s for d, (_, s, _) in DOMAINS.items()},
    }  # fmt: skip
    return Rows("gradncp", context.protocol, context.work, settings)


def _plan(context: Context) -> list[tuple[str, str, int]]:
    """Data set, method and seed of every row, in the order of what matters."""
    protocol, first = context.protocol, context.protocol.seeds[0]
    plan = [("imagenette", m, first) for m in _SEEDED]
    plan += [("speech 1 s", m, protocol.other_seeds[0]) for m in _EVERYWHERE]
    plan += [("imagenette", m, s) for s in protocol.seeds[1:] for m in _SEEDED]
    plan += [("sphere", m, s) for m in _SEEDED for s in protocol.other_seeds]
    plan += [("imagenette", m, first) for m in METHODS if m not in _SEEDED]
    plan += [("video", m, s) for m in _EVERYWHERE for s in protocol.other_seeds]
    plan += [("speech 3 s", m, s) for m in _EVERYWHERE for s in protocol.other_seeds]
    plan += [("speech 1 s", m, s) for m in _EVERYWHERE for s in protocol.seeds[1:]]
    return plan


def recipe_of(context: Context, data: str, method: str) -> Recipe:
    """How a row is trained."""
    name, (_, share, rate) = context.protocol.name, DOMAINS[data]
    base = Recipe(outer=max(1, round(_OUTER[name] * share)), batch=_BATCH[name], lr=_LR[name], rate=rate)
    return replace(base, **METHODS[method])


def _row(rows: Rows, context: Context, domain: Domain, method: str, seed: int) -> Row:
    recipe = recipe_of(context, domain.name, method)
    checkpoint = rows.checkpoint(domain.name.replace(" ", ""), method.replace(" ", ""), seed)
    theta = meta_train(domain, recipe, seed, checkpoint)
    return judged(domain, theta, recipe, _TESTED[context.protocol.name])


def judged(domain: Domain, theta: Params, recipe: Recipe, count: int, *, scored: bool = True) -> Row:
    """PSNR after steps of plain and of re-scaled gradients, and, if ``scored``, how well the scores of
    samples know the full gradient."""
    targets = domain.test(count)
    at = STEPS.index(16)
    found = {"plain": curve(domain, theta, targets, InnerLoop(1), recipe.rate, STEPS)}
    # Longer steps may help MAML, too; it has no γ of its own.
    loop = InnerLoop(1, recipe.gamma if recipe.gamma < 1 else GAMMA, rescale=True)
    found["rescaled"] = curve(domain, theta, targets, loop, recipe.rate, STEPS)
    return {
        "steps": list(STEPS), **found, **{f"k16_{n}": c[at] for n, c in found.items()},
        "k16": max(c[at] for c in found.values()), "k32": max(c[-1] for c in found.values()),
        **({"correlation": correlations(domain, theta, targets[:4], recipe.rate, (0, 8))} if scored else {}),
    }  # fmt: skip


def _means(rows: list[Row]) -> list[Row]:
    return averaged(rows, ("data", "method"), ("k16_plain", "k16_rescaled", "k16", "k32"))
