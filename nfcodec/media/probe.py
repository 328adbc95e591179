"""What is inside a media container: its streams, from ffmpeg's summary."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from nfcodec.errors import MediaReadError
from nfcodec.media.ffmpeg import complaint, input_url, run
from nfcodec.media.reading import named
from nfcodec.media.timing import snap

_STREAM = re.compile(r"^\s*Stream #0:(\d+).*?: (Video|Audio|Subtitle|Data|Attachment): (.*)$")
_DURATION = re.compile(r"^\s*Duration: (\d+):(\d\d):(\d\d(?:\.\d+)?)")
_DEFAULT_RATE = Fraction(25)
# The decoders that ffmpeg takes by itself leave out the second picture in which these codecs hold alpha.
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
_ALPHA_FORMAT = re.compile(r"yuva|rgba|bgra|argb|abgr|gbrap|ya\d|yaf|ayuv|vuya|pal8")
_DEEP_FORMAT = re.compile(r"(9|1[0246]|32)(le|be)$|^(rgb|bgr)48|^(rgba|bgra|ayuv)64|^[py]\d1[026]|^x[v2]")
_HALF_TURN = 180
_TEXTS = (
    "title", "artist", "album", "comment", "description", "synopsis", "date", "genre", "copyright", "location", "show",
    "composer", "lyrics", "keywords",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream: its number, its kind in lower case, ffmpeg's description of it, and the lines that follow that."""

    index: int
    kind: str
    text: str
    details: tuple[str, ...] = ()

    @property
    def codec(self) -> str:
        """The codec's name."""
        return re.split(r"[ ,]", self.text, maxsplit=1)[0]

    @property
    def cover(self) -> bool:
        """Whether this is a picture attached to a recording."""
        return "(attached pic)" in self.text


@dataclass(frozen=True, slots=True)
class Container:
    """The streams, and the length in seconds that the header announces, 0 where it does not.

    ``texts``: which of the customary text tags it has. ``chapters``: how many.
    """

    streams: list[Stream]
    seconds: float = 0.0
    texts: tuple[str, ...] = ()
    chapters: int = 0


def probe(path: Path, demuxer: str) -> Container:
    """What a container holds; raises :class:`MediaReadError` when ffmpeg cannot open it or finds nothing in it."""
    result = run([*source_options(path, demuxer)], level="info", timeout=60)
    container = read_summary(result.log)
    if container.streams:
        return container
    if "Input #0" in result.log:
        raise MediaReadError(f"{named(path)} has no frames: it holds neither pictures nor sound")
    if "moov atom not found" in result.log:
        why = "its list of frames (moov), which is at the end of a recording, is missing: the file is truncated"
        raise MediaReadError(f"cannot read {named(path)}: {why}")
    raise MediaReadError(f"cannot read {named(path)}: {complaint(result.log) or 'no streams'}")


def read_summary(log: str) -> Container:
    """The streams and the length that ffmpeg tells in its log."""
    streams: list[Stream] = []
    details: list[list[str]] = []
    seconds = 0.0
    for line in log.splitlines():
        match = _STREAM.match(line)
        duration = _DURATION.match(line)
        if match:
            streams.append(Stream(int(match[1]), match[2].lower(), match[3]))
            details.append([])
        elif details:
            details[-1].append(line.strip())
        elif duration:
            seconds = int(duration[1]) * 3600 + int(duration[2]) * 60 + float(duration[3])
    described = [Stream(s.index, s.kind, s.text, tuple(d)) for s, d in zip(streams, details, strict=True)]
    head = log.partition("Stream #0:")[0].lower()
    texts = tuple(name for name in _TEXTS if re.search(rf"^    {name} *: ", head, re.MULTILINE))
    return Container(described, seconds, texts, len(re.findall(r"^ *Chapter #0:\d+", log, re.MULTILINE)))


def source_options(path: Path, demuxer: str, decoder: tuple[str, ...] = ()) -> list[str]:
    """ffmpeg's options that name an input, closed to everything but local files."""
    container = ["-f", demuxer] if demuxer else []
    return ["-protocol_whitelist", "file,pipe", *decoder, *container, "-i", input_url(path)]


def alpha_decoder(stream: Stream) -> tuple[str, ...]:
    """ffmpeg's options for a stream whose alpha it would leave out otherwise."""
    name = _ALPHA_DECODERS.get(stream.codec)
    if name is None or not any(re.match(r"alpha_mode\s*: 1$", line, re.IGNORECASE) for line in stream.details):
        return ()
    return (f"-c:{stream.index:d}", name)


def is_alpha_format(name: str) -> bool:
    """Whether a pixel format of ffmpeg's has an alpha plane; all of it may be opaque."""
    return _ALPHA_FORMAT.match(name) is not None


def frame_size(stream: Stream) -> tuple[int, int]:
    """Width and height as coded, before any turning; (0, 0) when ffmpeg does not say."""
    match = re.search(r"(?:^|[\s,])(\d{1,6})x(\d{1,6})(?=[\s,\[]|$)", stream.text)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def pixel_aspect(stream: Stream) -> Fraction:
    """The width of one pixel, as coded, divided by its height."""
    match = re.search(r"\bSAR (\d+):(\d+)", stream.text)
    return Fraction(int(match[1]), int(match[2])) if match and int(match[1]) and int(match[2]) else Fraction(1)


def is_turned(stream: Stream) -> bool:
    """Whether the picture is shown turned by a quarter."""
    angles = [re.search(r"rotation of (-?\d+(?:\.\d+)?) degrees", line) for line in stream.details]
    return any(m and abs(abs(float(m[1])) % _HALF_TURN - 90) < 1 for m in angles)


def picture_parts(stream: Stream) -> tuple[str, tuple[str, ...]]:
    """ffmpeg's name of the pixel format, and what it says of it: range, colours, order of the fields."""
    # Two levels of brackets: "yuv420p(tv, top coded first (swapped))".
    parts = re.findall(r"(?:[^,()]|\((?:[^()]|\([^()]*\))*\))+", stream.text)
    name, _, told = parts[1].strip().partition("(") if len(parts) > 1 else ("", "", "")
    return name.split(" ")[0], tuple(word.strip() for word in told.removesuffix(")").split(",") if word.strip())


def pixel_format(stream: Stream) -> str:
    """ffmpeg's name of the pixel format, for example "yuv420p10le"."""
    return picture_parts(stream)[0]


def is_deep(stream: Stream) -> bool:
    """Whether colours have more than 8 bits."""
    return _DEEP_FORMAT.search(pixel_format(stream)) is not None


def printed_rate(stream: Stream) -> Fraction:
    """The rate in ffmpeg's summary, completed to the fraction that it stands for."""
    match = re.search(r"([\d.]+)(k?) (?:fps|tbr)", stream.text)
    if not match:
        return _DEFAULT_RATE
    value = Fraction(match[1]) * (1000 if match[2] else 1)
    return snap(value, Fraction(6, 1000)) if value > 0 else _DEFAULT_RATE
