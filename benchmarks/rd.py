"""Rate–distortion and time of the installed ``nfc`` against other codecs, on real files.

    python benchmarks/rd.py images DIR --name kodak [--qualities 10,30,50,70,90] [--efforts 1,5] [--limit N]
                                [--score ssimulacra2 --span 30,85 --peers jpeg,webp,jxl,avif]
                                [--score butteraugli --span=-2.5,-0.6, with --work of the line before: codes nothing]
    python benchmarks/rd.py audio  DIR --name sound-speech …    is benchmarks/sound.py, with its options
    python benchmarks/rd.py video  DIR --name video --frames 33 [--score psnr_yuv]
    options:  --field-args "--field siren"                   to every nfc encode
              --published-from rd_kodak.json "BPG 4:4:4=BPG" C3    curves of others, with labels or without
              --peers-from work-rd-kodak                     take the other codecs' rows from an earlier run

Every number comes from files on disk: nfc encodes and decodes in separate processes, and quality is measured
here from what the decoder wrote. Several files share one nfc process (``--chunk``), so that start-up is paid
once; the first file is also run alone, for time and memory with start-up. Finished rows go to the working
folder, so an interrupted run goes on; a changed build of nfc is measured again.

Writes NAME.json, NAME.csv (every file), NAME-bd.csv (BD of every file), NAME.svg and NAME.png to benchmarks/results.
"""

from __future__ import annotations

import argparse
import hashlib
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import plots
import sources
from kinds import IMAGE_SCORES, KINDS, LOOKS, VIDEO_SCORES, Kind, kind_of
from machine import BenchmarkError, build_fingerprint, checked, describe
from nfc_tool import NfcTool, claims
from peers import IMAGE_PEERS, VIDEO_PEERS, Peer
from results import (
    Row,
    WorkLog,
    codecs_of,
    deltas,
    file_deltas,
    is_nfc,
    key_of,
    means,
    plain_command,
    published_curves,
    report,
    say,
    span,
    stored_rows,
    today,
    whole_numbers,
    write_json,
    write_tables,
)
from sources import Source

ROOT = Path(__file__).resolve().parent.parent
DEFAULT_PEERS = {"images": "jpeg,webp,jxl,avif-psnr", "video": "x264-32,x265-32"}


@dataclass(frozen=True)
class Setting(NfcTool):
    """One way to run nfc, a curve of its own. ``decode_args`` go to every decode."""

    decode_args: tuple[str, ...] = ()

    @property
    def config(self) -> str:
        """Effort and options; a file among them by its name and content, which may change under the name."""
        return " ".join((f"-e {self.effort}", *map(_settled, self.encode_args)))

    def decode_command(self, inputs: Sequence[Path], *target: str | Path) -> list[str]:
        """The command line with ``decode_args``."""
        return [*super().decode_command(inputs, *target), *self.decode_args]


def _settled(argument: str) -> str:
    path = Path(argument)
    return f"{path.name}@{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}" if path.is_file() else argument


@dataclass(frozen=True)
class Run:
    """One benchmark run: where things are, and what has been measured."""

    kind: Kind
    work: Path
    log: WorkLog
    settings: tuple[Setting, ...]
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


def measure_nfc(run: Run, setting: Setting, quality: int, group: list[Source]) -> None:
    """Encode and decode a few files, each step in one nfc process, and score what was decoded."""
    folder = run.work / f"nfc-{setting.effort}-{quality}"
    (folder / "out").mkdir(parents=True, exist_ok=True)
    encoded, encoder = setting.encode([s.path for s in group], folder, quality)
    files = {s.path: encoded[s.path]["output"] for s in group}
    decoded, decoder = setting.decode(list(files.values()), folder / "out", run.kind.decoded_suffix)
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
        run.log.add(run.row("nfc", setting.config, source, quality, size, **scores, **more))
        back["output"].unlink()


def measure_alone(run: Run, setting: Setting, quality: int) -> dict[str, Any]:
    """The first file in processes of its own: wall time with start-up, and peak memory."""
    source, folder = run.originals[0], run.work / "alone"
    key = ("nfc-alone", setting.config, source.id, quality)
    if key in run.log:
        return dict(run.log.rows[key])
    folder.mkdir(exist_ok=True)
    coded, decoded = folder / "alone.nfc", folder / f"alone{run.kind.decoded_suffix}"
    coded.unlink(missing_ok=True)
    decoded.unlink(missing_ok=True)
    encoder = checked(setting.encode_command([source.path], quality, "-o", coded))
    decoder = checked(setting.decode_command([coded], "-o", decoded))
    more = {
        "encode_seconds": encoder.seconds,
        "encode_cpu_seconds": encoder.cpu_seconds,
        "encode_peak_mb": encoder.peak_mb,
        "decode_seconds": decoder.seconds,
        "decode_cpu_seconds": decoder.cpu_seconds,
        "decode_peak_mb": decoder.peak_mb,
        "build": run.build,
    }
    row = run.row("nfc-alone", setting.config, source, quality, coded.stat().st_size, **more)
    run.log.add(row)
    return row


def jobs_of(run: Run, peers: list[Peer], qualities: list[int], chunk: int) -> list[Callable[[], None]]:
    """Everything that is not in the work log yet."""
    todo: list[Callable[[], None]] = []
    for peer in peers:
        for quality in peer.qualities:
            missing = [s for s in run.originals if (peer.name, peer.note, s.id, quality) not in run.log]
            todo += [partial(measure_peer, run, peer, quality, source) for source in missing]
    for setting in run.settings:
        for quality in qualities:
            missing = [s for s in run.originals if ("nfc", setting.config, s.id, quality) not in run.log]
            groups = (missing[i : i + chunk] for i in range(0, len(missing), chunk))
            todo += [partial(measure_nfc, run, setting, quality, group) for group in groups]
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
    return sources.videos(args.folder, folder, args.limit, args.frames, args.seconds, args.fps)


def choose_peers(args: argparse.Namespace) -> list[Peer]:
    """The peers asked for, in that order."""
    known: tuple[Peer, ...] = IMAGE_PEERS if args.kind == "images" else VIDEO_PEERS
    if args.score in LOOKS:
        known = tuple(replace(peer, qualities=peer.looks or peer.qualities) for peer in known)
    by_name = {peer.name: peer for peer in known}
    names = [name for name in (args.peers or DEFAULT_PEERS[args.kind]).split(",") if name not in ("", "none")]
    unknown = [name for name in names if name not in by_name]
    if unknown:
        raise BenchmarkError(f"unknown peers {', '.join(unknown)}; known: {', '.join(by_name)}")
    return [by_name[name] for name in names]


def reuse(run: Run, peers: list[Peer], paths: list[Path]) -> list[dict[str, Any]]:
    """Take what earlier runs measured of the same originals with the same peers; say what they were."""
    here, taken = describe(), []
    wanted = {(p.name, p.note, s.id, q) for p in peers for s in run.originals for q in p.qualities}
    for path in paths:
        rows, about = stored_rows(path)
        fitting = [row for row in rows if key_of(row) in wanted and run.kind.score_name in row]
        used = [row for row in fitting if key_of(row) not in run.log]
        for row in used:
            run.log.add({**row, "from": about["name"]})
        say(f"{len(used)} rows of other codecs from {path.name}")
        there = about.get("machine") or here
        for name in ("cpu", "cores", "pillow"):
            if there.get(name) != here[name]:
                say(f"warning: they were made with {name} {there.get(name)}, not {here[name]}")
        taken.append(about)
    return taken


def labelled(run: Run, rows: list[Row]) -> tuple[list[Row], dict[str, str]]:
    """The rows with a curve's name as codec, and the settings of nfc by that name.

    One setting is called nfc, several by their efforts: "nfc -e 1".
    """
    several = len(run.settings) > 1
    names = {s.config: f"nfc -e {s.effort}" if several else "nfc" for s in run.settings}
    named = [{**row, "codec": names[row["config"]]} if is_nfc(row["codec"]) else row for row in rows]
    return named, {name: config for config, name in names.items()}


def chosen_rows(run: Run, peers: list[Peer], qualities: list[int]) -> list[Row]:
    """Rows that belong to this run; the work log may hold more."""
    wanted = {("nfc", setting.config, s.id, q) for setting in run.settings for s in run.originals for q in qualities}
    wanted |= {(p.name, p.note, s.id, q) for p in peers for s in run.originals for q in p.qualities}
    return [row for key, row in run.log.rows.items() if key in wanted]


def collect(args: argparse.Namespace, run: Run, peers: list[Peer], **more: Any) -> dict[str, Any]:
    """The content of the result file; ``more`` goes before the deltas."""
    rows, notes = labelled(run, chosen_rows(run, peers, args.qualities))
    score = run.kind.score_name
    mean_rows = means(rows, score)
    notes |= {p.name: p.note for p in peers}
    return {
        "name": args.name,
        "command": plain_command(["rd.py", *sys.argv[1:]]),
        "date": today(),
        "machine": describe(),
        "builds": sorted({row["build"] for row in rows if "build" in row}),
        "score": score,
        "span": args.span,
        "rate_unit": run.kind.rate_unit,
        "jobs": args.jobs,
        "codecs": notes,
        "files": [s.name for s in run.originals],
        **more,
        "deltas": deltas(
            rows, mean_rows, score, published_curves(args.published, args.published_from), args.span
        ),
        "means": mean_rows,
        "file_deltas": file_deltas(rows, codecs_of(mean_rows), score, args.span),
        "rows": rows,
    }


def write_results(args: argparse.Namespace, content: dict[str, Any]) -> None:
    """JSON, two tables as CSV, and the plot."""
    stem = args.results / args.name
    write_json(stem.with_name(f"{args.name}.json"), content)
    write_tables(stem, content)
    plots.draw(content, published_curves(args.published, args.published_from), stem)


def add_nfc_options(parser: argparse.ArgumentParser, qualities: str) -> None:
    """What every benchmark of nfc takes."""
    parser.add_argument("--qualities", default=qualities, help=f"of nfc, default {qualities}")
    parser.add_argument("--limit", type=int, help="use the first N files only")
    parser.add_argument("--nfc", default="nfc", help="the command")
    parser.add_argument("--field-args", default="", help="further options for nfc encode, in one text")
    parser.add_argument("--decode-args", default="", help="further options for nfc decode, in one text")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--any-build", action="store_true", help="take nfc rows of other builds from the work log")


def settings_of(args: argparse.Namespace, efforts: Sequence[int], *encode: str) -> tuple[Setting, ...]:
    """nfc at each effort; ``encode`` goes to every encode, after what the command line says."""
    command = tuple(shlex.split(args.nfc))
    extra, decode = (*shlex.split(args.field_args), *encode), tuple(shlex.split(args.decode_args))
    settings = tuple(Setting(command, effort, extra, decode) for effort in efforts)
    if not settings[0].available():
        raise BenchmarkError(f"no command {command[0]}; install nfc or name it with --nfc")
    return settings


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="kind", required=True)
    for kind in KINDS:
        sub = kinds.add_parser(kind)
        sub.add_argument("folder", type=Path)
        sub.add_argument("--name", required=True, help="of the result files")
        add_nfc_options(sub, "10,30,50,70,90")
        sub.add_argument("--efforts", "--effort", default="5", help="of nfc, each a curve of its own; default 5")
        sub.add_argument("--peers", help=f"default {DEFAULT_PEERS[kind]}; none for no peers")
        sub.add_argument("--jobs", type=int, default=1, help="at a time; more than 1 disturbs the timings")
        sub.add_argument("--chunk", type=int, default=8, help="files per nfc process")
        sub.add_argument("--work", type=Path, help="working folder, default work-rd-NAME (git-ignored)")
        sub.add_argument("--peers-from", action="append", default=[], type=Path, metavar="PATH",
                         help="result file or working folder of an earlier run of the same files")  # fmt: skip
        sub.add_argument("--published", action="append", default=[], metavar="FILE::CODEC[::LABEL]")
        sub.add_argument("--published-from", action="append", default=[], nargs="+", metavar="FILE CODEC[=LABEL]")
        sub.add_argument("--span", type=span, metavar="LOW,HIGH", help="scores that BD covers; default: all")
        sub.set_defaults(score=KINDS[kind].score_name)
        if kind == "images":
            sub.add_argument("--score", choices=IMAGE_SCORES, default="psnr", help="default psnr")
        if kind == "video":
            sub.add_argument("--score", choices=VIDEO_SCORES, default="psnr", help="of curves, default psnr")
            sub.add_argument("--frames", type=int, help="cut each clip to N frames")
            sub.add_argument("--seconds", type=float, help="cut each clip to S seconds")
            sub.add_argument("--fps", type=float, default=24.0, help="of folders of numbered frames")
    args = parser.parse_args(arguments)
    args.qualities, args.efforts = whole_numbers(args.qualities), whole_numbers(args.efforts)
    return args


def main() -> int:
    """Measure, write the results, print the table."""
    if sys.argv[1:2] == ["audio"]:
        import sound  # it needs packages of its own

        return sound.main(sys.argv[2:])
    args = parse()
    work = args.work or ROOT / f"work-rd-{args.name}"
    originals = load_originals(args, work)
    peers = choose_peers(args)
    published_curves(args.published, args.published_from)  # a wrong name should end the run now and not after hours
    without_sound = ("--strip", "sound") if args.kind == "video" else ()
    settings = settings_of(args, args.efforts, *without_sound) if args.nfc else ()
    build = build_fingerprint()
    log = WorkLog(work / "rows.jsonl", None if args.any_build else build)
    run = Run(kind_of(args.kind, args.score), work, log, settings, build, originals)
    earlier = reuse(run, peers, args.peers_from)
    middle = args.qualities[len(args.qualities) // 2]
    alone = [measure_alone(run, setting, middle) for setting in settings]
    execute(jobs_of(run, peers, args.qualities, args.chunk), args.jobs)
    content = collect(args, run, peers, alone=alone, peers_from=earlier)
    write_results(args, content)
    print(report(content))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BenchmarkError as error:
        say(f"rd.py: {error}")
        sys.exit(1)
