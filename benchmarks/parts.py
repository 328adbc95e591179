"""What each part of the lattice encoder is worth: the same pictures with one part taken out or replaced.

The init is not trained again without it.

    python benchmarks/parts.py DIR --name parts [--init photo-lattice] [--limit 12] [--qualities 10,30,50,70,90]

Rates are the real payloads of the regions (without the header, which is alike for all), errors are those of the picture
before it is rounded to bytes. "no context" is what no real coder reaches: each symbol number has, per quality, the
table that is best for these very pictures. Writes NAME.json to benchmarks/results.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from bjontegaard import bd_rate
from machine import build_fingerprint, describe
from PIL import Image
from results import plain_command, say, signed, table, today, write_json

from nfcodec import zoo
from nfcodec.entropy import logistic
from nfcodec.errors import OptionError
from nfcodec.lattice import trunk as field
from nfcodec.lattice.code import ALONE, RegionSymbols
from nfcodec.lattice.fit.adapt import rounded
from nfcodec.lattice.fit.first_step import analysis, corrected
from nfcodec.lattice.fit.rounds import Problem, refine
from nfcodec.lattice.fit.tensors import tensors
from nfcodec.lattice.fit.window import Window, cut_window, mirrored
from nfcodec.lattice.init import LatticeInit
from nfcodec.lattice.restore import Restore
from nfcodec.lattice.space import Space

ROOT = Path(__file__).resolve().parents[1]
Symbols = npt.NDArray[np.int32]
First = Callable[[LatticeInit, Window, int], Symbols]


@dataclass(frozen=True)
class Variant:
    """``first``: the first step; ``rounds`` after it; ``change``: of the init; ``context``: with the prior."""

    name: str
    rounds: int = 0
    first: First | None = None
    change: Callable[[LatticeInit], LatticeInit] | None = None
    context: bool = True
    ahead: bool = False


def changed(init: LatticeInit, **parts: Any) -> LatticeInit:
    """The init with other parts of its level."""
    return replace(init, levels=(replace(init.levels[0], **parts),))


def learned(init: LatticeInit, window: Window, quality: int) -> Symbols:
    """The first step as it is."""
    [level] = init.levels
    return rounded(corrected(level, analysis(level, window), quality), 0.0)


def plain(zone: float) -> First:
    """The preconditioned gradient, rounded with a dead zone that all symbols share."""

    def step(init: LatticeInit, window: Window, quality: int) -> Symbols:
        [level] = init.levels
        return rounded(analysis(level, window) / torch.from_numpy(level.steps(quality))[:, :, None, None], zone)

    return step


def without_preconditioner(init: LatticeInit) -> LatticeInit:
    """The plain gradient of the squared error: the analysis is the transpose of the synthesis."""
    [level] = init.levels
    functions = field.table(level.spec, tensors(level.trunk), level.spec.spacing)
    k = level.spec.bases
    tables = {"analysis.0": functions[:k], "analysis.1": functions[k : 2 * k]}
    step = {n: (t / t.square().sum(1, keepdim=True)).numpy() for n, t in tables.items()}
    rates = {n: np.zeros_like(level.first_step[n]) for n in ("log_gain", "log_again")}
    return changed(init, first_step={**level.first_step, **step, **rates})


def with_inner_steps(count: int) -> Callable[[LatticeInit], LatticeInit]:
    """Fewer inner steps than were trained, or more, at the rates of the last one."""

    def change(init: LatticeInit) -> LatticeInit:
        first_step = init.levels[0].first_step
        again = first_step["log_again"]
        again = np.concatenate([again, again[-1:].repeat(max(0, count - 1 - len(again)), 0)])[: count - 1]
        return changed(init, first_step={**first_step, "log_again": again})

    return change


def without_restoring(init: LatticeInit) -> LatticeInit:
    """D predicts nothing."""
    d = init.levels[0].restore
    last = replace(d.leave, weight=0 * d.leave.weight, bias=0 * d.leave.bias)
    return changed(init, restore=Restore(d.enter, d.blocks, last))


VARIANTS = (
    Variant("effort 1: first step only"),
    Variant("one inner step", change=with_inner_steps(1)),
    Variant("three inner steps", change=with_inner_steps(3)),
    *(Variant(f"{n} rounds of per-symbol decisions", n) for n in (1, 2, 4, 8)),
    *(Variant(f"{n} rounds that look ahead", n, ahead=True) for n in (1, 2, 3, 6, 12)),
    Variant("first step without its network, plain rounding", first=plain(0.0)),
    Variant("first step without its network, dead zone 0.1", first=plain(0.1)),
    Variant("first step without its network, dead zone 0.2", first=plain(0.2)),
    Variant("the same, then 4 rounds", 4, first=plain(0.1)),
    Variant("gradient without preconditioner", change=without_preconditioner),
    Variant("without D", change=without_restoring),
    Variant("without D, 4 rounds", 4, change=without_restoring),
    Variant("no context: one table per symbol number", context=False),
)


@dataclass(frozen=True)
class Outcome:
    """Symbols, real bits and squared error of one picture, with its number of samples."""

    symbols: Symbols
    bits: float
    error: float
    samples: int


def encode(init: LatticeInit, image: npt.NDArray[np.uint8], quality: int, variant: Variant) -> Outcome:
    """One picture as one region."""
    init = variant.change(init) if variant.change else init
    [level] = init.levels
    values = torch.from_numpy(image.astype(np.float32) / 255.0)
    space = Space.of(image.shape[:2], level.spec)
    wide = mirrored(init.planes.to_planes(values, 0.5), space, level.spec.spacing)
    window = cut_window(wide, image.shape[:2], space, space.box(0), level.spec.spacing)
    with torch.no_grad():
        symbols = (variant.first or learned)(init, window, quality)
        weights = analysis(level, window)
    trade = init.plane_trade(quality)
    problem = Problem(level, window, weights, quality=quality, planes=3, trade=trade, ahead=variant.ahead)
    state = refine(problem, symbols, variant.rounds)
    payloads = ALONE.encode(level.prior, RegionSymbols(state.symbols, quality, 3))
    return Outcome(state.symbols, 8.0 * sum(map(len, payloads)), state.error, image.shape[0] * image.shape[1])


def bits_without_context(outcomes: list[Outcome]) -> float:
    """Bits of all symbols when each symbol number has the one best table."""
    flat = np.concatenate([o.symbols.reshape(192, -1) for o in outcomes], 1)
    costs = [
        logistic.bits(flat, np.full(flat.shape, s, np.uint8), np.zeros(flat.shape, np.int32)).sum(1)
        for s in range(logistic.SCALES)
    ]
    return float(np.min(costs, 0).sum())


def point(outcomes: list[Outcome], variant: Variant) -> dict[str, float]:
    """Mean rate and PSNR."""
    psnr = [-10.0 * np.log10(o.error / 3.0 / o.samples) for o in outcomes]
    samples = sum(o.samples for o in outcomes)
    bits = sum(o.bits for o in outcomes) if variant.context else bits_without_context(outcomes)
    return {"bpp": bits / samples, "psnr": float(np.mean(psnr))}


def compared(base: list[list[float]], own: list[list[float]]) -> float | None:
    """BD-rate, or None where the curve of a variant falls: its quality ends before its rate does."""
    try:
        return bd_rate(*base, *own)
    except OptionError:
        return None


def measure(init: LatticeInit, images: list[npt.NDArray[np.uint8]], qualities: list[int]) -> list[dict[str, Any]]:
    """All variants, each with its BD-rate against the first."""
    rows: list[dict[str, Any]] = []
    for variant in VARIANTS:
        began = time.process_time()
        points = [point([encode(init, i, q, variant) for i in images], variant) for q in qualities]
        seconds = (time.process_time() - began) / len(images) / len(qualities)
        base, own = (
            [[p[k] for p in c] for k in ("bpp", "psnr")] for c in (rows[0]["points"] if rows else points, points)
        )
        change = compared(base, own) if rows else 0.0
        rows.append({"variant": variant.name, "bd_rate_percent": change, "cpu_seconds": seconds, "points": points})
        say(f"{variant.name}: {signed(change, '%')}, {seconds:.2f} s")
    return rows


def main() -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--name", default="parts")
    parser.add_argument("--init", default="photo-lattice")
    parser.add_argument("--limit", type=int, default=12)
    parser.add_argument("--qualities", default="10,30,50,70,90")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    args = parser.parse_args()
    torch.set_num_threads(1)
    files = sorted(p for p in args.folder.iterdir() if p.suffix.lower() in (".png", ".jpg", ".jpeg"))[: args.limit]
    images = [np.asarray(Image.open(f).convert("RGB")) for f in files]
    init = zoo.load(args.init)
    assert isinstance(init, LatticeInit)
    rows = measure(init, images, [int(q) for q in args.qualities.split(",")])
    content = {
        "name": args.name, "command": plain_command(sys.argv), "date": today(), "machine": describe(),
        "build": build_fingerprint(), "init": init.sha256.hex(), "files": [f.name for f in files], "rows": rows,
    }  # fmt: skip
    write_json(args.results / f"{args.name}.json", content)
    print(
        table(
            ["variant", "BD-rate", "s"],
            [[r["variant"], signed(r["bd_rate_percent"], "%"), f"{r['cpu_seconds']:.2f}"] for r in rows],
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
