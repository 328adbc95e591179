"""Which output formats hold which signals."""

from __future__ import annotations

from nfcodec.errors import UnsupportedMediaError
from nfcodec.signal import Metadata, Modality, SignalInfo
from nfcodec.tags import read_tags

_FORMATS: dict[Modality, tuple[str, ...]] = {
    "image": ("png", "jpg", "webp", "tif", "bmp", "avif", "gif", "npy"),
    "audio": ("wav", "flac", "ogg", "npy"),
    "video": ("mp4", "mkv", "webm", "gif", "png", "webp", "npy"),
    "array": ("npy",),
}
_ALIASES = {"jpeg": "jpg", "jpe": "jpg", "tiff": "tif", "apng": "png", "wave": "wav", "oga": "ogg"}
# Longest side in pixels, most channels: what the file formats can write down.
_MAX_SIDE = {"jpg": 65_500, "webp": 16_383, "gif": 65_535, "avif": 65_536, "mp4": 16_384, "webm": 16_384}
_MAX_CHANNELS = {"flac": 8, "ogg": 255}
_MAX_RATE = {"flac": 655_350, "ogg": 200_000}


def normal_format(name: str) -> str:
    """``name`` in lower case without a dot, with other spellings replaced ("JPEG" becomes "jpg")."""
    plain = name.lower().lstrip(".")
    return _ALIASES.get(plain, plain)


def default_suffix(info: SignalInfo, metadata: Metadata) -> str:
    """The format that decoding chooses when the caller does not, without the dot.

    Videos with alpha, and those that came from an animated picture, become APNG, which keeps both.
    """
    if info.modality == "image":
        return ("tif" if _grey(info) else "npy") if _floats(info) else "png"
    if info.modality == "video":
        if _floats(info):
            return "npy"
        return "png" if info.alpha or read_tags(metadata.tags)[0].animation else "mp4"
    return "wav" if info.modality == "audio" else "npy"


def _floats(info: SignalInfo) -> bool:
    return info.sample_type.startswith("f")


def _grey(info: SignalInfo) -> bool:
    return info.channels == 1 and not info.alpha


def check_output(format: str, info: SignalInfo) -> None:
    """Raise :class:`UnsupportedMediaError` when ``format`` cannot hold the signal, naming those that can."""
    form = normal_format(format)
    able = [name for name in _FORMATS[info.modality] if _problem(name, info) is None]
    problem = "it is for other signals" if form not in _FORMATS[info.modality] else _problem(form, info)
    if problem:
        known = {name for names in _FORMATS.values() for name in names}
        what = f"{form} cannot hold this {info.modality}: {problem}" if form in known else f"unknown format {form!r}"
        raise UnsupportedMediaError(what, hint=f"formats that can hold it: {', '.join(able)}")


def _problem(form: str, info: SignalInfo) -> str | None:
    pixels = info.modality in ("image", "video")
    if pixels and _floats(info) and form != "npy" and not (form == "tif" and _grey(info)):
        return "it has floating-point pixels" + (" of several channels" if form == "tif" else "")
    if pixels:
        side, bound = max(info.shape[-2:]), _MAX_SIDE.get(form)
        return f"{side} pixels are over its {bound}" if bound and side > bound else None
    bound = _MAX_CHANNELS.get(form)
    if bound and info.channels > bound:
        return f"{info.channels} channels are over its {bound}"
    fastest = _MAX_RATE.get(form)
    if fastest and info.rate and info.rate > fastest:
        return f"{float(info.rate):g} Hz is over its {fastest}"
    rate = round(info.rate or 0)
    if form == "flac" and rate > 0xFFFF and rate % 10:
        return f"{rate} Hz is over its {0xFFFF} and no multiple of 10"
    return None
