"""Rate–distortion and time of the installed ``nfc`` against other codecs, on real files.

    python benchmarks/rd.py images DIR --name kodak [--qualities 10,30,50,70,90] [--effort 5] [--limit N]
    python benchmarks/rd.py audio  DIR --name speech
    python benchmarks/rd.py video  DIR --name video --frames 50

Every number comes from files on disk: nfc encodes and decodes in separate processes, and quality is measured
here from what the decoder wrote. Several files share one nfc process (``--chunk``), so that start-up is paid
once; the first file is also run alone, for time and memory with start-up. Finished rows go to the working
folder, so an interrupted run goes on; a changed build of nfc is measured again.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import measure
import plots
import sources
from machine import BenchmarkError, build_fingerprint, checked, describe
from nfc_tool import NfcTool, claims
from peers import IMAGE_PEERS, VIDEO_PEERS, Peer, audio_peers
from results import WorkLog, deltas, means, plain_command, report, say, today, write_json
from sources import Source

ROOT = Path(__file__).resolve().parent.parent
DEFAULT_PEERS = {"images": "jpeg,webp,avif", "audio": "mp3,opus", "video": "x264"}
Score = Callable[[Source, Path, bool], dict[str, float]]


@dataclass(frozen=True)
class Kind:
    """What differs between images, audio and video."""

    name: str
    rate_unit: str
    score_name: str
    decoded_suffix: str
    score: Score


KINDS = {
    "images": Kind("images", "bpp", "psnr", ".png", lambda s, p, _: measure.image(s, p)),
    "audio": Kind("audio", "kbps", "snr", ".wav", measure.sound),
    "video": Kind("video", "kbps", "psnr", ".mkv", lambda s, p, _: measure.video(s, p)),
}


@dataclass(frozen=True)
class Run:
    """One benchmark run: where things are, and what has been measured."""

    kind: Kind
    work: Path
    log: WorkLog
    tool: NfcTool
    build: str
    originals: list[Source]

    def row(self, codec: str, config: str, source: Source, quality: int, size: int, **more: Any) -> dict[str, Any]:
        """A row as it is written to disk."""
        rate = 8 * size / source.extent
        fixed = {"codec": codec, "config": config, "file": source.name, "source": source.id, "quality": quality}
        return {**fixed, "bytes": size, "rate": rate, **more}


def measure_peer(run: Run, peer: Peer, quality: int, source: Source) -> None:
    """Encode, decode and score one file with another codec."""
    stem = f"{peer.name}-{quality}-{source.path.stem}"
    coded, decoded = run.work / f"{stem}{peer.suffix}", run.work / f"{stem}-decoded{peer.decoded_suffix}"
    encode_seconds = peer.encode(source.path, coded, quality)
    shown, decode_seconds = peer.decode(coded, decoded)
    scores = run.kind.score(source, shown, peer.aligns)
    size = coded.stat().st_size
    times = {"encode_seconds": encode_seconds, "decode_seconds": decode_seconds}
    run.log.add(run.row(peer.name, peer.note, source, quality, size, **scores, **times))
    coded.unlink()
    decoded.unlink(missing_ok=True)


def measure_nfc(run: Run, quality: int, group: list[Source]) -> None:
    """Encode and decode a few files, each step in one nfc process, and score what was decoded."""
    folder = run.work / f"nfc-{quality}"
    (folder / "out").mkdir(parents=True, exist_ok=True)
    encoded, encoder = run.tool.encode([s.path for s in group], folder, quality)
    files = {s.path: encoded[s.path]["output"] for s in group}
    decoded, decoder = run.tool.decode(list(files.values()), folder / "out", run.kind.decoded_suffix)
    for source in group:
        line, back = encoded[source.path], decoded[files[source.path]]
        size = files[source.path].stat().st_size
        scores = run.kind.score(source, back["output"], False)
        wrong = claims(line, size, scores)
        if wrong:
            say(f"warning: {source.name} at quality {quality}: nfc claims {'; '.join(wrong)}")
        more = {
            "encode_seconds": line["seconds"],
            "decode_seconds": back["seconds"],
            "encode_process": {"files": len(group), "seconds": encoder.seconds, "peak_mb": encoder.peak_mb},
            "decode_process": {"files": len(group), "seconds": decoder.seconds, "peak_mb": decoder.peak_mb},
            "init": line.get("init"),
            "build": run.build,
            "wrong_claims": wrong,
        }
        run.log.add(run.row("nfc", run.tool.config, source, quality, size, **scores, **more))
        back["output"].unlink()


def measure_alone(run: Run, quality: int) -> dict[str, Any]:
    """The first file in processes of its own: wall time with start-up, and peak memory."""
    source, folder = run.originals[0], run.work / "alone"
    key = ("nfc-alone", run.tool.config, source.id, quality)
    if key in run.log:
        return dict(run.log.rows[key])
    folder.mkdir(exist_ok=True)
    coded, decoded = folder / "alone.nfc", folder / f"alone{run.kind.decoded_suffix}"
    coded.unlink(missing_ok=True)
    decoded.unlink(missing_ok=True)
    encoder = checked(run.tool.encode_command([source.path], quality, "-o", coded))
    decoder = checked(run.tool.decode_command([coded], "-o", decoded))
    more = {
        "encode_seconds": encoder.seconds,
        "encode_cpu_seconds": encoder.cpu_seconds,
        "encode_peak_mb": encoder.peak_mb,
        "decode_seconds": decoder.seconds,
        "decode_cpu_seconds": decoder.cpu_seconds,
        "decode_peak_mb": decoder.peak_mb,
        "build": run.build,
    }
    row = run.row("nfc-alone", run.tool.config, source, quality, coded.stat().st_size, **more)
    run.log.add(row)
    return row


def jobs_of(run: Run, peers: list[Peer], qualities: list[int], chunk: int) -> list[Callable[[], None]]:
    """Everything that is not in the work log yet."""
    todo: list[Callable[[], None]] = []
    for peer in peers:
        for quality in peer.qualities:
            missing = [s for s in run.originals if (peer.name, peer.note, s.id, quality) not in run.log]
            todo += [partial(measure_peer, run, peer, quality, source) for source in missing]
    for quality in qualities:
        missing = [s for s in run.originals if ("nfc", run.tool.config, s.id, quality) not in run.log]
        groups = (missing[i : i + chunk] for i in range(0, len(missing), chunk))
        todo += [partial(measure_nfc, run, quality, group) for group in groups]
    return todo


def execute(todo: list[Callable[[], None]], jobs: int) -> None:
    """Run all, ``jobs`` at a time; the first failure ends the run."""
    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(job) for job in todo]
        try:
            said = time.monotonic()
            for done, future in enumerate(futures, start=1):
                future.result()
                if time.monotonic() - said > 30 or done == len(todo):
                    said = time.monotonic()
                    say(f"{done} of {len(todo)}")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def load_originals(args: argparse.Namespace, work: Path) -> list[Source]:
    """The plain lossless originals of the run."""
    folder = work / "originals"
    folder.mkdir(parents=True, exist_ok=True)
    if args.kind == "images":
        return sources.images(args.folder, folder, args.limit)
    if args.kind == "audio":
        return sources.sounds(args.folder, folder, args.limit)
    return sources.videos(args.folder, folder, args.limit, args.frames, args.seconds, args.fps)


def choose_peers(args: argparse.Namespace, originals: list[Source]) -> list[Peer]:
    """The peers asked for, in that order."""
    if args.kind == "audio":
        known: tuple[Peer, ...] = audio_peers(low_rate=max(s.size[1] for s in originals) <= 24_000)
    else:
        known = IMAGE_PEERS if args.kind == "images" else VIDEO_PEERS
    by_name = {peer.name: peer for peer in known}
    names = [name for name in (args.peers or DEFAULT_PEERS[args.kind]).split(",") if name not in ("", "none")]
    unknown = [name for name in names if name not in by_name]
    if unknown:
        raise BenchmarkError(f"unknown peers {', '.join(unknown)}; known: {', '.join(by_name)}")
    return [by_name[name] for name in names]


def published_curves(arguments: list[str]) -> dict[str, tuple[list[float], list[float]]]:
    """Curves from FILE::CODEC[::LABEL], FILE holding {"codecs": {CODEC: {"bpp": […], "psnr": […]}}}."""
    curves = {}
    for argument in arguments:
        path, codec, label = (argument.split("::") + [""])[:3]
        entry = json.loads(Path(path).read_text())["codecs"][codec]
        curves[label or codec] = (entry["bpp"], entry["psnr"])
    return curves


def collect(args: argparse.Namespace, run: Run, peers: list[Peer], alone: dict[str, Any] | None) -> dict[str, Any]:
    """The content of the result file: only rows that belong to this run."""
    wanted = {("nfc", run.tool.config, s.id, q) for s in run.originals for q in args.qualities if args.nfc}
    wanted |= {(p.name, p.note, s.id, q) for p in peers for s in run.originals for q in p.qualities}
    rows = [row for key, row in run.log.rows.items() if key in wanted]
    score = run.kind.score_name
    mean_rows = means(rows, score)
    notes = {"nfc": run.tool.config} if args.nfc else {}
    notes |= {p.name: p.note for p in peers}
    return {
        "name": args.name,
        "command": plain_command(["rd.py", *sys.argv[1:]]),
        "date": today(),
        "machine": describe(),
        "builds": sorted({row["build"] for row in rows if "build" in row}),
        "score": score,
        "rate_unit": run.kind.rate_unit,
        "jobs": args.jobs,
        "codecs": notes,
        "files": [s.name for s in run.originals],
        "alone": alone,
        "deltas": deltas(mean_rows, score, published_curves(args.published)),
        "means": mean_rows,
        "rows": rows,
    }


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="kind", required=True)
    for kind in KINDS:
        sub = kinds.add_parser(kind)
        sub.add_argument("folder", type=Path)
        sub.add_argument("--name", required=True, help="of the result files")
        sub.add_argument("--qualities", default="10,30,50,70,90", help="of nfc")
        sub.add_argument("--effort", type=int, default=5)
        sub.add_argument("--limit", type=int, help="use the first N files only")
        sub.add_argument("--peers", help=f"default {DEFAULT_PEERS[kind]}; none for no peers")
        sub.add_argument("--jobs", type=int, default=1, help="at a time; more than 1 disturbs the timings")
        sub.add_argument("--chunk", type=int, default=8, help="files per nfc process")
        sub.add_argument("--nfc", default="nfc", help="the command; an empty text measures the peers alone")
        sub.add_argument("--field-args", default="", help="further options for nfc encode, in one text")
        sub.add_argument("--work", type=Path, help="working folder, default work-rd-NAME (git-ignored)")
        sub.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
        sub.add_argument("--any-build", action="store_true", help="take nfc rows of other builds from the work log")
        sub.add_argument("--published", action="append", default=[], metavar="FILE::CODEC[::LABEL]")
        if kind == "video":
            sub.add_argument("--frames", type=int, help="cut each clip to N frames")
            sub.add_argument("--seconds", type=float, help="cut each clip to S seconds")
            sub.add_argument("--fps", type=float, default=24.0, help="of folders of numbered frames")
    args = parser.parse_args(arguments)
    args.qualities = sorted({int(q) for q in args.qualities.split(",")})
    return args


def main() -> int:
    """Measure, write the results, print the table."""
    args = parse()
    work = args.work or ROOT / f"work-rd-{args.name}"
    originals = load_originals(args, work)
    peers = choose_peers(args, originals)
    extra = tuple(shlex.split(args.field_args)) + (("--strip", "sound") if args.kind == "video" else ())
    tool = NfcTool(tuple(shlex.split(args.nfc)), args.effort, extra)
    if args.nfc and not tool.available():
        raise BenchmarkError(f"no command {tool.command[0]}; install nfc, or pass --nfc '' for the peers alone")
    build = build_fingerprint()
    log = WorkLog(work / "rows.jsonl", None if args.any_build else build)
    run = Run(KINDS[args.kind], work, log, tool, build, originals)
    alone = measure_alone(run, args.qualities[len(args.qualities) // 2]) if args.nfc else None
    execute(jobs_of(run, peers, args.qualities if args.nfc else [], args.chunk), args.jobs)
    content = collect(args, run, peers, alone)
    write_json(args.results / f"{args.name}.json", content)
    plots.draw(content, published_curves(args.published), args.results / args.name)
    print(report(content))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BenchmarkError as error:
        say(f"rd.py: {error}")
        sys.exit(1)
