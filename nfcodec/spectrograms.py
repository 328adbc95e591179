"""Pictures of two recordings that are compared: their spectrograms, and that of what differs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nfcodec.comparison import check_alike, open_samples, paired
from nfcodec.errors import InputError, OptionError
from nfcodec.limits import Limits
from nfcodec.signal import SignalInfo
from nfcodec.types import Floats

LOWEST = -120.0  # dB of full scale that are shown as nothing
_COLUMNS = 1500  # of a picture, at most
_SECONDS = 0.032  # of a window, at least


def spectrogram(x: Floats, window: int, hop: int) -> Floats:
    """Power in dB (columns, window / 2 + 1) of samples (n,), 0 dB a sine of full scale; Hann windows."""
    shape = np.hanning(window + 1)[:-1].astype(np.float32)
    padded = np.pad(x, (window // 2, window // 2))
    columns = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop]
    power = np.square(np.abs(np.fft.rfft(columns * shape, axis=1)) * (2.0 / float(shape.sum())))
    found: Floats = np.maximum(10.0 * np.log10(power + 1e-20), LOWEST).astype(np.float32)
    return found


def _read(a: Path, b: Path, limits: Limits, inits: tuple[str, ...]) -> tuple[SignalInfo, Floats, Floats]:
    """What two recordings are, and the mean of the channels of each (n,), full scale 1."""
    with open_samples(a, limits, inits) as (left, blocks_a), open_samples(b, limits, inits) as (right, blocks_b):
        if left.modality != "audio":
            raise OptionError(f"plots are of sound, and {a} is an {left.modality}")
        check_alike(left, right)
        parts = [
            [((s - i.zero) / i.full).mean(1).astype(np.float32) for s, i in ((x, left), (y, right))]
            for (x, _), (y, _) in paired(blocks_a, blocks_b)
        ]
    if not parts:
        raise InputError(f"{a} has no samples to plot")
    first, second = (np.concatenate(column) for column in zip(*parts, strict=True))
    return left, first, second


def plot_spectrograms(a: Path, b: Path, target: Path, *, limits: Limits, inits: tuple[str, ...] = ()) -> None:
    """Write a picture with three spectrograms: of ``a``, of ``b`` and of what differs; channels are mixed.

    Raises :class:`OptionError` without matplotlib, and for anything but sound.
    """
    info, first, second = _read(a, b, limits, inits)
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise OptionError("--plot needs the package matplotlib", hint="pip install 'nfcodec[plot]'") from error
    rate = float(info.rate or 1)
    window = 1 << max(6, int(np.ceil(np.log2(rate * _SECONDS))))
    hop = max(window // 4, -(-len(first) // _COLUMNS))
    figure = Figure(figsize=(11, 8), layout="constrained")
    named = ((a.name, first), (b.name, second), (f"{b.name} − {a.name}", second - first))
    axes = figure.subplots(len(named), 1, sharex=True, sharey=True)
    for axis, (name, samples) in zip(axes, named, strict=True):
        image = _panel(axis, name, spectrogram(samples, window, hop), len(first) / rate, rate)
    axes[-1].set_xlabel("time [s]")
    figure.colorbar(image, ax=axes, label="dB of full scale")
    figure.savefig(target, dpi=120)


def _panel(axis: Any, name: str, levels: Floats, seconds: float, rate: float) -> Any:
    axis.set_title(name, fontsize=9)
    axis.set_ylabel("frequency [kHz]")
    extent = (0.0, seconds, 0.0, rate / 2000.0)
    shown = {"origin": "lower", "aspect": "auto", "cmap": "magma", "interpolation": "none"}
    return axis.imshow(levels.T, extent=extent, vmin=LOWEST, vmax=0.0, **shown)
