"""Train Y, the filter after rendering, on the psnr tune of a lattice init, for both tunes; all else of it stays.

    python benchmarks/train_filter.py PHOTOS… --work DIR --minutes 60 -o NEW

Every 50th picture by name, over all folders, is held out; of the others so many ``--pictures``, drawn at random, are
coded (``-e 5``, at a quality from each third of the range) and kept in DIR, those held out at ``-q`` 10, 25, 40, 60 and
80; a share ``--soft`` of the former are parts enlarged up to twice: pictures that people have are often softer than
these. Of ``--networks`` for as many parts of the range of qualities each is trained alone, for its share of the time;
``--begin``: at the running mean of this checkpoint, as of one network for all, of a narrower one, or of one with a
single head: ``--heads`` of them are then parted by least squares.
``DIR/checkpoint-0``, -1, … make the training resumable. Every few minutes a line tells by how much the network raises
PSNR on the pictures held out: mean, median and the worst, by quality. ``--results NAME`` writes the last of these and
what they are made of to benchmarks/results, of as many ``--views`` of a picture as the init of the psnr tune has.
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
from trials import SUFFIXES

import nfcodec
from nfcodec import zoo
from nfcodec.decoder.decoder import Decoder
from nfcodec.errors import NfcError
from nfcodec.lattice.filtering import SampleFilter, part_of_range
from nfcodec.lattice.fit.heads import Place, choose
from nfcodec.lattice.heads import PictureHeads
from nfcodec.lattice.init import LatticeInit
from nfcodec.lattice.order import MOST_QUALITY
from nfcodec.lattice.space import Space
from nfcodec.lattice.stored import LatticeField
from nfcodec.lattice.train.filtering import PLANE_BITS, CodedPicture, FilterConfig, FilterTrainer, coded, with_filter
from nfcodec.types import Bytes, Doubles

HELD_OUT = 50
HELD_QUALITIES = (10, 25, 40, 60, 80)
STARTS, WIDTH = (6, 36, 66), 30  # of the qualities that are drawn
OVERLAP = 3  # a network learns from so much beyond its part of the range
SIZE, ALIGNED = 256, 48  # a multiple of every spacing
ENLARGED = 1.25, 2.0
EFFORT = 5
CHECK = 240.0  # seconds


def files_of(folders: Sequence[Path], count: int) -> tuple[list[Path], list[Path]]:
    """Pictures to train on and those held out."""
    found = [p for folder in folders for p in sorted(folder.iterdir()) if p.suffix.lower() in SUFFIXES]
    held = found[HELD_OUT - 1 :: HELD_OUT]
    rest = [p for i, p in enumerate(found) if i % HELD_OUT != HELD_OUT - 1]
    order = np.random.default_rng(0).permutation(len(rest))[:count]
    return [rest[i] for i in order], held


def picture(path: Path) -> np.ndarray:
    """The upper left part of a picture, whole cells of every spacing."""
    return aligned(np.asarray(Image.open(path).convert("RGB")))


def aligned(samples: np.ndarray) -> np.ndarray:
    """The upper left part of samples, whole cells of every spacing."""
    height, width = (min(n, SIZE) // ALIGNED * ALIGNED for n in samples.shape[:2])
    return np.ascontiguousarray(samples[:height, :width])


def soft(path: Path, random: np.random.Generator) -> np.ndarray:
    """A part of a picture, enlarged by 1.25 to 2, whole cells of every spacing."""
    with Image.open(path) as image:
        whole, factor = image.convert("RGB"), random.uniform(*ENLARGED)
    side = int(SIZE / factor)
    left, top = (int(random.integers(max(1, n - side + 1))) for n in whole.size)
    part = whole.crop((left, top, min(whole.width, left + side), min(whole.height, top + side)))
    larger = part.resize((round(part.width * factor), round(part.height * factor)), Image.Resampling.LANCZOS)
    return aligned(np.asarray(larger))


def as_coded(init: LatticeInit, name: str, samples: np.ndarray, quality: int, work: Path) -> CodedPicture | None:
    """A picture as the product codes it; None where it keeps few values exactly."""
    original, file = work / "coded.png", work / "coded.nfc"
    Image.fromarray(samples).save(original)
    options = nfcodec.EncodeOptions(init=name, quality=quality, effort=EFFORT, tune="psnr")
    nfcodec.encode(original, file, options=options, force=True)
    with file.open("rb") as opened:
        field = Decoder(opened, inits=(name,)).field
        assert isinstance(field, LatticeField)
        return coded(field, samples, init.spacings)


def kept(
    init: LatticeInit, name: str, paths: Sequence[Path], work: Path, kind: str, share: float
) -> Iterator[CodedPicture]:
    """Coded pictures, made once; a ``share`` of them soft."""
    work.mkdir(parents=True, exist_ok=True)
    for i, path in enumerate(paths):
        at, random = work / f"{kind}-{i:04d}.npz", np.random.default_rng(i)
        if not at.exists():
            drawn = [start + int(random.integers(WIDTH)) for start in STARTS]
            samples = soft(path, random) if random.random() < share else picture(path)
            qualities = HELD_QUALITIES if kind == "held" else drawn
            made = [p for q in qualities if (p := as_coded(init, name, samples, q, work))]
            with at.with_suffix(".tmp").open("wb") as file:
                parts = {n: np.stack([getattr(p, n) for p in made]) for n in ("original", "decoded") if made}
                np.savez(file, told=[(p.quality, p.spacing) for p in made], **parts)
            at.with_suffix(".tmp").rename(at)
        with np.load(at) as stored:
            told = stored["told"].tolist()
            parts = [stored[n] for n in ("original", "decoded")] if told else [[], []]
        yield from (CodedPicture(a, b, *own) for a, b, own in zip(*parts, told, strict=True))


def gains(found: SampleFilter, pictures: Sequence[CodedPicture], init: LatticeInit) -> dict[int, list[float]]:
    """By how many dB Y raises the PSNR of pictures, with the heads that the encoder would choose, by quality."""
    rows: dict[int, list[float]] = {}
    for one in pictures:
        planes, own = one.decoded.astype(np.float64) * 2.0 ** (32 - PLANE_BITS), replace(found, spacing=one.spacing)
        shown = own(planes, one.quality, heads_of(own, one, planes, init)) * 2.0**-32
        left = np.square(one.original * 2.0**-PLANE_BITS - shown).mean()
        rows.setdefault(one.quality, []).append(10 * np.log10(one.error / left))
    return rows


def heads_of(found: SampleFilter, one: CodedPicture, planes: Doubles, init: LatticeInit) -> Bytes | None:
    """The heads of the squares of a picture, which is one region."""
    missing = ((one.original - one.decoded) * 2.0**-PLANE_BITS).astype(np.float32)
    height, width = missing.shape[1:]
    spec = init.at((None, *init.spacings)[one.spacing]).levels[0].spec
    space, (down, across) = Space.of((height, width), spec), spec.spacing
    place = Place((0, 0), (height // down, width // across), (down, across))
    chosen = choose(
        replace(found, views=1), planes, missing, np.ones(missing.shape[1:], np.float32), place,
        quality=one.quality, trade=init.plane_trade(one.quality),
    )  # fmt: skip
    return PictureHeads(space, spec.spacing, lambda _: chosen.heads).of_squares([(0, height), (0, width)])


def told(rows: dict[int, list[float]]) -> str:
    """Mean, median and worst of each quality."""
    parts = (f"-q {q}: {np.mean(r):+.3f} {np.median(r):+.3f} {min(r):+.2f}" for q, r in sorted(rows.items()))
    return "; ".join(parts)


def learned(part: int, parts: int) -> tuple[int, int]:
    """The lowest and the highest quality that a network learns from."""
    own = [q for q in range(MOST_QUALITY + 1) if part_of_range(q, parts) == part]
    return max(0, own[0] - OVERLAP), min(MOST_QUALITY, own[-1] + OVERLAP)


def train(trainer: FilterTrainer, held: Sequence[CodedPicture], checkpoint: Path, minutes: float) -> None:
    """All steps, or as many as there is time for."""
    end, began = time.monotonic() + 60.0 * minutes, time.monotonic()
    lowest, highest = trainer.config.qualities
    last, watched = began, [p for p in held if lowest <= p.quality <= highest]
    while trainer.at < trainer.total and trainer.hurry < 1.0:
        trainer.step()
        trainer.hurry = (time.monotonic() - began) / (end - began)
        if time.monotonic() - last > CHECK:
            trainer.save(checkpoint)
            rows = gains(trainer.trained(), watched[::2], trainer.init)
            say(f"step {trainer.at}, loss {trainer.loss:.4f}, {told(rows)}")
            last = time.monotonic()
    trainer.save(checkpoint)


def results_of(rows: dict[int, list[float]], trainers: Sequence[FilterTrainer], init: LatticeInit) -> Row:
    """What a file of results holds."""
    return {
        "date": today(), "command": plain_command(sys.argv), "machine": describe(), "init": init.id,
        "configs": [repr(t.config) for t in trainers], "steps": [t.at for t in trainers],
        "pictures": [len(t.pictures) for t in trainers],
        "gain_db": {q: np.round(r, 4).tolist() for q, r in sorted(rows.items())},
        "mean": {q: round(float(np.mean(r)), 3) for q, r in sorted(rows.items())},
        "median": {q: round(float(np.median(r)), 3) for q, r in sorted(rows.items())},
    }  # fmt: skip


def arguments() -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--init", default="photo-lattice")
    parser.add_argument("--pictures", type=int, default=400)
    parser.add_argument("--soft", type=float, default=0.4)
    parser.add_argument("--networks", type=int, default=1)
    parser.add_argument("--begin", type=Path)
    parser.add_argument("--views", type=int, default=2)
    parser.add_argument("--heads", type=int, default=FilterConfig().heads)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=FilterConfig().steps)
    parser.add_argument("--lr", type=float, default=FilterConfig().lr)
    parser.add_argument("--minutes", type=float, default=1e6)
    parser.add_argument("--results")
    parser.add_argument("-o", "--output", type=Path, required=True)
    return parser.parse_args()


def main() -> int:
    """Code, train, write the init."""
    args = arguments()
    torch.set_num_threads(1)
    both = zoo.load(args.init)
    if not isinstance(both, LatticeInit) or len(both.levels) > 1:
        raise BenchmarkError(f"{args.init} is no lattice of one level")
    own = both.tuned("psnr")
    paths, held_out = files_of(args.folders, args.pictures)
    pictures = list(kept(own, args.init, paths, args.work, "train", args.soft))
    held = list(kept(own, args.init, held_out, args.work, "held", 0.0))
    trainers = []
    for part in range(args.networks):
        qualities = learned(part, args.networks)
        config = FilterConfig(steps=args.steps, lr=args.lr, qualities=qualities, heads=args.heads)
        trainer, checkpoint = FilterTrainer(own, pictures, config), args.work / f"checkpoint-{part}"
        if checkpoint.exists():
            trainer.resume(checkpoint)
        elif args.begin:
            trainer.begin(args.begin)
        train(trainer, held, checkpoint, args.minutes / args.networks)
        trainers.append(trainer)
    networks = tuple(trainer.whole(trainer.average) for trainer in trainers)
    made = SampleFilter(networks, trainers[0].log_unit, views=args.views, heads=args.heads)
    rows = gains(made, held, own)
    say(told(rows))
    if args.results:
        into = Path(__file__).resolve().parent / "results" / f"{args.results}.json"
        write_json(into, results_of(rows, trainers, own))
    digest = zoo.write_init(with_filter(both, made), args.output)
    print(f"{digest.hex()}  {args.output}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (BenchmarkError, NfcError) as error:
        say(f"train_filter.py: {error}")
        sys.exit(1)
