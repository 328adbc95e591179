"""What a file is: by its first bytes; by its suffix only where a format has no signature."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nfcodec.errors import MediaReadError, UnsupportedMediaError
from nfcodec.media.reading import named, reading

Family = Literal["image", "audio", "av", "array"]
_HEAD = 4096


@dataclass(frozen=True, slots=True)
class Kind:
    """``family`` says who reads the file; ``name`` is Pillow's format or ffmpeg's demuxer ("" lets it probe)."""

    family: Family
    name: str


# Only formats that Pillow decodes itself and that people exchange. Left out on purpose: vector and stub
# formats that call other programs (EPS, WMF, GRIB, HDF5, BUFR), and relics whose decoders are slow in Python
# or little tested (BLP, CUR, FLI, FTEX, FITS, PIXAR, PCD, ICNS, IM, SPIDER, XBM, XPM, MSP).
_IMAGES: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "PNG"), (b"\xff\xd8\xff", "JPEG"), (b"GIF8", "GIF"), (b"BM", "BMP"),
    (b"II*\0", "TIFF"), (b"MM\0*", "TIFF"), (b"II+\0", "TIFF"), (b"MM\0+", "TIFF"), (b"8BPS", "PSD"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"), (b"\xffO\xffQ", "JPEG2000"), (b"qoif", "QOI"),
    (b"\0\0\1\0", "ICO"), (b"DDS ", "DDS"), (b"\x01\xda", "SGI"),
    (b"\x59\xa6\x6a\x95", "SUN"), (b"P1", "PPM"), (b"P2", "PPM"), (b"P3", "PPM"), (b"P4", "PPM"),
    (b"P5", "PPM"), (b"P6", "PPM"), (b"Pf", "PPM"), (b"\x0a\x05\x01", "PCX"), (b"\x0a\x02\x01", "PCX"),
)  # fmt: skip

# Audio for libsndfile, then what ffmpeg reads, named by its demuxer.
_SOUNDS = {
    b"fLaC": "flac", b".snd": "au", b"caff": "caf", b"ID3": "mp3", b"\xff\xfb": "mp3", b"\xff\xf3": "mp3",
    b"\xff\xf2": "mp3", b"\xff\xfa": "mp3", b"RF64": "wav", b"BW64": "wav",
}
_AV: tuple[tuple[bytes, str], ...] = (
    (b"\x1a\x45\xdf\xa3", "matroska"), (b"FLV\x01", "flv"), (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "asf"),
    (b"\0\0\1\xba", "mpeg"), (b"\0\0\1\xb3", "mpegvideo"), (b"DKIF", "ivf"), (b"YUV4MPEG2 ", "yuv4mpegpipe"),
    (b"\xff\xf1", "aac"), (b"\xff\xf9", "aac"), (b"wvpk", "wv"), (b"MAC ", "ape"), (b"TTA1", "tta"),
    (b"#!AMR", "amr"), (b"\x0b\x77", "ac3"),
)  # fmt: skip

_REFUSED: tuple[tuple[bytes, str], ...] = (
    (b"%!PS", "PostScript"), (b"\xc5\xd0\xd3\xc6", "EPS"), (b"%PDF", "PDF"), (b"\xd7\xcd\xc6\x9a", "WMF"),
    (b"\x01\0\0\0", "EMF or a stub format"), (b"<svg", "SVG"), (b"<?xml", "XML or SVG"), (b"PK\3\4", "a zip archive"),
    (b"\x1f\x8b", "a gzip file"), (b"7z\xbc\xaf", "a 7z archive"), (b"\xff\x0a", "JPEG XL"), (b"BLP", "BLP"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"), (b"MThd", "MIDI"), (b"SIMPLE", "FITS"), (b"FTEX", "FTEX"),
    (b"icns", "ICNS"), (b"GRIB", "GRIB"), (b"\x89HDF", "HDF5"), (b"BUFR", "BUFR"), (b"/* XPM", "XPM"),
    (b"GIMP Palette", "a GIMP palette"), (b"gimp xcf", "XCF"), (b"FUJIFILM", "camera raw"), (b"IIU\0", "camera raw"),
    (b"#EXTM3U", "a playlist"), (b"ffconcat", "a playlist"),
)  # fmt: skip

# These look like TIFF, and Pillow would return the thumbnail in them.
_CAMERA = (".cr2", ".nef", ".nrw", ".arw", ".dng", ".orf", ".pef", ".srw", ".raw", ".rw2", ".3fr", ".iiq")
_SUFFIXES: dict[str, Kind] = {
    ".tga": Kind("image", "TGA"), ".mp3": Kind("audio", "mp3"), ".ts": Kind("av", "mpegts"),
    ".mts": Kind("av", "mpegts"), ".m2ts": Kind("av", "mpegts"),
}  # fmt: skip


def sniff(path: Path) -> Kind:
    """What kind of media ``path`` holds.

    Raises :class:`UnsupportedMediaError` for kinds that are known and not taken, and :class:`MediaReadError`
    for bytes that match nothing.
    """
    with reading(path), open(path, "rb") as file:
        head = file.read(_HEAD)
    if not head:
        raise MediaReadError(f"cannot read {named(path)}: the file is empty")
    suffix = path.suffix.lower()
    # TGA has no signature, and its usual first bytes are those of other formats.
    kind = _SUFFIXES[suffix] if suffix == ".tga" else _by_signature(head) or _SUFFIXES.get(suffix)
    refused = _refusal(head, suffix)
    if refused:
        raise UnsupportedMediaError(f"{named(path)} is {refused}, which nfc does not take", hint=_HINT)
    if kind is None:
        raise MediaReadError(f"cannot read {named(path)}: no known image, audio, video or array format", hint=_HINT)
    return kind


_HINT = "nfc takes png jpg webp avif gif tif bmp jp2 psd, wav flac ogg mp3 m4a, mp4 mkv webm avi and npy files"


def _by_signature(head: bytes) -> Kind | None:
    if head.startswith(b"\x93NUMPY"):
        return Kind("array", "npy")
    if head[4:8] == b"ftyp":
        return _by_brand(head)
    if head[4:8] in (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"):
        return Kind("av", "mov")
    return _by_chunk_name(head) or _by_prefix(head)


def _by_chunk_name(head: bytes) -> Kind | None:
    """RIFF, AIFF and Ogg, which share a signature among several kinds."""
    if head.startswith(b"RIFF"):
        riff = {b"WEBP": Kind("image", "WEBP"), b"WAVE": Kind("audio", "wav"), b"AVI ": Kind("av", "avi")}
        return riff.get(head[8:12])
    if head.startswith(b"RIFX") and head[8:12] == b"WAVE":
        return Kind("audio", "wav")
    if head.startswith(b"FORM") and head[8:12] in (b"AIFF", b"AIFC"):
        return Kind("audio", "aiff")
    if head.startswith(b"OggS"):
        # A Theora film starts with the headers of all its streams.
        return Kind("av", "ogg") if b"theora" in head[:1024] else Kind("audio", "ogg")
    if head.startswith(b"riff\x2e\x91\xcf\x11"):
        return Kind("audio", "w64")
    if head[:1] == b"G" and head[188:189] == b"G" and head[376:377] in (b"G", b""):
        return Kind("av", "mpegts")
    return None


def _by_prefix(head: bytes) -> Kind | None:
    for prefix, name in _IMAGES:
        if head.startswith(prefix):
            return Kind("image", name)
    for prefix, name in _SOUNDS.items():
        if head.startswith(prefix):
            return Kind("audio", name)
    for prefix, name in _AV:
        if head.startswith(prefix):
            return Kind("av", name)
    return None


def _by_brand(head: bytes) -> Kind | None:
    """ISO media files: AVIF, or what ffmpeg's mov demuxer reads."""
    size = int.from_bytes(head[:4], "big")
    brands = {head[8:12], *(head[i : i + 4] for i in range(16, min(size, 256), 4))}
    if brands & {b"avif", b"avis"}:
        return Kind("image", "AVIF")
    if head[8:12] in (b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"crx ", b"jxl "):
        return None
    return Kind("av", "mov")


def _refusal(head: bytes, suffix: str) -> str | None:
    """The name of a kind that is known and refused."""
    if suffix in _CAMERA or head[8:10] == b"CR":
        return "a camera raw file"
    if head[4:8] == b"ftyp" and _by_brand(head) is None:
        return "HEIC, JPEG XL or camera raw"
    if head[4:6] in (b"\x11\xaf", b"\x12\xaf"):
        return "an FLI animation"
    return next((name for prefix, name in _REFUSED if head.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(prefix)), None)
