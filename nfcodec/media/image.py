"""Still pictures, read with Pillow; animated ones are handed to :mod:`nfcodec.media.animation`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nfcodec.errors import UnsupportedMediaError
from nfcodec.limits import DEFAULT_LIMITS, Limits
from nfcodec.media.deep import DeepPlan, agrees, deep_plan, read_deep, unmultiply
from nfcodec.media.image_metadata import read_metadata
from nfcodec.media.losses import counted, note_losses
from nfcodec.media.metadata import check_metadata, make_tags, orientation, upright_exif, upright_xmp
from nfcodec.media.opening import check_size, pillow
from nfcodec.media.pixels import ArrayStore, Key, Layout, MappedStore, PillowStore, PixelStore
from nfcodec.media.png import read_png_header
from nfcodec.media.ranges import range_in_use
from nfcodec.media.reading import named, reading
from nfcodec.media.samples import convert_alpha, dequantize
from nfcodec.media.tiff import alpha_of, check_supported, read_samples, read_tiff_header, scale_table
from nfcodec.media.unsupported import codestream_bits
from nfcodec.signal import Block, Metadata, SampleType, SignalInfo, Source

if TYPE_CHECKING:
    from PIL import Image, ImageFile

_MOVING = ("GIF", "PNG", "WEBP", "AVIF")
_PLAIN = {
    "1": "1", "L": "L", "LA": "LA", "La": "LA", "RGB": "RGB", "RGBX": "RGB", "YCbCr": "RGB", "CMYK": "RGB",
    "HSV": "RGB", "LAB": "RGB", "RGBA": "RGBA", "RGBa": "RGBA", "PA": "RGBA",
}  # fmt: skip
_ROWS_AT_ONCE = 1 << 20


class ImageSource:
    """A still picture: a :class:`~nfcodec.signal.Source` over a :class:`PixelStore`."""

    def __init__(self, store: PixelStore, info: SignalInfo, metadata: Metadata, warnings: list[str]) -> None:
        self._store: PixelStore | None = store
        self.info, self.metadata, self.warnings = info, metadata, warnings

    def blocks(self, rows: int) -> Iterator[Block]:
        """Yield blocks of ``rows`` rows: values (n, W, C) in [0, 1], alpha (n, W)."""
        height = self.info.shape[0]
        for start in range(0, height, rows):
            if self._store is None:
                return
            samples, alpha = self._store.read(start, min(start + rows, height))
            values = dequantize(samples, self.info.sample_type, self.info.value_range)
            yield Block(values, None if alpha is None else np.ascontiguousarray(alpha))

    def sidecar(self) -> bytes:
        """No sound track."""
        return b""

    def close(self) -> None:
        """Release the pixels; may be called twice."""
        self._store = None


def open_image(path: Path, form: str, *, limits: Limits = DEFAULT_LIMITS) -> Source:
    """Read ``path`` as Pillow's format ``form``: a still picture, or a video when it moves.

    Raises :class:`MediaReadError`, :class:`UnsupportedMediaError` or
    :class:`~nfcodec.errors.LimitError`; sizes are checked before any pixel is decoded.
    """
    from PIL import Image, UnidentifiedImageError

    from nfcodec.media.animation import AnimationSource

    notes: list[str] = []
    with reading(path):
        file = open(path, "rb")  # noqa: SIM115 (an animation keeps it)
    try:
        with pillow(path, form, notes):
            try:
                image = Image.open(file, formats=["JPEG", "MPO"] if form == "JPEG" else [form])
            except UnidentifiedImageError:
                if form != "TIFF":
                    raise
                source = _packed(path, limits, notes)
                file.close()
                return source
            if form == "TIFF" and _in_planes(path, image):
                source = _packed(path, limits, notes)
                file.close()
                return source
            check_size(image.size, limits)
            frames = getattr(image, "n_frames", 1) if form in _MOVING else 1
            if frames - bool(getattr(image, "default_image", False)) <= 1:
                source = _still(path, form, image, limits, notes)
                file.close()
                return source
        return AnimationSource(path, file, image, limits, notes)
    except BaseException:
        file.close()
        raise


def _still(path: Path, form: str, image: ImageFile.ImageFile, limits: Limits, notes: list[str]) -> Source:
    _refuse_raw(path, image)
    stored = image.size if form != "TIFF" else _tiff_size(image)
    plan = deep_plan(image, path, 1)
    pages = _pages(image)
    if getattr(image, "default_image", False):
        notes.append("dropped the animation: it has a single frame beside the picture")
        image.seek(0)
    image.load()
    metadata, orientation = read_metadata(image, path, form, limits, notes)
    note_losses(path, form, image, pages, notes)
    if _shallow(path, form, image):
        notes.append(f"{form}: more than 8 bits per colour are reduced to 8")
    layout = choose_layout(path, image, form, metadata)
    picture = _Picture(_full_scale(path, form, image, PillowStore(image, layout, orientation), layout), layout)
    if plan:
        plan = plan if form == "TIFF" else DeepPlan(plan.format, plan.mode, orientation)
        picture = _deepened(path, plan, stored, image, picture, notes)
    return picture.source(path, metadata, notes)


def _full_scale(path: Path, form: str, image: Image.Image, store: PixelStore, layout: Layout) -> PixelStore:
    """``store`` with white at 65535: Pillow leaves samples of TIFF as they are, and shifts those of JPEG 2000."""
    if layout.mode != "I;16":
        return store
    if form == "TIFF":
        tags: Any = getattr(image, "tag_v2", {})
        bits, inverted = max(tags.get(258, (16,))), tags.get(262) == 0
        return store if bits == 16 and not inverted else MappedStore(store, scale_table(bits, inverted=inverted))
    if form == "JPEG2000":
        spare = 16 - codestream_bits(path)
        table = np.arange(65536) >> spare
        return MappedStore(store, scale_table(16 - spare, inverted=False)[table]) if 0 < spare < 8 else store
    return store


def _in_planes(path: Path, image: Image.Image) -> bool:
    """Whether a TIFF has 16-bit colours plane by plane, of which Pillow reads the wrong bytes."""
    tags: Any = getattr(image, "tag_v2", {})
    if tags.get(284) != 2 or len(tags.get(258, ())) < 2 or max(tags.get(258)) != 16:
        return False
    header = read_tiff_header(path)
    return header is not None and header.readable


def _packed(path: Path, limits: Limits, notes: list[str]) -> Source:
    """A TIFF that Pillow cannot open: packed samples of 10, 12 or 14 bits, and the like."""
    header = check_supported(path)
    check_size(header.size[::-1], limits)
    samples, alpha = read_samples(path, header), alpha_of(header)
    lost = len(header.extra) - (alpha is not None)
    notes += [f"dropped {counted(lost, 'extra band')}"] if lost else []
    order = [*range(header.colours), *([alpha] if alpha is not None else [])]
    samples = samples[..., order]
    if alpha is not None and header.extra[alpha - header.colours] == 1:
        samples = unmultiply(samples)
    mode = ("RGB" if header.colours == 3 else "L") + ("A" if alpha is not None else "")
    kind: SampleType = "u16"
    if header.bits[0] <= 8:
        samples, kind = convert_alpha(samples, "u8"), "u8"
    store = ArrayStore(samples, header.colours, header.orientation)
    metadata = check_metadata(Metadata(icc=header.icc, xmp=upright_xmp(header.xmp)), limits)
    return _Picture(store, Layout(mode, kind)).source(path, metadata, notes)


def image_source(image: Image.Image, metadata: Metadata, *, limits: Limits = DEFAULT_LIMITS) -> Source:
    """A Pillow image in memory as a signal: palettes, masks and colour spaces are read as those of files are.

    ``metadata`` goes with it; the orientation that it holds is applied and reset, so the signal is upright. Raises
    :class:`UnsupportedMediaError` for pixel layouts that nfc does not take, :class:`MediaReadError` for pictures
    without pixels or with NaN, and :class:`~nfcodec.errors.LimitError`.
    """
    check_size(image.size, limits)
    check_metadata(metadata, limits)
    name, turned = Path("the image"), orientation(metadata.exif, metadata.xmp)
    image.load()
    layout = choose_layout(name, image, "", metadata)
    store = PillowStore(image, layout, turned)
    upright = replace(metadata, exif=upright_exif(metadata.exif), xmp=upright_xmp(metadata.xmp))
    return _Picture(store, layout).source(name, upright, [])


def colour_array(path: Path, array: npt.NDArray[Any], kind: SampleType, *, limits: Limits) -> Source:
    """An array (H, W, 3) of unsigned integers as a picture that decodes to an array again. ``path`` is for messages."""
    check_size(array.shape[1::-1], limits)
    store = ArrayStore(array, 3)
    metadata = Metadata(tags=make_tags({"origin": "array"}))
    return _Picture(store, Layout("RGB", kind)).source(path, metadata, [])


@dataclass(frozen=True, slots=True)
class _Picture:
    store: PixelStore
    layout: Layout

    def source(self, path: Path, metadata: Metadata, notes: list[str]) -> ImageSource:
        info = SignalInfo(
            modality="image",
            shape=(self.store.height, self.store.width),
            channels=self.layout.channels,
            sample_type=self.layout.sample_type,
            alpha=self.layout.alpha,
            value_range=range_in_use(path, self.store, self.layout),
        )
        return ImageSource(self.store, info, metadata, notes)


def _refuse_raw(path: Path, image: Image.Image) -> None:
    if 0xC612 in getattr(image, "tag_v2", {}):  # DNGVersion
        raise UnsupportedMediaError(f"{named(path)} is a camera raw file (DNG), which nfc does not take")


def _tiff_size(image: Image.Image) -> tuple[int, int]:
    """The size as stored: Pillow announces it already turned."""
    width, height = image.size
    tags: Any = getattr(image, "tag_v2", {})
    return (height, width) if tags.get(274, 1) in (5, 6, 7, 8) else (width, height)


def _pages(image: Image.Image) -> int:
    try:
        return int(getattr(image, "n_frames", 1))
    except Exception:  # a damaged list of further pages does not spoil the first
        return 1


def _shallow(path: Path, form: str, image: Image.Image) -> bool:
    """Whether Pillow silently delivered fewer bits than the file has (PNG, PPM, TIFF: see deep.py)."""
    if form == "AVIF":
        head = _head(path)
        at = head.find(b"av1C")
        return at >= 0 and at + 6 < len(head) and bool(head[at + 6] & 0x40)
    if form == "JPEG2000" and not image.mode.startswith("I"):
        return codestream_bits(path) > 8
    if form == "SGI":
        return _head(path)[3:4] == b"\2"
    bits = getattr(image, "tag_v2", {}).get(258, ())
    return form == "TIFF" and image.mode == "CMYK" and max(bits, default=8) > 8


def _head(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(4096)


def choose_layout(path: Path, image: Image.Image, form: str, metadata: Metadata) -> Layout:
    """How to read a loaded image: mode, sample type, and the transparent colour if it has one."""
    mode = image.mode
    if mode == "P":
        return _palette_layout(image, metadata)
    if mode.startswith("I;16"):
        return Layout("I;16", "u16", _key(path, image, form, 65535))
    if mode in ("I", "F"):
        return _wide_layout(image)
    if mode not in _PLAIN:
        raise UnsupportedMediaError(f"{named(path)} has the pixel layout {mode!r}, which nfc does not take")
    key = _key(path, image, form, 255) if mode in ("1", "L", "RGB") else None
    if mode == "1" and key is None:
        return Layout("1", "u1")
    return Layout("L" if mode == "1" else _PLAIN[mode], "u8", key)


def _palette_layout(image: Image.Image, metadata: Metadata) -> Layout:
    """Grey when every colour in use is grey, unless a colour profile would then contradict the picture."""
    used = np.flatnonzero(image.histogram()[:256])
    palette = np.asarray(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
    used = used[used < len(palette)]
    grey = len(used) > 0 and bool((palette[used] == palette[used][:, :1]).all())
    grey = grey and (not metadata.icc or metadata.icc[16:20] == b"GRAY")
    alpha = "transparency" in image.info or (image.palette is not None and image.palette.mode == "RGBA")
    return Layout(("L" if grey else "RGB") + ("A" if alpha else ""), "u8")


def _wide_layout(image: Image.Image) -> Layout:
    """Pillow's 32-bit modes: 16-bit integers when they hold every value, floats otherwise."""
    extrema: Any = image.getextrema()
    low, high = extrema
    if image.mode == "I" and low >= 0 and high <= 65535:
        return Layout("I", "u16")
    if low >= 0 and 255 < high <= 65535 and _integral(image):
        return Layout("F", "u16")
    return Layout(image.mode, "f32")


def _strips(image: Image.Image) -> Iterator[Any]:
    step = max(1, _ROWS_AT_ONCE // image.width)
    for top in range(0, image.height, step):
        yield np.asarray(image.crop((0, top, image.width, min(top + step, image.height))))


def _integral(image: Image.Image) -> bool:
    return all(bool((strip == np.floor(strip)).all()) for strip in _strips(image))


def _key(path: Path, image: Image.Image, form: str, full: int) -> Key | None:
    """The transparent colour (tRNS) in samples as Pillow delivers them."""
    value: Any = image.info.get("transparency")
    if value is None or isinstance(value, bytes):
        return None
    key: Key = tuple(value) if isinstance(value, (tuple, list)) else (int(value),)
    header = read_png_header(path) if form == "PNG" else None
    # tRNS counts in the file's bits, Pillow spreads small grey depths over 0…255 and cuts 16 to 8.
    if header and header.depth < 8 and len(key) == 1:
        key = (key[0] * full // (2**header.depth - 1),)
    elif header and header.depth == 16 and full == 255:
        key = tuple(v >> 8 for v in key)
    return tuple(min(v, full) for v in key)


def _deepened(
    path: Path, plan: DeepPlan, stored: tuple[int, int], image: Image.Image, flat: _Picture, notes: list[str]
) -> _Picture:
    """The same picture with 16 bits; what Pillow read, with a warning, when ffmpeg reads something else."""
    value: Any = image.info.get("transparency")
    key = tuple(value) if isinstance(value, (tuple, list)) and plan.format == "PNG" else None
    try:
        store = read_deep(path, plan, stored, key)
    except (OSError, RuntimeError):  # no ffmpeg on this machine
        store = None
    if store is None or not agrees(store, flat.store):
        notes.append("16 bits per colour are reduced to 8: this layout cannot be read with more")
        return flat
    return _Picture(store, Layout(plan.mode, "u16", key))
