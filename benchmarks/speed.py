"""Encoding and decoding time and peak memory against the size of the picture and the number of threads.

    python benchmarks/speed.py DIR --name speed [--efforts 1,5] [--sizes 0.1,0.4,1.5,6,12] [--threads 1,2] [--limit 1]

Pictures of each size are cut from the first ``--limit`` pictures of DIR, which are continued by mirroring where they
are too small. Two times are taken, both from file to file:

- the whole command: ``nfc encode`` and ``nfc decode``, or a Python process that does the same with Pillow; its peak
  memory is that of the largest process (ru_maxrss);
- after start: in one process that has imported everything and coded a tiny picture. Encoding reads a PNG and writes a
  file, through ``nfcodec.encode`` or Pillow; decoding reads the file and gives an array.

Each is the median of up to ``--repeats`` runs. Every process may use the first N cores only (where the system can
hold it to them), and OMP_NUM_THREADS says so too. Each other codec runs at the quality whose PSNR comes nearest to
nfc's on the smallest picture. Finished rows go to the working folder. Writes NAME.json, NAME.svg and NAME.png.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

import measure
import numpy as np
import plots
import sources
from machine import BenchmarkError, Child, build_fingerprint, checked, describe, json_lines
from peers import IMAGE_PEERS, Peer
from PIL import Image
from rd import ROOT, Setting, add_nfc_options, settings_of
from results import Row, WorkLog, plain_command, say, table, today, whole_numbers, write_json
from sources import Source

ENOUGH = 20.0  # seconds of repeating
TINY = 0.003  # megapixels
PEERS = "jpeg,webp,avif,avif0"
TIMES = tuple(f"{step}_{part}" for step in ("encode", "decode") for part in ("seconds", "after_start", "peak_mb"))
PILLOW_ENCODE = """
import json, sys
from PIL import Image
with Image.open(sys.argv[1]) as image:
    image.save(sys.argv[2], **json.loads(sys.argv[3]))
"""
PILLOW_DECODE = """
import sys
from PIL import Image
with Image.open(sys.argv[1]) as image:
    image.convert("RGB").save(sys.argv[2])
"""


@dataclass(frozen=True)
class Job:
    """What a warm process is asked to do. ``options``: of nfcodec.EncodeOptions or of Pillow's save.

    ``init``: path of an init that nfc does not ship, for decoding. Empty ``family``: Pillow.
    """

    family: str
    tiny: str
    source: str
    coded: str
    options: dict[str, Any]
    init: str | None
    threads: int
    repeats: int


# --- in the warm process ---------------------------------------------------------------------------------


def repeated(work: Callable[[], object], repeats: int) -> list[float]:
    """Seconds of each of up to ``repeats`` runs; no further one once they took ENOUGH together."""
    seconds: list[float] = []
    while len(seconds) < repeats and sum(seconds) < ENOUGH:
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return seconds


def _nfc_calls(job: Job) -> tuple[Callable[[str, str], object], Callable[[str], object]]:
    import torch

    import nfcodec

    torch.set_num_threads(job.threads)
    options = nfcodec.EncodeOptions(**job.options)
    return (
        lambda source, coded: nfcodec.encode(source, coded, options=options, force=True),
        lambda coded: nfcodec.decode_array(coded, init=job.init),
    )


def _pillow_encode(source: str, coded: str, options: dict[str, Any]) -> None:
    with Image.open(source) as image:
        image.save(coded, **options)


def _pillow_decode(coded: str) -> Any:
    with Image.open(coded) as image:
        return np.asarray(image.convert("RGB"))


def warm_worker(job: Job) -> dict[str, list[float]]:
    """Times after start, measured in this process."""
    encode, decode = (
        _nfc_calls(job) if job.family == "nfc" else (lambda s, c: _pillow_encode(s, c, job.options), _pillow_decode)
    )
    encode(job.tiny, job.coded)
    decode(job.coded)
    encoded = repeated(lambda: encode(job.source, job.coded), job.repeats)
    return {"encode": encoded, "decode": repeated(lambda: decode(job.coded), job.repeats)}


# --- one codec, whichever --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Contestant:
    """nfc at a setting, or another codec at a quality."""

    name: str
    config: str
    quality: int
    suffix: str
    setting: Setting | None
    options: dict[str, Any]

    def encode_command(self, source: Path, coded: Path) -> list[str]:
        if self.setting:
            return self.setting.encode_command([source], self.quality, "-o", coded, "-f")
        return [sys.executable, "-c", PILLOW_ENCODE, str(source), str(coded), json.dumps(self.options)]

    def decode_command(self, coded: Path, decoded: Path) -> list[str]:
        if self.setting:
            return self.setting.decode_command([coded], "-o", decoded, "-f")
        return [sys.executable, "-c", PILLOW_DECODE, str(coded), str(decoded)]


def api_options(arguments: tuple[str, ...]) -> dict[str, Any]:
    """Options of ``nfc encode`` as fields of EncodeOptions: ("--field", "siren") → {"field": "siren"}."""
    options: dict[str, Any] = {}
    left = list(arguments)
    while left:
        name = left.pop(0)
        if name == "--no-verify":
            options["verify"] = False
        elif name.startswith("--") and left:
            value = left.pop(0)
            options[name[2:].replace("-", "_")] = int(value) if value.isdigit() else value
        else:
            raise BenchmarkError(f"--field-args: {name} is not --option VALUE")
    return options


def contestant_of_nfc(setting: Setting, quality: int, several: bool) -> Contestant:
    name = f"nfc -e {setting.effort}" if several else "nfc"
    options = {"quality": quality, "effort": setting.effort, **api_options(setting.encode_args)}
    return Contestant(name, setting.config, quality, ".nfc", setting, options)


def contestant_of_peer(peer: Peer, quality: int) -> Contestant:
    return Contestant(peer.name, peer.note, quality, peer.suffix, None, {**peer.options, "quality": quality})


def matched_quality(peer: Peer, source: Source, wanted: float, work: Path) -> int:
    """The quality whose PSNR on ``source`` comes nearest to ``wanted``."""
    coded, decoded = work / f"match{peer.suffix}", work / "match.png"
    psnrs = {}
    for quality in peer.qualities:
        peer.encode(source.path, coded, quality)
        psnrs[quality] = measure.image(source, peer.decode(coded, decoded)[0])["psnr"]
    return min(psnrs, key=lambda quality: abs(psnrs[quality] - wanted))


# --- measuring -------------------------------------------------------------------------------------------


@contextmanager
def first_cores(count: int) -> Iterator[None]:
    """Hold child processes to ``count`` cores, where the system can."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _whole(command: list[str], threads: int, repeats: int) -> list[Child]:
    children: list[Child] = []
    repeated(lambda: children.append(checked(command, environment=_threads(threads))), repeats)
    return children


def _threads(count: int) -> dict[str, str]:
    return {"OMP_NUM_THREADS": str(count)}


def _summary(step: str, children: list[Child], after_start: list[float]) -> dict[str, Any]:
    return {
        f"{step}_seconds": median(child.seconds for child in children),
        f"{step}_cpu_seconds": median(child.cpu_seconds for child in children),
        f"{step}_after_start": median(after_start),
        f"{step}_peak_mb": max(child.peak_mb for child in children),
        f"{step}_runs": [len(children), len(after_start)],
    }


def time_one(who: Contestant, source: Source, tiny: Path, work: Path, threads: int, repeats: int) -> Row:
    """Both times of both steps, the memory, and what came out."""
    coded, decoded = work / f"timed{who.suffix}", work / "timed.png"
    with first_cores(threads):
        encoders = _whole(who.encode_command(source.path, coded), threads, repeats)
        decoders = _whole(who.decode_command(coded, decoded), threads, repeats)
        size, psnr = coded.stat().st_size, measure.image(source, decoded)["psnr"]
        init = who.options.get("init") if who.setting else None
        job = Job("nfc" if who.setting else "", str(tiny), str(source.path), str(coded), who.options, init, threads,
                  repeats)  # fmt: skip
        command = [sys.executable, str(Path(__file__).resolve()), "--worker", json.dumps(asdict(job))]
        warm = json_lines(checked(command, environment=_threads(threads)).stdout)[-1]
    result = {"bytes": size, "bpp": 8 * size / source.extent, "psnr": psnr}
    return {**result, **_summary("encode", encoders, warm["encode"]), **_summary("decode", decoders, warm["decode"])}


@dataclass(frozen=True)
class Plan:
    """One run: what is timed, on which pictures, and what has been timed."""

    work: Path
    log: WorkLog
    build: str
    contestants: list[Contestant]
    pictures: dict[float, list[Source]]
    tiny: Path
    threads: list[int]
    repeats: int

    def keys(self) -> Iterator[tuple[Contestant, float, Source, int, str]]:
        """(codec, megapixels, picture, threads, settings as the log has them), small pictures first."""
        for size, group in self.pictures.items():
            for count in self.threads:
                for who in self.contestants:
                    for source in group:
                        yield who, size, source, count, f"{who.config}; threads {count}"

    def run(self) -> list[Row]:
        """Time what is not in the log; all rows of this run."""
        rows = []
        for who, size, source, count, config in self.keys():
            key = (who.name, config, source.id, who.quality)
            if key not in self.log:
                say(f"{who.name}, {size:g} MP, threads {count}, {source.name}")
                timed = time_one(who, source, self.tiny, self.work, count, self.repeats)
                fixed = dict(zip(("codec", "config", "source", "quality"), key, strict=True))
                more = {"build": self.build} if who.setting else {}
                about = {"file": source.name, "megapixels": size, "threads": count}
                self.log.add({**fixed, **about, **timed, **more})
            rows.append(self.log.rows[key])
        return rows


def means_of(rows: list[Row]) -> list[Row]:
    """Averages over the pictures of a size."""
    groups: dict[tuple[str, int, float], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["codec"], row["threads"], row["megapixels"]), []).append(row)
    names = ("bpp", "psnr", *TIMES)
    return [
        {"codec": codec, "threads": threads, "megapixels": size, **{n: fmean(r[n] for r in group) for n in names}}
        for (codec, threads, size), group in groups.items()
    ]


def choose(
    settings: tuple[Setting, ...], quality: int, names: list[str], small: Source, work: Path
) -> list[Contestant]:
    """nfc's settings, then the other codecs, each at about the first setting's PSNR on the smallest picture."""
    ours = [contestant_of_nfc(setting, quality, len(settings) > 1) for setting in settings]
    known = {peer.name: peer for peer in IMAGE_PEERS}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise BenchmarkError(f"unknown peers {', '.join(unknown)}; known: {', '.join(known)}")
    coded, decoded = work / "match.nfc", work / "match.png"
    checked(ours[0].encode_command(small.path, coded))
    checked(ours[0].decode_command(coded, decoded))
    wanted = measure.image(small, decoded)["psnr"]
    return ours + [contestant_of_peer(known[name], matched_quality(known[name], small, wanted, work)) for name in names]


def show(content: dict[str, Any]) -> str:
    """The means as Markdown."""
    header = ["codec", "threads", "MP", "bpp", "PSNR dB", "encode s"]
    header += ["after start", "MB", "decode s", "after start", "MB"]
    body = [
        (m["codec"], m["threads"], f"{m['megapixels']:g}", f"{m['bpp']:.3g}", f"{m['psnr']:.2f}")
        + tuple(f"{m[name]:.3g}" for name in TIMES)
        for m in content["means"]
    ]
    return f"## {content['name']}\n\n" + table(header, body)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--name", default="speed", help="of the result files")
    parser.add_argument("--efforts", "--effort", default="1,5", help="of nfc, default 1,5")
    add_nfc_options(parser, "50")
    parser.add_argument("--sizes", default="0.1,0.4,1.5,6,12", help="megapixels")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peers", default=PEERS, help=f"default {PEERS}; none for no peers")
    parser.add_argument("--work", type=Path, help="working folder, default work-NAME (git-ignored)")
    args = parser.parse_args()
    args.efforts, args.threads = whole_numbers(args.efforts), whole_numbers(args.threads)
    args.sizes = sorted({float(size) for size in args.sizes.split(",")})
    args.peers = [name for name in args.peers.split(",") if name not in ("", "none")]
    if not args.qualities.isdigit():
        parser.error("one quality, please")
    return args


def main() -> int:
    """Measure, write the results, print the table."""
    if sys.argv[1:2] == ["--worker"]:
        print(json.dumps(warm_worker(Job(**json.loads(sys.argv[2])))))
        return 0
    args = parse()
    work = args.work or ROOT / f"work-{args.name}"
    (work / "originals").mkdir(parents=True, exist_ok=True)
    originals = sources.images(args.folder, work / "originals", args.limit or 1)
    pictures = {size: sources.resized(originals, size, work / f"{size:g}") for size in args.sizes}
    (tiny,) = sources.resized(originals[:1], TINY, work / "tiny")
    build = build_fingerprint()
    log = WorkLog(work / "rows.jsonl", None if args.any_build else build)
    small = pictures[args.sizes[0]][0]
    contestants = choose(settings_of(args, args.efforts), int(args.qualities), args.peers, small, work)
    rows = Plan(work, log, build, contestants, pictures, tiny.path, args.threads, args.repeats).run()
    content = {
        "name": args.name,
        "command": plain_command(["speed.py", *sys.argv[1:]]),
        "date": today(),
        "machine": describe(),
        "builds": sorted({row["build"] for row in rows if "build" in row}),
        "codecs": {who.name: f"{who.config}, quality {who.quality}" for who in contestants},
        "threads": args.threads,
        "files": [s.name for s in originals],
        "means": means_of(rows),
        "rows": rows,
    }
    write_json(args.results / f"{args.name}.json", content)
    plots.draw_speed(content, args.results / args.name)
    print(show(content))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BenchmarkError as error:
        say(f"speed.py: {error}")
        sys.exit(1)
