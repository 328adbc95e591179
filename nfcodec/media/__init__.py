"""Files to signals and back: pictures, recordings, videos and arrays.

Importing this package loads neither Pillow nor libsndfile nor ffmpeg; opening a file loads what it needs.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from nfcodec.limits import DEFAULT_LIMITS, Limits
from nfcodec.media.formats import check_output, default_suffix, normal_format
from nfcodec.signal import Metadata, SignalInfo, Sink, Source
from nfcodec.tags import Tags, read_tags

__all__ = ["check_output", "default_suffix", "open_sink", "open_source"]


def open_source(path: Path, *, limits: Limits = DEFAULT_LIMITS, plain: bool = False) -> Source:
    """Open a media file, or a folder of numbered pictures, by its content; ``plain``: an array as an array, even where
    it looks like a picture.

    Raises :class:`~nfcodec.errors.MediaReadError` for missing and damaged files,
    :class:`~nfcodec.errors.UnsupportedMediaError` for kinds that nfc does not take, and
    :class:`~nfcodec.errors.LimitError` for sizes over ``limits``. The caller closes the source.
    """
    from nfcodec.media.reading import check_file
    from nfcodec.media.sniff import sniff

    path = Path(path)
    if os.path.isdir(path):  # False where that cannot be told, and check_file says why
        from nfcodec.media.frames import open_frames

        return open_frames(path, limits=limits)
    check_file(path)
    kind = sniff(path)
    if kind.family == "image":
        from nfcodec.media.image import open_image

        return open_image(path, kind.name, limits=limits)
    if kind.family == "array":
        from nfcodec.media.array import open_array

        return open_array(path, limits=limits, plain=plain)
    if kind.family == "audio":
        from nfcodec.media.audio import open_audio

        return open_audio(path, kind.name, limits=limits)
    from nfcodec.media.video import open_av

    return open_av(path, kind.name, limits=limits)


def open_sink(path: Path, info: SignalInfo, metadata: Metadata, *, sidecar: bytes = b"", format: str) -> Sink:
    """Open ``path`` for writing a signal of exactly ``info.shape`` in ``format`` (a suffix without the dot).

    ``sidecar`` is the sound track of a video. What the format cannot hold, and tags that are not understood, are
    dropped with a line in ``warnings``. Raises :class:`~nfcodec.errors.UnsupportedMediaError` when the format does
    not fit the signal and :class:`~nfcodec.errors.OutputError` when the file cannot be written.
    """
    check_output(format, info)
    tags, notes = read_tags(metadata.tags, frames=info.shape[0] if info.modality == "video" else 0)
    # Sinks see no text tags, so that none can act on what it has not checked.
    sink = _open_sink(Path(path), info, replace(metadata, tags=()), tags, sidecar, normal_format(format))
    sink.warnings.extend(notes)
    return sink


def _open_sink(path: Path, info: SignalInfo, metadata: Metadata, tags: Tags, sidecar: bytes, form: str) -> Sink:
    if form == "npy":
        from nfcodec.media.array import ArraySink

        return ArraySink(path, info)
    if info.modality == "audio":
        from nfcodec.media.audio_sink import AudioSink

        return AudioSink(path, info, tags, form)
    if form in ("mp4", "mkv", "webm"):
        from nfcodec.media.video_sink import VideoSink

        film = VideoSink(path, info, tags, sidecar, form)
        lost = [name for name in ("icc", "exif", "xmp") if getattr(metadata, name)]
        film.warnings.extend(f"{name.upper()} dropped: {form} cannot hold it" for name in lost)
        return film
    return _open_picture(path, info, metadata, tags, sidecar, form)


def _open_picture(path: Path, info: SignalInfo, metadata: Metadata, tags: Tags, sidecar: bytes, form: str) -> Sink:
    from nfcodec.media.image_sink import AnimationSink, PillowSink, PngSink

    sink: Sink
    if form == "png":
        sink = PngSink(path, info, metadata, tags)
    elif info.modality == "video":
        sink = AnimationSink(path, info, metadata, tags, form)
    else:
        sink = PillowSink(path, info, metadata, tags, form)
    if tags.cicp and form != "png":
        from nfcodec.media.colour import colour_name

        sink.warnings.append(f"colours will look different: {colour_name(tags.cicp)} is not kept")
    if sidecar:
        sink.warnings.append(f"sound dropped: {form} cannot hold it")
    if info.modality == "video" and tags.pixel_aspect:
        shape = f"{tags.pixel_aspect.numerator}:{tags.pixel_aspect.denominator}"
        sink.warnings.append(f"the pictures look squeezed: {form} cannot say that pixels are {shape}")
    return sink
