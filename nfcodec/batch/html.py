"""The report as one HTML page that needs no other file."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from html import escape
from typing import Any

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5d6b7e; --line: #d9dfe7; --bar: #2f6fb3; --back: #fff; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6ebf2; --soft: #9aa7b8; --line: #344050; --bar: #6ba6e8; --back: #151a21; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--back); max-width: 60rem;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; padding: .3rem .6rem .3rem 0;
  border-bottom: 1px solid var(--line); vertical-align: top; }
.text { overflow-wrap: anywhere; }
.number { font-size: 1.4rem; display: block; } .numbers { display: flex; flex-wrap: wrap; gap: 2rem; }
.soft, figcaption { color: var(--soft); } figure { margin: 0; } .plots { display: flex; flex-wrap: wrap; gap: 2rem; }
svg { width: 26rem; max-width: 100%; } svg rect { fill: var(--bar); } svg text { fill: var(--soft); font-size: 11px; }
svg line { stroke: var(--line); } img { max-width: 160px; vertical-align: top; image-rendering: auto; }
"""
_MOST_ROWS = 500
_WIDTH, _HEIGHT, _FOOT = 400, 130, 24


def page(content: Mapping[str, Any], pictures: Mapping[str, tuple[bytes, bytes]]) -> str:
    """The report of ``report_of`` as HTML; ``pictures``: PNGs of the worst files, by path."""
    parts = [
        f"<h1>nfc batch: {escape(content['output'])}</h1>",
        f"<p class=soft>{escape(content['state'])}</p>",
        _numbers(content["totals"]),
        _plots(content),
        _worst(content["worst"], pictures),
        _listing("What failed", content["failures"], ("path", "error", "message")),
        _listing("What was skipped", content["skipped"], ("path", "reason")),
    ]
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    title = f"<title>nfc batch: {escape(content['output'])}</title>"
    body = "\n".join(part for part in parts if part)
    return f'<!doctype html>\n<html lang="en">{head}{title}<style>{_STYLE}</style>\n<body>\n{body}\n</body></html>\n'


def _numbers(totals: Mapping[str, Any]) -> str:
    shown = {name: _grouped(totals[name]) for name in ("done", "failed", "skipped", "pending")}
    shown |= {"bytes in": _grouped(totals["bytes_in"]), "bytes out": _grouped(totals["bytes_out"])}
    if totals["ratio"]:
        shown["ratio"] = f"{totals['ratio']:.1f}×"
    shown["worker time"] = f"{_grouped(round(totals['worker_seconds']))} s"
    cells = [f"<div><span class=number>{value}</span>{name}</div>" for name, value in shown.items()]
    return f"<div class=numbers>{''.join(cells)}</div>"


def _grouped(number: int) -> str:
    """Digits in groups of three."""
    return f"{number:,}".replace(",", "\u202f")


def _plots(content: Mapping[str, Any]) -> str:
    plots = [_histogram(content[name], unit) for name, unit in (("bpp", "bits per pixel"), ("psnr", "PSNR in dB"))]
    return f"<h2>Distributions</h2><div class=plots>{''.join(plots)}</div>" if any(plots) else ""


def _histogram(values: Mapping[str, Any] | None, title: str) -> str:
    """Bars over the bins of a distribution, as inline SVG."""
    if values is None:
        return ""
    bins = values["bins"]
    step, top = _WIDTH / len(bins), max(bins)
    bars = []
    for i, number in enumerate(bins):
        height = number / top * (_HEIGHT - 14)
        box = f'x="{i * step + 1:.1f}" y="{_HEIGHT - height:.1f}" width="{step - 2:.1f}" height="{height:.1f}"'
        bars.append(f"<rect {box}><title>{number}</title></rect>")
    edges = values["edges"]
    ticks = {0: "start", len(bins) // 2: "middle", len(bins): "end"} if len(bins) > 1 else {0: "start"}
    texts = [
        f'<text x="{i * step:.0f}" y="{_HEIGHT + 16}" text-anchor="{a}">{edges[i]:.3g}</text>' for i, a in ticks.items()
    ]
    axis = f'<line x1="0" x2="{_WIDTH}" y1="{_HEIGHT}" y2="{_HEIGHT}"/><text x="0" y="11">{top}</text>'
    svg = f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT + _FOOT}" role="img">{"".join(bars)}{axis}{"".join(texts)}</svg>'
    about = f"{title}: mean {values['mean']:.4g}, median {values['median']:.4g}, {values['count']} files"
    return f"<figure>{svg}<figcaption>{about}</figcaption></figure>"


def _worst(records: list[dict[str, Any]], pictures: Mapping[str, tuple[bytes, bytes]]) -> str:
    if not records:
        return ""
    rows = []
    for record in records:
        shown = "".join(_image(png) for png in pictures.get(record["path"], ()))
        unit = escape(str(record.get("rate_unit", "")))
        size = _grouped(record.get("bytes", 0))
        numbers = f"<td>{record['psnr']:.2f} dB<td>{record.get('rate', 0.0):.3f} {unit}<td>{size} B"
        rows.append(f"<tr><td>{shown}<td class=text>{escape(_printable(record['path']))}{numbers}")
    head = "<tr><th>input, output<th>file<th>PSNR<th>rate<th>size"
    return f"<h2>The worst files by PSNR</h2><table>{head}{''.join(rows)}</table>"


def _image(png: bytes) -> str:
    data = base64.b64encode(png).decode()
    return f'<img alt="" src="data:image/png;base64,{data}"> ' if png else ""


def _listing(title: str, records: list[dict[str, Any]], names: tuple[str, ...]) -> str:
    if not records:
        return ""
    head = "<tr>" + "".join(f"<th>{name}" for name in names)
    shown = records[:_MOST_ROWS]
    rows = ["<tr>" + "".join(_cell(n, str(r.get(n) or "")) for n in names) for r in shown]
    rest = f"<p class=soft>and {len(records) - len(shown)} more</p>" if len(records) > len(shown) else ""
    return f"<h2>{title} ({len(records)})</h2><table>{head}{''.join(rows)}</table>{rest}"


def _cell(name: str, text: str) -> str:
    return f"<td{'' if name == 'error' else ' class=text'}>{escape(_printable(text))}"


def _printable(text: str) -> str:
    """File names that are not UTF-8 would make the page unwritable."""
    return text.encode("utf-8", "backslashreplace").decode()
