"""What each effort buys: quality against encoding time on one set of pictures.

    python benchmarks/efforts.py DIR --name efforts [--efforts 1,2,3,4,5,6,7,8,9] [--qualities 25,50,75] [--limit N]

Real files through the ``nfc`` command, as in rd.py; finished rows go to the working folder. Every effort's curve is
compared with that of the lowest one: BD-rate of the means, the mean of the files' own BD-rates, the worst file, and
at each quality the PSNR. Writes NAME.json, NAME.svg and NAME.png to benchmarks/results.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from statistics import fmean
from typing import Any

import plots
import sources
from machine import BenchmarkError, build_fingerprint, describe
from rd import (
    KINDS,
    ROOT,
    Run,
    add_nfc_options,
    chosen_rows,
    execute,
    jobs_of,
    labelled,
    settings_of,
)
from results import (
    Row,
    WorkLog,
    curve,
    delta,
    means,
    plain_command,
    say,
    signed,
    table,
    today,
    whole_numbers,
    write_json,
)

LEVEL = {"bd_rate_percent": 0.0, "bd_db": 0.0, "db_range": None, "left_out": 0, "reason": None}
SAME = 0.005  # dB; less is rounding


def _file_gains(rows: list[Row], first: str, codec: str) -> list[float]:
    """BD-rate in percent of each file on its own, where both curves overlap."""
    found = []
    for file in dict.fromkeys(row["file"] for row in rows):
        group = [row for row in rows if row["file"] == file]
        found.append(delta(curve(group, first, "psnr"), curve(group, codec, "psnr"))["bd_rate_percent"])
    return [value for value in found if value is not None]


def _worse(rows: list[Row], below: str, codec: str) -> int:
    """Files and qualities at which the effort gives a file that is larger and not better, or worse and not smaller."""
    by_key = {(row["codec"], row["source"], row["quality"]): row for row in rows}
    count = 0
    for (name, source, quality), row in by_key.items():
        if name == codec:
            other = by_key[below, source, quality]
            gain, bytes_more = row["psnr"] - other["psnr"], row["bytes"] - other["bytes"]
            count += (bytes_more > 0 and gain <= SAME) or (gain < -SAME and bytes_more >= 0)
    return count


def compare(rows: list[Row], names: dict[int, str]) -> list[dict[str, Any]]:
    """One entry per effort: time, and rate at equal PSNR against the lowest effort; ``names``: effort to codec."""
    mean_rows, efforts, result = means(rows, "psnr"), list(names), []
    first = names[efforts[0]]
    for effort, codec in names.items():
        own = [m for m in mean_rows if m["codec"] == codec]
        times = {name: fmean(m[name] for m in own) for name in ("encode_seconds", "decode_seconds")}
        entry: dict[str, Any] = {"effort": effort, **times, "bytes": fmean(m["bytes"] for m in own)}
        entry["psnr"] = fmean(m["psnr"] for m in own)
        if codec == first:
            result.append({**entry, **LEVEL, "files_bd_rate_percent": 0.0, "worst_file_percent": 0.0, "worse": 0})
            continue
        gains = _file_gains(rows, first, codec)
        entry |= delta(curve(mean_rows, first, "psnr"), curve(mean_rows, codec, "psnr"))
        entry["files_bd_rate_percent"] = round(fmean(gains), 3) if gains else None
        entry["worst_file_percent"] = max(gains, default=None)
        entry["worse"] = _worse(rows, names[efforts[efforts.index(effort) - 1]], codec)
        result.append(entry)
    return result


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--name", default="efforts", help="of the result files")
    parser.add_argument("--efforts", default="1,2,3,4,5,6,7,8,9")
    add_nfc_options(parser, "25,50,75")
    parser.add_argument("--jobs", type=int, default=1, help="at a time; more than 1 disturbs the timings")
    parser.add_argument("--chunk", type=int, default=8, help="files per nfc process")
    parser.add_argument("--work", type=Path, help="working folder, default work-NAME (git-ignored)")
    args = parser.parse_args()
    args.qualities, args.efforts = whole_numbers(args.qualities), whole_numbers(args.efforts)
    if len(args.efforts) < 2 or len(args.qualities) < 2:
        parser.error("a comparison needs two or more efforts and two or more qualities")
    return args


def show(content: dict[str, Any]) -> str:
    """The result as Markdown; "worse" counts files beaten by the effort below."""
    header = ["effort", "encode s", "decode s", "BD-rate", "BD", "mean of files", "worst file", "worse"]
    body = [
        (e["effort"], f"{e['encode_seconds']:.3g}", f"{e['decode_seconds']:.3g}", signed(e["bd_rate_percent"], "%"),
         signed(e["bd_db"], "dB"), signed(e["files_bd_rate_percent"], "%"), signed(e["worst_file_percent"], "%"),
         e["worse"])
        for e in content["efforts"]
    ]  # fmt: skip
    return f"## {content['name']}\n\n" + table(header, body)


def main() -> int:
    """Measure, write the results, print the table."""
    args = parse()
    work = args.work or ROOT / f"work-{args.name}"
    (work / "originals").mkdir(parents=True, exist_ok=True)
    originals = sources.images(args.folder, work / "originals", args.limit)
    build = build_fingerprint()
    log = WorkLog(work / "rows.jsonl", None if args.any_build else build)
    run = Run(KINDS["images"], work, log, settings_of(args, args.efforts), build, originals)
    execute(jobs_of(run, [], args.qualities, args.chunk), args.jobs)
    rows, notes = labelled(run, chosen_rows(run, [], args.qualities))
    content = {
        "name": args.name,
        "command": plain_command(["efforts.py", *sys.argv[1:]]),
        "date": today(),
        "machine": describe(),
        "builds": sorted({row["build"] for row in rows}),
        "codecs": notes,
        "files": [s.name for s in originals],
        "efforts": compare(rows, dict(zip(args.efforts, notes, strict=True))),
        "means": means(rows, "psnr"),
        "rows": rows,
    }
    write_json(args.results / f"{args.name}.json", content)
    plots.draw_efforts(content, args.results / args.name)
    print(show(content))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BenchmarkError as error:
        say(f"efforts.py: {error}")
        sys.exit(1)
