"""Rate–distortion curves in one quiet style."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402
from results import codecs_of, curve  # noqa: E402

COLOURS = {
    "nfc": "#c8102e", "jpeg": "#8c8c8c", "jpeg444": "#b0b0b0", "webp": "#2f7f6f", "avif": "#2b6cb0",
    "avif0": "#7aa6d6", "mp3": "#8c8c8c", "opus": "#2b6cb0", "x264": "#2b6cb0", "x264psnr": "#7aa6d6",
}  # fmt: skip
STYLE = {
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


def draw(content: dict[str, Any], published: dict[str, tuple[list[float], list[float]]], stem: Path) -> None:
    """Write ``stem``.svg and ``stem``.png (800 px wide) from the means of a run."""
    score, notes = content["score"], content["codecs"]
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
        for codec in codecs_of(content["means"]):
            rates, values = curve(content["means"], codec, score)
            own = codec == "nfc"
            label = codec + (f" ({notes[codec]})" if notes.get(codec) else "")
            axes.plot(rates, values, marker="o", markersize=5 if own else 3.5, linewidth=2.2 if own else 1.4,
                      color=COLOURS.get(codec), label=label, zorder=3 if own else 2)  # fmt: skip
        limits = axes.get_xlim(), axes.get_ylim()
        for name, (rates, values) in published.items():
            axes.plot(rates, values, linewidth=1.2, linestyle="--", color="#555555", label=f"{name}, published")
        if published:  # context must not stretch the picture
            axes.set(xlim=limits[0], ylim=limits[1])
        axes.set(xlabel=AXES[content["rate_unit"]], ylabel=f"{score.upper()}, dB")
        count = len(content["files"])
        axes.set_title(f"{content['name']}: {count} file{'s' * (count != 1)}", loc="left")
        axes.legend(loc="lower right")
        stem.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(stem.with_suffix(".svg"), metadata={"Date": None})
        figure.savefig(stem.with_suffix(".png"), dpi=100)
        plt.close(figure)
