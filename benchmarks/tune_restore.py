"""Tune the D of a lattice init, in the whole numbers that decode, and keep what does better on held-out pictures.

    python benchmarks/tune_restore.py DIR… --init photo-lattice --config models/photo-lattice-tune.toml -o NEW

Every 45th picture of the first folder, by name and from the last backwards, is held out (as when photo-lattice was
trained); their error decides, every ``check`` steps, which D is kept. A checkpoint beside the output makes it
resumable. Prints PSNR by quality on the held-out pictures, how it changed, and the BD-rate between first and last D.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from machine import BenchmarkError
from results import say

from nfcodec import zoo
from nfcodec.lattice.code import RegionSymbols, encode_regions
from nfcodec.lattice.init import LatticeInit
from nfcodec.lattice.planes import OPPONENT_SET
from nfcodec.lattice.train.tasks import Crops
from nfcodec.lattice.train.tune import Example, RestoreTuner, TuneConfig, encoded, shown_errors
from nfcodec.lattice.train.whole import restore_params
from nfcodec.metrics import bd_rate
from nfcodec.train.settings import DataConfig, read_toml, table
from nfcodec.train.signals import Clip, load_signals

QUALITIES = (10, 30, 50, 70, 90)
HELD_OUT = 45
Params = dict[str, torch.Tensor]


def split(folders: list[Path]) -> tuple[list[Clip], list[Clip]]:
    """Pictures to train on, and those held out."""
    first, *others = [load_signals(folder, DataConfig()) for folder in folders]
    held = first[::-1][::HELD_OUT]
    kept = {id(p) for p in held}
    return [p for p in first if id(p) not in kept] + [p for rest in others for p in rest], held


class HeldOut:
    """Held-out pictures as the encoder's first step makes them, which no D changes."""

    def __init__(self, init: LatticeInit, pictures: list[Clip]) -> None:
        [self.level] = init.levels
        planes = [OPPONENT_SET.to_planes(torch.from_numpy(p.astype(np.float32) / 255), 0.5) for p in pictures]
        self.rows = [[encoded(init, p, q, 0) for q in QUALITIES] for p in planes]
        self.bits = np.array([[self._bits(e) for e in row] for row in self.rows])

    def _bits(self, example: Example) -> float:
        region = RegionSymbols(example.symbols, example.quality, len(example.planes))
        return 8.0 * sum(map(len, encode_regions(self.level.prior, [region])[0]))

    @torch.no_grad()
    def psnr(self, params: Params) -> np.ndarray:
        """PSNR (pictures, qualities)."""
        errors = [[float(shown_errors(self.level, params, [e])) for e in row] for row in self.rows]
        return -10.0 * np.log10(np.array(errors))

    def rate(self, before: np.ndarray, after: np.ndarray) -> float:
        """Mean BD-rate in percent between two results of :meth:`psnr`."""
        pairs = zip(self.bits, before, after, strict=True)
        return float(np.mean([bd_rate(b, x, b, y) for b, x, y in pairs]))


def tune(tuner: RestoreTuner, held: HeldOut, start: Params, checkpoint: Path, check: int) -> Params:
    """The best D on the held-out pictures."""
    before = held.psnr(start)
    best, least = start, 0.0
    while tuner.at < tuner.total:
        tuner.run(checkpoint=checkpoint, every=60.0, until=tuner.at + check)
        rate = held.rate(before, held.psnr(tuner.average))
        say(f"step {tuner.at}: error {tuner.loss:.4f} of what it was, held out BD-rate {rate:+.3f} %")
        if rate < least:
            best, least = {n: p.clone() for n, p in tuner.average.items()}, rate
    gain = (held.psnr(best) - before).mean(0)
    say("PSNR " + " ".join(f"{q}: {p:.2f} {g:+.3f}" for q, p, g in zip(QUALITIES, before.mean(0), gain, strict=True)))
    say(f"BD-rate {least:+.3f} %")
    return best


def main() -> int:
    """Tune, write the init."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--init", default="photo-lattice")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--check", type=int, default=250)
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    init = zoo.load(args.init)
    if not isinstance(init, LatticeInit):
        raise BenchmarkError(f"{args.init} is no lattice")
    config = TuneConfig() if args.config is None else table(TuneConfig, read_toml(args.config)["tune"], "tune")
    pictures, held_out = split(args.folders)
    start = restore_params(init.levels[0].restore)
    crops = Crops(pictures, config.crop, drawn=config.drawn, drawings=config.drawings)
    tuner, held = RestoreTuner(init, start, crops, config), HeldOut(init, held_out)
    checkpoint = args.output.with_suffix(".checkpoint")
    if checkpoint.exists():
        tuner.resume(checkpoint)
    best = tune(tuner, held, start, checkpoint, args.check)
    digest = zoo.write_init(replace(tuner.with_restore(best), sha256=b""), args.output)
    say(f"{args.output}: {digest.hex()}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BenchmarkError as error:
        say(f"tune_restore.py: {error}")
        sys.exit(1)
