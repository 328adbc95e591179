"""What is written beside decoded samples: metadata and sound, of the part that is decoded."""

from __future__ import annotations

from dataclasses import dataclass, replace

from nfcodec.decoder.decoder import Decoder
from nfcodec.decoder.output import Part
from nfcodec.media.timing import short
from nfcodec.options import DecodeOptions
from nfcodec.signal import Metadata
from nfcodec.tags import read_tags


@dataclass(frozen=True, slots=True)
class Beside:
    """Metadata and the sound track of what is decoded, and what could not be kept of them."""

    metadata: Metadata
    sound: bytes = b""
    warnings: tuple[str, ...] = ()


def beside(decoder: Decoder, options: DecodeOptions) -> Beside:
    """What belongs to the part that ``options`` ask for."""
    metadata, sound = decoder.metadata, decoder.sidecar()
    if decoder.info.modality != "video" or (options.time is None and options.fps is None):
        return Beside(metadata, sound)
    part = decoder.output_part(options)
    if decoder.times is not None:
        metadata = _tagged(metadata, "durations", None if part.times is None else part.times.text())
    return Beside(metadata, sound) if options.time is None or not sound else _cut(metadata, sound, part)


def _cut(metadata: Metadata, sound: bytes, part: Part) -> Beside:
    from nfcodec.media.sound import cut_track

    tags, _ = read_tags(metadata.tags)
    cut = cut_track(sound, tags.sound_start, part.start, part.stop)
    if cut is None:
        return Beside(_tagged(metadata, "sound_start", None), b"", ("the sound is dropped: it cannot be cut",))
    return Beside(_tagged(metadata, "sound_start", short(cut.start) if cut.start else None), cut.track)


def _tagged(metadata: Metadata, key: str, value: str | None) -> Metadata:
    """``metadata`` with another value of a tag, or without it."""
    others = tuple(pair for pair in metadata.tags if pair[0] != key)
    return replace(metadata, tags=others + (((key, value),) if value else ()))
