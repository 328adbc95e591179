"""Signals: values on a regular grid over a continuous domain.

A signal is described by a :class:`SignalInfo` and delivered or taken in *blocks* along its first axis, so
that a long recording or clip never has to be in memory at once:

========  =====================  ==========================
modality  axes of ``shape``      values of a block of n rows
========  =====================  ==========================
image     (height, width)        (n, W, C), in [0, 1]
audio     (samples,)             (n, C), in [-1, 1]
video     (frames, height, width)  (n, H, W, C), in [0, 1]
array     one to three axes      (n, …, 1), in [0, 1]
========  =====================  ==========================

Coordinates: sample i of n sits at the pixel centre (2i + 1)/n − 1 of [-1, 1]; the
longest spatial axis sets the unit, so pixels are square; time is in seconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal, Protocol

from nfcodec.errors import OptionError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]
    Ints = npt.NDArray[Any]
    Mask = npt.NDArray[np.bool_]
else:  # nothing that can be refused waits for numpy
    Floats = Ints = Mask = Any

Modality = Literal["image", "audio", "video", "array"]
SampleType = Literal["u1", "u8", "u16", "i16", "i24", "i32", "f32", "f64", "i8", "u32", "i64", "u64", "f16"]
MODALITIES: tuple[Modality, ...] = ("image", "audio", "video", "array")
# Append only: the position of a sample type is its code in the file.
SAMPLE_TYPES: tuple[SampleType, ...] = (
    "u1", "u8", "u16", "i16", "i24", "i32", "f32", "f64", "i8", "u32", "i64", "u64", "f16",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Metadata:
    """What travels beside the samples, byte for byte.

    ``icc``, ``exif``, ``xmp`` are the raw payloads (the EXIF orientation already applied and reset to 1);
    ``tags`` are (key, value) text pairs such as an audio title or a frame delay list.
    """

    icc: bytes = b""
    exif: bytes = b""
    xmp: bytes = b""
    tags: tuple[tuple[str, str], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.icc or self.exif or self.xmp or self.tags)


@dataclass(frozen=True, slots=True)
class SignalInfo:
    """What a signal is, without its samples.

    ``shape`` holds the lengths of the axes, channels excluded; the first length of a video or a recording
    may be an estimate until the source is exhausted. ``channels`` counts the colour or sound channels
    without alpha. ``sample_type`` is what decoding writes. ``rate`` is samples or frames per second.
    ``value_range`` maps [0, 1] back to the original values (arrays and float images only). ``gaps``: of an array some
    samples may be missing, see :class:`Block`.
    """

    modality: Modality
    shape: tuple[int, ...]
    channels: int
    sample_type: SampleType
    alpha: bool = False
    rate: Fraction | None = None
    value_range: tuple[float, float] | None = None
    gaps: bool = False

    def __post_init__(self) -> None:
        if self.modality not in MODALITIES:
            raise OptionError(f"unknown modality {self.modality!r}; known: {', '.join(MODALITIES)}")
        if not self.shape or min(self.shape) < 1:
            raise OptionError(f"a signal needs at least one sample on every axis, got shape {self.shape}")

    @property
    def samples(self) -> int:
        """Grid points, channels not counted."""
        return math.prod(self.shape)

    @property
    def zero(self) -> float:
        """The sample that stands for silence, from which energy is measured: not 0 for unsigned sound."""
        unsigned = self.modality == "audio" and self.sample_type.startswith("u")
        return 2.0 ** (int(self.sample_type[1:]) - 1) if unsigned else 0.0

    @property
    def full(self) -> float:
        """The sample, from ``zero``, that stands for full scale or white; 1 for arrays, which know neither."""
        if self.modality == "array" or self.sample_type.startswith("f"):
            return 1.0
        bits = int(self.sample_type[1:])
        return 2.0 ** (bits - 1) if self.modality == "audio" else float(2**bits - 1)

    @property
    def peak(self) -> float:
        """The distance between the smallest and the largest legal sample, as PSNR takes it."""
        if self.value_range is not None:
            low, high = self.value_range
            return float(high - low) if high > low else 1.0
        bits = {"u1": 1, "u8": 8, "i8": 8, "u16": 16, "i16": 16, "i24": 24, "i32": 32, "u32": 32}.get(self.sample_type)
        if bits is not None:
            return float(2**bits - 1)
        return 2.0 if self.modality == "audio" else 1.0


    @property
    def exponent(self) -> int:
        """Samples are measured in units of 2^exponent: 0 but for floats whose squares would leave binary64."""
        if self.value_range is None:
            return 0
        size = math.frexp(max(map(abs, self.value_range)))[1]
        return size if abs(size) > 300 else 0

    @property
    def measured_peak(self) -> float:
        """``peak`` of :meth:`measured` samples."""
        if not self.exponent or self.value_range is None:
            return self.peak
        low, high = (math.ldexp(v, -self.exponent) for v in self.value_range)
        return high - low if high > low else 1.0

    def measured(self, samples: Ints) -> Ints:
        """Samples as errors and energy are taken from them: counted from ``zero``, in units of 2^``exponent``."""
        if not self.zero and not self.exponent:
            return samples
        import numpy as np

        counted: Ints = np.ldexp(samples.astype(np.float64) - self.zero, -self.exponent)
        return counted


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive rows of a signal along its first axis.

    ``values``: float32 (n, …, C). ``alpha``: unsigned integers (n, …) of the sample type, or None. ``samples``: of an
    array the samples (n, …) themselves, in their own type, or None where the values are all there is. ``missing``:
    which of these are NaN, infinite, or a number that stands for none, or None.
    """

    values: Floats
    alpha: Ints | None = None
    samples: Ints | None = None
    missing: Mask | None = None


class Source(Protocol):
    """A signal that can be read once, in blocks."""

    metadata: Metadata
    warnings: list[str]

    @property
    def info(self) -> SignalInfo:
        """What the signal is: its length, and the rate of a video, for sure once it was read."""
        ...

    def blocks(self, rows: int) -> Iterator[Block]:
        """Yield blocks of exactly ``rows`` rows (the last may be shorter)."""
        ...

    def sidecar(self) -> bytes:
        """The untouched sound track of a video as a Matroska stream, or nothing."""
        ...

    def close(self) -> None:
        """Release files and processes; may be called twice."""
        ...


class Sink(Protocol):
    """Takes the blocks of a decoded signal in order and writes them somewhere."""

    warnings: list[str]

    def write(self, block: Block) -> None:
        """Take the next rows; values outside the legal range are clipped."""
        ...

    def close(self) -> None:
        """Finish the output. Without this call the output is not valid."""
        ...

    def abort(self) -> None:
        """Release everything without finishing."""
        ...
