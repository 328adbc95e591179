"""Gives an init for clips the pictures of another one for pictures; its residuals stay.

    python benchmarks/refresh_video.py [--pictures photo-lattice] [--init video-moving]

Writes models/INIT.safetensors and its hash in models/index.json and models/INIT.md. Golden files made with the old init
(tests/golden/shipped.nfc) are made again by tests/golden/make_golden.py.
"""

from __future__ import annotations

import argparse
import hashlib
from dataclasses import replace
from pathlib import Path

from nfcodec import zoo
from nfcodec.errors import OptionError
from nfcodec.lattice.init import LatticeInit
from nfcodec.moving.init import MovingInit

MODELS = Path(__file__).resolve().parents[1] / "models"


def refreshed(init: MovingInit, pictures: LatticeInit) -> MovingInit:
    """``init`` with other ``pictures``, in the tune for squared errors."""
    found = replace(init, pictures=replace(pictures, perceptual=None), sha256=b"")
    found.validate()
    return found


def main() -> None:
    """Write the init, and its hash wherever it is told."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pictures", default="photo-lattice")
    parser.add_argument("--init", default="video-moving")
    parser.add_argument("--to", type=Path, help="write this file alone")
    args = parser.parse_args()
    init, pictures = zoo.load(args.init), zoo.load(args.pictures)
    if not isinstance(init, MovingInit) or not isinstance(pictures, LatticeInit):
        raise OptionError(f"{args.init} is {init.kind}, {args.pictures} {pictures.kind}: not moving and lattice")
    found = refreshed(init, pictures)
    if args.to:
        zoo.write_init(found, args.to)
        return
    path, before = MODELS / f"{args.init}.safetensors", init.sha256.hex()
    zoo.write_init(found, path)
    after = hashlib.sha256(path.read_bytes()).hexdigest()
    for told in (MODELS / "index.json", MODELS / f"{args.init}.md"):
        told.write_text(told.read_text().replace(before, after))
    print(f"{args.init}: {before[:12]} → {after[:12]}, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
