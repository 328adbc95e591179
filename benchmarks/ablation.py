"""What each ingredient of the method is worth: the shipped init trained on with it, and equally long without it.

    python benchmarks/ablation.py DIR… --work DIR [--arms control,hinge] [--seeds 0,1,2] [--efforts 1] [--steps 300]

Every 45th picture of the first folder, by name and from the last backwards, is held out; all others are trained on.
All arms of a seed begin at the same init and see the same crops at the same qualities with the same learning rate, for
the same number of steps; an arm differs from the control by its ingredient alone. Each init is then measured on the
held-out pictures: real files, PSNR of what they decode to, processor time of encoding and verifying. A working folder
makes it resumable: what is there is neither trained nor measured again. Writes NAME.json, NAME.svg and NAME.png.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any
from unittest import mock

import numpy as np
import torch
from bjontegaard import bd_rate
from machine import BenchmarkError, build_fingerprint, describe
from PIL import Image
from plots import draw_ablation
from results import plain_command, say, signed, table, today, write_json

from nfcodec import api, zoo
from nfcodec.errors import OptionError
from nfcodec.lattice.context import FULL, Context
from nfcodec.lattice.fit import first_step
from nfcodec.lattice.init import LatticeInit
from nfcodec.lattice.steps import WEIGHT_UNIT
from nfcodec.lattice.synthesis import last_layers
from nfcodec.lattice.train.config import BootstrapConfig, LatticeConfig, OffsetConfig, SparseConfig
from nfcodec.lattice.train.export import params_of
from nfcodec.lattice.train.loop import LatticeTrainer, objective
from nfcodec.lattice.train.model import LatticeModel, forward
from nfcodec.lattice.train.tasks import Crops
from nfcodec.options import EncodeOptions
from nfcodec.train.training import finished, load_config, new_trainer

ROOT = Path(__file__).resolve().parents[1]
HELD_OUT = 45
SHIPPED = "shipped"
Point = dict[str, float]


@dataclass(frozen=True)
class Arm:
    """``parts``: the tables of the config in which it differs from the control; ``times`` as many steps."""

    label: str
    parts: dict[str, Any] = field(default_factory=dict)
    times: int = 1


def _taught(form: Any, weight: float) -> BootstrapConfig:
    return BootstrapConfig(rounds=2, form=form, every=2, weight=weight)


_W0, _HALF, _SPARSE = OffsetConfig(rate=10.0), Context(share=0.5), SparseConfig(rounds=3)
ARMS = {
    "control": Arm("equal extra training, nothing else"),
    "longer": Arm("twice the steps, nothing else", times=2),
    "w0": Arm("W0", {"offset": _W0}),
    "hinge": Arm("bootstrapped target, hinge, weight 3", {"bootstrap": _taught("hinge", 3.0)}),
    "strong": Arm("bootstrapped target, hinge, weight 30", {"bootstrap": _taught("hinge", 30.0)}),
    "long": Arm(
        "three times the steps: hinge, weight 40, a ring of 150 batches, correction at five times the rate",
        {"bootstrap": replace(_taught("hinge", 40.0), ring=150, rate=2.5)}, 3,
    ),
    "square": Arm("bootstrapped target, square, weight 12", {"bootstrap": _taught("square", 12.0)}),
    "norm": Arm("bootstrapped target, norm, weight 8", {"bootstrap": _taught("norm", 8.0)}),
    "context": Arm("half of the cells in the second step, sample score", {"context": _HALF}),
    "blocks": Arm("half of the cells in the second step, block score", {"context": Context(share=0.5, score="blocks")}),
    "sparse": Arm("three rounds of 20 % by magnitude", {"sparse": _SPARSE}),
    "networks": Arm(
        "two rounds, the trunk's first layer as well", {"sparse": replace(_SPARSE, rounds=2, scope="networks")}
    ),
    "tables": Arm(
        "two rounds, that layer and the preconditioner's tables as well",
        {"sparse": replace(_SPARSE, rounds=2, scope="all")},
    ),
    "random": Arm("three rounds of 20 % at random", {"sparse": replace(_SPARSE, choice="random")}),
    "three": Arm(
        "W0, hinge of weight 30, half of the cells (sample score)",
        {"offset": _W0, "context": _HALF, "bootstrap": _taught("hinge", 30.0)},
    ),
    "all": Arm(
        "all four: W0, hinge, half of the cells, three rounds",
        {"offset": _W0, "context": _HALF, "sparse": _SPARSE, "bootstrap": _taught("hinge", 30.0)},
    ),
}


def split(folders: list[Path], work: Path) -> tuple[Path, Path]:
    """Folders of links: pictures to train on, and those held out."""
    first, *others = [sorted(p for p in f.iterdir() if p.suffix in (".jpg", ".jpeg", ".png")) for f in folders]
    held = set(first[::-1][::HELD_OUT])
    named = {(work / ("held" if p in held else "train") / p.name): p for p in first}
    named |= {work / "train" / f"{i}-{p.name}": p for i, rest in enumerate(others, 2) for p in rest}
    for link, target in named.items():
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.exists():
            link.symlink_to(target.resolve())
    return work / "train", work / "held"


# -- training --------------------------------------------------------------------------------------------
def config_of(arm: Arm, *, steps: int, lr: float, seed: int) -> LatticeConfig:
    """The config of the shipped init, short, with what the arm changes."""
    base: LatticeConfig = load_config(ROOT / "models" / "photo-lattice.toml")
    outer = replace(base.outer, steps=steps, lr=lr, warmup=20, decay=1.0, average=0.99)
    return replace(
        base, seed=seed, outer=outer, data=replace(base.data, keep=4000), prune=replace(base.prune, share=0.0),
        detail=replace(base.detail, steps=0), **arm.parts,
    )  # fmt: skip


def train(name: str, config: LatticeConfig, folder: Path, base: LatticeInit, work: Path) -> None:
    """Make ``work``/NAME.safetensors, where it is not there."""
    out, checkpoint = work / f"{name}.safetensors", work / f"{name}.ckpt"
    if out.exists():
        return
    trainer = new_trainer(config, folder, begin=base)
    assert isinstance(trainer, LatticeTrainer)
    if trainer.teacher is not None:
        trainer.teacher = replace(trainer.teacher, kept=work / "lessons")
    if checkpoint.exists():
        trainer.resume(checkpoint)
    while trainer.at < trainer.total:
        trainer.run(checkpoint=checkpoint, every=60.0, until=min(trainer.total, trainer.at + 50))
        say(f"{name}: step {trainer.at} of {trainer.total}, loss {trainer.loss:.4f}")
    zoo.write_init(replace(finished(config, trainer), id=name), out)
    checkpoint.unlink()


# -- measuring -------------------------------------------------------------------------------------------
def measure(init: str, pictures: list[Path], qualities: list[int], effort: int) -> list[list[Point]]:
    """Bytes, PSNR and processor time of every picture at every quality."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for picture in pictures:
            row = []
            for quality in qualities:
                options, out = EncodeOptions(quality=quality, effort=effort, init=init), Path(folder) / "x.nfc"
                began = time.process_time()
                result = api.encode(picture, out, options=options, force=True)
                seconds = time.process_time() - began
                size = out.stat().st_size
                row.append({"bytes": size, "psnr": round(result.psnr, 4), "cpu_seconds": round(seconds, 4)})
            rows.append(row)
    return rows


def measured(name: str, init: str, pictures: list[Path], qualities: list[int], effort: int, work: Path) -> Any:
    """:func:`measure`, kept in the working folder."""
    path = work / f"{name}-e{effort}.json"
    if not path.exists():
        path.write_text(json.dumps(measure(init, pictures, qualities, effort)))
        say(f"{name}: measured at effort {effort}")
    return json.loads(path.read_text())


def against(base: list[list[Point]], own: list[list[Point]]) -> dict[str, float]:
    """BD-rate in percent over the pictures: mean without the lowest and the highest twentieth, its standard error, the
    median, and the mean of all. One picture whose curve is almost flat can outweigh all others in that."""
    pairs = [[[p[k] for p in row] for row in two for k in ("bytes", "psnr")] for two in zip(base, own, strict=True)]
    every = sorted(bd_rate(*pair) for pair in pairs)
    away = len(every) // 20
    found = every[away : len(every) - away]
    error = stdev(found) / math.sqrt(len(found)) if len(found) > 1 else 0.0
    return {"percent": fmean(found), "error": error, "median": median(found), "mean": fmean(every)}


def fall(base: LatticeInit, quality: int, before: list[Point], after: list[Point], pixels: list[int]) -> Any:
    """By how many percent R + D/λ of one quality changed, picture by picture: trimmed mean and standard error."""
    trade = base.trade_off(quality)
    cost = [
        [8.0 * p["bytes"] / n + 10.0 ** (-p["psnr"] / 10.0) / trade for p, n in zip(row, pixels, strict=True)]
        for row in (before, after)
    ]
    every = sorted(100.0 * (b / a - 1.0) for a, b in zip(*cost, strict=True))
    found = every[len(every) // 20 : len(every) - len(every) // 20]
    return {"percent": fmean(found), "error": stdev(found) / math.sqrt(len(found))}


def constants(base: LatticeInit, pictures: list[Path], qualities: list[int], shipped: Any, work: Path) -> list[Any]:
    """What a W0 could be worth: that which D adds to a cell without symbols is taken away by a W0, quality by
    quality."""
    [level], rows = base.levels, []
    pixels = [math.prod(Image.open(p).size) for p in pictures]
    for i, quality in enumerate(qualities):
        zeros = np.zeros((len(level.spec.planes), level.spec.bases, *(1,) * level.spec.axes), np.int32)
        added = last_layers(level, zeros, quality).reshape(zeros.shape[:2])
        path = work / f"constant-{quality}.safetensors"
        zoo.write_init(replace(base, levels=(replace(level, offset=-added.astype(np.int32)),)), path)
        found = measured(f"constant-{quality}", str(path), pictures, [quality], 1, work)
        change = fall(base, quality, [r[i] for r in shipped], [r[0] for r in found], pixels)
        steps = added * WEIGHT_UNIT / level.steps(quality)
        means = [round(float(s), 3) for s in steps[:, 0]]
        rows.append({"quality": quality, "means_in_steps": means, "others_largest": float(np.abs(steps[:, 1:]).max()),
                     "cost_without": change})  # fmt: skip
    return rows


def uses(name: str, path: Path, pictures: list[Path], qualities: list[int], shipped: Any, work: Path) -> list[Any]:
    """What an init that was trained on pruned contexts does with full ones whose steps are not re-scaled, and with
    pruned ones, at effort 1."""
    init = zoo.read_init(path)
    assert isinstance(init, LatticeInit)
    if all(level.context.full for level in init.levels):
        return []
    plain = work / f"{name}-unscaled.safetensors"
    zoo.write_init(replace(init, levels=tuple(replace(level, context=FULL) for level in init.levels)), plain)
    found = {"full, not re-scaled": measured(f"{name}-unscaled", str(plain), pictures, qualities, 1, work)}
    with mock.patch.object(first_step, "Rescaling", first_step.Pruning):
        found["pruned"] = measured(f"{name}-pruned", str(path), pictures, qualities, 1, work)
    return [{"name": name, "use": use, "bd_rate": against(shipped, points)} for use, points in found.items()]


@torch.no_grad()
def layers(control: Path, sparse: Path, config: LatticeConfig, pictures: list[Path]) -> list[Any]:
    """Where a mask hurts: that of one layer at a time on the weights of the control, nothing trained; percent of the
    objective on twelve held-out crops."""
    dense, masked = (params_of(zoo.read_init(path)) for path in (control, sparse))
    model, size = LatticeModel.of(config), config.outer.crop
    crops = Crops([np.asarray(Image.open(p).convert("RGB")) for p in pictures], size)
    batches = [crops.batch(7, i, 4, double=False) for i in range(3)]
    priors = model.priors((size, size), 4)

    def cost(params: dict[str, torch.Tensor]) -> float:
        outcomes = [forward(model, params, priors, b.values, b.quality) for b in batches]
        return fmean(float(objective(config.outer, o, b.quality)) for o, b in zip(outcomes, batches, strict=True))

    plain, rows = cost(dense), []
    for name in [n for n in dense if bool(((masked[n] == 0) & (dense[n] != 0)).any()) and "weight" in n]:
        if name.split(".")[1] in ("trunk", "d", "e"):
            changed = cost({**dense, name: dense[name] * (masked[name] != 0)})
            zeros = float((masked[name] == 0).float().mean())
            rows.append({"layer": name, "zeros": zeros, "percent": 100.0 * (changed / plain - 1.0)})
    return rows


def facts(path: Path) -> dict[str, Any]:
    """What became of an init: its size as a file and deflated, and the weights of its networks that are not zero."""
    data, init = path.read_bytes(), zoo.read_init(path)
    assert isinstance(init, LatticeInit)
    [level] = init.levels
    groups = {
        "trunk": [a for n, a in level.trunk.items() if n.endswith("weight")],
        "D": [layer.weight for layer in level.restore.layers.values()],
        "first step": [a for n, a in level.first_step.items() if n.endswith("weight") or n.startswith("analysis")],
    }
    left = {n: int(sum(np.count_nonzero(a) for a in arrays)) for n, arrays in groups.items()}
    return {
        "bytes": len(data), "deflated": len(zlib.compress(data, 9)), "nonzero": left,
        "weights": {n: int(sum(a.size for a in arrays)) for n, arrays in groups.items()},
        "offset_largest": 0.0 if level.offset is None else float(np.abs(level.base).max()),
    }  # fmt: skip


# -- all of it -------------------------------------------------------------------------------------------
def row_of(name: str, arm: str, seed: int | None, effort: int, found: Any, bases: list[Any], path: Path) -> Any:
    """One row: against the shipped init at the lowest effort, and at its own."""
    points = [p for row in found for p in row]
    return {
        "arm": arm, "label": ARMS[arm].label if arm in ARMS else "the shipped init", "seed": seed, "effort": effort,
        "bd_rate": against(bases[0], found), "bd_rate_at_effort": against(bases[1], found),
        "cpu_seconds": fmean(p["cpu_seconds"] for p in points), "init": facts(path), "pictures": found, "name": name,
    }  # fmt: skip


def collect(args: argparse.Namespace, folders: tuple[Path, Path], base: LatticeInit) -> tuple[list[Any], list[Any]]:
    """Train and measure all that is asked for: rows of the arms; of other uses of contexts, of masks layer by layer,
    and of constants in place of a W0."""
    pictures = sorted((args.pictures or folders[1]).iterdir())[: args.limit]
    mark, alone = (f"{args.pictures.name}-", True) if args.pictures else ("", False)
    qualities, efforts = ([int(n) for n in text.split(",")] for text in (args.qualities, args.efforts))
    shipped = {e: measured(mark + SHIPPED, args.init, pictures, qualities, e, args.work) for e in efforts}
    path = Path(zoo.describe(args.init).path)
    first = shipped[efforts[0]]
    more: list[Any] = []
    rows = [row_of(SHIPPED, SHIPPED, None, e, shipped[e], [first, shipped[e]], path) for e in efforts]
    for seed in [int(n) for n in args.seeds.split(",")]:
        for arm in args.arms.split(","):
            name = f"{arm}-{seed}"
            config = config_of(ARMS[arm], steps=args.steps * ARMS[arm].times, lr=args.lr, seed=seed)
            out = args.work / f"{name}.safetensors"
            if not args.ready or out.exists():
                train(name, config, folders[0], base, args.work)
                for effort in efforts:
                    found = measured(mark + name, str(out), pictures, qualities, effort, args.work)
                    rows.append(row_of(name, arm, seed, effort, found, [first, shipped[effort]], out))
                if efforts[0] == 1 and not alone:
                    more += uses(name, out, pictures, qualities, first, args.work)
    if alone or efforts[0] != 1:
        return rows, more
    masked, control = args.work / "tables-0.safetensors", args.work / "control-0.safetensors"
    if masked.exists() and control.exists():
        more += layers(control, masked, config_of(ARMS["control"], steps=1, lr=0.0, seed=0), pictures)
    return rows, more + constants(base, pictures, qualities, first, args.work)


def shown(rows: list[Any]) -> str:
    """The rows as a table."""
    found = []
    for r in rows:
        deltas = [f"{signed(r[k]['percent'], '%')} ± {r[k]['error']:.2f}" for k in ("bd_rate", "bd_rate_at_effort")]
        size = f"{r['init']['deflated'] / 1e6:.3f}"
        found.append([r["name"], str(r["effort"]), *deltas, f"{r['cpu_seconds']:.3f}", size])
    return table(["init", "effort", "BD-rate", "at its effort", "cpu s", "MB deflated"], found)


def main() -> int:
    """Train, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--name", default="ablation")
    parser.add_argument("--init", default="photo-lattice")
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--lr", type=float, default=2e-4)
    parser.add_argument("--efforts", default="1")
    parser.add_argument("--limit", type=int, default=40)
    parser.add_argument("--qualities", default="20,40,60,80")
    parser.add_argument("--pictures", type=Path, help="measure on these instead of those held out")
    parser.add_argument("--ready", action="store_true", help="take the inits that are there and train none")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    args = parser.parse_args()
    torch.set_num_threads(1)
    base = zoo.load(args.init)
    if not isinstance(base, LatticeInit):
        raise BenchmarkError(f"{args.init} is no lattice")
    rows, more = collect(args, split(args.folders, args.work), base)
    settings = {n: getattr(args, n) for n in ("steps", "lr", "qualities", "limit")}
    content = {
        "name": args.name, "command": plain_command(sys.argv), "date": today(), "machine": describe(),
        "build": build_fingerprint(), "init": base.sha256.hex(), "settings": settings,
        "tables": {n: repr(arm.parts) for n, arm in ARMS.items()}, "rows": rows,
        "more": more,
    }  # fmt: skip
    write_json(args.results / f"{args.name}.json", content)
    draw_ablation(content, args.results / args.name)
    print(shown(rows))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (BenchmarkError, OptionError) as error:
        say(f"ablation.py: {error}")
        sys.exit(1)
