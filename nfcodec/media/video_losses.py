"""What a video holds that nfc does not keep, in words."""

from __future__ import annotations

import re

from nfcodec.media.probe import Container, Stream, is_deep, picture_parts, pixel_format

# Colours close enough to those of a screen (BT.709, sRGB) that nobody sees the difference, and matrices that ffmpeg
# turns into RGB as they are meant.
_USUAL_PRIMARIES = ("unknown", "unspecified", "reserved", "bt709", "smpte170m", "smpte240m", "bt470bg")
_USUAL_TRANSFERS = (
    "unknown", "unspecified", "reserved", "bt709", "smpte170m", "smpte240m", "bt470bg", "iec61966-2-1", "iec61966-2-4",
    "bt1361e", "bt2020-10", "bt2020-12", "gamma22", "gamma28", "bt470m",
)  # fmt: skip
_USUAL_MATRICES = (
    "unknown", "unspecified", "reserved", "bt709", "smpte170m", "smpte240m", "bt470bg", "fcc", "gbr", "bt2020nc",
)  # fmt: skip
_NAMES = {
    "bt2020": "BT.2020", "smpte2084": "PQ", "arib-std-b67": "HLG", "smpte431": "DCI-P3", "smpte432": "Display P3",
    "bt470m": "BT.470 M", "film": "film", "linear": "linear light", "smpte428": "XYZ", "bt2020c": "BT.2020 constant",
    "ycgco": "YCgCo", "ictcp": "ICtCp",
}  # fmt: skip
_RANGES = ("tv", "pc")
_FIELDS = re.compile(r"(top|bottom)( coded)? first( \(swapped\))?")
_BESIDE = (
    (r"DOVI configuration", "Dolby Vision is not kept: the colours of its base layer are taken"),
    (r"(?i)stereo ?3d:", "the pair of views of a stereo film is not marked: they stay in one picture"),
    (r"(?i)spherical", "the spherical projection is not kept: the pictures stay as they are coded"),
)


def losses(container: Container, video: Stream, sound: Stream | None) -> list[str]:
    """A line for each thing that is lost or changed when only ``video`` and ``sound`` are taken."""
    kinds = [s.kind for s in container.streams if s not in (video, sound) and s.kind != "data"]
    found = [f"dropped {n} {kind} stream{'s' * (n > 1)}" for kind in sorted(set(kinds)) if (n := kinds.count(kind))]
    if container.texts:
        found.append(f"dropped the tags {', '.join(container.texts)}")
    if container.chapters:
        found.append(f"dropped {container.chapters} chapter{'s' * (container.chapters > 1)}")
    if is_deep(video):
        found.append(f"more than 8 bits per colour ({pixel_format(video)}) are reduced to 8")
    found += _colours(video)
    found += [told for mark, told in _BESIDE if any(re.search(mark, line) for line in video.details)]
    return found


def _colours(video: Stream) -> list[str]:
    """ffmpeg tells matrix, primaries and transfer as one word where they are the same, else with slashes."""
    _, parts = picture_parts(video)
    told = [p for p in parts if p not in _RANGES and p != "progressive" and not _FIELDS.fullmatch(p)]
    words = told[0].split("/") if told else ["unknown"]
    matrix, primaries, transfer = words if len(words) == 3 else (words[0], "unknown", "unknown")
    if len(words) == 1 and words[0] not in _USUAL_MATRICES:
        primaries = transfer = words[0]
    lost = [n for n, usual in ((primaries, _USUAL_PRIMARIES), (transfer, _USUAL_TRANSFERS)) if n not in usual]
    found = []
    if lost:
        names = " ".join(dict.fromkeys(_NAMES.get(name, name) for name in lost))
        found.append(f"colours will look different: {names} is not kept")
    if matrix not in (*_USUAL_MATRICES, *lost):
        found.append(f"colours will look different: the matrix {_NAMES.get(matrix, matrix)} is not known")
    return found


def field_order(video: Stream) -> bool | None:
    """Whether the pictures are interlaced, as far as the header says it."""
    told = picture_parts(video)[1]
    return True if any(map(_FIELDS.fullmatch, told)) else False if "progressive" in told else None


INTERLACED = "the video is interlaced: both fields of a picture stay in it, as combs"
