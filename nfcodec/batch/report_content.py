"""How far a batch is, and what came of it: out of the manifests of its output folder."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from nfcodec.batch.manifest import BatchState, Record, is_open, read_state
from nfcodec.batch.places import Place
from nfcodec.batch.runner import existing_manifests

WORST = 5


@dataclass(frozen=True, slots=True)
class Status:
    """``pending``: files without a verdict. ``reasons``: classes of errors and how often each came."""

    output: str
    state: str
    total: int
    done: int
    failed: int
    skipped: int
    pending: int
    bytes_in: int
    bytes_out: int
    reasons: dict[str, int]
    failures: tuple[Record, ...]


def status_of(output: Place) -> Status:
    """Read how far a batch is. Raises :class:`~nfcodec.errors.InputError` where there is none."""
    return _status(output, existing_manifests(output))


def _status(output: Place, paths: list[Path]) -> Status:
    state = read_state(paths)
    done, failed, skipped = (state.of(v) for v in ("done", "failed", "skipped"))
    over = len(done) + len(failed) + len(skipped)
    total = max(over, _total(state))
    words = "finished" if total == over else "interrupted; --resume goes on"
    words = "running" if any(map(is_open, paths)) else words
    return Status(
        output=str(output), state=words, total=total, done=len(done), failed=len(failed), skipped=len(skipped),
        pending=total - over, bytes_in=_sum(done, "input_bytes"), bytes_out=_sum(done, "bytes"),
        reasons=dict(Counter(r["error"] for r in failed).most_common()), failures=tuple(failed),
    )  # fmt: skip


def _total(state: BatchState) -> int:
    """The files of the latest run of each shard, of as many shards as the latest run of all knows."""
    runs = sorted((r for r in state.runs if not r["retry"]), key=lambda r: float(r["time"]))
    totals = {r["shard"][0]: int(r["total"]) for r in runs if r["shard"][1] == runs[-1]["shard"][1]}
    return sum(totals.values())


def _sum(records: list[Record], name: str) -> int:
    return sum(int(r.get(name) or 0) for r in records)


def report_of(output: Place) -> dict[str, Any]:
    """The report as JSON values: totals, distributions of bpp and PSNR, the worst files, and all failures."""
    paths = existing_manifests(output)
    status, state = _status(output, paths), read_state(paths)
    done = state.of("done")
    rates = [r["rate"] for r in done if r.get("rate_unit") == "bpp"]
    psnrs = [r["psnr"] for r in done if r.get("psnr") is not None]
    worst = sorted((r for r in done if r.get("psnr") is not None), key=lambda r: float(r["psnr"]))[:WORST]
    totals = {name: getattr(status, name) for name in ("total", "done", "failed", "skipped", "pending")}
    totals |= {"bytes_in": status.bytes_in, "bytes_out": status.bytes_out}
    totals |= {"ratio": status.bytes_in / status.bytes_out if status.bytes_out else None}
    totals |= {"worker_seconds": sum(float(r.get("seconds") or 0.0) for r in done)}
    return {
        "output": status.output, "state": status.state, "runs": state.runs, "totals": totals,
        "bpp": distribution(rates, ratios=True), "psnr": distribution(psnrs), "worst": worst, "reasons": status.reasons,
        "failures": list(status.failures), "skipped": state.of("skipped"),
    }  # fmt: skip


def distribution(values: list[float], bins: int = 24, *, ratios: bool = False) -> dict[str, Any] | None:
    """Count, mean, median and a histogram from the least to the greatest value; None without a value.

    ``bins[i]`` counts the values from ``edges[i]`` to ``edges[i + 1]``: equal steps, or with ``ratios`` equal ratios
    (of positive values).
    """
    if not values:
        return None
    ordered = sorted(values)
    scaled = [math.log(v) for v in ordered] if ratios and ordered[0] > 0 else ordered
    low, width = scaled[0], (scaled[-1] - scaled[0]) / bins
    number = bins if width else 1
    counts = Counter(min(number - 1, math.floor((v - low) / width)) if width else 0 for v in scaled)
    edges = [low + i * width for i in range(number)]
    edges = [math.exp(e) for e in edges] if scaled is not ordered else edges
    return {
        "count": len(ordered), "mean": fmean(ordered), "median": ordered[len(ordered) // 2],
        "edges": [ordered[0], *edges[1:], ordered[-1]], "bins": [counts[i] for i in range(number)],
    }  # fmt: skip
