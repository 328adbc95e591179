"""Samples as files hold them, and as fields see them: the single place where rounding happens.

=========================  ==========================  =====================================
kind                       field values                written samples
=========================  ==========================  =====================================
image, video: u1 u8 u16    [0, 1]                      round(v · (2^b − 1))
audio: i8 i16 i24 i32      [-1, 1]                     round(v · 2^(b−1)), clipped
audio: u8                  [-1, 1]                     round(v · 128) + 128, clipped
audio: f32 f64             [-1, 1]                     v, times the peak of ``value_range``
array, float image         [0, 1]                      lo + v · (hi − lo) of ``value_range``
=========================  ==========================  =====================================

NaN counts as the lowest legal value. i24 lives in an int32 array and u1 in a uint8 array of 0 and 1.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import numpy.typing as npt

from nfcodec.parallel import every
from nfcodec.signal import Block, Floats, Ints, SampleType, SignalInfo
from nfcodec.types import Doubles

Range = tuple[float, float]

_PIECE = 1 << 17  # values that stay in the processor's cache

_BITS: dict[SampleType, int] = {
    "u1": 1, "u8": 8, "u16": 16, "u32": 32, "u64": 64, "i8": 8, "i16": 16, "i24": 24, "i32": 32, "i64": 64,
}  # fmt: skip


def dtype_of(sample_type: SampleType) -> np.dtype[Any]:
    """The numpy type that holds written samples (u1: uint8, i24: int32)."""
    special = {"u1": "uint8", "i24": "int32"}
    if sample_type in special:
        return np.dtype(special[sample_type])
    return np.dtype(f"{sample_type[0]}{int(sample_type[1:]) // 8}")


def quantize(values: npt.NDArray[Any], info: SignalInfo) -> Ints:
    """The samples that decoding writes for ``values`` (…) of a signal described by ``info``, piece by piece."""
    flat, out = values.reshape(-1), np.empty(values.size, dtype_of(info.sample_type))

    def fill(start: int) -> None:
        piece = slice(start, start + _PIECE)
        out[piece] = quantize_block(flat[piece], info.sample_type, info.value_range, signed=info.modality == "audio")

    every(fill, range(0, values.size, _PIECE))
    return out.reshape(values.shape)


def samples_of(block: Block, info: SignalInfo) -> Ints:
    """The samples (n, …, C) that decoding writes for a block: as they are, where it says so."""
    return quantize(block.values, info) if block.samples is None else block.samples[..., None]


def quantize_block(
    values: npt.NDArray[Any], sample_type: SampleType, value_range: Range | None = None, *, signed: bool = False
) -> Ints:
    """Clip and round ``values`` (…) to the samples (…) that a file holds.

    ``signed``: the values are sound in [-1, 1]; otherwise they are in [0, 1].
    """
    if signed:
        return _quantize_sound(values, sample_type, value_range)
    v = _clip(values, 0.0, 1.0)
    if value_range is not None:
        return _to_type(_lerp(v, value_range), sample_type, value_range)
    if sample_type not in _BITS:
        return v.astype(dtype_of(sample_type))
    full = 2 ** _BITS[sample_type] - 1
    # float32 has bits to spare for 16; wider integers need float64.
    work = v.astype(np.float32 if full < 2**17 else np.float64, copy=False)
    return _to_type(np.multiply(work, full, dtype=work.dtype), sample_type, (0.0, float(full)))


def _quantize_sound(values: npt.NDArray[Any], sample_type: SampleType, value_range: Range | None) -> Ints:
    v = _clip(values, -1.0, 1.0)
    if sample_type not in _BITS:
        peak = 1.0 if value_range is None else value_range[1]
        return (v.astype(np.float64) * peak).astype(dtype_of(sample_type))
    half = 2.0 ** (_BITS[sample_type] - 1)
    centre = half if sample_type.startswith("u") else 0.0
    scaled = np.rint(v.astype(np.float64) * half) + centre
    return _to_type(scaled, sample_type, (centre - half, centre + half - 1))


def as_type(values: npt.NDArray[Any], info: SignalInfo, sample_type: SampleType) -> Ints:
    """Samples of another type, at most as deep as that of ``info``, with black and white where they are.

    (A range of values says what part of 16 bits a picture uses; in 8 bits it uses the same part. Floats have no white:
    in integers they count from the least to the largest.)
    """
    if sample_type == info.sample_type or info.value_range is None:
        return quantize_block(values, sample_type, info.value_range)
    if info.sample_type.startswith("f"):
        return quantize_block(values, sample_type)
    return convert_alpha(quantize(values, info), sample_type)


def full_scale(values: Floats, info: SignalInfo) -> Floats:
    """Values (…) of a picture in [0, 1] from black to white, whatever part of its range it uses."""
    if info.value_range is None or info.sample_type.startswith("f"):
        return values
    return dequantize(quantize(values, info), info.sample_type)


def dequantize(
    samples: npt.NDArray[Any], sample_type: SampleType, value_range: Range | None = None, *, signed: bool = False
) -> Floats:
    """The float32 field values (…) of ``samples`` (…): the inverse of :func:`quantize_block`."""
    if signed:
        return _dequantize_sound(samples, sample_type, value_range)
    if value_range is not None:
        return _unlerp(samples, value_range)
    if sample_type not in _BITS:
        return samples.astype(np.float32)
    full = 2 ** _BITS[sample_type] - 1
    if full < 2**17:
        return cast(Floats, np.divide(samples, np.float32(full), dtype=np.float32))
    return cast(Floats, (samples.astype(np.float64) / full).astype(np.float32))


def _dequantize_sound(samples: npt.NDArray[Any], sample_type: SampleType, value_range: Range | None) -> Floats:
    if sample_type not in _BITS:
        peak = 1.0 if value_range is None else value_range[1]
        return (samples.astype(np.float64) / peak).astype(np.float32)
    half = 2.0 ** (_BITS[sample_type] - 1)
    centre = half if sample_type.startswith("u") else 0.0
    return ((samples.astype(np.float64) - centre) / half).astype(np.float32)


def convert_alpha(alpha: Ints, sample_type: SampleType) -> Ints:
    """Transparency (…) in the integers of ``sample_type`` ("u8" or "u16"), rounded to nearest."""
    target = dtype_of(sample_type)
    if alpha.dtype == target:
        return alpha
    have, want = int(np.iinfo(alpha.dtype).max), int(np.iinfo(target).max)
    return ((alpha.astype(np.uint32) * want + have // 2) // have).astype(target)


def _clip(values: npt.NDArray[Any], low: float, high: float) -> npt.NDArray[Any]:
    # fmax first: it turns NaN into the low end, which np.clip would let through to the integer cast.
    return cast(Ints, np.fmin(np.fmax(values, np.float32(low)), np.float32(high)))


def _lerp(v: npt.NDArray[Any], value_range: Range) -> Doubles:
    # Not lo + v·(hi − lo): the difference of two finite doubles may be infinite.
    lo, hi = value_range
    w = v.astype(np.float64)
    return np.clip(lo * (1.0 - w) + hi * w, lo, hi)


def _unlerp(samples: npt.NDArray[Any], value_range: Range) -> Floats:
    lo, hi = value_range
    if hi == lo:
        return np.zeros(samples.shape, np.float32)
    s = samples.astype(np.float64)
    if not np.isfinite(hi - lo):
        s, lo, hi = s / 2, lo / 2, hi / 2
    return np.clip((s - lo) / (hi - lo), 0.0, 1.0).astype(np.float32)


def _to_type(x: npt.NDArray[Any], sample_type: SampleType, value_range: Range) -> Ints:
    dtype = dtype_of(sample_type)
    if dtype.kind == "f":
        return x.astype(dtype)
    x = np.clip(np.rint(x), *value_range)
    if dtype.itemsize < 8:
        return x.astype(dtype)
    # 2^63 − 1 is no double: cast what surely fits and set the top by hand.
    top = 2.0 ** (63 if dtype.kind == "i" else 64)
    out = np.clip(x, np.iinfo(dtype).min, np.nextafter(top, 0)).astype(dtype)
    out[x >= top] = np.iinfo(dtype).max
    return cast(Ints, out)
