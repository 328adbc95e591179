"""Rows on disk while a run goes on; means, Bjøntegaard deltas and tables when it is done."""

from __future__ import annotations

import json
import math
import sys
import threading
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from statistics import fmean
from typing import Any

from nfcodec.errors import OptionError
from nfcodec.metrics import bd_psnr, bd_rate

Row = dict[str, Any]
Key = tuple[str, str, str, int]


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
    return sorted(result, key=lambda m: (m["codec"] != "nfc", m["codec"], m["rate"]))


def curve(mean_rows: Sequence[Row], codec: str, score: str) -> tuple[list[float], list[float]]:
    """(rates, decibels) of a codec in order of rate."""
    points = sorted((m["rate"], m[score]) for m in mean_rows if m["codec"] == codec)
    return [rate for rate, _ in points], [value for _, value in points]


def codecs_of(mean_rows: Sequence[Row]) -> list[str]:
    """The codecs in order of appearance."""
    return list(dict.fromkeys(m["codec"] for m in mean_rows))


def deltas(mean_rows: Sequence[Row], score: str, published: dict[str, tuple[list[float], list[float]]]) -> list[Row]:
    """BD of nfc against every other curve; negative bd_rate means that nfc needs less."""
    if "nfc" not in codecs_of(mean_rows):
        return []
    ours = curve(mean_rows, "nfc", score)
    others = {codec: curve(mean_rows, codec, score) for codec in codecs_of(mean_rows) if codec != "nfc"}
    return [
        {"against": name, "published": name in published, **_delta(theirs, ours)}
        for name, theirs in {**others, **published}.items()
    ]


def _delta(theirs: tuple[list[float], list[float]], ours: tuple[list[float], list[float]]) -> Row:
    """Both deltas, or the reason why there are none."""
    try:
        rate, decibels = bd_rate(*theirs, *ours), bd_psnr(*theirs, *ours)
    except OptionError as error:
        return {"bd_rate_percent": None, "bd_db": None, "reason": str(error)}
    return {"bd_rate_percent": round(rate, 3), "bd_db": round(decibels, 3), "reason": None}


def plain_command(arguments: Sequence[str]) -> str:
    """The command line with every path cut to its last part."""
    return " ".join(Path(a).name if "/" in a else a for a in arguments)


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
    header = ["codec", "quality", content["rate_unit"], f"{score.upper()} dB", "encode s", "decode s", "files"]
    body = [
        (m["codec"], m["quality"], f"{m['rate']:.4g}", f"{m[score]:.2f}")
        + (f"{m['encode_seconds']:.3g}", f"{m['decode_seconds']:.3g}", m["files"])
        for m in content["means"]
    ]
    text = f"## {content['name']}\n\n" + table(header, body)
    if content["deltas"]:
        rows = [(d["against"], _signed(d["bd_rate_percent"], "%"), _signed(d["bd_db"], "dB"), d["reason"] or "")
                for d in content["deltas"]]  # fmt: skip
        text += "\n\n" + table(["nfc against", "BD-rate", "BD", "note"], rows)
    return text


def _signed(value: float | None, unit: str) -> str | None:
    return None if value is None else f"{value:+.2f} {unit}"


def say(text: str) -> None:
    """A line of progress, on stderr."""
    print(text, file=sys.stderr, flush=True)
