"""What the encoder's choices for a picture are worth: turned planes, moved grids of means, and the rounds.

    python benchmarks/choices.py DIR… --name choices [--qualities 7,15,25,40,60,80] [--effort 5] [--tune psnr]
                                 [--every 50 --first 49] [--init INIT]

Files on disk, in one process; of all pictures every so many, from the one on that is named. Each picture is encoded
with none of the choices and two rounds as before, with each alone, and with all. Writes NAME.json to
benchmarks/results: rows with bytes, PSNR and processor time, and for each variant by quality what D + λR saves in per
cent of the bytes, and the BD-rate of the mean curves.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import fmean, median
from unittest import mock

import numpy as np
from bjontegaard import bd_rate
from PIL import Image
from results import Row, say
from trials import arguments, tried, write_results

import nfcodec
from nfcodec.lattice.fit import adapt, encode, rounds, trial
from nfcodec.lattice.init import LatticeInit

# Which of the choices are made.
VARIANTS = {
    "none": (), "dither": ("dither",), "turn": ("turn",), "rounds": ("rounds",), "all": ("dither", "turn", "rounds"),
}  # fmt: skip
_ROUNDS_BEFORE, _FULL_BEFORE = (0, 1, 2, 2, 2, 3, 4, 6, 12), 100


def encoded(picture: Path, out: Path, options: nfcodec.EncodeOptions, made: tuple[str, ...]) -> Row:
    """One file with some of the choices: bytes, PSNR, seconds."""
    with ExitStack() as left_out:
        if "dither" not in made:
            for module in (encode, trial):
                left_out.enter_context(mock.patch.object(module, "best_dither", return_value=None))
        if "turn" not in made:
            left_out.enter_context(mock.patch.object(encode, "best_turn", return_value=None))
        if "rounds" not in made:
            left_out.enter_context(mock.patch.object(adapt, "ROUNDS", _ROUNDS_BEFORE))
            left_out.enter_context(mock.patch.object(rounds, "_TWICE_FULL", _FULL_BEFORE))
        began = time.process_time()
        result = nfcodec.encode(picture, out, options=options, force=True)
    return {"bytes": out.stat().st_size, "psnr": result.psnr, "cpu_seconds": round(time.process_time() - began, 3)}


def measured(init: LatticeInit, picture: Path, options: nfcodec.EncodeOptions, work: Path) -> Iterator[Row]:
    """One row for each variant."""
    size = np.asarray(Image.open(picture).convert("RGB")).size
    for variant, made in VARIANTS.items():
        row = encoded(picture, work / "out.nfc", options, made)
        errors = size * 10.0 ** (-row["psnr"] / 10.0) / init.plane_trade(options.quality)
        about = {"file": f"{picture.parent.name}/{picture.name}", "quality": options.quality, "made": variant}
        yield {**about, **row, "cost": round(8 * row["bytes"] + errors, 1)}


def summary(rows: list[Row], qualities: list[int]) -> dict[str, Row]:
    """By variant: D + λR against none, by quality, and the BD-rate of the mean curves."""
    found, curves = dict[str, Row](), dict[str, tuple[list[float], list[float]]]()
    for variant in VARIANTS:
        by_quality = []
        for quality in qualities:
            own, new = ([r for r in rows if r["quality"] == quality and r["made"] == v] for v in ("none", variant))
            saved = [(b["cost"] - a["cost"]) / 8 for a, b in zip(own, new, strict=True)]
            each = [100 * s / a["bytes"] for s, a in zip(saved, own, strict=True)]
            by_quality.append({
                "quality": quality, "bytes": fmean(r["bytes"] for r in new), "psnr": fmean(r["psnr"] for r in new),
                "percent": round(100 * sum(saved) / sum(r["bytes"] for r in own), 2),
                "percent_mean": round(fmean(each), 2), "percent_median": round(median(each), 2),
                "percent_worst": round(max(each), 2), "cpu_seconds": round(fmean(r["cpu_seconds"] for r in new), 3),
            })  # fmt: skip
        curves[variant] = [m["bytes"] for m in by_quality], [m["psnr"] for m in by_quality]
        rate = bd_rate(*curves["none"], *curves[variant])
        found[variant] = {"bd_rate_percent": round(rate, 2), "qualities": by_quality}
    return found


def main() -> int:
    """Measure, write the result, print it."""
    args = arguments(__doc__, name="choices", qualities=[7, 15, 25, 40, 60, 80], effort=5)
    rows = tried(args, measured)
    found = summary(rows, args.qualities)
    write_results(args, {"variants": found}, rows)
    for variant, row in found.items():
        each = " ".join(f"{m['quality']}: {m['percent']:+.1f}" for m in row["qualities"])
        say(f"{variant}: BD-rate {row['bd_rate_percent']:+.2f} %; {each}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
