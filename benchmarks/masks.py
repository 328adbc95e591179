"""Which mask to ship: the same short training with four masks, compared on held-out pictures.

    python benchmarks/masks.py DATA [--steps 1000] [--rounds 5]

Trains models/photo-siren.toml (shortened: a scaled protocol, so only the rows of one run compare with each other) with
no pruning, Meta-SparseINR (masked θ0, score |θ|), a dense θ0 with the mask on Δ (score E|Δ|·√F), and random pruning
of Δ. The last 10 files of DATA by name, held out of training, are measured. Rates are ideal code lengths of the
symbols of whole pictures.
Writes benchmarks/results/masks.json.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nfcodec.coords import module_coords
from nfcodec.media import open_source
from nfcodec.modules.deltas import choose_model, delta_bits
from nfcodec.modules.fit.adapt import Adapter
from nfcodec.modules.fit.inner import module_loss
from nfcodec.modules.init import QUALITY_ANCHORS, Init
from nfcodec.modules.partition import cut
from nfcodec.modules.train.config import TrainConfig
from nfcodec.modules.train.export import export
from nfcodec.modules.train.loop import Trainer
from nfcodec.modules.train.sparse import kept_weights
from nfcodec.modules.train.tasks import Tasks, load_tasks
from nfcodec.train.training import load_config

sys.path.insert(0, str(Path(__file__).parent))
from machine import describe

ROOT = Path(__file__).parents[1]
VARIANTS = {
    "dense": {"rounds": 0},
    "masked θ0, |θ|": {"score": "theta", "base": "masked"},
    "dense θ0, E|Δ|√F": {"score": "delta", "base": "dense"},
    "dense θ0, random": {"score": "random", "base": "dense"},
}


def shortened(steps: int, rounds: int, overrides: dict[str, Any]) -> TrainConfig:
    """The shipped photo config with fewer steps and one of the masks."""
    config = load_config(ROOT / "models" / "photo-siren.toml")
    pruned = replace(config.sparse, **{"rounds": rounds, "steps": steps // 5, **overrides})
    # Every variant sees equally many outer steps, pruned or not.
    dense = steps if pruned.rounds else steps + rounds * (steps // 5)
    outer, rate = replace(config.outer, steps=dense), replace(config.rate, steps=2 * steps)
    return replace(config, outer=outer, sparse=pruned, rate=rate)


def measure(init: Init, pictures: list[torch.Tensor]) -> list[dict[str, float]]:
    """PSNR (mean over pictures, float output) and bits per pixel at every anchor quality."""
    coords = torch.from_numpy(module_coords(init.spec.tile)).unsqueeze(0)
    rows = []
    for quality in QUALITY_ANCHORS:
        adapter = Adapter(init, quality, 5, init.spec.channels)
        coding = adapter.coding
        psnrs, bits, pixels = [], 0.0, 0
        for targets in pictures:
            q = adapter.deltas(targets)
            params = init.params(torch.from_numpy(q) * coding.step, coding.kept)
            with torch.no_grad():
                psnrs.append(-10 * float(torch.log10(module_loss(init.spec, params, coords, targets).mean())))
            bits += delta_bits(q, coding.scale, coding.tensor_of, choose_model(q, coding.scale, coding.tensor_of))
            pixels += targets.shape[0] * targets.shape[1]
        rows.append({"quality": quality, "bpp": bits / pixels, "psnr": float(np.mean(psnrs))})
    return rows


def held_out(data: Path, init: Init) -> list[torch.Tensor]:
    """Modules of the last 10 pictures of the folder."""
    files = sorted(p for p in data.iterdir() if p.suffix == ".jpg")[-10:]
    return [torch.from_numpy(cut(init.spec, next(open_source(p).blocks(1 << 16)).values)) for p in files]


def run(name: str, config: TrainConfig, tasks: Tasks, data: Path) -> dict[str, Any]:
    """Train and measure one variant."""
    began = time.monotonic()
    trainer = Trainer(config, tasks)
    trainer.run()
    init = export(trainer, modules=512)
    rows = measure(init, held_out(data, init))
    kept = kept_weights(init.mask, init.tensors)
    result = {"mask": name, "kept_weights": kept, "seconds": round(time.monotonic() - began), "points": rows}
    print(name, kept, *(f"{r['bpp']:.3f}/{r['psnr']:.2f}" for r in rows), flush=True)
    return result


def main() -> None:
    """Run all variants and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), default=list(VARIANTS), metavar="MASK")
    args = parser.parse_args()
    config = shortened(args.steps, args.rounds, {})
    tasks = load_tasks(args.data, config.field, config.data)
    configs = {n: shortened(args.steps, args.rounds, VARIANTS[n]) for n in args.only}
    results = [run(n, c, tasks, args.data) for n, c in configs.items()]
    command = f"python benchmarks/masks.py DATA --steps {args.steps} --rounds {args.rounds}"
    command += f" --only {shlex.join(args.only)}"
    report = {"command": command, "machine": describe(), "results": results}
    (ROOT / "benchmarks" / "results" / "masks.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
