"""What ``nfc batch`` says, for people and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from nfcodec.cli.text import count, label, safe

if TYPE_CHECKING:
    from nfcodec.batch.places import Place
    from nfcodec.batch.plan import BatchPlan
    from nfcodec.batch.report_content import Status
    from nfcodec.batch.request import Counts, Summary

_MOST = 20  # failures that are listed


def advance(counts: Counts) -> str:
    """12/200  1.2 MB → 0.1 MB  36.2 dB  3.1/s  0:01:02 left  2 failed."""
    parts = [f"{counts.over}/{counts.total}"]
    if counts.bytes_in:
        parts.append(f"{size(counts.bytes_in)} → {size(counts.bytes_out)}")
    if counts.measured:
        parts.append(f"{counts.psnr:.1f} dB")
    fresh = counts.done - counts.kept + counts.failed
    if fresh and counts.seconds:
        parts.append(f"{fresh / counts.seconds:.1f}/s")
        parts.append(f"{_clock((counts.total - counts.over) * counts.seconds / fresh)} left")
    if counts.failed:
        parts.append(f"{counts.failed} failed")
    return "  ".join(parts)


def size(n: int) -> str:
    """1234567 → 1.2 MB."""
    value, units = float(n), ["B", "kB", "MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:
        value /= 1000
        units.pop(0)
    return f"{value:.0f} B" if units[0] == "B" else f"{value:.1f} {units[0]}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"


def failure(record: dict[str, Any]) -> str:
    """a/b.png: what was wrong."""
    message = safe(str(record["message"]))
    return message if record["path"] in message else f"{label(record['path'])}: {message}"


def summary(s: Summary) -> str:
    """How a run ended: counts, bytes, what failed and how to do that again."""
    c = s.counts
    kept = f" ({count(c.kept)} before)" if c.kept else ""
    lines = [f"{count(c.done)} done{kept}, {count(c.failed)} failed, {count(c.skipped)} skipped, of {count(c.total)}"]
    if c.bytes_out:
        ratio = f"{c.bytes_in / c.bytes_out:.1f}×"
        lines[0] += f"  {count(c.bytes_in)} → {count(c.bytes_out)} B ({ratio})"
    lines[0] += f"  {c.psnr:.1f} dB" * bool(c.measured) + f"  {c.seconds:.1f} s"
    lines += [f"  {failure(record)}" for record in s.failures[:_MOST]]
    if len(s.failures) > _MOST:
        rest = f"{label(str(s.request.output))}{_state(s.request.output)}"
        lines.append(f"  and {count(len(s.failures) - _MOST)} more: nfc batch status -v {rest}")
    if s.stopped:
        lines.append("stopped, because too many files failed; --resume goes on, with a higher --max-failures")
    if s.retryable:
        rest = f"{label(str(s.request.output))}{_state(s.request.output)}"
        lines.append(f"what failed, once more: nfc batch retry {rest}")
    return "\n".join(lines)


def _state(output: Place) -> str:
    """The option that finds the manifest again."""
    state = getattr(output, "state", None)
    return f" --state {label(str(state))}" if state is not None else ""


def left_alone(failures: list[dict[str, Any]]) -> str:
    """Which files are not tried once more, and why."""
    many = f"{count(len(failures))} files would fail again and are"
    what = "1 file would fail again and is" if len(failures) == 1 else many
    lines = [f"{what} left alone until changed:", *(f"  {failure(record)}" for record in failures[:_MOST])]
    return "\n".join(lines + ["  …"] * (len(failures) > _MOST))


def summary_values(s: Summary) -> dict[str, Any]:
    """The same as one JSON object."""
    return {"summary": True, "output": str(s.request.output), **asdict(s.counts), "stopped": s.stopped}


def plan(p: BatchPlan, *, as_json: bool) -> Iterator[str]:
    """What a dry run shows: one line per file, and the totals."""
    if as_json:
        for item in p.items:
            yield json.dumps({"path": item.path, "target": item.target})
        for refused in p.refused:
            yield json.dumps({"path": refused.path, "error": refused.error, "message": refused.message})
        for skipped in p.skipped:
            yield json.dumps({"path": skipped.path, "reason": skipped.reason})
        return
    for item in p.items:
        yield f"{label(item.path)} → {label(item.target)}"
    for refused in p.refused:
        yield f"{label(refused.path)}: would fail: {safe(refused.message)}"
    for skipped in p.skipped:
        yield f"{label(skipped.path)}: would be skipped: {safe(skipped.reason)}"
    yield f"{count(len(p.items))} to do, {count(len(p.refused))} would fail, {count(len(p.skipped))} would be skipped"


def status(s: Status, *, verbose: bool = False) -> str:
    """How far a batch is, and with -v every failure."""
    numbers = f"{count(s.done)} done, {count(s.failed)} failed, {count(s.skipped)} skipped, {count(s.pending)} to do"
    lines = [f"{label(s.output)}: {s.state}", f"  {numbers}, of {count(s.total)}"]
    if s.bytes_out:
        ratio = f"{s.bytes_in / s.bytes_out:.1f}×"
        lines.append(f"  {count(s.bytes_in)} → {count(s.bytes_out)} B ({ratio})")
    lines += [f"  {number} × {safe(reason)}" for reason, number in s.reasons.items()]
    if verbose:
        lines += [line for record in s.failures for line in (f"  {failure(record)}", *_trace(record))]
    return "\n".join(lines)


def _trace(record: dict[str, Any]) -> list[str]:
    """Where a bug struck, line by line."""
    return [f"    {safe(line)}" for line in str(record.get("trace") or "").splitlines()]


def reported(content: dict[str, Any], places: tuple[Place, ...]) -> str:
    """Where the report is, and its totals."""
    t = content["totals"]
    ratio = f"  {t['ratio']:.1f}×" if t["ratio"] else ""
    line = f"{count(t['done'])} done, {count(t['failed'])} failed, {count(t['skipped'])} skipped{ratio}"
    return "\n".join([line, *(label(str(place)) for place in places)])
