"""Do both tunes look the same at one ``-q``? SSIMULACRA 2.1 of pictures by quality and tune.

    python benchmarks/tunes.py DIR… --name tunes [--qualities 15,25,35,45,55,65,75] [--effort 1] [--init INIT]

Every picture is encoded with both tunes, in one process; files on disk. Writes NAME.json to benchmarks/results: mean
scores and bits per pixel, and for every quality of the perceptual tune the one at which the other looks as good.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from machine import BenchmarkError, build_fingerprint, describe
from measure import ssimulacra2
from PIL import Image
from results import Row, plain_command, say, table, today, whole_numbers, write_json
from sources import Source, images

import nfcodec

TUNES = ("psnr", "perceptual")


def measured(source: Source, options: nfcodec.EncodeOptions, work: Path) -> Row:
    """One file: its score and its bits per pixel."""
    coded, shown = work / "out.nfc", work / "out.png"
    nfcodec.encode(source.path, coded, options=options, force=True)
    samples = nfcodec.decode_array(coded, init=options.init)
    Image.fromarray(np.asarray(samples, np.uint8)).save(shown, compress_level=1)
    return {"score": ssimulacra2(source, shown), "bpp": 8 * coded.stat().st_size / source.extent}


def means(rows: list[Row], qualities: list[int]) -> list[Row]:
    """Mean scores by quality, and the quality of the psnr tune at which it scores as the perceptual one does."""

    def mean(tune: str, quality: int, name: str) -> float:
        return fmean(r[name] for r in rows if r["tune"] == tune and r["quality"] == quality)

    scores = {tune: [mean(tune, q, "score") for q in qualities] for tune in TUNES}
    same = np.interp(scores["perceptual"], scores["psnr"], qualities, left=np.nan, right=np.nan)
    return [
        {"quality": q, **{t: scores[t][i] for t in TUNES}, **{f"{t}_bpp": mean(t, q, "bpp") for t in TUNES},
         "same_look_psnr": None if np.isnan(same[i]) else float(same[i])}
        for i, q in enumerate(qualities)
    ]  # fmt: skip


def show(found: list[Row]) -> str:
    """The means as Markdown."""
    header = ["quality", "psnr", "bpp", "perceptual", "bpp", "psnr looks the same at"]
    body = [
        (m["quality"], f"{m['psnr']:.1f}", f"{m['psnr_bpp']:.3f}", f"{m['perceptual']:.1f}",
         f"{m['perceptual_bpp']:.3f}", "" if m["same_look_psnr"] is None else f"{m['same_look_psnr']:.0f}")
        for m in found
    ]  # fmt: skip
    return table(header, body)


def main() -> int:
    """Measure, write the result, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path, nargs="+", help="folders")
    parser.add_argument("--name", default="tunes")
    parser.add_argument("--qualities", type=whole_numbers, default=[15, 25, 35, 45, 55, 65, 75])
    parser.add_argument("--effort", type=int, default=1)
    parser.add_argument("--init", default="photo-lattice")
    parser.add_argument("--limit", type=int, help="use the first N files of each folder only")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="nfc-tunes-") as folder:
        work = Path(folder)
        for source in [s for given in args.pictures for s in images(given, work, args.limit)]:
            for quality in args.qualities:
                for tune in TUNES:
                    options = nfcodec.EncodeOptions(quality=quality, effort=args.effort, tune=tune, init=args.init)
                    row = measured(source, options, work)
                    rows.append({"file": source.name, "quality": quality, "tune": tune, **row})
            say(source.name)
    found = means(rows, args.qualities)
    content = {
        "name": args.name, "command": plain_command(["tunes.py", *sys.argv[1:]]), "date": today(),
        "machine": describe(), "build": build_fingerprint(), "effort": args.effort, "means": found, "rows": rows,
    }  # fmt: skip
    write_json(Path(__file__).resolve().parent / "results" / f"{args.name}.json", content)
    print(show(found))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BenchmarkError as error:
        say(f"tunes.py: {error}")
        sys.exit(1)
