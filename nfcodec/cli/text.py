"""Results as text for people."""

from __future__ import annotations

import math
from collections import Counter

from nfcodec.options import CompareResult, DecodeResult, EncodeResult, FileInfo, ModelInfo, VerifyResult

_UNITS = {"bpp": "bpp", "bpe": "bit/element", "kbps": "kbit/s"}


def safe(text: str) -> str:
    """``text`` on one line, without characters that could steer a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def label(name: str) -> str:
    """An input's or output's name as messages show it."""
    return "(pipe)" if name == "-" else safe(name)


def count(n: int) -> str:
    """1572864 → "1 572 864"."""
    return f"{n:,}".replace(",", " ")


def counted(n: int, what: str) -> str:
    """1 frame; 1 572 864 frames."""
    return f"{count(n)} {what}{'' if n == 1 else 's'}"


def decibel(value: float) -> str:
    """36.1 dB; +∞ is no error, −∞ an error where the original has no signal at all."""
    if math.isfinite(value):
        return f"{value:.1f} dB"
    return "−∞ dB (the original is silent)" if value < 0 else "no error"


def rate(value: float, unit: str) -> str:
    """0.217 bpp, 31.2 kbit/s."""
    return f"{value:.3f} {_UNITS[unit]}" if unit != "kbps" else f"{value:.1f} {_UNITS[unit]}"


def extent(shape: tuple[int, ...], modality: str = "") -> str:
    """(height, width) as 640×480, longer ones with the first axis last; one axis as a number of samples. Arrays keep
    the order of their axes, as numpy prints them."""
    if len(shape) == 1:
        return counted(shape[0], "sample")
    return "×".join(str(n) for n in (shape if modality == "array" else reversed(shape)))


def encoded(r: EncodeResult, *, verbose: bool = False) -> str:
    """photo.png → photo.nfc  1 572 864 → 21 344 B  0.217 bpp  36.1 dB  8.2 s."""
    sizes = f"{count(r.input_bytes)} → {count(r.bytes)} B" if r.input_bytes else f"{count(r.bytes)} B"
    parts = [_arrow(r.input, r.output), sizes, rate(r.rate, r.rate_unit), decibel(r.psnr)]
    if r.snr is not None:
        parts.append(f"SNR {decibel(r.snr)}")
    if r.max_error is not None:
        parts.append(f"error ≤ {r.max_error:.4g}")
    parts.append(f"{r.seconds:.1f} s")
    if verbose:
        parts.append(f"{r.init} quality {r.quality} effort {r.effort}")
    return "  ".join(parts)


def _arrow(source: str, target: str) -> str:
    return f"{label(source)} → {label(target)}"


def decoded(r: DecodeResult) -> str:
    """photo.nfc → photo.png  768×512  1 021 344 B  0.2 s."""
    return f"{_arrow(r.input, r.output)}  {extent(r.shape, r.modality)}  {count(r.bytes)} B  {r.seconds:.1f} s"


def verified(r: VerifyResult) -> str:
    """photo.nfc: good, with the digest of all symbols."""
    return f"{label(r.path)}: good  {count(r.bytes)} B  {count(r.symbols)} symbols  {r.digest[:16]}  {r.seconds:.1f} s"


def compared(r: CompareResult) -> str:
    """The metrics, one per line."""
    lines = [f"PSNR       {decibel(r.psnr)}"]
    if r.snr is not None:
        lines.append(f"SNR        {decibel(r.snr)}")
    if r.ms_ssim is not None:
        lines.append(f"MS-SSIM    {r.ms_ssim:.5f}")
    lines.append(f"max error  {r.max_error:g}")
    return "\n".join(lines)


def model(m: ModelInfo) -> str:
    """One init on one line."""
    mark = "default" if m.default else ""
    sizes = f"{count(m.parameters):>9} parameters {count(m.kept):>9} kept {count(m.bytes):>10} B"
    return f"{m.id:<16} {m.modality:<6} {m.field:<8} {sizes}  {m.sha256[:8]}  {mark}".rstrip()


def information(i: FileInfo) -> str:
    """The header of a file as a block."""
    rows = {
        "kind": _kind(i),
        "file": f"{count(i.bytes)} B, {rate(i.rate, i.rate_unit)}, format {i.version}",
        "coding": f"{i.field}, {_cells(i)}quality {i.quality}, init {i.init}",
        "metadata": ", ".join(i.metadata) or "none",
        "sections": _sections(i),
    }
    if i.growing:
        rows["growing"] = "the recording has no end yet; this is what is there"
    if i.value_range is not None:
        rows["values"] = f"{i.value_range[0]:g} … {i.value_range[1]:g}"
    return "\n".join([label(i.path), *(f"  {name:<9} {value}" for name, value in rows.items())])


def _cells(i: FileInfo) -> str:
    spacing = "" if i.spacing is None else f"cells of {i.spacing} samples, "
    return spacing + "planes turned, " * (i.turn is not None) + "means between steps, " * (i.dither is not None)


def _kind(i: FileInfo) -> str:
    parts = [i.modality, f"{i.channels} channel{'s' * (i.channels > 1)}{' + alpha' * i.alpha}", i.sample_type]
    if i.modality == "audio" and i.sample_rate:
        parts[1:1] = [extent(i.shape), f"{i.sample_rate:g} Hz", _duration(i)]
    elif i.modality == "video" and i.sample_rate:
        parts[1:1] = [extent(i.shape[1:]), counted(i.shape[0], "frame"), _frame_rate(i), _duration(i)]
    else:
        parts.insert(1, extent(i.shape, i.modality))
    return ", ".join(parts)


def _frame_rate(i: FileInfo) -> str:
    return f"{i.sample_rate:g} per second{' on average' * i.uneven}"


def _duration(i: FileInfo) -> str:
    return f"{i.shape[0] / (i.sample_rate or 1.0):.2f} s"


def _sections(i: FileInfo) -> str:
    number, size = Counter[str](), Counter[str]()
    for section in i.sections:
        kind = section.type + _layers(section.layers)
        number[kind] += 1
        size[kind] += section.bytes
    return ", ".join(f"{n} {kind} {count(size[kind])} B" for kind, n in number.items())


def _layers(layers: tuple[int, ...]) -> str:
    """Which layers of a lattice, or nothing."""
    if not layers:
        return ""
    return f" (layer {layers[0]})" if len(layers) == 1 else f" (layers {layers[0]}–{layers[-1]})"
