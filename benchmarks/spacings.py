"""What cells of other spacings are worth: pictures at every spacing of an init, and as the encoder chooses.

    python benchmarks/spacings.py DIR… --name spacings [--qualities 5,15,25,40,60,80] [--effort 1] [--tune psnr]
                                  [--every 50 --first 49] [--init INIT]

Files on disk, in one process; of all pictures every so many, from the one on that is named. With every picture goes
what it would lose (bits per sample at λ, the encoder's own measure). Writes NAME.json to benchmarks/results: rows, and
for every quality the mean bytes and PSNR of the usual cells and of the chosen ones, what D + λR saves, and BD-rate.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from unittest import mock

import numpy as np
import torch
from bjontegaard import bd_rate
from PIL import Image
from results import Row, say
from trials import arguments, tried, write_results

import nfcodec
from nfcodec.lattice.fit.encode import LatticeEncoder
from nfcodec.lattice.fit.spacings import frequencies, lost
from nfcodec.lattice.init import LatticeInit

CHOSEN = "chosen"


def encoded(picture: Path, work: Path, options: nfcodec.EncodeOptions, spacing: int | str | None) -> Row:
    """One file: its spacing, bytes and PSNR; with a ``spacing`` in the place of the encoder's choice."""
    out = work / "out.nfc"

    def settle(encoder: LatticeEncoder, *_: object) -> None:
        assert not isinstance(spacing, str)
        encoder.use(spacing)

    own = LatticeEncoder._settle
    with mock.patch.object(LatticeEncoder, "_settle", own if spacing == CHOSEN else settle):
        result = nfcodec.encode(picture, out, options=options, force=True)
    used = nfcodec.info(out).spacing
    return {"asked": spacing or "usual", "spacing": used, "bytes": out.stat().st_size, "psnr": round(result.psnr, 3)}


def measured(init: LatticeInit, picture: Path, options: nfcodec.EncodeOptions, work: Path) -> Iterator[Row]:
    """One row for each spacing that goes with the quality."""
    values = np.asarray(Image.open(picture).convert("RGB"), np.float32) / np.float32(255.0)
    luma = torch.from_numpy(values.mean(-1)) * 3.0**0.5
    energy, own, worth = frequencies(luma), init.levels[0].spec.spacing[0], init.plane_trade(options.quality)
    for spacing in (None, *init.spacings, CHOSEN):
        if isinstance(spacing, int) and options.quality + init.at(spacing).finer > 100:
            continue
        share = own / spacing if isinstance(spacing, int) else 1.0
        row = encoded(picture, work, options, spacing)
        errors = values.size * 10.0 ** (-row["psnr"] / 10.0) / worth
        more = {"cost": round(8 * row["bytes"] + errors), "lost": round(lost(energy, share) / worth / luma.numel(), 5)}
        yield {"file": f"{picture.parent.name}/{picture.name}", "quality": options.quality, **row, **more}


def means(rows: list[Row], qualities: list[int]) -> list[Row]:
    """The usual cells and the chosen ones by quality."""

    def of(asked: str, quality: int, name: str) -> list[float]:
        return [float(r[name]) for r in rows if r["asked"] == asked and r["quality"] == quality]

    found: list[Row] = []
    for quality in qualities:
        own = {n: of("usual", quality, n) for n in ("bytes", "psnr", "cost")}
        new = {n: of(CHOSEN, quality, n) for n in ("bytes", "psnr", "cost")}
        saved = [(b - a) / 8 / size for a, b, size in zip(own["cost"], new["cost"], own["bytes"], strict=True)]
        found.append({
            "quality": quality, "bytes": fmean(own["bytes"]), "psnr": fmean(own["psnr"]),
            "chosen_bytes": fmean(new["bytes"]), "chosen_psnr": fmean(new["psnr"]),
            "saved_percent": 100 * (sum(new["cost"]) - sum(own["cost"])) / 8 / sum(own["bytes"]),
            "saved_percent_mean_of_pictures": 100 * fmean(saved),
        })  # fmt: skip
    return found


def main() -> int:
    """Measure, write the result, print it."""
    args = arguments(__doc__, name="spacings", qualities=[5, 15, 25, 40, 60, 80], effort=1)
    rows = tried(args, measured)
    found = means(rows, args.qualities)
    pairs = ("bytes", "psnr"), ("chosen_bytes", "chosen_psnr")
    curves = [([m[a] for m in found], [m[b] for m in found]) for a, b in pairs]
    rate = bd_rate(*curves[0], *curves[1])
    write_results(args, {"bd_rate_percent": round(rate, 2), "means": found}, rows)
    for row in found:
        say(f"{row['quality']}: {row['saved_percent']:+.1f} %, pictures {row['saved_percent_mean_of_pictures']:+.1f} %")
    say(f"BD-rate {rate:+.2f} %")
    return 0


if __name__ == "__main__":
    sys.exit(main())
