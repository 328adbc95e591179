"""The Pillow plugin: ``Image.open`` and ``Image.save`` of .nfc files.

Opening reads the header and the metadata, and imports neither torch nor numpy; the pixels come when they are asked for.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import IO, TYPE_CHECKING, Any, BinaryIO, cast

from PIL import Image, ImageFile, UnidentifiedImageError

from nfcodec.container.layout import SIGNATURE, SectionType
from nfcodec.container.metadata import unpack_metadata, unpack_tags
from nfcodec.container.reader import Reader
from nfcodec.errors import FormatError, LimitError, NfcError, OptionError, UnsupportedMediaError
from nfcodec.limits import DEFAULT_LIMITS, Limits
from nfcodec.options import EncodeOptions
from nfcodec.plugins.shapes import mode_of, step_for
from nfcodec.tags import read_tags

if TYPE_CHECKING:
    from nfcodec.signal import Metadata

FORMAT = "NFC"
MIME = "image/x-nfc"
SUFFIX = ".nfc"
_OPTIONS = (
    "quality", "effort", "field", "init", "tune", "bpp", "target_size", "target_psnr", "max_time", "strip", "verify",
)  # fmt: skip


def register_pillow(*, inits: tuple[str, ...] = ()) -> None:
    """Make Pillow open and save .nfc files; may be called again.

    ``inits``: paths of inits that are not shipped, for the files that were made with them.
    """
    Image.register_open(FORMAT, partial(NfcImageFile, inits=tuple(inits)), _accept)
    Image.register_save(FORMAT, _save)
    Image.register_extension(FORMAT, SUFFIX)
    Image.register_mime(FORMAT, MIME)


def _accept(prefix: bytes) -> bool:
    return prefix.startswith(SIGNATURE)


# -- opening ---------------------------------------------------------------------------------------------
class NfcImageFile(ImageFile.ImageFile):
    """One .nfc picture. ``inits``: paths of further inits to look for."""

    format = FORMAT
    format_description = "Neural-field codec"

    def __init__(self, fp: Any, filename: str | bytes | None = None, *, inits: tuple[str, ...] = ()) -> None:
        self._inits = inits
        super().__init__(fp, filename)

    def _open(self) -> None:
        assert self.fp is not None
        with _told(opening=True):
            reader = Reader(cast(BinaryIO, self.fp), limits=_limits())
            header = reader.header
            self._mode = mode_of(header.modality, header.channels, header.sample_type, alpha=header.alpha)
            self._size = header.shape[1], header.shape[0]
            self.info.update(_information(reader))
        self._native = self._size
        self._step = 1
        self.tile = [ImageFile._Tile("nfc", (0, 0, *self._size), 0, None)]

    def draft(self, mode: str | None, size: tuple[int, int] | None) -> tuple[str, tuple[int, int, float, float]] | None:
        """Decode at a half, a quarter or an eighth of the size, not below ``size`` (width, height).

        The mode cannot be chosen. Returns None when the pixels are there already, or when nothing would change.
        """
        if size is None or not self.tile or self._step > 1:
            return None
        self._step = step_for(self._native, size)
        if self._step == 1:
            return None
        width, height = self._native
        self._size = -(-width // self._step), -(-height // self._step)
        self.tile = [ImageFile._Tile("nfc", (0, 0, *self._size), 0, None)]
        return self.mode, (0, 0, width / self._step, height / self._step)

    def load(self) -> Any:
        """Decode the pixels. Raises :class:`OSError` for damaged and truncated files."""
        if self.tile and self.fp is not None:
            with _told(opening=False):
                self._decode()
            self.tile = []
            if self._exclusive_fp:
                self.fp.close()
            self.fp = None
        return super().load()

    def _decode(self) -> None:
        from nfcodec.decoder import Decoder
        from nfcodec.plugins.pictures import picture, reduced_picture

        assert self.fp is not None
        self.fp.seek(0)
        partial = bool(ImageFile.LOAD_TRUNCATED_IMAGES)
        decoder = Decoder(cast(BinaryIO, self.fp), limits=_limits(), inits=self._inits, partial=partial)
        image = picture(decoder) if self._step == 1 else reduced_picture(decoder, self._step)[0]
        if decoder.info.sample_type == "u16" and image.mode != "I;16":
            warnings.warn("16 bits per sample are reduced to 8, Pillow holds no more of this kind", stacklevel=4)
        self.im = image.im

    def verify(self) -> None:
        """Check all checksums; decodes nothing. Raises :class:`OSError`."""
        if self.fp is None:
            raise OSError("verify must be called right after open")
        with _told(opening=False):
            self.fp.seek(0)
            for _ in Reader(cast(BinaryIO, self.fp), limits=_limits()).sections():
                pass
        super().verify()


def _limits() -> Limits:
    """Pillow's own bound on pixels holds here too; it may be None for no bound."""
    bound = Image.MAX_IMAGE_PIXELS
    return replace(DEFAULT_LIMITS, max_pixels=2**62 if bound is None else 2 * bound)


def _information(reader: Reader) -> dict[str, Any]:
    """What Pillow keeps in ``Image.info``. A truncated file is a matter of loading."""
    entries = [e for e in reader.index(partial=True) if e.type == SectionType.METADATA]
    parts = dict(unpack_metadata([reader.read(e).payload for e in entries]))
    found: dict[str, Any] = {"quality": reader.header.quality}
    found |= {key: parts[name] for name, key in (("icc", "icc_profile"), ("xmp", "xmp")) if name in parts}
    if "exif" in parts:
        found["exif"] = b"Exif\0\0" + parts["exif"]
    tags, _ = read_tags(unpack_tags(parts.get("tags", b"")))
    if tags.dpi:
        found["dpi"] = tags.dpi
    return found


@contextmanager
def _told(*, opening: bool) -> Iterator[None]:
    """Our errors as those that users of Pillow expect; the message is ours."""
    try:
        yield
    except LimitError as error:
        raise Image.DecompressionBombError(str(error)) from error
    except NfcError as error:
        kind = UnidentifiedImageError if opening and isinstance(error, FormatError | UnsupportedMediaError) else OSError
        raise kind(f"{error} ({error.hint})" if error.hint else str(error)) from error


# -- saving ----------------------------------------------------------------------------------------------
def _save(image: Image.Image, file: IO[bytes], filename: str | bytes) -> None:
    """Called by ``Image.save``: the options are fields of :class:`EncodeOptions`; others are for other formats.

    Raises :class:`ValueError` for impossible values and :class:`OSError` for what cannot be written.
    """
    info = image.encoderinfo
    try:
        options = EncodeOptions(**{name: info[name] for name in _OPTIONS if name in info})
        data = _encoded(image, options, _metadata(image, info))
    except OptionError:
        raise
    except NfcError as error:
        raise OSError(f"cannot write mode {image.mode} as {FORMAT}: {error}") from error
    file.write(data)


def _encoded(image: Image.Image, options: EncodeOptions, metadata: Metadata) -> bytes:
    from nfcodec.encoder import encode_signal
    from nfcodec.media.image import image_source

    def source() -> Any:
        return image_source(image, metadata, limits=options.limits)

    out = io.BytesIO()
    encoded = encode_signal(source(), out, options, again=source)
    for note in encoded.warnings:
        warnings.warn(note, stacklevel=4)
    if options.verify:
        encoded.verify(out, options)
    return out.getvalue()


def _metadata(image: Image.Image, info: dict[str, Any]) -> Metadata:
    """What ``save`` was given; the colour profile also from the image, as other formats of Pillow take it."""
    from nfcodec.media.metadata import bare_exif, make_tags
    from nfcodec.signal import Metadata

    exif, dpi = info.get("exif", b""), info.get("dpi")
    if isinstance(exif, Image.Exif):
        exif = exif.tobytes()
    xmp = info.get("xmp", b"")
    return Metadata(
        icc=info.get("icc_profile", image.info.get("icc_profile")) or b"",
        exif=bare_exif(exif or b""),
        xmp=xmp.encode() if isinstance(xmp, str) else xmp or b"",
        tags=make_tags({"dpi": f"{float(dpi[0]):.6g},{float(dpi[1]):.6g}" if dpi else None}),
    )
