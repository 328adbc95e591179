"""What lies between the samples: nfc's ×2 rendering of half-size pictures against the full-size originals.

    python benchmarks/superres.py DIR --name superres [--qualities 50,75,90] [--effort 5] [--limit N]

Every picture is halved with Pillow's Lanczos filter and encoded from that PNG. ``nfc decode --scale 2`` is compared
with the original, next to Lanczos ×2 of what ``nfc decode`` gives at the native size, and of the half-size picture
itself, before any coding. PSNR of 8-bit RGB. Writes NAME.json to benchmarks/results.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import measure
import sources
from machine import BenchmarkError, build_fingerprint, describe
from PIL import Image
from rd import ROOT, Setting, add_nfc_options, execute, settings_of
from results import Row, WorkLog, plain_command, say, signed, table, today, whole_numbers, write_json
from sources import Source

LANCZOS = Image.Resampling.LANCZOS


def even(source: Source, folder: Path) -> Source:
    """The original without an odd last row or column, so that twice the half is its size."""
    width, height = (side - side % 2 for side in source.size)
    if min(width, height) < 2:
        raise BenchmarkError(f"{source.name} is too small to halve")
    if (width, height) == source.size:
        return source
    path = folder / source.path.name
    with Image.open(source.path) as image:
        image.crop((0, 0, width, height)).save(path, compress_level=6)
    return replace(source, path=path, size=(width, height), extent=width * height)


def halve(source: Source, folder: Path) -> Path:
    """The half-size picture that nfc gets to see."""
    path = folder / source.path.name
    with Image.open(source.path) as image:
        image.resize((source.size[0] // 2, source.size[1] // 2), LANCZOS).save(path, compress_level=6)
    return path


def doubled_psnr(source: Source, half: Path, work: Path) -> float:
    """PSNR of Lanczos ×2 of a half-size picture."""
    path = work / f"doubled-{half.stem}.png"
    with Image.open(half) as image:
        image.convert("RGB").resize(source.size, LANCZOS).save(path, compress_level=1)
    psnr = measure.image(source, path)["psnr"]
    path.unlink()
    return psnr


def measure_group(
    work: Path, log: WorkLog, setting: Setting, quality: int, group: list[tuple[Source, Path]], build: str
) -> None:
    """Encode the halves in one nfc process, decode them at ×1 and ×2, and score both."""
    folders = {name: work / f"nfc-{setting.effort}-{quality}" / name for name in ("coded", "1", "2")}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    double = replace(setting, decode_args=(*setting.decode_args, "--scale", "2"))
    encoded, _ = setting.encode([half for _, half in group], folders["coded"], quality)
    files = [encoded[half]["output"] for _, half in group]
    native, _ = setting.decode(files, folders["1"], ".png")
    twice, _ = double.decode(files, folders["2"], ".png")
    for (source, half), coded in zip(group, files, strict=True):
        rendered = measure.image(source, twice[coded]["output"])["psnr"]
        lanczos = doubled_psnr(source, native[coded]["output"], work)
        size = coded.stat().st_size
        fixed = {"codec": "nfc", "config": setting.config, "file": source.name, "source": source.id, "quality": quality}
        scores = {"psnr": rendered, "lanczos_psnr": lanczos, "gain_db": rendered - lanczos}
        more = {"uncoded_lanczos_psnr": doubled_psnr(source, half, work), "seconds": twice[coded]["seconds"]}
        # The rate is per pixel of the half-size picture, which is what was coded.
        log.add({**fixed, "bytes": size, "bpp": 32 * size / source.extent, **scores, **more, "build": build})


def mean_rows(rows: list[Row]) -> list[Row]:
    """Averages over the files, per quality."""
    names = ("bytes", "bpp", "psnr", "lanczos_psnr", "gain_db", "uncoded_lanczos_psnr", "seconds")
    result = []
    for quality in sorted({row["quality"] for row in rows}):
        group = [row for row in rows if row["quality"] == quality]
        better = sum(row["gain_db"] > 0 for row in group)
        means = {name: fmean(row[name] for row in group) for name in names}
        result.append({"quality": quality, "files": len(group), "better": better, **means})
    return result


def show(content: dict[str, Any]) -> str:
    """The means as Markdown."""
    header = ["quality", "bpp of the half", "nfc ×2 dB", "Lanczos ×2 dB", "gain", "better", "uncoded Lanczos ×2 dB"]
    body = [
        (m["quality"], f"{m['bpp']:.4g}", f"{m['psnr']:.2f}", f"{m['lanczos_psnr']:.2f}", signed(m["gain_db"], "dB"),
         f"{m['better']} of {m['files']}", f"{m['uncoded_lanczos_psnr']:.2f}")
        for m in content["means"]
    ]  # fmt: skip
    return f"## {content['name']}\n\n" + table(header, body)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--name", default="superres", help="of the result file")
    parser.add_argument("--effort", type=int, default=5)
    add_nfc_options(parser, "50,75,90")
    parser.add_argument("--chunk", type=int, default=8, help="files per nfc process")
    parser.add_argument("--work", type=Path, help="working folder, default work-NAME (git-ignored)")
    args = parser.parse_args()
    args.qualities = whole_numbers(args.qualities)
    return args


def main() -> int:
    """Measure, write the result, print the table."""
    args = parse()
    work = args.work or ROOT / f"work-{args.name}"
    for name in ("originals", "even", "half"):
        (work / name).mkdir(parents=True, exist_ok=True)
    (setting,), build = settings_of(args, [args.effort]), build_fingerprint()
    log = WorkLog(work / "rows.jsonl", None if args.any_build else build)
    originals = [even(s, work / "even") for s in sources.images(args.folder, work / "originals", args.limit)]
    pairs = [(source, halve(source, work / "half")) for source in originals]
    todo: list[Callable[[], None]] = []
    for quality in args.qualities:
        missing = [pair for pair in pairs if ("nfc", setting.config, pair[0].id, quality) not in log]
        groups = (missing[i : i + args.chunk] for i in range(0, len(missing), args.chunk))
        todo += [partial(measure_group, work, log, setting, quality, group, build) for group in groups]
    execute(todo, 1)
    rows = [log.rows["nfc", setting.config, source.id, q] for q in args.qualities for source in originals]
    content = {
        "name": args.name,
        "command": plain_command(["superres.py", *sys.argv[1:]]),
        "date": today(),
        "machine": describe(),
        "builds": sorted({row["build"] for row in rows}),
        "settings": setting.config,
        "files": [s.name for s in originals],
        "means": mean_rows(rows),
        "rows": rows,
    }
    write_json(args.results / f"{args.name}.json", content)
    print(show(content))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BenchmarkError as error:
        say(f"superres.py: {error}")
        sys.exit(1)
