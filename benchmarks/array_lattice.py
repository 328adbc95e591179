"""What a lattice below an array within a bound brings: bytes of both together against those without a lattice.

    python benchmarks/array_lattice.py FILE.npy … --name array-lattice [--qualities 0,20,40,60,80,100]

The lattice is that of grey pictures (the shipped init, effort 1) on the plane scaled to [0, 1], counted without the
front of its file; what it decodes to is the base of all samples, of which the networks are told. Planes and bounds as
in benchmarks/arrays.py. Writes NAME.json to benchmarks/results.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from arrays import RESULTS, Array, cases
from machine import build_fingerprint, describe
from results import Row, plain_command, say, today, write_json

from nfcodec import zoo
from nfcodec.container.layout import front_size
from nfcodec.decoder import Decoder
from nfcodec.dyadic.code import Scheme, walk
from nfcodec.dyadic.fit.giver import Giver
from nfcodec.dyadic.init import DyadicInit
from nfcodec.encoder import encode_signal
from nfcodec.entropy.coder import SymbolEncoder
from nfcodec.options import DecodeOptions, EncodeOptions
from nfcodec.signal import Block, Metadata, SignalInfo


class Picture:
    """A plane (h, w) of numbers from 0 to 1 as a grey picture of floats."""

    def __init__(self, plane: Array) -> None:
        self.plane = plane.astype(np.float32)[..., None]
        self.info = SignalInfo("image", plane.shape, 1, "f32", value_range=(0.0, 1.0))
        self.metadata, self.warnings = Metadata(), list[str]()

    def blocks(self, rows: int) -> Iterator[Block]:
        """All rows."""
        yield from (Block(self.plane[i : i + rows]) for i in range(0, len(self.plane), rows))

    def sidecar(self) -> bytes:
        """No sound."""
        return b""

    def close(self) -> None:
        """Nothing is open."""


def lattice(plane: Array, quality: int) -> tuple[int, Array]:
    """Bytes of a lattice of a plane, and what it decodes to."""
    file = io.BytesIO()
    encode_signal(Picture(plane), file, EncodeOptions(quality=quality, effort=1))
    file.seek(0)
    decoder = Decoder(file)
    values = np.concatenate([b.values for b in decoder.blocks(DecodeOptions())])[..., 0]
    return len(file.getvalue()) - front_size(decoder.header), values.astype(np.float64)


def residue(init: DyadicInit, plane: Array, steps: int, base: Array | None) -> int:
    """Bytes of the symbols of a plane within half a step, with the better of two series of steps."""
    units = plane[None] * steps * 256
    expected = None if base is None else np.rint(base * steps * 256)[None]
    sizes = []
    for series in (0, 1):
        encoder = SymbolEncoder()
        walk(init, Scheme(steps, series), expected, np.ones(units.shape, bool), Giver(units, encoder))
        sizes.append(len(encoder.finish()))
    return min(sizes)


def main() -> None:
    """Run everything."""
    parser = argparse.ArgumentParser()
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--name", default="array-lattice")
    parser.add_argument("--qualities", default="0,20,40,60,80,100")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    init: Any = zoo.load("array-dyadic")
    qualities, rows = [int(q) for q in chosen.qualities.split(",")], list[Row]()
    for name, array in cases(chosen.files):
        if array.ndim != 2:
            continue
        low, span = float(array.min()), float(np.ptp(array.astype(np.float64)))
        plane = (array.astype(np.float64) - low) / span
        bases = {q: lattice(plane, q) for q in qualities}
        for steps in (5, 50, 500, 5000):
            both = [{"quality": q, "lattice": n, "rest": residue(init, plane, steps, b)} for q, (n, b) in bases.items()]
            alone = residue(init, plane, steps, None)
            best = min(b["lattice"] + b["rest"] for b in both)
            rows.append({"case": name, "share": 0.5 / steps, "alone": alone, "best": best, "both": both})
            say(f"{name} {0.5 / steps:g}: alone {alone}, with a lattice {best}")
    logs: dict[str, list[float]] = {}
    for row in rows:
        logs.setdefault(f"{row['share']:g}", []).append(float(np.log(row["best"] / row["alone"])))
    gains = {share: round(float(np.exp(np.mean(found))), 3) for share, found in logs.items()}
    content = {
        "command": plain_command(sys.argv), "date": today(), "machine": describe(), "build": build_fingerprint(),
        "ratios": gains, "rows": rows,
    }  # fmt: skip
    write_json(RESULTS / f"{chosen.name}.json", content)
    say(str(gains))


if __name__ == "__main__":
    main()
