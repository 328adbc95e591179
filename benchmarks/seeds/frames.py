"""GradNCP on NeRV: contexts of whole frames, against MAML on all of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from benchmarks.seeds.context import Context
from benchmarks.seeds.domains import Domain, clips
from benchmarks.seeds.gradncp import METHODS, STEPS, judged
from benchmarks.seeds.learning import Recipe, meta_train
from benchmarks.seeds.rows import Row, Rows, averaged

_OUTER = {"small": 60, "medium": 3000, "full": 150_000}
_BATCH = {"small": 2, "medium": 4, "full": 8}
_TESTED = {"small": 6, "medium": 50, "full": 100}
# Dense width, blocks and levels of time; SIREN's depth and w0 have other meanings here.
_NET = {"small": (128, 2, 40), "medium": (256, 2, 40), "full": (512, 4, 40)}
_FRAMES = {"small": 8, "medium": 8, "full": 16}
_METHODS = ("MAML K=4", "GradNCP", "GradNCP, no bootstrap")


def run(context: Context) -> Path:
    """One row per method and seed."""
    name = context.protocol.name
    recipe = Recipe(outer=_OUTER[name], batch=_BATCH[name], rate=1e-1)
    settings = {"recipe": recipe.to_dict(), "net": _NET[name], "frames": _FRAMES[name], "tested": _TESTED[name]}
    rows, domain = Rows("frames", context.protocol, context.work, settings), _domain(context)
    for seed in context.protocol.other_seeds:
        for method in _METHODS:
            key = {"data": "video", "method": method, "seed": seed}
            if context.wanted(**key):
                own = replace(recipe, **METHODS[method])
                path = rows.checkpoint(method.replace(" ", ""), seed)
                rows.row(key, lambda own=own, seed=seed, path=path: _measured(domain, own, seed, path, _TESTED[name]))
    return rows.write(averaged(rows.rows, ("data", "method"), ("k16", "k32")), steps=list(STEPS))


def _domain(context: Context) -> Domain:
    domain = clips(context.protocol, context.data, frames=_FRAMES[context.protocol.name])
    width, depth, levels = _NET[context.protocol.name]
    return replace(domain, spec=replace(domain.spec, kind="nerv", width=width, depth=depth, w0=levels))


def _measured(domain: Domain, recipe: Recipe, seed: int, checkpoint: Path, count: int) -> Row:
    theta = meta_train(domain, recipe, seed, checkpoint)
    return judged(domain, theta, recipe, count, scored=False)
