"""What tools share that try the encoder's choices on files of some pictures: arguments, pictures and results."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from machine import build_fingerprint, describe
from results import Row, plain_command, say, today, whole_numbers, write_json

import nfcodec
from nfcodec import zoo
from nfcodec.lattice.init import LatticeInit

SUFFIXES = (".jpg", ".jpeg", ".png")

# The rows of one picture with some options, made in a folder for files.
Measured = Callable[[LatticeInit, Path, nfcodec.EncodeOptions, Path], Iterable[Row]]


def arguments(about: str | None, *, name: str, qualities: list[int], effort: int) -> argparse.Namespace:
    """What is asked for, with these defaults."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--name", default=name)
    parser.add_argument("--qualities", type=whole_numbers, default=qualities)
    parser.add_argument("--effort", type=int, default=effort)
    parser.add_argument("--tune", default="psnr")
    parser.add_argument("--every", type=int, default=50)
    parser.add_argument("--first", type=int, default=49)
    parser.add_argument("--init", default="photo-lattice")
    return parser.parse_args()


def tried(args: argparse.Namespace, measured: Measured) -> list[Row]:
    """The rows of all pictures that are asked for, at all qualities, on one thread."""
    torch.set_num_threads(1)
    init = zoo.load(args.init)
    assert isinstance(init, LatticeInit)
    init, rows = init.tuned(args.tune), list[Row]()
    pictures = [p for folder in args.folders for p in sorted(folder.iterdir()) if p.suffix.lower() in SUFFIXES]
    for picture in pictures[args.first :: args.every]:
        with tempfile.TemporaryDirectory(prefix="nfc-trials-") as work:
            for quality in args.qualities:
                options = nfcodec.EncodeOptions(quality=quality, effort=args.effort, tune=args.tune, init=args.init)
                rows += measured(init, picture, options, Path(work))
        say(picture.name)
    return rows


def write_results(args: argparse.Namespace, found: dict[str, Any], rows: list[Row]) -> None:
    """Write what was ``found`` and the rows to NAME.json."""
    content = {
        "name": args.name, "command": plain_command([Path(sys.argv[0]).name, *sys.argv[1:]]), "date": today(),
        "machine": describe(), "build": build_fingerprint(), **found, "rows": rows,
    }  # fmt: skip
    write_json(Path(__file__).resolve().parent / "results" / f"{args.name}.json", content)
