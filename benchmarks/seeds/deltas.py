"""Sparse deltas by what they cost: bytes of .nfc files on disk and the PSNR of what they decode to.

One small SIREN for pictures, trained as ``nfc train`` trains those of the package, six times: every weight may change
and the rate alone makes zeros; a shared mask on Δ over a dense θ0; a masked θ (Meta-SparseINR); a random mask on Δ;
gates learned with an L0 penalty (MSCN); the biases of hidden layers alone (shift modulations, COIN++ and functa). All
have the same outer steps. Files that training never sees are encoded at the anchors of quality.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from results import delta, mean_curve

import nfcodec
from benchmarks.seeds.context import Context
from benchmarks.seeds.rows import Row, Rows
from nfcodec import EncodeOptions
from nfcodec.modules.init import QUALITY_ANCHORS
from nfcodec.modules.spec import FieldSpec
from nfcodec.modules.train.config import GateConfig, InnerConfig, OuterConfig, RateConfig, SparseConfig, TrainConfig
from nfcodec.modules.train.export import export
from nfcodec.modules.train.loop import Trainer
from nfcodec.modules.train.tasks import Tasks
from nfcodec.train.settings import DataConfig
from nfcodec.train.signals import load_signals
from nfcodec.zoo import init_bytes

SPEC = FieldSpec("siren", 2, 3, 32, 2, 30, 1, True, True, (16, 16))


@dataclass(frozen=True)
class Sizes:
    """``outer``, ``sparse`` and ``rate`` outer steps of dense training, of all pruning or gating, of rate-aware
    training; ``rounds`` of pruning 20 %; ``batch`` modules; ``files`` encoded; ``keep`` files read for training;
    ``gates``: weight of the L0 penalty; ``calibration``: modules that the prior is fitted to."""

    outer: int
    sparse: int
    rate: int
    rounds: int
    batch: int
    files: int
    keep: int
    gates: float
    calibration: int


SIZES = {
    "small": Sizes(200, 90, 350, 3, 16, 2, 200, 0.005, 128),
    "medium": Sizes(3_000, 1_200, 6_000, 3, 64, 24, 1_600, 0.005, 1024),
    "full": Sizes(6_000, 1_200, 12_000, 3, 64, 60, 1_600, 0.005, 1024),
}
VARIANTS = ("rate", "mask on delta", "masked theta", "gates", "shifts", "random mask")


def config(variant: str, sizes: Sizes, seed: int) -> TrainConfig:
    """What ``nfc train`` would take."""
    rounds = SparseConfig(sizes.rounds, 0.2, sizes.sparse // sizes.rounds)
    none = SparseConfig(0)
    tables: dict[str, dict[str, Any]] = {
        "rate": {"sparse": none},
        "mask on delta": {"sparse": rounds},
        "masked theta": {"sparse": replace(rounds, score="theta", base="masked")},
        "random mask": {"sparse": replace(rounds, score="random")},
        "gates": {"sparse": none, "gates": GateConfig(sizes.sparse, sizes.gates)},
        "shifts": {"sparse": replace(none, moves="shifts")},
    }
    # Without rounds and gates their steps are dense ones: all have had equally many.
    more = 0 if tables[variant]["sparse"].rounds or "gates" in tables[variant] else sizes.sparse
    outer, rate = OuterConfig(sizes.outer + more, sizes.batch), RateConfig(sizes.rate)
    data = DataConfig(keep=sizes.keep)
    return TrainConfig(f"seeds-{variant}", SPEC, data, InnerConfig(), outer, rate=rate, seed=seed, **tables[variant])


def split(data: Path, count: int) -> tuple[Path, list[Path]]:
    """The folder to train on, and every tenth of its files, which training leaves out."""
    folder = data / "images-train"
    return folder, sorted(folder.glob("*.jpg"))[9::10][:count]


def tasks(folder: Path, settings: DataConfig) -> Tasks:
    """Modules of nine files in ten."""
    signals = load_signals(folder, replace(settings, keep=settings.keep * 10 // 9))
    return Tasks(SPEC, [s for i, s in enumerate(signals) if i % 10 != 9])


def trained(context: Context, rows: Rows, variant: str, sizes: Sizes, seed: int) -> tuple[Path, Row]:
    """The init of a variant, as a file, and how many of its parameters a module of a file holds."""
    name = variant.replace(" ", "-")
    path = rows.checkpoint(name, seed).with_suffix(".safetensors")
    made = config(variant, sizes, seed)
    trainer = Trainer(made, tasks(context.data / "images-train", made.data), device=context.device)
    checkpoint = rows.checkpoint(name, seed)
    if checkpoint.exists():
        trainer.resume(checkpoint)
    trainer.run(checkpoint=checkpoint, every=60.0)
    init = export(trainer, modules=sizes.calibration)
    path.write_bytes(init_bytes(init))
    return path, {"parameters": init.parameters, "coded": init.coded}


def measured(init: Path, files: list[Path], target: Path) -> list[Row]:
    """Bytes on disk and PSNR of every file at every anchor of quality."""
    found = []
    for file in files:
        for quality in QUALITY_ANCHORS:
            options = EncodeOptions(quality=quality, init=str(init), field="siren", effort=5)
            result = nfcodec.encode(file, target, options=options, force=True)
            found.append({"file": file.name, "quality": quality, "bytes": result.bytes, "psnr": round(result.psnr, 4)})
    return found


def run(context: Context) -> Path:
    """The table."""
    sizes = SIZES[context.protocol.name]
    rows = Rows("deltas", context.protocol, context.work, asdict(sizes))
    _, files = split(context.data, sizes.files)
    for seed in context.protocol.other_seeds:
        for variant in VARIANTS:

            def measure(variant: str = variant, seed: int = seed) -> Row:
                init, about = trained(context, rows, variant, sizes, seed)
                return about | {"points": measured(init, files, rows.folder / "try.nfc")}

            key = {"variant": variant, "seed": seed}
            if context.wanted(**key) or rows.has(key):
                rows.row(key, measure)
                path = rows.write(means(rows.rows))
    return path


def means(rows: list[Row]) -> list[Row]:
    """Mean bytes and PSNR by quality, and the BD-rate against zeros that the rate alone makes (same seed)."""
    out = []
    for row in rows:
        base = next(r for r in rows if (r["variant"], r["seed"]) == ("rate", row["seed"]))
        for quality in QUALITY_ANCHORS:
            points = [p for p in row["points"] if p["quality"] == quality]
            out.append(
                {k: row[k] for k in ("variant", "seed", "coded")}
                | {"quality": quality, "bytes": round(fmean(p["bytes"] for p in points)),
                   "psnr": round(fmean(p["psnr"] for p in points), 3)}
            )  # fmt: skip
        found = delta(mean_curve(base["points"]), mean_curve(row["points"]))
        out.append({"variant": row["variant"], "seed": row["seed"], **found})
    return out
