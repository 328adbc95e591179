"""What one init for clips takes against another: the same clips, real files, bytes at the same quality and PSNR.

    python benchmarks/video_inits.py CLIP… --init video-moving --init OTHER --name NAME
        [--qualities 25,50,75] [--effort 1] [--frames 33] [--size 640x368] [--behind ROWS.json]

Clips are cut to their first frames and to the middle of the picture; bytes are those of the groups, PSNR that of RGB,
and of Y, U and V weighed 6:1:1. Seconds are processor time of one thread, without start. Percent: bytes of every init
against the first one, by BD-rate of both scores, and at each quality as it is. Writes NAME.json to benchmarks/results,
row by row; ``--behind`` rows of an earlier run, of another version, whose first init is then the first.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from bjontegaard import bd_rate
from machine import build_fingerprint, describe
from measure import rgb_frames, yuv
from results import plain_command, say, today, write_json
from sources import videos

from nfcodec.container.layout import SectionType
from nfcodec.decoder import Decoder
from nfcodec.encoder import encode_signal
from nfcodec.media.samples import dequantize, quantize
from nfcodec.metrics import ErrorSum
from nfcodec.options import DecodeOptions, EncodeOptions
from nfcodec.parallel import limited
from nfcodec.signal import Block, Metadata, SignalInfo

ROOT = Path(__file__).resolve().parents[1]
Samples = np.ndarray


@dataclass(frozen=True)
class Frames:
    """A clip uint8 (T, H, W, 3) as a source."""

    info: SignalInfo
    frames: Samples
    metadata: Metadata = field(default_factory=Metadata)
    warnings: list[str] = field(default_factory=list)

    def blocks(self, rows: int) -> Iterator[Block]:
        """Some frames after the other."""
        for at in range(0, len(self.frames), rows):
            yield Block(dequantize(self.frames[at : at + rows], "u8"), None)

    def sidecar(self) -> bytes:
        """There is none."""
        return b""

    def close(self) -> None:
        """Nothing to close."""


def cut(path: Path, frames: int, size: tuple[int, int]) -> Samples:
    """The first frames of a clip, of each the middle, even sides."""
    work = ROOT / "work-video-inits"
    work.mkdir(exist_ok=True)
    [source] = [s for s in videos(path.parent, work, None, frames, None, 24.0) if s.name == path.name]
    whole = np.stack(list(rgb_frames(source.path, source.size)))
    wide, high = (min(n, m) // 2 * 2 for n, m in zip(size, source.size, strict=True))
    top, left = (whole.shape[1] - high) // 2, (whole.shape[2] - wide) // 2
    return np.ascontiguousarray(whole[:, top : top + high, left : left + wide])


def measured(init: str, frames: Samples, quality: int, effort: int) -> dict[str, Any]:
    """One row: bytes, PSNR and seconds of a clip."""
    info = SignalInfo("video", frames.shape[:-1], 3, "u8", rate=Fraction(24))
    out, began = io.BytesIO(), time.process_time()
    encode_signal(Frames(info, frames), out, EncodeOptions(init=init, quality=quality, effort=effort))  # type: ignore[arg-type]
    encoded = time.process_time()
    decoder = Decoder(io.BytesIO(out.getvalue()), inits=(init,))
    shown = quantize(np.concatenate([b.values for b in decoder.blocks(DecodeOptions())]), decoder.info)
    decoded = time.process_time()
    total, planes = ErrorSum(), [ErrorSum() for _ in range(3)]
    for a, b in zip(frames, shown, strict=True):
        total.add(a, b)
        for plane, x, y in zip(planes, yuv(a), yuv(b), strict=True):
            plane.add(x, y)
    luma, blue, red = (plane.psnr(255) for plane in planes)
    sections = [s for s in decoder.reader.sections() if s.type == SectionType.GROUP]
    return {
        "quality": quality, "bytes": sum(len(s.payload) for s in sections), "psnr": round(total.psnr(255), 3),
        "psnr_yuv": round((6 * luma + blue + red) / 8, 3), "encode": round(encoded - began, 2),
        "decode": round(decoded - encoded, 2),
    }  # fmt: skip


def compared(rows: list[dict[str, Any]], inits: list[str]) -> dict[str, dict[str, float]]:
    """Of every init but the first: percent of bytes, mean over the clips."""
    found: dict[str, dict[str, float]] = {}
    clips = list(dict.fromkeys(r["clip"] for r in rows))
    for init in inits[1:]:
        every: dict[str, list[float]] = {}
        for clip in clips:
            mine, first = ([r for r in rows if r["clip"] == clip and r["init"] == i] for i in (init, inits[0]))
            if [r["quality"] for r in mine] != [r["quality"] for r in first]:
                continue
            for a, b in zip(mine, first, strict=True):
                every.setdefault(f"q{a['quality']}", []).append(100 * (a["bytes"] / b["bytes"] - 1))
            for score in ("psnr", "psnr_yuv") if len(mine) > 1 else ():
                curves = [([r["bytes"] for r in some], [r[score] for r in some]) for some in (first, mine)]
                every.setdefault(f"bd {score}", []).append(bd_rate(*curves[0], *curves[1]))
        found[init] = {name: round(fmean(values), 2) for name, values in every.items()}
    return found


def main() -> int:
    """Measure all rows, write them as they come."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--init", action="append", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--qualities", default="25,50,75")
    parser.add_argument("--effort", type=int, default=1)
    parser.add_argument("--frames", type=int, default=33)
    parser.add_argument("--size", default="640x368")
    parser.add_argument("--behind", type=Path)
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = json.loads(args.behind.read_text())["rows"] if args.behind else []
    width, height = map(int, args.size.split("x"))
    for path in args.clips:
        frames = cut(path, args.frames, (width, height))
        for quality in map(int, args.qualities.split(",")):
            for init in args.init:
                with limited(1):
                    row = measured(init, frames, quality, args.effort)
                rows.append({"clip": path.name, "init": Path(init).stem, **row})
                say(" ".join(f"{k} {v}" for k, v in rows[-1].items()))
                content = {
                    "name": args.name, "command": plain_command(["video_inits.py", *sys.argv[1:]]), "date": today(),
                    "machine": describe(), "build": build_fingerprint(),
                    "percent": compared(rows, list(dict.fromkeys(r["init"] for r in rows))), "rows": rows,
                }  # fmt: skip
                write_json(args.results / f"{args.name}.json", content)
    say(str(content["percent"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
