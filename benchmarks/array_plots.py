"""Pictures of what benchmarks/arrays.py measures: bytes against bounds, maps of errors, spectra."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from plots import STYLE, _save, plt
from results import Row

Array = npt.NDArray[Any]

_COLOURS = {"nfc": "#c8102e", "nfc wrap": "#7d1128", "nfc plain": "#e98a15", "sz3": "#2b6cb0", "zfp": "#8c8c8c"}
_SHARE = 0.01


def draw_all(array: Array, coders: dict[str, Callable[[Array, float], Array]], content: Row, stem: Path) -> None:
    """All of them; maps and spectra of a plane, through ``coders`` (array and bound to the decoded array)."""
    with plt.rc_context(STYLE):
        _bytes(content["rows"], stem.with_name(f"{stem.name}-bytes"))
        bound = _SHARE * float(np.ptp(array.astype(np.float64)))
        decoded = {name: coder(array, bound) for name, coder in coders.items()}
        _errors(array, decoded, bound, stem.with_name(f"{stem.name}-errors"))
        _spectra(array, decoded, stem.with_name(f"{stem.name}-spectra"))


def _bytes(rows: list[Row], stem: Path) -> None:
    """Bits per sample do not matter here: bytes of the geometric mean of all cases."""
    figure, axes = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
    for codec in dict.fromkeys(r["codec"] for r in rows):
        mine = [r for r in rows if r["codec"] == codec]
        if codec == "nfc wrap":  # what cannot wrap is as it is
            known = {r["case"] for r in mine}
            mine += [r for r in rows if r["codec"] == "nfc" and r["case"] not in known]
        shares = sorted({r["share"] for r in mine})
        means = [np.exp(np.mean([np.log(r["bytes"]) for r in mine if r["share"] == s])) for s in shares]
        axes.loglog([100 * s for s in shares], means, "o-", label=codec, color=_COLOURS.get(codec), markersize=4)
    axes.set_xlabel("bound, % of the range of values")
    axes.set_ylabel("bytes, geometric mean")
    axes.legend()
    _save(figure, stem)


def _errors(array: Array, decoded: dict[str, Array], bound: float, stem: Path) -> None:
    figure, panels = plt.subplots(len(decoded), 1, figsize=(7.2, 6.4), layout="constrained")
    for axes, (codec, found) in zip(panels, decoded.items(), strict=True):
        shown = axes.imshow((found.astype(float) - array) / bound, vmin=-1, vmax=1, cmap="RdBu_r")
        axes.set_title(f"{codec}: error in bounds of {100 * _SHARE:g} %")
        axes.set_axis_off()
    figure.colorbar(shown, ax=panels)
    figure.savefig(stem.with_name(f"{stem.name}.png"), dpi=60)  # as lines it would be megabytes
    plt.close(figure)


def _power(plane: Array) -> npt.NDArray[Any]:
    """Power along the last axis, mean over rows."""
    lines = plane.astype(np.float64) - plane.mean(axis=1, keepdims=True)
    return np.asarray((np.abs(np.fft.rfft(lines, axis=1)) ** 2).mean(0)[1:])


def _spectra(array: Array, decoded: dict[str, Array], stem: Path) -> None:
    figure, axes = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
    axes.loglog(_power(array), color="black", label="original")
    for codec, found in decoded.items():
        axes.loglog(_power(found), color=_COLOURS[codec], label=f"{codec}, bound {100 * _SHARE:g} %")
        axes.loglog(_power(found.astype(float) - array), ":", color=_COLOURS[codec], label=f"{codec}, error")
    axes.set_xlabel("waves along a row")
    axes.set_ylabel("power")
    axes.legend()
    _save(figure, stem)
