"""Pictures and animations written to files: PNG by our own writer, everything else by Pillow."""

from __future__ import annotations

import tempfile
import warnings as python_warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nfcodec.errors import OutputError
from nfcodec.media.image_metadata import DESCRIPTIVE_TAGS, EXIF_FOLDERS
from nfcodec.media.metadata import is_exif, jpeg_exif
from nfcodec.media.png import PngShape, PngWriter
from nfcodec.media.reading import named, reason
from nfcodec.media.samples import as_type, convert_alpha, quantize
from nfcodec.media.timing import frame_times
from nfcodec.parallel import begun
from nfcodec.signal import Block, Ints, Metadata, SampleType, SignalInfo
from nfcodec.tags import MOST_DPI, Tags

if TYPE_CHECKING:
    from PIL import Image

_JPEG_SEGMENT = 65_502
_TIFF_XMP = 700
# GIF and WebP count in 16 bits.
_MOST_LOOPS = 0xFFFF
# A time in a GIF is 16 bits of 10 ms; in a WebP 24 bits of 1 ms, and the sum of all 31 bits.
_MOST_MS = {"gif": 655_350, "webp": 2**24 - 1}
_WEBP_TOTAL = 2**31 - 1
# JPEG holds 16 bits.
_MOST_DPI = {"jpg": 65535.0, "tif": MOST_DPI, "bmp": MOST_DPI}


@dataclass(frozen=True, slots=True)
class _Format:
    """What a format holds, and how Pillow is asked for its best copy."""

    pillow: str
    alpha: bool = False
    deep: bool = False
    bilevel: bool = False
    holds: tuple[str, ...] = ()
    options: tuple[tuple[str, Any], ...] = ()


# JPEG and AVIF cannot be exact; quality 95 without colour subsampling is the usual "visually lossless".
_FORMATS = {
    "jpg": _Format("JPEG", holds=("icc", "exif", "xmp"), options=(("quality", 95), ("subsampling", 0))),
    "webp": _Format(
        "WEBP", alpha=True, holds=("icc", "exif", "xmp"), options=(("lossless", True), ("exact", True), ("quality", 80))
    ),
    "tif": _Format(
        "TIFF", alpha=True, deep=True, bilevel=True, holds=("icc", "exif", "xmp"),
        options=(("compression", "tiff_adobe_deflate"),),
    ),
    "bmp": _Format("BMP", bilevel=True),
    "avif": _Format(
        "AVIF", alpha=True, holds=("icc", "exif", "xmp"), options=(("quality", 95), ("subsampling", "4:4:4"))
    ),
    "gif": _Format("GIF", alpha=True),
}  # fmt: skip


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Pillow fails with many classes when it cannot write; all of them are an :class:`OutputError`."""
    try:
        yield
    except OutputError:
        raise
    except Exception as error:
        raise OutputError(f"cannot write {named(path)}: {reason(error)}") from error


def join_alpha(block: Block, samples: Ints, kind: SampleType) -> Ints:
    """Samples (…, C) with the block's alpha as the last channel, in the same integers."""
    if block.alpha is None:
        return samples
    return np.concatenate([samples, convert_alpha(block.alpha, kind)[..., None]], axis=-1)


class PngSink:
    """PNG of 1, 8 or 16 bit, with or without alpha; a video becomes an APNG."""

    def __init__(self, path: Path, info: SignalInfo, metadata: Metadata, tags: Tags) -> None:
        self.warnings: list[str] = []
        self._path, self._info = path, info
        self._rows = int(np.prod(info.shape[:-1]))
        self._written: Callable[[], None] = _nothing
        moving = info.modality == "video"
        shape = PngShape(
            width=info.shape[-1],
            height=info.shape[-2],
            channels=info.channels + info.alpha,
            depth={"u1": 1, "u16": 16}.get(info.sample_type, 8),
            delays=tuple(map(float, frame_times(info, tags.durations).milliseconds())) if moving else (),
            loop=tags.loop,
        )
        with _writing(path):
            self._file: IO[bytes] = open(path, "wb")  # noqa: SIM115 (closed in close or abort)
        try:
            with _writing(path):
                self._writer = PngWriter(self._file, shape, metadata, tags)
        except BaseException:
            self._file.close()
            raise

    def write(self, block: Block) -> None:
        """Take the next rows (n, W, C) of a picture, or frames (n, H, W, C) of a video. They are compressed beside what
        comes next, which tells of errors."""
        samples = join_alpha(block, quantize(block.values, self._info), self._info.sample_type)
        rows = samples.reshape(-1, *samples.shape[-2:])
        self._rows -= len(rows)
        if self._rows < 0:
            raise OutputError(f"cannot write {named(self._path)}: more rows than announced")
        self._finish()
        self._written = begun(self._writer.rows, rows)

    def _finish(self) -> None:
        """Wait until what was begun is written."""
        written, self._written = self._written, _nothing
        with _writing(self._path):
            written()

    def close(self) -> None:
        """Write the end of the file."""
        try:
            self._finish()
            if self._rows:
                raise OutputError(f"cannot write {named(self._path)}: {self._rows} rows are missing")
            with _writing(self._path):
                self._writer.close()
                self._file.close()
        finally:
            self.abort()

    def abort(self) -> None:
        """Close the file as it is; may be called twice."""
        with suppress(OutputError):
            self._finish()
        with suppress(OSError):
            self._file.close()


def _nothing() -> None:
    """Nothing is being written."""


class PillowSink:
    """A still picture that Pillow writes; it is collected in its compact form first."""

    def __init__(self, path: Path, info: SignalInfo, metadata: Metadata, tags: Tags, form: str) -> None:
        self.warnings: list[str] = []
        self._path, self._info, self._form = path, info, form
        self._metadata, self._tags = metadata, tags
        self._spec = _FORMATS[form]
        self._kind = self._sample_type()
        self._alpha = info.alpha and self._spec.alpha
        if info.alpha and not self._alpha:
            self.warnings.append(f"alpha dropped: {form} cannot hold it")
        depth = info.channels + self._alpha
        self._pixels = np.zeros((*info.shape, depth), np.float32 if self._kind == "f32" else _dtype(self._kind))
        self._row = 0

    def _sample_type(self) -> SampleType:
        kind = self._info.sample_type
        if kind == "u16" and not (self._spec.deep and self._info.channels == 1 and not self._info.alpha):
            self.warnings.append(f"16 bits per sample are reduced to 8: {self._form} is written with 8 (png keeps 16)")
            return "u8"
        return "u8" if kind == "u1" and not self._spec.bilevel else kind

    def write(self, block: Block) -> None:
        """Take the next rows."""
        samples = as_type(block.values, self._info, self._kind)
        if self._alpha:
            samples = join_alpha(block, samples, self._kind)
        self._pixels[self._row : self._row + len(samples)] = samples
        self._row += len(samples)

    def close(self) -> None:
        """Compress and write the picture."""
        if self._row != self._info.shape[0]:
            raise OutputError(f"cannot write {named(self._path)}: {self._row} of {self._info.shape[0]} rows were given")
        with _writing(self._path):
            image = to_pillow(self._pixels, self._kind)
            if self._form == "gif" and image.mode != "L":
                image = self._reduced(image)
            _with_payloads(partial(self._save, image), self._payloads, self.warnings)

    def _save(self, image: Image.Image, payloads: dict[str, Any]) -> None:
        with open(self._path, "wb") as file:
            image.save(file, self._spec.pillow, **(dict(self._spec.options) | payloads))

    def _reduced(self, image: Image.Image) -> Image.Image:
        self.warnings.append("gif holds 256 colours: the picture is reduced to them")
        from PIL import Image

        return image.convert("RGBA").quantize(256, Image.Quantize.FASTOCTREE) if self._alpha else image.quantize(256)

    def _payloads(self) -> dict[str, Any]:
        """Pillow's options that carry the metadata; what does not fit is told."""
        given = self._fitting()
        found: dict[str, Any] = {}
        if given.icc:
            found["icc_profile"] = given.icc
        if self._form == "tif":
            found["exif"] = _tiff_tags(given, self.warnings)
        elif given.exif:
            found["exif"] = jpeg_exif(given.exif) if self._form == "jpg" else given.exif
        if given.xmp:
            found["xmp"] = given.xmp
        if self._tags.dpi and self._form in ("jpg", "tif", "bmp"):
            found["dpi"] = tuple(min(v, _MOST_DPI[self._form]) for v in self._tags.dpi)
        return found

    def _fitting(self) -> Metadata:
        return fitting_metadata(self._metadata, self._form, self.warnings)

    def abort(self) -> None:
        """Forget the picture."""
        self._pixels = np.zeros(0, np.uint8)


def _tiff_tags(metadata: Metadata, warnings: list[str]) -> Image.Exif:
    """EXIF and XMP as tags of the picture itself, which is how TIFF holds them."""
    from PIL import Image

    tags = Image.Exif()
    if metadata.exif:
        try:
            tags.update(_descriptive(metadata.exif))
        except Exception:  # damaged directories fail in many ways
            warnings.append("EXIF dropped: it is damaged")
    if metadata.xmp:
        tags[_TIFF_XMP] = metadata.xmp
    return tags


def _descriptive(exif: bytes) -> dict[int, Any]:
    """What EXIF says of the picture. Where and how pixels are stored is the business of the one who writes them."""
    from PIL import Image

    stored = Image.Exif()
    with python_warnings.catch_warnings():
        python_warnings.simplefilter("error")
        stored.load(exif)
        found: dict[int, Any] = {number: stored[number] for number in DESCRIPTIVE_TAGS if number in stored}
        folders = {number: dict(stored.get_ifd(number)) for number in EXIF_FOLDERS}
    return found | {number: folder for number, folder in folders.items() if folder}


def _with_payloads(
    save: Callable[[dict[str, Any]], None], payloads: Callable[[], dict[str, Any]], warnings: list[str]
) -> None:
    """Save with the metadata; where Pillow cannot hold it, as it is damaged or too large, without."""
    try:
        with python_warnings.catch_warnings():
            python_warnings.simplefilter("ignore")  # Pillow looks for an orientation, also in damaged EXIF
            save(payloads())
    except Exception as error:  # nearly any class
        if isinstance(error, OSError) and error.errno is not None:  # the disk, not the metadata
            raise
        save({})
        warnings.append(f"metadata dropped: it cannot be written ({reason(error)})")


def fitting_metadata(metadata: Metadata, form: str, warnings: list[str]) -> Metadata:
    """``metadata`` without the payloads that ``form`` cannot hold, each with a line in ``warnings``."""
    kept: dict[str, bytes] = {}
    for name in ("icc", "exif", "xmp"):
        payload: bytes = getattr(metadata, name)
        why = _misfit(name, payload, form)
        if payload and why:
            warnings.append(f"{name.upper()} dropped: {why}")
        kept[name] = b"" if why else payload
    return Metadata(kept["icc"], kept["exif"], kept["xmp"], metadata.tags)


def _misfit(name: str, payload: bytes, form: str) -> str | None:
    if name not in _FORMATS[form].holds:
        return f"{form} cannot hold it"
    if form == "jpg" and name != "icc" and len(payload) > _JPEG_SEGMENT:
        return f"{len(payload)} bytes are over the {_JPEG_SEGMENT} of a JPEG segment"
    if name == "exif" and form in ("avif", "tif") and not is_exif(payload):
        return "it is damaged"
    return None


class AnimationSink:
    """GIF or WebP of many frames; they wait in a temporary file, since Pillow wants to pull them itself."""

    def __init__(self, path: Path, info: SignalInfo, metadata: Metadata, tags: Tags, form: str) -> None:
        self.warnings: list[str] = []
        self._path, self._info, self._form = path, info, form
        self._metadata = fitting_metadata(metadata, form, self.warnings)
        # A GIF counts hundredths of a second.
        self._times = self._bounded(frame_times(info, tags.durations).milliseconds(10 if form == "gif" else 1))
        self._plays = tags.loop
        self._frame = (*info.shape[1:], info.channels + info.alpha)
        self._count = 0
        if form == "gif":
            self.warnings.append("gif holds 256 colours per frame and times in steps of 10 ms")
        with _writing(path):
            self._store: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed in abort)

    def _bounded(self, times: tuple[int, ...]) -> list[int]:
        """Whole milliseconds that the format can write down."""
        most = _MOST_MS[self._form]
        if self._form == "webp":
            most = min(most, _WEBP_TOTAL // len(times))
        if max(times) > most:
            self.warnings.append(f"frame times are cut to {most} ms: {self._form} holds no longer ones")
        return [min(ms, most) for ms in times]

    def write(self, block: Block) -> None:
        """Take the next frames (n, H, W, C)."""
        samples = join_alpha(block, quantize(block.values, self._info), "u8")
        self._count += len(samples)
        with _writing(self._path):
            self._store.write(np.ascontiguousarray(samples).data)

    def close(self) -> None:
        """Compress and write all frames."""
        try:
            if self._count != self._info.shape[0]:
                raise OutputError(f"cannot write {named(self._path)}: {self._count} of {self._info.shape[0]} frames")
            with _writing(self._path):
                _with_payloads(self._save, self._payloads, self.warnings)
        finally:
            self.abort()

    def _payloads(self) -> dict[str, Any]:
        if self._form != "webp":
            return {}
        return {"icc_profile": self._metadata.icc, "exif": self._metadata.exif, "xmp": self._metadata.xmp}

    def _save(self, payloads: dict[str, Any]) -> None:
        frames = self._frames()
        options = dict(_FORMATS[self._form].options) | payloads
        if self._form == "gif":
            options["disposal"] = 2 if self._info.alpha else 0
            # A GIF counts the repetitions after the first run; without the number it runs once.
            if self._plays != 1:
                options["loop"] = min(max(0, self._plays - 1), _MOST_LOOPS)
        else:
            options["loop"] = min(self._plays, _MOST_LOOPS)
        with open(self._path, "wb") as file:
            next(frames).save(
                file, _FORMATS[self._form].pillow, save_all=True, append_images=frames,
                duration=self._times if len(self._times) > 1 else self._times[0], **options,
            )  # fmt: skip

    def _frames(self) -> Iterator[Image.Image]:
        self._store.seek(0)
        size = int(np.prod(self._frame))
        for _ in range(self._count):
            pixels = np.frombuffer(self._store.read(size), np.uint8).reshape(self._frame)
            yield to_pillow(pixels, "u8")

    def abort(self) -> None:
        """Forget the frames; may be called twice."""
        self._store.close()


def _dtype(kind: SampleType) -> type[np.unsignedinteger[Any]]:
    return np.uint16 if kind == "u16" else np.uint8


def to_pillow(pixels: npt.NDArray[Any], kind: SampleType) -> Image.Image:
    """Samples (H, W, C) as a Pillow image: 1, L, LA, RGB, RGBA, I;16 or F."""
    from PIL import Image

    depth = pixels.shape[-1]
    if depth == 1:
        plain = np.ascontiguousarray(pixels[..., 0])
        return Image.fromarray(plain.astype(bool) if kind == "u1" else plain)
    mode = {2: "LA", 3: "RGB", 4: "RGBA"}[depth]
    return Image.frombytes(mode, pixels.shape[1::-1], np.ascontiguousarray(pixels).tobytes())
