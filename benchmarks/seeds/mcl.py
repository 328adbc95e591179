"""MCL-NF: four segments, one after another, on one network or on a module each.

Columns as in the paper (what they mean is ours, since its text is not free): OL all at once from random weights; CL one
segment after another from random weights; MOL all at once from MAML's θ0; CML one segment after another from it; MCL
meta-trained for the sequence itself: MAML through it, OML, and modules (``mod``; ``mim`` with Fisher sample weights).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.seeds.context import Context
from benchmarks.seeds.domains import Domain, clips, pictures, speech
from benchmarks.seeds.learning import (
    Loss,
    Params,
    Recipe,
    clipped_loss,
    curve,
    expanded,
    learner_of,
    meta_train,
    psnr,
)
from benchmarks.seeds.rows import Row, Rows, averaged
from nfcodec.coords import module_coords
from nfcodec.modules.fit.inner import InnerLoop, adapt_from
from nfcodec.modules.train.continual import head_only, segments_of, sequence_loss
from nfcodec.modules.train.start import init_params

SEGMENTS = 4
_OUTER = {"small": 200, "medium": 5000, "full": 150_000}
_BATCH = {"small": 2, "medium": 4, "full": 8}
_LR = {"small": 1e-3, "medium": 3e-4, "full": 1e-5}
_TESTED = {"small": 8, "medium": 50, "full": 100}
_STEPS = {
    "small": (1, 2, 4, 8, 16, 32, 64), "medium": tuple(4**i for i in range(6)), "full": tuple(4**i for i in range(7)),
}  # fmt: skip
RHOS = (0.25, 0.5, 1.0)

DOMAINS: dict[str, tuple[Callable[[Context], Domain], float, float]] = {
    "imagenette": (lambda c: pictures(c.protocol, c.data), 1.0, 1e-2),
    "speech 1 s": (lambda c: speech(c.protocol, c.data, 1, reduce=1 if c.protocol.full else 4), 0.6, 1e-1),
    "video": (lambda c: clips(c.protocol, c.data), 0.3, 1e-2),
}


@dataclass(frozen=True)
class Method:
    """``column`` of the table. ``training`` of θ0: "none", "signals" (MAML), "sequence", "head" (OML) or "modules".
    ``together``: all segments at once at test time. ``rho``: of modules."""

    column: str
    training: str
    together: bool = False
    rho: float = 0.0


METHODS = {
    "mod": Method("MCL", "modules"),
    "mim ρ=0.5": Method("MCL", "modules", rho=0.5),
    "MAML, in turn": Method("CML", "signals"),
    "MAML through the sequence": Method("MCL", "sequence"),
    "OML": Method("MCL", "head"),
    "MAML, together": Method("MOL", "signals", together=True),
    "random, in turn": Method("CL", "none"),
    "random, together": Method("OL", "none", together=True),
    "mim ρ=0.25": Method("MCL", "modules", rho=0.25),
    "mim ρ=1": Method("MCL", "modules", rho=1.0),
}
_CORE = tuple(METHODS)[:8]
_SEEDED = ("mod", "mim ρ=0.5", "MAML, in turn", "MAML through the sequence", "OML")


def run(context: Context) -> Path:
    """All rows, first those that the claims rest on."""
    name = context.protocol.name
    settings = {
        "outer": _OUTER[name], "batch": _BATCH[name], "lr": _LR[name], "tested": _TESTED[name], "steps": _STEPS[name],
        "methods": {m: vars(v) for m, v in METHODS.items()}, "segments": SEGMENTS,
        "domains": {d: (s, r) for d, (_, s, r) in DOMAINS.items()},
    }  # fmt: skip
    rows = Rows("mcl", context.protocol, context.work, settings)
    load = cache(lambda data: DOMAINS[data][0](context))
    for data, method, seed in _plan(context):
        key = {"data": data, "method": method, "column": METHODS[method].column, "seed": seed}
        if context.wanted(**key) or rows.has(key):
            rows.row(key, lambda data=data, method=method, seed=seed: _row(rows, context, load(data), method, seed))
            rows.write(_means(rows.rows))
    return rows.write(_means(rows.rows))


def _plan(context: Context) -> list[tuple[str, str, int]]:
    protocol = context.protocol
    first, others = protocol.seeds[0], protocol.seeds[1:]
    plan = [("imagenette", m, first) for m in _CORE]
    plan += [("speech 1 s", m, s) for m in _CORE for s in protocol.other_seeds]
    plan += [("imagenette", m, s) for s in others for m in _SEEDED]
    plan += [("video", m, s) for m in _CORE for s in protocol.other_seeds]
    plan += [("imagenette", m, first) for m in METHODS if m not in _CORE]
    return plan


def _means(rows: list[Row]) -> list[Row]:
    return averaged(rows, ("data", "method", "column"), ("step_1", "best", "last", "forgotten"))


# -- domains ---------------------------------------------------------------------------------------------
def module_domain(domain: Domain) -> Domain:
    """One segment as a signal of its own, on a network of a quarter of the weights (half the width)."""
    tile = _segment_tile(domain.spec.tile)
    spec = replace(domain.spec, width=domain.spec.width // 2, tile=tile)
    if len(tile) == 1:  # the same number of radians from sample to sample
        spec = replace(spec, coord_scale=max(1, domain.spec.coord_scale // SEGMENTS))
    index = segments_of(domain.spec.tile, SEGMENTS)

    def batch(seed: int, step: int, count: int) -> Tensor:
        """All segments of ``count`` signals: a batch is made of whole sequences."""
        return _cut(domain.batch(seed, step, count), index)

    coords = torch.from_numpy(module_coords(tile)).unsqueeze(0)
    return Domain(domain.name, spec, coords, tile, batch, lambda n: _cut(domain.test(n), index))


def _segment_tile(tile: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(n // 2 for n in tile) if len(tile) == 2 else (tile[0] // SEGMENTS, *tile[1:])


def _cut(targets: Tensor, index: Tensor) -> Tensor:
    """Segments (M · S, N / S, c) of targets (M, N, c)."""
    return targets[:, index].flatten(0, 1)


# -- rows ------------------------------------------------------------------------------------------------
def _row(rows: Rows, context: Context, domain: Domain, name: str, seed: int) -> Row:
    method, protocol = METHODS[name], context.protocol.name
    share, rate = DOMAINS[domain.name][1:]
    recipe = Recipe(
        rate=rate, rho=method.rho, outer=max(1, round(_OUTER[protocol] * share)), batch=_BATCH[protocol],
        lr=_LR[protocol],
    )  # fmt: skip
    own = module_domain(domain) if method.training == "modules" else domain
    theta = _theta(rows, own, method, recipe, seed)
    return judged(own, theta, method, recipe, _TESTED[protocol], _STEPS[protocol])


def _theta(rows: Rows, domain: Domain, method: Method, recipe: Recipe, seed: int) -> Params:
    """θ0; a training that several rows share is done once."""
    if method.training == "none":
        return init_params(domain.spec, torch.Generator().manual_seed(seed))
    parts = domain.name.replace(" ", ""), method.training, f"{method.rho:g}", seed
    in_turn = method.training in ("sequence", "head")
    loss = _sequence(domain, recipe, head=method.training == "head") if in_turn else None
    return meta_train(domain, recipe, seed, rows.checkpoint(*parts), loss)


def _sequence(domain: Domain, recipe: Recipe, *, head: bool) -> Loss:
    segments = list(segments_of(domain.spec.tile, SEGMENTS))
    return lambda learner, targets: sequence_loss(
        head_only(learner) if head else learner, domain.coords, targets, recipe.loop, segments
    )[0]


def judged(
    domain: Domain, theta: Params, method: Method, recipe: Recipe, count: int, steps: tuple[int, ...]
) -> Row:
    """PSNR (dB) of whole signals after each number of steps (on each segment), and how much of the first segment was
    forgotten: its PSNR when it was just learned, less that at the end, at the last number of steps."""
    targets, loop = domain.test(count), InnerLoop(1, rho=method.rho)
    if method.training == "modules":
        found, forgotten = _module_curve(domain, theta, targets, loop, recipe.rate, steps), 0.0
    elif method.together:
        found, forgotten = curve(domain, theta, targets, loop, recipe.rate, steps), None
    else:
        each = [_in_turn(domain, theta, targets, method, recipe.rate, n) for n in steps]
        found, forgotten = [round(p, 3) for p, _ in each], round(each[-1][1], 3)
    return {
        "steps": list(steps), "psnr": found, "step_1": found[0], "best": max(found), "last": found[-1],
        "forgotten": forgotten,
    }  # fmt: skip


def _module_curve(
    domain: Domain, theta: Params, targets: Tensor, loop: InnerLoop, rate: float, steps: tuple[int, ...]
) -> list[float]:
    """PSNR of whole signals, whose error is the mean of their segments'; modules do not know of each other, so that all
    of them may as well be adapted in one batch (``tests/modules/fit/test_sequence.py``)."""
    params, learner, found = expanded(theta, len(targets)), learner_of(domain.spec, theta, rate), []
    at = 0
    for stop in steps:
        params, _ = adapt_from(
            domain.spec, params, learner.rate, learner.mask, domain.coords, targets, replace(loop, steps=stop - at)
        )
        at = stop
        found.append(round(psnr(clipped_loss(domain, params, targets).reshape(-1, SEGMENTS).mean(1)), 3))
    return found


def _in_turn(
    domain: Domain, theta: Params, targets: Tensor, method: Method, rate: float, steps: int
) -> tuple[float, float]:
    """PSNR after ``steps`` on each segment in turn, and what the first segment has lost by then (dB)."""
    learner = learner_of(domain.spec, theta, rate)
    learner = head_only(learner) if method.training == "head" else learner
    segments = segments_of(domain.spec.tile, SEGMENTS)
    params, learned = expanded(theta, len(targets)), 0.0
    for number, index in enumerate(segments):
        some, wanted = domain.coords[:, index], targets[:, index]
        params, _ = adapt_from(domain.spec, params, learner.rate, learner.mask, some, wanted, InnerLoop(steps))
        if not number:
            learned = _segment_psnr(domain, params, targets, index)
    return psnr(clipped_loss(domain, params, targets)), learned - _segment_psnr(domain, params, targets, segments[0])


def _segment_psnr(domain: Domain, params: Params, targets: Tensor, index: Tensor) -> float:
    part = replace(domain, coords=domain.coords[:, index])
    return psnr(clipped_loss(part, params, targets[:, index]))
