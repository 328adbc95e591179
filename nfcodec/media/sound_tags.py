"""The texts of recordings: one set of names for what every container calls differently.

The names are those of Vorbis comments in lower case ("Ogg Vorbis I format specification: comment field and header",
and the usage of taggers). Sources of the others: ID3v2.4 §4, the RIFF INFO list, the names that ffmpeg gives.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from nfcodec.media.metadata import make_tags
from nfcodec.tags import MORE_TEXTS, SOUND_TEXTS

Pairs = tuple[tuple[str, str], ...]

_ALIASES = {
    "track": "tracknumber", "disc": "discnumber", "album_artist": "albumartist", "album artist": "albumartist",
    "year": "date", "originaldate": "date", "organization": "publisher", "label": "publisher", "tpos": "discnumber",
    "tsrc": "isrc", "tbpm": "bpm", "tempo": "bpm", "tmpo": "bpm", "totaltracks": "tracktotal", "tit1": "grouping",
    "totaldiscs": "disctotal", "tit3": "subtitle", "text": "lyricist", "unsyncedlyrics": "lyrics",
    "version": "subtitle", "imus": "composer", "ieng": "engineer", "icms": "publisher", "ilng": "language",
    "iprt": "tracknumber", "tmoo": "mood", "desc": "description", "synopsis": "description",
}  # fmt: skip
# What says something of the file or its making, not of the recording, or is said elsewhere.
_TECHNICAL = re.compile(
    r"encoder(_settings|settings|options)?|encoded_by|encoded-by|tool|software|isft|vendor(_id)?|major_brand"
    r"|minor_version|compatible_brands|creation_time|handler_name|duration|bps|number_of_(frames|bytes)|_statistics.*"
    r"|itunsmpb|itunnorm|id3v2_priv\..*|tsse|tlen|waveformatextensible_channel_mask|metadata_block_picture"
    r"|coverart(mime)?|encoded_date|tagged_date|compilation_id|stereo_mode"
)


def sort_tags(pairs: Iterable[tuple[str, str]]) -> tuple[Pairs, tuple[str, ...]]:
    """The tags that nfc keeps, under its names, and the names of those that it has no place for.

    Several values of one name are joined by "; "; a comment like ``SOURCE=`` without text counts as absent.
    """
    kept: dict[str, list[str]] = {}
    lost: dict[str, None] = {}
    for key, value in pairs:
        low = key.strip().lower()
        # ffmpeg adds the language.
        name = "lyrics" if re.fullmatch(r"lyrics-\w{3}", low) else _ALIASES.get(low, low)
        if not value.strip() or _TECHNICAL.fullmatch(low):
            continue
        if name not in SOUND_TEXTS and name not in MORE_TEXTS:
            lost[key] = None
        elif value.strip() not in kept.setdefault(name, []):
            kept[name].append(value.strip())
    ordered = {name: "; ".join(kept[name]) for name in (*SOUND_TEXTS, *MORE_TEXTS) if name in kept}
    return make_tags(ordered), tuple(lost)


def read_ffmetadata(text: str) -> Pairs:
    """The tags of a whole file in ffmpeg's format "ffmetadata"; those of chapters and streams are passed over."""
    pairs: list[tuple[str, str]] = []
    for line in re.findall(r"(?:[^\\\n]|\\.)+", text, re.DOTALL):
        if line.startswith("["):
            break
        key, equals, value = _split(line)
        if equals and not line.startswith(";"):
            pairs.append((_plain(key), _plain(value)))
    return tuple(pairs)


def _split(line: str) -> tuple[str, str, str]:
    match = re.match(r"((?:[^\\=]|\\.)*)=(.*)", line, re.DOTALL)
    return (match[1], "=", match[2]) if match else (line, "", "")


def _plain(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)


def told_losses(lost: Iterable[str], tags: Iterable[str] = ()) -> list[str]:
    """One warning that names everything that is left out, or none."""
    names = list(dict.fromkeys(lost))
    unknown = [ascii(tag)[1:-1][:40] for tag in tags]
    if unknown:
        shown = ", ".join(unknown[:8]) + (f" and {len(unknown) - 8} more" if len(unknown) > 8 else "")
        names.append(f"the tag{'s' if len(unknown) > 1 else ''} {shown}")
    return [f"left out, for nfc has no place for it: {', '.join(names)}"] if names else []
