"""What a caller may ask for, and what they get back: one set of dataclasses for the CLI and the library.

Nothing here imports torch or numpy, so the command line can show its defaults at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from numbers import Integral, Real
from typing import Literal

from nfcodec.errors import OptionError
from nfcodec.limits import DEFAULT_LIMITS, Limits

MetadataKind = Literal["icc", "exif", "xmp", "tags", "sound"]
METADATA_KINDS: tuple[MetadataKind, ...] = ("icc", "exif", "xmp", "tags", "sound")

FieldKind = Literal["lattice", "siren", "lapped", "dyadic", "moving", "fourier", "nerv"]
FIELD_KINDS: tuple[FieldKind, ...] = ("lattice", "siren", "lapped", "dyadic", "moving", "fourier", "nerv")

# What an encoder minds: how things look and sound, or the error of their samples.
Tune = Literal["perceptual", "psnr"]
TUNES: tuple[Tune, ...] = ("perceptual", "psnr")

# Options that stand instead of a quality.
TARGETS = ("bpp", "kbps", "target_size", "target_psnr", "target_snr")

# Previews are 1/n of a picture's size; see nfcodec.decoder.reduced.
PREVIEW_STEPS = (8, 4, 2, 1)

Progress = Callable[["ProgressEvent"], None]


@dataclass(frozen=True, slots=True)
class ProgressEvent:
    """One tick: ``done`` of ``total`` work units; ``stage`` names the work; ``psnr`` of what is done so far."""

    stage: str
    done: float
    total: float
    psnr: float | None = None


@dataclass(frozen=True, slots=True)
class ErrorBound:
    """How far a decoded sample may be from the original: ``value``, of the range of values where it is ``relative``."""

    value: float
    relative: bool = False

    @classmethod
    def parse(cls, text: str) -> ErrorBound:
        """"0.5" → half a unit of the samples, "0.1%" → a thousandth of their range; ValueError for anything else."""
        bare = text.strip()
        relative = bare.endswith("%")
        value = float(bare[:-1]) / 100.0 if relative else float(bare)
        if not 0.0 <= value < math.inf:
            raise ValueError(text)
        return cls(value, relative)

    def absolute(self, low: float, high: float) -> float:
        """In units of samples from ``low`` to ``high``."""
        # Halves, since the difference of two finite numbers may be infinite; a bound that is, is none.
        return min(2.0 * (self.value * (high / 2.0 - low / 2.0)), 1.7e308) if self.relative else self.value


@dataclass(frozen=True, slots=True)
class EncodeOptions:
    """How to encode.

    ``quality``: 0…100, more is more bytes and a higher PSNR. ``effort``: 1…9, more takes more time and finds better
    files: less error and fewer bytes as a whole, within 1 % where the two are weighed. ``field``: the kind of field, or
    None for the usual one of the modality. ``init``: id or path of the init, or None to choose by modality and field.

    ``tune``: "perceptual" spends bits where they are seen or heard, "psnr" makes the squared error small, and is what
    a target in dB asks for. It is of pictures on a lattice whose init has both, and of sound on lapped fields;
    elsewhere the two are the same. One quality looks alike in both.

    Instead of a quality one target: ``bpp``, bits of the file per sample of the grid, ``kbps``, 1,000 bits of it per
    second, or ``target_size``, bytes of the file, all at most; ``target_psnr`` or, of sound, ``target_snr``, dB, at
    least. One that cannot be met gives the smallest or best file
    there is, and a warning. ``max_time``: seconds that encoding may take: all but the first inner steps are left
    out when they would take longer (of a field of modules: begin later).

    Of arrays: ``max_error``, as :meth:`ErrorBound.parse` takes it (a number is absolute), holds for every sample,
    instead of a quality or a target; 0 is lossless. ``wrap``: axes whose ends meet, such as longitude, counted from 0
    or, below 0, from the end.

    ``strip``: metadata kinds to leave out. ``verify``: read the file back before it gets its final name, and
    see that it decodes to the symbols that were encoded. Streams of a lattice have been decoded when they were made;
    they are compared byte for byte.
    """

    quality: int = 75
    effort: int = 5
    field: FieldKind | None = None
    init: str | None = None
    tune: Tune = "perceptual"
    bpp: float | None = None
    kbps: float | None = None
    target_size: int | None = None
    target_psnr: float | None = None
    target_snr: float | None = None
    max_time: float | None = None
    strip: frozenset[MetadataKind] = frozenset()
    verify: bool = True
    max_error: str | float | None = None
    wrap: tuple[int, ...] = ()
    limits: Limits = dataclass_field(default=DEFAULT_LIMITS)

    @property
    def minded(self) -> Tune:
        """What bits are spent for: the tune, but for a target in dB the squared error."""
        return self.tune if self.target_psnr is None and self.target_snr is None else "psnr"

    def __post_init__(self) -> None:
        if self.field not in (None, *FIELD_KINDS):
            raise OptionError(f"unknown field {self.field!r}; known: {', '.join(FIELD_KINDS)}")
        if self.tune not in TUNES:
            raise OptionError(f"unknown tune {self.tune!r}; known: {', '.join(TUNES)}")
        given = [n for n in TARGETS if getattr(self, n) is not None]
        if len(given) + (self.max_error is not None) > 1:
            names = [*given, *(("max_error",) if self.max_error is not None else ())]
            raise OptionError(f"{' and '.join(names)} exclude each other")
        self._check_array()
        for name in (*given, *(("max_time",) if self.max_time is not None else ())):
            number = getattr(self, name)
            if not isinstance(number, Integral if name == "target_size" else Real):
                raise OptionError(f"{name} must be a {'whole ' * (name == 'target_size')}number, got {number!r}")
            if not 0 < float(number) < math.inf:
                raise OptionError(f"{name} must be positive, got {number}")
        for name, low, high in (("quality", 0, 100), ("effort", 1, 9)):
            value = getattr(self, name)
            if not isinstance(value, Integral):
                raise OptionError(f"{name} must be a whole number, got {value!r}")
            if not low <= int(value) <= high:
                raise OptionError(f"{name} {value} is outside {low}…{high}")
        for kind in self.strip:
            if kind not in METADATA_KINDS:
                raise OptionError(f"cannot strip {kind!r}; known: {', '.join(METADATA_KINDS)}")


    def _check_array(self) -> None:
        if not all(isinstance(axis, Integral) for axis in self.wrap):
            raise OptionError(f"wrap takes numbers of axes, got {self.wrap!r}")
        object.__setattr__(self, "wrap", tuple(int(axis) for axis in self.wrap))
        if self.max_error is not None:
            object.__setattr__(self, "max_error", str(self.max_error))
            _ = self.bound

    @property
    def bound(self) -> ErrorBound | None:
        """``max_error`` as a bound."""
        try:
            return None if self.max_error is None else ErrorBound.parse(str(self.max_error))
        except ValueError:
            wanted = "a number such as 0.5 or a percentage of the range of values such as 0.1%"
            raise OptionError(f"max_error must be {wanted}, got {self.max_error!r}") from None


@dataclass(frozen=True, slots=True)
class DecodeOptions:
    """What to render.

    ``scale`` multiplies the spatial axes; ``size`` is (width, height) instead, either may be 0 to follow
    from the other. ``crop``: (x, y, width, height) in native pixels, of
    arrays along the last axis and the one before it. ``time``: (start, stop) in seconds,
    stop may be None. ``rate``: output samples per second. ``fps``: output frames per second. ``partial``: take a
    truncated file for what is there of it, with a warning that says what is missing.
    """

    scale: float | None = None
    size: tuple[int, int] | None = None
    crop: tuple[int, int, int, int] | None = None
    time: tuple[float, float | None] | None = None
    rate: float | None = None
    fps: float | None = None
    partial: bool = False
    limits: Limits = dataclass_field(default=DEFAULT_LIMITS)

    def __post_init__(self) -> None:
        if self.scale is not None and self.size is not None:
            raise OptionError("scale and size exclude each other")
        for name in ("scale", "rate", "fps"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise OptionError(f"{name} must be positive, got {value}")
        if self.size is not None and (min(self.size) < 0 or max(self.size) == 0):
            raise OptionError(f"size {self.size[0]}x{self.size[1]} has no positive side")
        if self.crop is not None and (min(self.crop[:2]) < 0 or min(self.crop[2:]) < 1):
            raise OptionError(f"crop {','.join(map(str, self.crop))} is empty or starts before the origin")
        if self.time is not None and not _good_time(*self.time):
            raise OptionError(f"time range {self.time[0]}:{self.time[1]} is empty or starts before 0")


def _good_time(start: float, stop: float | None) -> bool:
    """Whether start and stop (None for the end) are a range; NaN is none."""
    return 0 <= start < (math.inf if stop is None else stop)


@dataclass(frozen=True, slots=True)
class EncodeResult:
    """One encoded file. ``psnr`` (dB) is of the decoded samples as written, over all channels without alpha.

    ``rate``: bits per pixel for images, bits per element for arrays, kbit/s for audio and video, always
    over every byte of the file; ``rate_unit`` names it. ``max_error``: of arrays, the
    largest error of a sample. ``snr`` (dB) for audio only. No error at all is +∞ in both;
    an error in the place of silence is −∞ in ``snr``. JSON has null for both infinities: null in ``psnr`` means no
    error, null in ``snr`` no error or a silent original, which ``psnr`` tells apart.
    """

    input: str
    output: str
    input_bytes: int
    bytes: int
    rate: float
    rate_unit: Literal["bpp", "bpe", "kbps"]
    psnr: float
    snr: float | None
    seconds: float
    init: str
    quality: int
    effort: int
    warnings: tuple[str, ...] = ()
    max_error: float | None = None


@dataclass(frozen=True, slots=True)
class DecodeResult:
    """One decoded file. ``shape`` is of the written signal, channels excluded; ``modality`` what it is."""

    input: str
    output: str
    shape: tuple[int, ...]
    bytes: int
    seconds: float
    warnings: tuple[str, ...] = ()
    modality: str = ""


@dataclass(frozen=True, slots=True)
class SectionInfo:
    """One section of a file: its type name and its stored size in bytes, framing included. ``layers``: which
    layers of a lattice it holds, counted from 1, coarse to fine."""

    type: str
    bytes: int
    layers: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class FileInfo:
    """What the header of an .nfc file says; read without decoding and without torch. ``field``: the kind.

    ``uneven``: the frames of a video are not shown for equal times; ``sample_rate`` is their number by the length then.
    ``growing``: a recording that has no end yet; ``shape`` is of what can be decoded now. ``spacing``: samples between
    the cells of a lattice, None where they are those of the init; ``turn`` and ``dither``: of its planes and of the
    grids of their means (FORMAT.md, §2), None where there is none.
    """

    path: str
    bytes: int
    version: int
    modality: str
    shape: tuple[int, ...]
    channels: int
    alpha: bool
    sample_type: str
    sample_rate: float | None
    value_range: tuple[float, float] | None
    field: FieldKind
    init: str
    quality: int
    rate: float
    rate_unit: Literal["bpp", "bpe", "kbps"]
    metadata: tuple[str, ...]
    sections: tuple[SectionInfo, ...]
    uneven: bool = False
    growing: bool = False
    spacing: int | None = None
    turn: tuple[int, ...] | None = None
    dither: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """A file that passed: structure, checksums and a full decode of every symbol."""

    path: str
    bytes: int
    symbols: int
    digest: str
    seconds: float


@dataclass(frozen=True, slots=True)
class CompareResult:
    """Two signals of equal size compared. ``psnr`` is infinite for equal signals; ``max_error`` in sample units;
    ``psnr`` and ``snr`` as in :class:`EncodeResult`."""

    a: str
    b: str
    psnr: float
    snr: float | None
    ms_ssim: float | None
    max_error: float


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """One init of the zoo. ``sha256`` is of the file's bytes; ``parameters`` counts one module."""

    id: str
    modality: str
    field: str
    sha256: str
    bytes: int
    parameters: int
    kept: int
    path: str
    default: bool
