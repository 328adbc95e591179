"""Train Y, the filter after rendering, on the psnr tune of a lattice init, for both tunes; all else of it stays.

    python benchmarks/train_filter.py PHOTOS… --work DIR --minutes 60 -o NEW

Every 50th picture by name, over all folders, is held out; of the others so many ``--pictures``, drawn at random, are
coded (two rounds, at a quality from each fifth of the range, with the spacing that suits) and kept in DIR, those held
out at ``-q`` 10, 25, 40, 60 and 80. ``DIR/checkpoint`` makes the training resumable. Every few minutes a line tells by
how much Y raises PSNR on the pictures that are held out: mean, median and the worst, by quality. ``--results NAME``
writes the last of these lines and what they are made of to benchmarks/results.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from machine import BenchmarkError, describe
from PIL import Image
from results import Row, plain_command, say, today, write_json

from nfcodec import zoo
from nfcodec.errors import NfcError
from nfcodec.lattice.filtering import SampleFilter
from nfcodec.lattice.init import LatticeInit
from nfcodec.lattice.train.filtering import PLANE_BITS, CodedPicture, FilterConfig, FilterTrainer, coded, with_filter

HELD_OUT = 50
HELD_QUALITIES = (10, 25, 40, 60, 80)
SIZE, ALIGNED = 256, 48  # a multiple of every spacing
ROUNDS = 2
CHECK = 240.0  # seconds
KINDS = (".jpg", ".jpeg", ".png")


def files_of(folders: Sequence[Path], count: int) -> tuple[list[Path], list[Path]]:
    """Pictures to train on and those held out."""
    found = [p for folder in folders for p in sorted(folder.iterdir()) if p.suffix.lower() in KINDS]
    held = found[HELD_OUT - 1 :: HELD_OUT]
    rest = [p for i, p in enumerate(found) if i % HELD_OUT != HELD_OUT - 1]
    order = np.random.default_rng(0).permutation(len(rest))[:count]
    return [rest[i] for i in order], held


def picture(path: Path) -> np.ndarray:
    """The upper left part of a picture, whole cells of every spacing."""
    samples = np.asarray(Image.open(path).convert("RGB"))[:SIZE, :SIZE]
    height, width = (n // ALIGNED * ALIGNED for n in samples.shape[:2])
    return np.ascontiguousarray(samples[:height, :width])


def kept(init: LatticeInit, paths: Sequence[Path], work: Path, name: str) -> Iterator[CodedPicture]:
    """Coded pictures, made once."""
    work.mkdir(parents=True, exist_ok=True)
    for i, path in enumerate(paths):
        at, random = work / f"{name}-{i:04d}.npz", np.random.default_rng(i)
        if not at.exists():
            drawn = tuple(min(100, int(20 * part + random.integers(21))) for part in range(5))
            made = coded(init, picture(path), HELD_QUALITIES if name == "held" else drawn, rounds=ROUNDS)
            with at.with_suffix(".tmp").open("wb") as file:
                np.savez(file, original=made.original, decoded=made.decoded, told=(made.qualities, made.spacings))
            at.with_suffix(".tmp").rename(at)
        with np.load(at) as stored:
            qualities, spacings = (tuple(map(int, row)) for row in stored["told"])
            yield CodedPicture(stored["original"], stored["decoded"], qualities, spacings)


def gains(found: SampleFilter, pictures: Sequence[CodedPicture]) -> np.ndarray:
    """By how many dB Y raises the PSNR of pictures: (pictures, qualities)."""
    rows = []
    for one in pictures:
        row = []
        for i, quality in enumerate(one.qualities):
            planes = one.decoded[i].astype(np.float64) * 2.0 ** (32 - PLANE_BITS)
            shown = replace(found, spacing=one.spacings[i])(planes, quality) * 2.0**-32
            left = np.square(one.original * 2.0**-PLANE_BITS - shown).mean()
            row.append(10 * np.log10(one.error(i) / left))
        rows.append(row)
    return np.array(rows)


def told(rows: np.ndarray) -> str:
    """Mean, median and worst of each quality."""
    parts = zip(HELD_QUALITIES, rows.mean(0), np.median(rows, 0), rows.min(0), strict=True)
    return "; ".join(f"-q {q}: {mean:+.3f} {median:+.3f} {worst:+.2f}" for q, mean, median, worst in parts)


def train(trainer: FilterTrainer, held: Sequence[CodedPicture], checkpoint: Path, minutes: float) -> np.ndarray:
    """All steps, or as many as there is time for."""
    end, began = time.monotonic() + 60.0 * minutes, time.monotonic()
    last = began
    while trainer.at < trainer.total and trainer.hurry < 1.0:
        trainer.step()
        trainer.hurry = (time.monotonic() - began) / (end - began)
        if time.monotonic() - last > CHECK:
            trainer.save(checkpoint)
            say(f"step {trainer.at}, loss {trainer.loss:.4f}, {told(gains(trainer.trained(), held[::2]))}")
            last = time.monotonic()
    trainer.save(checkpoint)
    return gains(trainer.trained(), held)


def results_of(rows: np.ndarray, trainer: FilterTrainer, init: LatticeInit) -> Row:
    """What a file of results holds."""
    return {
        "date": today(), "command": plain_command(sys.argv), "machine": describe(), "init": init.id,
        "config": repr(trainer.config), "steps": trainer.at, "pictures": len(trainer.pictures),
        "held_out": len(rows), "qualities": list(HELD_QUALITIES), "gain_db": np.round(rows, 4).tolist(),
        "mean": np.round(rows.mean(0), 3).tolist(), "median": np.round(np.median(rows, 0), 3).tolist(),
    }  # fmt: skip


def main() -> int:
    """Code, train, write the init."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--init", default="photo-lattice")
    parser.add_argument("--pictures", type=int, default=400)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=FilterConfig().steps)
    parser.add_argument("--lr", type=float, default=FilterConfig().lr)
    parser.add_argument("--minutes", type=float, default=1e6)
    parser.add_argument("--results")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    both = zoo.load(args.init)
    if not isinstance(both, LatticeInit) or len(both.levels) > 1:
        raise BenchmarkError(f"{args.init} is no lattice of one level")
    own = with_filter(both.tuned("psnr"), None)
    paths, held_out = files_of(args.folders, args.pictures)
    pictures, held = (list(kept(own, some, args.work, name)) for some, name in ((paths, "train"), (held_out, "held")))
    trainer = FilterTrainer(own, pictures, FilterConfig(steps=args.steps, lr=args.lr))
    checkpoint = args.work / "checkpoint"
    if checkpoint.exists():
        trainer.resume(checkpoint)
    rows = train(trainer, held, checkpoint, args.minutes)
    say(told(rows))
    if args.results:
        into = Path(__file__).resolve().parent / "results" / f"{args.results}.json"
        write_json(into, results_of(rows, trainer, own))
    digest = zoo.write_init(with_filter(both, trainer.trained()), args.output)
    print(f"{digest.hex()}  {args.output}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (BenchmarkError, NfcError) as error:
        say(f"train_filter.py: {error}")
        sys.exit(1)
