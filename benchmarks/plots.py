"""Curves in one quiet style."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.ticker import LogLocator, NullLocator  # noqa: E402
from results import Curve, Row, codecs_of, curve, is_nfc  # noqa: E402

COLOURS = {
    "nfc": "#c8102e", "jpeg": "#8c8c8c", "jpeg444": "#b0b0b0", "webp": "#2f7f6f", "avif": "#2b6cb0",
    "avif0": "#7aa6d6", "avif-psnr": "#2b6cb0", "jxl": "#8a63b5", "mp3": "#8c8c8c", "opus": "#2b6cb0",
    "x264": "#2b6cb0", "x264psnr": "#7aa6d6",
}  # fmt: skip
NFC_COLOURS = ("#c8102e", "#e98a15", "#7d1128", "#f2b5a7", "#5c1a2e")  # of several settings of nfc in one picture
DASHES: tuple[Any, ...] = ("--", ":", "-.", (0, (1, 1)), (0, (6, 1)), (0, (3, 1, 1, 1, 1, 1)))
STYLE: dict[Any, Any] = {
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#444444",
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "svg.hashsalt": "nfc",
}
AXES = {"bpp": "bits per pixel", "kbps": "kbit/s"}


def colours(codecs: list[str]) -> dict[str, str | None]:
    """The colour of every codec; None leaves it to the drawing library."""
    ours = [codec for codec in codecs if is_nfc(codec)]
    reds = dict(zip(ours, itertools.cycle(NFC_COLOURS)))
    return {codec: reds.get(codec) or COLOURS.get(codec) for codec in codecs}


def _save(figure: Figure, stem: Path) -> None:
    """Write ``stem``.svg and ``stem``.png."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(stem.with_name(f"{stem.name}.svg"), metadata={"Date": None})
    figure.savefig(stem.with_name(f"{stem.name}.png"), dpi=100)
    plt.close(figure)


def draw(content: dict[str, Any], published: dict[str, Curve], stem: Path) -> None:
    """Rate–distortion curves from the means of a run, 800 px wide."""
    score, notes, codecs = content["score"], content["codecs"], codecs_of(content["means"])
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
        for codec, colour in colours(codecs).items():
            rates, values = curve(content["means"], codec, score)
            own = is_nfc(codec)
            label = codec + (f" ({notes[codec]})" if notes.get(codec, "") not in codec else "")
            axes.plot(rates, values, marker="o", markersize=5 if own else 3.5, linewidth=2.2 if own else 1.4,
                      color=colour, label=label, zorder=3 if own else 2)  # fmt: skip
        limits = axes.get_xlim(), axes.get_ylim()
        for (name, (rates, values)), dashes in zip(published.items(), itertools.cycle(DASHES)):
            axes.plot(rates, values, linewidth=1.2, linestyle=dashes, color="#555555", label=f"{name}, published")
        if published:  # context must not stretch the picture
            axes.set(xlim=limits[0], ylim=limits[1])
        axes.set(xlabel=AXES[content["rate_unit"]], ylabel=score.upper() + (", dB" if score in ("psnr", "snr") else ""))
        count = len(content["files"])
        axes.set_title(f"{content['name']}: {count} file{'s' * (count != 1)}", loc="left")
        axes.legend(loc="lower right", fontsize=11 if len(codecs) + len(published) < 8 else 9)
        _save(figure, stem)


def draw_speed(content: dict[str, Any], stem: Path) -> None:
    """Seconds and memory against megapixels: a column per thread count, rows for encode, decode and memory."""
    rows, threads = content["means"], content["threads"]
    panels = (("encode", "encode, seconds"), ("decode", "decode, seconds"), ("memory", "peak memory, MB"))
    with plt.rc_context(STYLE):
        figure, grid = plt.subplots(3, len(threads), figsize=(4 + 3 * len(threads), 10), layout="constrained",
                                    sharex=True, sharey="row", squeeze=False)  # fmt: skip
        for line, (what, label) in zip(grid, panels, strict=True):
            line[0].set_ylabel(label)
            for axes, count in zip(line, threads, strict=True):
                _speed_panel(axes, [row for row in rows if row["threads"] == count], what)
        for axes, count in zip(grid[0], threads, strict=True):
            axes.set_title(f"{count} thread{'s' * (count != 1)}", loc="left")
        for axes in grid[-1]:
            axes.set_xlabel("megapixels")
        lines = "solid: whole command (memory: of encode); dotted: after start (memory: of decode)"
        figure.suptitle(lines, fontsize=10)
        figure.legend(*grid[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=9)
        _save(figure, stem)


def _speed_panel(axes: Any, rows: list[Row], what: str) -> None:
    first, second = f"{what}_seconds", f"{what}_after_start"
    if what == "memory":
        first, second = "encode_peak_mb", "decode_peak_mb"
    for codec, colour in colours(codecs_of(rows)).items():
        points = sorted((row["megapixels"], row[first], row[second]) for row in rows if row["codec"] == codec)
        sizes, solid, dotted = zip(*points, strict=True)
        width = 2.2 if is_nfc(codec) else 1.4
        (drawn,) = axes.loglog(sizes, solid, marker="o", markersize=3.5, linewidth=width, color=colour, label=codec)
        axes.loglog(sizes, dotted, linestyle=":", linewidth=width, color=drawn.get_color())
    _plain_numbers(axes.xaxis)
    _plain_numbers(axes.yaxis)
    axes.set_xticks(sorted({row["megapixels"] for row in rows}))


def _plain_numbers(axis: Any) -> None:
    """1, 2, 5, 10 … along a logarithmic axis."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter("{x:g}")


def draw_efforts(content: dict[str, Any], stem: Path) -> None:
    """BD-rate against the first effort over mean seconds of encoding, 800 px wide."""
    points = [e for e in content["efforts"] if e["bd_rate_percent"] is not None]
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
        seconds, rates = [e["encode_seconds"] for e in points], [e["bd_rate_percent"] for e in points]
        axes.semilogx(seconds, rates, marker="o", markersize=5, linewidth=2.2, color=COLOURS["nfc"])
        for point, x, y in zip(points, seconds, rates, strict=True):
            axes.annotate(f"-e {point['effort']}", (x, y), textcoords="offset points", xytext=(6, 6))
        axes.margins(x=0.12, y=0.12)
        _plain_numbers(axes.xaxis)
        axes.set(xlabel="mean seconds to encode a file, after start",
                 ylabel=f"BD-rate against effort {content['efforts'][0]['effort']}, %")  # fmt: skip
        count = len(content["files"])
        axes.set_title(f"{content['name']}: {count} file{'s' * (count != 1)}", loc="left")
        _save(figure, stem)


def draw_ladder(steps: list[Row], stem: Path) -> None:
    """BD-rate over processor time of every effort, a line for each version, 800 px wide."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
        for side, colour, width in (("before", "#8c8c8c", 1.4), ("after", COLOURS["nfc"], 2.2)):
            mine = [s for s in steps if s["side"] == side]
            seconds, rates = [s["encode_cpu_seconds"] for s in mine], [s["bd_rate_percent"] for s in mine]
            axes.semilogx(seconds, rates, marker="o", markersize=5, linewidth=width, color=colour, label=side)
            for step, x, y in zip(mine, seconds, rates, strict=True):
                axes.annotate(f"-e {step['effort']}", (x, y), textcoords="offset points", xytext=(6, 6), color=colour)
        axes.margins(x=0.12, y=0.12)
        _plain_numbers(axes.xaxis)
        axes.set(xlabel="seconds of the processor to encode a file", ylabel="BD-rate, %")
        axes.legend(loc="upper right")
        _save(figure, stem)


def draw_ablation(content: dict[str, Any], stem: Path) -> None:
    """BD-rate of every arm against the init that all went on from, over pictures and seeds, 800 px wide; what lies
    beyond the axis is told in words."""
    rows, most = content["rows"], 1.5
    names = list(dict.fromkeys(r["arm"] for r in rows))[::-1]
    efforts = sorted({r["effort"] for r in rows})
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(8, 1.6 + 0.4 * len(names)), layout="constrained")
        for effort, colour in zip(efforts, itertools.cycle(NFC_COLOURS)):
            own = [r for r in rows if r["effort"] == effort]
            heights = [names.index(r["arm"]) + 0.15 * (r["seed"] or 0) for r in own]
            values, errors = ([r["bd_rate_at_effort"][k] for r in own] for k in ("percent", "error"))
            inside = [i for i, v in enumerate(values) if v <= most]
            x, y, e = ([some[i] for i in inside] for some in (values, heights, errors))
            axes.errorbar(x, y, xerr=e, fmt="o", color=colour, label=f"-e {effort}", markersize=5)
            for i in set(range(len(own))) - set(inside):
                axes.text(most, heights[i], f"+{values[i]:.0f} % →", ha="right", va="center", color=colour)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(-0.6, len(names) - 0.4)
        axes.axvline(0.0, color="#444444", linewidth=0.8)
        axes.set(xlabel="BD-rate against the shipped init at the same effort, %", xlim=(-0.75, most))
        axes.legend()
        axes.set_title(f"{content['name']}: {content['settings']['steps']} steps more", loc="left")
        _save(figure, stem)
