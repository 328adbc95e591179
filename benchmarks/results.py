"""Rows on disk while a run goes on; means, Bjøntegaard deltas and tables when it is done."""

from __future__ import annotations

import csv
import json
import math
import re
import shlex
import sys
import threading
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from statistics import fmean
from typing import Any

from bjontegaard import bd_psnr, bd_rate
from machine import BenchmarkError

from nfcodec.errors import OptionError

Row = dict[str, Any]
Key = tuple[str, str, str, int]
Curve = tuple[list[float], list[float]]  # rates, decibels


def key_of(row: Row) -> Key:
    """What makes a row the same measurement: codec, its settings, the original's bytes, quality."""
    return row["codec"], row["config"], row["source"], row["quality"]


class WorkLog:
    """Finished rows as JSON lines, so that an interrupted run goes on where it stopped.

    Rows that another ``build`` of nfc gave are left aside; None takes them all.
    """

    def __init__(self, path: Path, build: str | None) -> None:
        self.path, self.rows = path, dict[Key, Row]()
        self._lock = threading.Lock()
        if path.exists():
            for line in path.read_text().splitlines():
                try:
                    row = json.loads(line)
                except json.JSONDecodeError:  # the last line of a run that was cut off
                    continue
                if build is None or row.get("build", build) == build:
                    self.rows[key_of(row)] = row

    def add(self, row: Row) -> None:
        """Keep a row in memory and on disk."""
        with self._lock, open(self.path, "a") as file:
            file.write(json.dumps(row) + "\n")
            self.rows[key_of(row)] = row

    def __contains__(self, key: Key) -> bool:
        return key in self.rows


def stored_rows(path: Path) -> tuple[list[Row], Row]:
    """Rows of an earlier run and what it says of itself.

    ``path``: a working folder, its rows.jsonl (which says nothing of itself), or a result file.
    """
    path = path / "rows.jsonl" if path.is_dir() else path
    if path.suffix == ".jsonl":
        return list(WorkLog(path, None).rows.values()), {"name": path.parent.name}
    content = json.loads(path.read_text(encoding="utf-8"))
    rows = [{name: _number(value) for name, value in row.items()} for row in content["rows"]]
    return rows, {name: content.get(name) for name in ("name", "date", "machine")}


def is_nfc(codec: str) -> bool:
    """Whether a curve is one of ours: "nfc" or, with several settings in a run, "nfc -e 5"."""
    return codec.split()[0] == "nfc"


def means(rows: Iterable[Row], score: str) -> list[Row]:
    """Per codec and quality: plain averages over files, files weighted equally."""
    groups: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["codec"], row["quality"]), []).append(row)
    result = []
    for (codec, quality), group in groups.items():
        mean = {name: fmean(r[name] for r in group) for name in ("bytes", "rate", score)}
        times = {name: fmean(r[name] for r in group) for name in ("encode_seconds", "decode_seconds")}
        result.append({"codec": codec, "quality": quality, "files": len(group), **mean, **times})
    return sorted(result, key=lambda m: (not is_nfc(m["codec"]), m["codec"], m["rate"]))


def curve(rows: Iterable[Row], codec: str, score: str) -> Curve:
    """(rates, decibels) of a codec in order of rate, from means or from the rows of one file."""
    points = sorted((m["rate"], m[score]) for m in rows if m["codec"] == codec)
    return [rate for rate, _ in points], [value for _, value in points]


def codecs_of(mean_rows: Sequence[Row]) -> list[str]:
    """The codecs in order of appearance."""
    return list(dict.fromkeys(m["codec"] for m in mean_rows))


def _pairs(codecs: Sequence[str]) -> list[tuple[str, str]]:
    """(ours, theirs): every curve of nfc against those of nfc before it and against all other codecs."""
    ours = [codec for codec in codecs if is_nfc(codec)]
    theirs = [codec for codec in codecs if not is_nfc(codec)]
    return [(own, other) for i, own in enumerate(ours) for other in (*ours[:i], *theirs)]


Span = tuple[float, float]


def span(text: str) -> Span:
    """30,85 → (30, 85)."""
    low, high = map(float, text.split(","))
    return low, high


def deltas(
    rows: Sequence[Row], mean_rows: Sequence[Row], score: str, published: dict[str, Curve], within: Span | None = None
) -> list[Row]:  # fmt: skip
    """BD of nfc's mean curve against every other one; negative bd_rate means that nfc needs less.

    ``files_bd_rate_percent`` is the mean over the files of each file's own BD-rate, which weighs files equally
    where the mean curve weighs those with many bits most. ``within``: the scores that are compared.
    """
    codecs = codecs_of(mean_rows)
    curves = {codec: curve(mean_rows, codec, score) for codec in codecs}
    each = file_deltas(rows, codecs, score, within)
    result = []
    for own, other in _pairs(codecs):
        found = [d["bd_rate_percent"] for d in each if (d["codec"], d["against"]) == (own, other)]
        usable = [value for value in found if value is not None]
        files = {"files_bd_rate_percent": round(fmean(usable), 3) if usable else None, "files": len(usable)}
        served = [d["no_worse_percent"] for d in each if (d["codec"], d["against"]) == (own, other)]
        known = [value for value in served if value is not None]
        files["files_no_worse_percent"] = round(fmean(known), 3) if known else None
        result.append(
            {"codec": own, "against": other, "published": False,
             **_of_means(curves[other], curves[own], within), **files}
        )
    for own in filter(is_nfc, codecs):
        fixed = {"codec": own, "published": True}
        others = published.items()
        result += [{**fixed, "against": name, **_of_means(theirs, curves[own], within)} for name, theirs in others]
    return result


def file_deltas(
    rows: Sequence[Row], codecs: Sequence[str], score: str, within: Span | None = None
) -> list[Row]:  # fmt: skip
    """BD of nfc against every other codec of the run, file by file."""
    by_file: dict[str, list[Row]] = {}
    for row in rows:
        by_file.setdefault(row["file"], []).append(row)
    return [
        {"file": file, "codec": own, "against": other,
         **delta(curve(group, other, score), curve(group, own, score), within)}
        for file, group in by_file.items()
        for own, other in _pairs(codecs)
    ]  # fmt: skip


def published_curves(single: Iterable[str], several: Iterable[Sequence[str]]) -> dict[str, Curve]:
    """Curves of files that hold {"codecs": {CODEC: {"bpp": […], "psnr": […]}}}, by label.

    ``single``: FILE::CODEC[::LABEL]. ``several``: FILE, then CODEC[=LABEL] any number of times.
    """
    wanted = [(argument.split("::") + [""])[:3] for argument in single]
    for path, *codecs in several:
        wanted += [[path, *codec.partition("=")[::2]] for codec in codecs]
    curves = {}
    for path, codec, label in wanted:
        known = json.loads(Path(path).read_text(encoding="utf-8"))["codecs"]
        if codec not in known:
            raise BenchmarkError(f"{Path(path).name} has no codec {codec}; it has: {', '.join(known)}")
        curves[label or codec] = (known[codec]["bpp"], known[codec]["psnr"])
    return curves


def _rising(points: Curve) -> Curve:
    """The curve without points that cost no less than another one and are no better, and without infinite ones.

    Single files have such points: two qualities may give the same bytes.
    """
    kept: list[tuple[float, float]] = []
    for rate, value in sorted(zip(*points, strict=True), key=lambda p: (p[0], -p[1])):
        if math.isfinite(value) and (not kept or value > kept[-1][1]):
            kept.append((rate, value))
    return [rate for rate, _ in kept], [value for _, value in kept]


def delta(theirs: Curve, ours: Curve, within: Span | None = None) -> Row:
    """Both deltas and the range of dB they are taken over, or the reason why there are none."""
    a, b = _rising(theirs), _rising(ours)
    served = {"no_worse_percent": no_worse(theirs, ours)}
    left_out = len(theirs[0]) - len(a[0]) + len(ours[0]) - len(b[0])
    try:
        rate, decibels = bd_rate(*a, *b, within), bd_psnr(*a, *b)
    except OptionError as error:
        none = {"bd_rate_percent": None, "bd_db": None, "db_range": None}
        return {**none, "left_out": left_out, "reason": str(error), **served}
    ends = [max(a[1][0], b[1][0]), min(a[1][-1], b[1][-1])]
    ends = ends if within is None else [max(ends[0], within[0]), min(ends[1], within[1])]
    covered = [round(end, 2) for end in ends]
    found = {"bd_rate_percent": round(rate, 3), "bd_db": round(decibels, 3), "db_range": covered}
    return {**found, "left_out": left_out, "reason": None, **served}


def _of_means(theirs: Curve, ours: Curve, within: Span | None = None) -> Row:
    """As :func:`delta`; one exact file makes a mean of decibels infinite, so what is no worse is told by files only."""
    return {name: value for name, value in delta(theirs, ours, within).items() if name != "no_worse_percent"}


def no_worse(theirs: Curve, ours: Curve) -> float | None:
    """How many percent more bytes the smallest of our files takes that is at least as good as each of theirs.

    The geometric mean over those of theirs that any of ours reaches; it counts exact files, which have no place on a
    curve of decibels, and unlike BD-rate takes nothing from between two qualities.
    """
    gaps = []
    for rate, value in zip(*theirs, strict=True):
        enough = [r for r, v in zip(*ours, strict=True) if v >= value]
        if enough:
            gaps.append(math.log(min(enough) / rate))
    return round(100.0 * math.expm1(fmean(gaps)), 3) if gaps else None


def _plain(argument: str) -> str:
    """An argument with every path in it cut to its last part."""
    if Path(argument.partition("::")[0]).exists():
        return Path(argument).name
    return re.sub(r"(?<![^\s=])[.~]{0,2}/(?:[^\s/]+/)*", "", argument)


def plain_command(arguments: Sequence[str]) -> str:
    """The command line with every path cut to its last part."""
    return shlex.join(map(_plain, arguments))


def today() -> str:
    """Date and time in UTC, to the minute."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%MZ")


def _finite(value: Any) -> Any:
    """JSON has no infinity: write it as a string."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    return [_finite(v) for v in value] if isinstance(value, list) else value


def _number(value: Any) -> Any:
    """The float behind what :func:`_finite` wrote."""
    return float(value) if value in ("inf", "-inf", "nan") else value


def write_tables(stem: Path, content: Row) -> None:
    """The rows of a run as ``stem``.csv, the deltas of its files as ``stem``-bd.csv."""
    rate, score = content["rate_unit"], content["score"]
    names = ["file", "codec", "quality", "bytes", "rate", score, "encode_seconds", "decode_seconds"]
    headings = {"rate": rate, score: f"{score}_db"}
    _write_csv(stem.with_name(f"{stem.name}.csv"), content["rows"], {name: headings.get(name, name) for name in names})
    names = ["file", "codec", "against", "bd_rate_percent", "bd_db", "reason"]
    _write_csv(stem.with_name(f"{stem.name}-bd.csv"), content["file_deltas"], {name: name for name in names})


def _write_csv(path: Path, rows: Iterable[Row], columns: dict[str, str]) -> None:
    """Some fields of the rows; ``columns``: field to heading."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns.values())
        writer.writerows([_cell(row.get(name)) for name in columns] for row in rows)


def _cell(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value


def write_json(path: Path, content: Row) -> None:
    """Write a result: readable, but one row of a list per line."""
    lines = []
    for name, value in _finite(content).items():
        text = json.dumps(value, ensure_ascii=False)
        if isinstance(value, list) and value and isinstance(value[0], dict):
            text = "[\n  " + ",\n  ".join(json.dumps(v, ensure_ascii=False) for v in value) + "\n ]"
        lines.append(f" {json.dumps(name)}: {text}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += ["| " + " | ".join("–" if cell is None else str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def report(content: Row) -> str:
    """Means and deltas of a finished run as Markdown."""
    score = content["score"]
    unit = " dB" if score in ("psnr", "snr") else ""
    header = ["codec", "quality", content["rate_unit"], score.upper() + unit, "encode s", "decode s", "files"]
    body = [
        (m["codec"], m["quality"], f"{m['rate']:.4g}", f"{m[score]:.2f}")
        + (f"{m['encode_seconds']:.3g}", f"{m['decode_seconds']:.3g}", m["files"])
        for m in content["means"]
    ]
    text = f"## {content['name']}\n\n" + table(header, body)
    if content["deltas"]:
        rows = [
            (d["codec"], d["against"] + (", published" if d["published"] else ""), signed(d["bd_rate_percent"], "%"),
             signed(d["bd_db"], "dB"), signed(d.get("files_bd_rate_percent"), "%"), d.get("files"),
             signed(d.get("files_no_worse_percent"), "%"), d["reason"] or "")
            for d in content["deltas"]
        ]  # fmt: skip
        header = ["codec", "against", "BD-rate", "BD", "mean BD-rate of files", "files", "no worse", "note"]
        text += "\n\n" + table(header, rows)
    return text


def signed(value: float | None, unit: str) -> str | None:
    return None if value is None else f"{value:+.2f} {unit}"


def say(text: str) -> None:
    """A line of progress, on stderr."""
    print(text, file=sys.stderr, flush=True)


def whole_numbers(text: str) -> list[int]:
    """10,30 → [10, 30], in order."""
    return sorted({int(part) for part in text.split(",")})


def mean_curve(rows: list[Row]) -> Curve:
    """Mean bytes and mean PSNR at every quality."""
    groups = [[r for r in rows if r["quality"] == q] for q in sorted({r["quality"] for r in rows})]
    return [fmean(r["bytes"] for r in g) for g in groups], [fmean(r["psnr"] for r in g) for g in groups]
