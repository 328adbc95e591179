"""Which score finds the blocks of cells that are worth a round, and what a pruned context saves.

    python benchmarks/contexts.py PICTURES… --name contexts [--qualities 20,50,75] [--blocks 4,8,16]

The first round changes the better three quarters of the promising symbols of a picture. For every block of cells: the
*true fall* of bits + error/λ, and three scores from before the round, namely the *expected fall* (the sum of the gains
of its changes), the *block score* (the squared gradient of the error in steps) and the *sample score* (squared errors
times squared norms of the features at the samples). Rank correlations of each with the true fall, how much of it (bits,
means over pictures) the best quarter and half of the blocks hold, and the cells that have to be looked at for these.
Then three rounds with contexts that hold a share of the expected gain: fall of the cost, and processor time against no
pruning. Writes NAME.json to benchmarks/results. PICTURES must not be those that anything was tuned on.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from machine import build_fingerprint, describe
from PIL import Image
from results import plain_command, say, today, write_json
from scipy.stats import spearmanr

from nfcodec import zoo
from nfcodec.lattice.fit.adapt import Plan, region_weights, rounded
from nfcodec.lattice.fit.blocks import pooled
from nfcodec.lattice.fit.first_step import corrected
from nfcodec.lattice.fit.rounds import Problem, State, proposals, refine
from nfcodec.lattice.fit.scores import block_scores, sample_norms, sample_scores
from nfcodec.lattice.fit.tiles import tiles_around
from nfcodec.lattice.fit.window import cut_window, mirrored
from nfcodec.lattice.init import LatticeInit
from nfcodec.lattice.planes import offset_of
from nfcodec.lattice.space import Space
from nfcodec.lattice.steps import WEIGHT_UNIT
from nfcodec.lattice.synthesis import last_layers
from nfcodec.lattice.trunk import unfold

Floats = npt.NDArray[Any]
HELD = (1.0, 0.95, 0.8, 0.6)
SHARES = (0.25, 0.5)
CHANGED = 0.75  # of the promising changes, as a single round makes them


@dataclass(frozen=True)
class Case:
    """A picture at a quality, and its symbols after the first steps."""

    problem: Problem
    symbols: npt.NDArray[np.int32]


def case_of(init: LatticeInit, path: Path, quality: int) -> Case:
    """The whole picture as one region."""
    [level] = init.levels
    values = torch.from_numpy(np.asarray(Image.open(path).convert("RGB"), np.float32) / 255.0)
    planes = torch.as_tensor(init.planes.to_planes(values, offset_of("image")))
    shape = tuple(planes.shape[1:])
    space = Space.of(shape, level.spec)
    wide = mirrored(planes, space, level.spec.spacing)
    window = cut_window(wide, shape, space, space.whole, level.spec.spacing)
    weights = region_weights(level, wide, shape, space, space.whole)
    with torch.inference_mode():
        symbols = rounded(corrected(level, weights, quality), 0.0)
    trade = Plan.of(quality, 1).trade(init)
    return Case(Problem(level, window, weights.clone(), quality=quality, planes=3, trade=trade), symbols)


def errors(problem: Problem, state: State) -> torch.Tensor:
    """The error (P, *samples) of a state, half a spacing around included."""
    with torch.no_grad():
        q = torch.from_numpy(state.symbols.astype(np.float32))
        shown = problem.canvas(last_layers(problem.level, q, problem.quality) * WEIGHT_UNIT)
    return (shown - problem.target) * problem.weight.sqrt()


def costs(problem: Problem, state: State) -> Floats:
    """bits + error/λ (*cells) of every cell and its samples."""
    spacing = problem.level.spec.spacing
    native = errors(problem, state)[(slice(None), *(slice(s // 2, -(s // 2)) for s in spacing))]
    squared = native.square().sum(0).numpy()
    height, width = (n // s for n, s in zip(squared.shape, spacing, strict=True))
    samples = squared.reshape(height, spacing[0], width, spacing[1]).sum((1, 3))
    found: Floats = state.each.sum((0, 1)) + samples / problem.trade
    return found


def scores_of(problem: Problem, state: State, gain: Floats, slope: Floats) -> dict[str, Floats]:
    """Every score (*cells)."""
    spec = problem.level.spec
    seen = errors(problem, state)[(slice(None), *(slice(s // 2, -(s // 2)) for s in spec.spacing))]
    patches = unfold(seen, spec.spacing)[None]
    ones = torch.ones(len(spec.planes), spec.bases)
    return {
        "expected fall": gain.sum((0, 1)),
        "block score": block_scores(torch.from_numpy(slope)[None], ones)[0].numpy(),
        "sample score": sample_scores(patches, sample_norms(spec, problem.canvas.functions))[0].numpy(),
    }


def ranked(case: Case, blocks: list[int]) -> list[dict[str, Any]]:
    """How well each score finds the blocks that are worth it."""
    problem, begun = case.problem, case.problem.state(case.symbols)
    slope = problem.slope(problem.state(case.symbols))
    move, gain = proposals(problem, begun)
    least = np.quantile(gain[gain > 0.05], 1 - CHANGED)
    after = problem.state(case.symbols + move * (gain >= least))
    fall, scores, rows = costs(problem, begun) - costs(problem, after), scores_of(problem, begun, gain, slope), []
    for side in blocks:
        true = pooled(fall, side)
        for name, score in scores.items():
            found = pooled(score, side)
            row: dict[str, Any] = {"block": side, "score": name}
            row["bits"] = float(true.sum())
            row["rank_correlation"] = float(spearmanr(found.ravel(), true.ravel()).statistic)
            order = np.argsort(-found, axis=None)
            for share in SHARES:
                best = order[: max(1, int(share * len(order)))]
                chosen = np.zeros(true.size, bool)
                chosen[best] = True
                tiles = tiles_around(chosen.reshape(true.shape), fall.shape, side, 1)
                row[f"bits_of_best_{share}"] = float(true.ravel()[best].sum())
                row[f"cells_looked_at_{share}"] = min(1.0, len(tiles.cells) / fall.size)
            rows.append(row)
    return rows


def pruned(case: Case) -> list[dict[str, float]]:
    """Three rounds in contexts that hold so much of the expected gain."""
    begun = case.problem.state(case.symbols).cost(case.problem.trade)
    rows = []
    for held in HELD:
        start = time.process_time()
        found = refine(case.problem, case.symbols, 3, held=held).cost(case.problem.trade)
        rows.append({"held": held, "fall_percent": 100 * (1 - found / begun), "seconds": time.process_time() - start})
    return rows


def averaged(rows: list[dict[str, Any]], keys: tuple[str, ...]) -> list[dict[str, Any]]:
    """Means over pictures and qualities of rows that agree in ``keys``."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row[k] for k in keys), []).append(row)
    return [
        {k: v if k in keys else round(fmean(r[k] for r in group), 4) for k, v in group[0].items()}
        for group in groups.values()
    ]


def main() -> int:
    """Measure, average, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", nargs="+", type=Path)
    parser.add_argument("--name", default="contexts")
    parser.add_argument("--init", default="photo-lattice")
    parser.add_argument("--qualities", default="20,50,75")
    parser.add_argument("--blocks", default="4,8,16")
    args = parser.parse_args()
    torch.set_num_threads(1)
    init = zoo.load(args.init)
    assert isinstance(init, LatticeInit)
    ranks, falls = [], []
    for path in args.pictures:
        for quality in map(int, args.qualities.split(",")):
            case = case_of(init, path, quality)
            ranks += ranked(case, [int(b) for b in args.blocks.split(",")])
            falls += pruned(case)
        say(path.name)
    content = {
        "name": args.name, "command": plain_command(sys.argv), "date": today(), "machine": describe(),
        "build": build_fingerprint(), "scores": averaged(ranks, ("block", "score")),
        "rounds": averaged(falls, ("held",)),
    }  # fmt: skip
    write_json(Path(__file__).resolve().parent / "results" / f"{args.name}.json", content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
