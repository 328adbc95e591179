"""Training samples per second from .nfc files against a folder of JPEG files read with Pillow.

    python benchmarks/dataset.py DIR --name dataset [--count 200] [--side 256] [--sizes 64,128,224] [--workers 1,2]
        [--quality 75] [--effort 1] [--init PATH] [--jpeg-quality 85] [--seconds 10] [--soak 5000]

The first ``--count`` pictures of DIR, reduced to at most ``--side`` pixels on the longer side (0: as they are), are
saved in both formats. Then samples are drawn as for training: a random region, shown at each of ``--sizes`` square
pixels, half of them mirrored, as uint8 tensors in batches of 16, by that many worker processes of a DataLoader.

- nfc: ``nfcodec.torch.NfcDataset``; jpeg: the same regions, with Pillow's ``draft``, crop and bicubic resize;
- fields: ``NfcDataset(fields=True)``, the symbols without a picture, at no size of their own.

Every rate is taken after the workers have given a batch each, over at least ``--seconds`` and one pass. ``--soak`` then
draws so many samples in this process and tells how the peak memory grew after the first tenth. Writes NAME.json.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import build_fingerprint, describe
from PIL import Image
from results import Row, plain_command, say, table, today, write_json
from torch.utils.data import DataLoader, Dataset

import nfcodec
from nfcodec.errors import NfcError
from nfcodec.plugins.regions import Regions
from nfcodec.torch import NfcDataset

ROOT = Path(__file__).resolve().parents[1]
BATCH = 16
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


class JpegFolder(Dataset[torch.Tensor]):
    """What a careful user writes with Pillow; the regions are those of NfcDataset."""

    def __init__(self, files: list[Path], size: int) -> None:
        self.files, self.size = files, size
        self.regions = Regions((size, size), "random", mirror=True)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> torch.Tensor:
        with Image.open(self.files[index]) as image:
            native = image.size
            part = self.regions.choose(native, np.random.default_rng((0, 0, index)))
            x, y, width, height = part.box
            share = self.size / min(width, height)
            image.draft("RGB", (round(native[0] * share), round(native[1] * share)))
            scale = image.width / native[0]
            box = (x * scale, y * scale, min((x + width) * scale, image.width), min((y + height) * scale, image.height))
            shown = image.convert("RGB").resize((self.size, self.size), Image.Resampling.BICUBIC, box=box)
        shown = shown.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if part.mirrored else shown
        return torch.from_numpy(np.asarray(shown).transpose(2, 0, 1).copy())


@dataclass(frozen=True)
class Folders:
    """The same pictures twice."""

    nfc: list[Path]
    jpeg: list[Path]
    init: str | None

    def dataset(self, kind: str, size: int) -> Dataset[Any]:
        if kind == "jpeg":
            return JpegFolder(self.jpeg, size)
        if kind == "fields":
            return NfcDataset(self.nfc, fields=True, init=self.init)
        return NfcDataset(self.nfc, size=size, crop="random", mirror=True, dtype=torch.uint8, init=self.init)


def prepare(args: argparse.Namespace, work: Path) -> Folders:
    """Save the pictures in both formats, where that is not done yet."""
    nfcodec.register_pillow(inits=(args.init,) if args.init else ())
    work.mkdir(parents=True, exist_ok=True)
    sources = sorted(p for p in args.folder.rglob("*") if p.suffix.lower() in SUFFIXES)[: args.count]
    if not sources:
        raise SystemExit(f"dataset.py: no pictures in {args.folder}")
    names = [f"{i:05d}-{args.side}-q{args.quality}-e{args.effort}" for i in range(len(sources))]
    for source, name in zip(sources, names, strict=True):
        if (work / f"{name}.jpg").exists():
            continue
        with Image.open(source) as image:
            picture = image.convert("RGB")
        if args.side:
            picture.thumbnail((args.side, args.side), Image.Resampling.LANCZOS)
        options = {"init": args.init} if args.init else {}
        picture.save(work / f"{name}.nfc", quality=args.quality, effort=args.effort, **options)
        picture.save(work / f"{name}.jpg", quality=args.jpeg_quality)
    return Folders([work / f"{n}.nfc" for n in names], [work / f"{n}.jpg" for n in names], args.init)


def rate(dataset: Dataset[Any], workers: int, seconds: float, *, batched: bool) -> tuple[float, int]:
    """Samples per second and how many they were. Symbols of different pictures make no batch."""
    loader = DataLoader(
        dataset, batch_size=BATCH if batched else None, num_workers=workers, persistent_workers=True,
        multiprocessing_context="spawn",
    )  # fmt: skip
    count, started, given = 0, 0.0, 0
    while not started or time.perf_counter() - started < seconds:
        for batch in loader:
            given += 1
            if given == workers:
                started = time.perf_counter()
            elif given > workers:
                count += len(batch) if batched else 1
    return count / (time.perf_counter() - started), count


def measure(folders: Folders, args: argparse.Namespace) -> list[Row]:
    """A row for each kind, size and number of workers."""
    rows = []
    cases = [(kind, size) for size in args.sizes for kind in ("nfc", "jpeg")] + [("fields", 0)]
    for workers in args.workers:
        for kind, size in cases:
            found, count = rate(folders.dataset(kind, size), workers, args.seconds, batched=kind != "fields")
            rows.append(
                {"kind": kind, "size": size, "workers": workers, "per_second": round(found, 1), "samples": count}
            )
            say(f"{kind}, {size} px, {workers} workers: {found:.1f} samples/s")
    return rows


def soak(folders: Folders, samples: int) -> Row:
    """How the peak memory of this process grows over so many samples, after the first tenth."""
    dataset = folders.dataset("nfc", 64)
    assert isinstance(dataset, NfcDataset)
    first = 0
    for i in range(samples):
        dataset.set_epoch(i // len(dataset))
        _ = dataset[i % len(dataset)]
        if i == samples // 10:
            first = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    last = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"samples": samples, "peak_mb_after_a_tenth": round(first / 1024, 1), "peak_mb": round(last / 1024, 1)}


def numbers(text: str) -> list[int]:
    """64,128 → [64, 128]."""
    return [int(part) for part in text.split(",")]


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--name", default="dataset", help="of the result file")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--sizes", type=numbers, default=[64, 128, 224])
    parser.add_argument("--workers", type=numbers, default=[1, 2])
    parser.add_argument("--quality", type=int, default=75)
    parser.add_argument("--effort", type=int, default=1)
    parser.add_argument("--init")
    parser.add_argument("--jpeg-quality", type=int, default=85)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--soak", type=int, default=5000, help="samples, 0 for none")
    parser.add_argument("--work", type=Path, help="working folder, default work-NAME (git-ignored)")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    return parser.parse_args()


def main() -> int:
    """Measure, write the results, print the table."""
    args = parse()
    folders = prepare(args, args.work or ROOT / f"work-{args.name}")
    rows = measure(folders, args)
    content = {
        "name": args.name,
        "command": plain_command(["dataset.py", *sys.argv[1:]]),
        "date": today(),
        "machine": describe(),
        "build": build_fingerprint(),
        "pictures": len(folders.nfc),
        "bytes": {kind: sum(p.stat().st_size for p in getattr(folders, kind)) for kind in ("nfc", "jpeg")},
        "soak": soak(folders, args.soak) if args.soak else None,
        "rows": rows,
    }
    write_json(args.results / f"{args.name}.json", content)
    print(table(["kind", "size", "workers", "samples/s"], [list(r.values())[:4] for r in rows]))
    print(f"memory: {content['soak']}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except NfcError as error:
        say(f"dataset.py: {error}")
        sys.exit(1)
