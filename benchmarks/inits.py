"""Two inits against each other: bytes and PSNR on the same pictures, in one process.

    python benchmarks/inits.py PICTURES… --before INIT --after INIT --name NAME
        [--efforts 1,5] [--qualities 25,45,65,85]

INIT is the id of a shipped init or a path. Every file is written to disk and decoded from there. BD-rate of the mean
curves and of each picture, negative means fewer bytes after. Writes NAME.json to benchmarks/results.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
import torch
from machine import build_fingerprint, describe
from PIL import Image
from results import Row, delta, mean_curve, plain_command, say, today, whole_numbers, write_json

import nfcodec
from nfcodec import zoo

SIDES = ("before", "after")


def measured(path: Path, init: str, quality: int, effort: int, output: Path) -> Row:
    """One file."""
    options = nfcodec.EncodeOptions(quality=quality, effort=effort, init=init)
    nfcodec.encode(path, output, options=options, force=True)
    decoded = nfcodec.decode_array(output, init=init).astype(np.float64)
    error = np.mean((decoded - np.asarray(Image.open(path).convert("RGB"))) ** 2)
    return {"bytes": output.stat().st_size, "psnr": float(10 * np.log10(255.0**2 / max(error, 1e-9)))}


def compared(rows: list[Row], effort: int) -> Row:
    """The BD-rates of one effort."""
    sides = [[r for r in rows if r["side"] == s and r["effort"] == effort] for s in SIDES]
    found = [
        delta(*(mean_curve([r for r in side if r["file"] == name]) for side in sides))["bd_rate_percent"]
        for name in dict.fromkeys(r["file"] for r in sides[0])
    ]
    whole = delta(*map(mean_curve, sides))["bd_rate_percent"]
    files = {"mean": fmean(found), "median": median(found), "best": min(found), "worst": max(found)}
    return {"effort": effort, "bd_rate_percent": whole, "files": files}


def main() -> int:
    """Measure, compare, write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", nargs="+", type=Path)
    parser.add_argument("--before", required=True)
    parser.add_argument("--after", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--efforts", type=whole_numbers, default=[1, 5])
    parser.add_argument("--qualities", type=whole_numbers, default=[25, 45, 65, 85])
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="nfc-inits-") as folder:
        for effort in args.efforts:
            for path in args.pictures:
                for quality in args.qualities:
                    for side in SIDES:
                        row = measured(path, getattr(args, side), quality, effort, Path(folder, "out.nfc"))
                        rows.append({"side": side, "file": path.name, "quality": quality, "effort": effort, **row})
                say(f"effort {effort} {path.name}")
    hashes: dict[str, Any] = {s: zoo.load(getattr(args, s)).sha256.hex() for s in SIDES}
    results = [compared(rows, e) for e in args.efforts]
    content = {
        "name": args.name, "command": plain_command(sys.argv), "date": today(), "machine": describe(),
        "build": build_fingerprint(), "inits": hashes, "compared": results, "rows": rows,
    }  # fmt: skip
    write_json(Path(__file__).resolve().parent / "results" / f"{args.name}.json", content)
    for entry in results:
        say(str(entry))
    return 0


if __name__ == "__main__":
    sys.exit(main())
