"""The text tags of a file as typed values: the border between what somebody wrote and what nfc acts on.

A file holds tags as free text, so their writer decides what is in them. Everything that acts on a tag (a sink, a
plugin, the choice of a format) takes a :class:`Tags`, never the text. What is not understood counts as absent, with a
line that names the tag. No text of a file becomes an argument of another program, a part of a path or of a template:
numbers go there. The texts of a recording go to libsndfile, and to nfc's own writers, which store them as they are,
with their lengths counted.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import Any

# libsndfile's text fields, less "software", which names the writer and would name the wrong one later.
SOUND_TEXTS = ("title", "artist", "album", "date", "tracknumber", "genre", "copyright", "comment", "license")
# Tags without which the rest is no longer true: they stay where tags are left out.
TIMING = ("durations", "sound_start")
# Further texts of recordings, which libsndfile does not know; sinks add them to its files.
MORE_TEXTS = (
    "composer", "albumartist", "discnumber", "tracktotal", "disctotal", "performer", "conductor", "lyricist",
    "arranger", "engineer", "producer", "publisher", "isrc", "bpm", "language", "subtitle", "grouping", "compilation",
    "mood", "description", "lyrics", "replaygain_track_gain", "replaygain_track_peak", "replaygain_album_gain",
    "replaygain_album_peak",
)  # fmt: skip
# Bytes of UTF-8. All that libsndfile takes have to fit into its header buffer of 100 KiB.
LONGEST_TEXT = 8192
# How often an animation can be told to play: 32 bits in an APNG; other formats hold 16.
MOST_LOOPS = 2**32 - 1
MOST_DPI = 1e6
# ffmpeg's setsar refuses or rounds what is further from square.
_ASPECTS = (Fraction(1, 100), Fraction(100))
_LONGEST_TIME = 1e9  # milliseconds
_SHOWN = 40
_NUMBER = r"\d{1,10}(?:\.\d{1,12})?(?:e[-+]?\d{1,2})?"
_COUNT = re.compile(r"\d{1,10}", re.ASCII)
_ASPECT = re.compile(r"(\d{1,10}):(\d{1,10})", re.ASCII)
_PAIR = re.compile(f"({_NUMBER}),({_NUMBER})", re.ASCII)
_TIME = re.compile(_NUMBER, re.ASCII)
_START = re.compile(f"-?{_NUMBER}", re.ASCII)
_CODES = re.compile(r"(\d{1,3}),(\d{1,3})", re.ASCII)
_MASK = re.compile(r"0x[0-9a-f]{1,8}", re.ASCII)

Pairs = Iterable[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Tags:
    """What the tags of a file say, as far as it makes sense.

    ``texts``: of :data:`SOUND_TEXTS` and :data:`MORE_TEXTS`, without control characters, at most :data:`LONGEST_TEXT`
    bytes each. ``dpi``: dots per inch along x and y, in (0, 10^6). ``pixel_aspect``: width of a pixel by its height,
    1/100 … 100.
    ``durations``: milliseconds of each frame, in [0, 10^9), none where they are not as many as there are frames.
    ``loop``: how often an animation plays in all, 0 for ever. ``animation``: whether it came from an animated picture.
    ``sound_start``: milliseconds from the start of the first frame to that of the sound, negative where the sound is
    first. ``cicp``: code points of the primaries and the transfer (ITU-T H.273), where the colours are not those of
    sRGB. ``array``: whether a picture came from an array, and goes back into one. ``channel_mask``: the loudspeakers
    of a recording's channels, as in a WAVE file, 1 … 2^32 − 1.
    """

    texts: tuple[tuple[str, str], ...] = ()
    dpi: tuple[float, float] | None = None
    pixel_aspect: Fraction | None = None
    durations: tuple[float, ...] = ()
    loop: int = 0
    sound_start: float = 0.0
    animation: bool = False
    cicp: tuple[int, int] | None = None
    array: bool = False
    channel_mask: int | None = None


def read_tags(pairs: Pairs, *, frames: int = 0) -> tuple[Tags, tuple[str, ...]]:
    """The tags of a file, and one line for each that is not understood; of several with one key the first counts.

    ``frames``: of the video that is written. Keys that nfc does not know are passed over.
    """
    given: dict[str, str] = {}
    for key, value in pairs:
        given.setdefault(key, value)
    values: dict[str, Any] = {}
    notes: list[str] = []
    for key, (name, parse) in _PARSERS.items():
        if key in given:
            values[name] = parse(given[key])
            if values[name] is None:
                del values[name]
                notes.append(f"the tag {key} is left out: {_quoted(given[key])} is no {_MEANING[key]}")
    if "durations" in given:
        values["durations"] = _durations(given["durations"], frames)
        if values["durations"] is None:
            values["durations"] = ()
            notes.append("the tag durations is left out: it is no list of milliseconds")
    texts = [(key, clean_text(given[key])) for key in (*SOUND_TEXTS, *MORE_TEXTS) if key in given]
    notes += [f"the tag {k} is shortened, or cleaned of control characters" for k, text in texts if text != given[k]]
    return Tags(texts=tuple((key, text) for key, text in texts if text), **values), tuple(notes)


def clean_text(text: str) -> str:
    """``text`` without control characters other than tabs and line feeds, and at most :data:`LONGEST_TEXT` bytes.

    A NUL would end it early in C, and half of a surrogate pair cannot be written as UTF-8.
    """
    kept = "".join(c for c in text if c in "\t\n" or unicodedata.category(c) not in ("Cc", "Cs"))
    return kept.encode()[:LONGEST_TEXT].decode("utf-8", "ignore")


def _quoted(text: str) -> str:
    """A stranger's text for a message: printable, on one line, short."""
    return ascii(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")


def _loop(text: str) -> int | None:
    count = int(text) if _COUNT.fullmatch(text) else MOST_LOOPS + 1
    return count if count <= MOST_LOOPS else None


def _dpi(text: str) -> tuple[float, float] | None:
    match = _PAIR.fullmatch(text)
    if not match:
        return None
    x, y = float(match[1]), float(match[2])
    return (x, y) if 0 < x < MOST_DPI and 0 < y < MOST_DPI else None


def _aspect(text: str) -> Fraction | None:
    match = _ASPECT.fullmatch(text)
    if not match or not int(match[2]):
        return None
    ratio = Fraction(int(match[1]), int(match[2]))
    return ratio if _ASPECTS[0] <= ratio <= _ASPECTS[1] else None


def _sound_start(text: str) -> float | None:
    start = float(text) if _START.fullmatch(text) else _LONGEST_TIME
    return start if abs(start) < _LONGEST_TIME else None


def _source(text: str) -> bool | None:
    return True if text == "animation" else None


def _origin(text: str) -> bool | None:
    return True if text == "array" else None


def _cicp(text: str) -> tuple[int, int] | None:
    match = _CODES.fullmatch(text)
    codes = (int(match[1]), int(match[2])) if match else (256, 256)
    return codes if max(codes) < 256 else None


def _mask(text: str) -> int | None:
    return int(text, 16) or None if _MASK.fullmatch(text) else None


def _durations(text: str, frames: int) -> tuple[float, ...] | None:
    # Counted first: a tag may be millions of numbers that no frame needs.
    if text.count(",") + 1 != frames or frames < 2:
        return ()
    parts = text.split(",")
    if not all(map(_TIME.fullmatch, parts)):
        return None
    times = tuple(map(float, parts))
    return times if all(ms < _LONGEST_TIME for ms in times) else None


_PARSERS: Mapping[str, tuple[str, Callable[[str], Any]]] = MappingProxyType({
    "dpi": ("dpi", _dpi), "sar": ("pixel_aspect", _aspect), "loop": ("loop", _loop), "source": ("animation", _source),
    "sound_start": ("sound_start", _sound_start), "cicp": ("cicp", _cicp), "origin": ("array", _origin),
    "channel_mask": ("channel_mask", _mask),
})  # fmt: skip
_MEANING: Mapping[str, str] = MappingProxyType({
    "dpi": "pair of resolutions", "sar": "ratio of a pixel's sides", "loop": "number of runs",
    "source": "kind of source", "sound_start": "number of milliseconds", "cicp": "pair of colour codes",
    "origin": "kind of origin", "channel_mask": "channel mask",
})  # fmt: skip
