"""The two things that a batch does to a file. An action is plain data: it goes to workers and into the manifest."""

from __future__ import annotations

import mimetypes
import os
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from nfcodec.batch import task
from nfcodec.batch.events import BatchItem, FoundFile, Refused, Skipped
from nfcodec.batch.keys import settings_key, settings_of
from nfcodec.batch.manifest import NAME, SUFFIX
from nfcodec.errors import MediaReadError, NfcError
from nfcodec.options import TARGETS, DecodeOptions, EncodeOptions

NFC = ".nfc"
# What the standard library's table of suffixes lacks, and what nfc has to refuse by name.
_MEDIA = frozenset(
    (".npy", ".heic", ".heif", ".jxl", ".avif", ".webp", ".flac", ".mkv", ".ogg", ".dng", ".cr2", ".nef")
)
# Samples per byte of the file, roughly: what orders the work, and nothing else, relies on it.
_DENSITY = {"image": 3.0, "audio": 2.0, "av": 300.0, "array": 0.5}
_SMALL = 1e5  # samples
_SHORT = 2.0  # seconds
_PLAIN = frozenset(("PNG", "BMP", "TIFF", "PPM", "TGA", "PSD", "wav", "aiff", "caff"))

Sorted = BatchItem | Refused | Skipped


class Action(Protocol):
    """What to do with each file."""

    @property
    def name(self) -> str:
        """What the manifest calls it."""
        ...

    def sort(self, found: FoundFile) -> Sorted:
        """Whether and to where to process a file, from its name and its first bytes."""
        ...

    def setup(self) -> task.Setup:
        """What makes the working function in a worker process."""
        ...

    def settings(self) -> dict[str, Any]:
        """Everything needed to make the action again, as JSON values."""
        ...

    def key(self) -> str:
        """Hash of the settings that matter for the outputs; see :mod:`nfcodec.batch.keys`."""
        ...

    def per_sample(self) -> float:
        """Seconds for one sample on a slow core, for time limits."""
        ...

    def small(self) -> float:
        """Up to how many samples items are done several at a time."""
        ...


@dataclass(frozen=True, slots=True)
class EncodeAction:
    """Media to .nfc. ``keep_suffix``: photo.png becomes photo.png.nfc instead of photo.nfc."""

    options: EncodeOptions = field(default_factory=EncodeOptions)
    keep_suffix: bool = False
    name: str = "encode"

    def sort(self, found: FoundFile) -> Sorted:
        """Media files are items, what only claims to be one is refused, and what does not is skipped."""
        from nfcodec.media.sniff import sniff

        if _own(found.path) or found.path.lower().endswith(NFC):
            return Skipped(found.path, "is a file of nfc already")
        try:
            kind = sniff(Path(found.source))
        except NfcError as error:
            return self._not_media(found, error)
        size = os.stat(found.source).st_size
        density = 0.5 if kind.name in _PLAIN else _DENSITY[kind.family]
        return BatchItem(found.path, found.source, self._target(found.path), max(1.0, size * density))

    def _not_media(self, found: FoundFile, error: NfcError) -> Sorted:
        if isinstance(error.__cause__, OSError):
            # It may be readable later; a worker will try, and say what is wrong.
            return BatchItem(found.path, found.source, self._target(found.path))
        message = str(error).replace(found.source, found.path)
        if says_media(found.path):
            return Refused(found.path, type(error).__name__, message, error.hint)
        known = message.startswith(f"{found.path} is ")
        return Skipped(found.path, message[len(found.path) + 1 :] if known else "is no image, sound, video or array")

    def _target(self, path: str) -> str:
        return (path if self.keep_suffix else stem_of(path)) + NFC

    def setup(self) -> task.Setup:
        """See :class:`Action`."""
        return partial(task.encoder, self.options, self.key())

    def settings(self) -> dict[str, Any]:
        """See :class:`Action`."""
        return {**settings_of(self.options), "keep_suffix": self.keep_suffix}

    def key(self) -> str:
        """See :class:`Action`."""
        return settings_key(settings_of(self.options), self.options.init)

    def per_sample(self) -> float:
        """Measured at 20 µs (effort 1) to 640 µs (effort 9) on one core; a search makes twelve attempts."""
        searched = any(getattr(self.options, name) is not None for name in TARGETS)
        return 20e-6 * 1.6 ** (self.options.effort - 1) * (12 if searched else 1)

    def small(self) -> float:
        """Where the many small steps of coding take longer than what is done in them, and a lost item is no loss of
        time. None where time decides: turns would take it from each other."""
        return 0.0 if self.options.max_time is not None else min(_SMALL, _SHORT / self.per_sample())


@dataclass(frozen=True, slots=True)
class DecodeAction:
    """.nfc to media. ``format``: a suffix, or None for what fits the kind of signal. ``init``: as for api.decode."""

    options: DecodeOptions = field(default_factory=DecodeOptions)
    format: str | None = None
    init: str | None = None
    name: str = "decode"

    def sort(self, found: FoundFile) -> Sorted:
        """Files whose name ends in .nfc are items; damaged ones are refused."""
        from nfcodec.batch.suffix import decoded_kind

        if not found.path.lower().endswith(NFC):
            return Skipped(found.path, "is no .nfc file")
        try:
            suffix, samples = decoded_kind(found.source, limits=self.options.limits)
        except NfcError as error:
            if not isinstance(error, MediaReadError):
                return Refused(found.path, type(error).__name__, str(error), error.hint)
            suffix, samples = "png", 1
        target = f"{stem_of(found.path)}.{self.format or suffix}"
        return BatchItem(found.path, found.source, target, float(samples))

    def setup(self) -> task.Setup:
        """See :class:`Action`."""
        return partial(task.decoder, self.options, self.format, self.init)

    def settings(self) -> dict[str, Any]:
        """See :class:`Action`."""
        return {**settings_of(self.options), "format": self.format, "init": self.init}

    def key(self) -> str:
        """See :class:`Action`."""
        return settings_key(self.settings(), self.init)

    def per_sample(self) -> float:
        """Measured at 2 µs and less; enlarging costs in proportion."""
        return 2e-6 * max(1.0, self.options.scale or 16.0) ** 2

    def small(self) -> float:
        """As for :meth:`EncodeAction.small`."""
        return _SMALL


def action_of(name: str, settings: dict[str, Any]) -> EncodeAction | DecodeAction:
    """The action that :meth:`Action.settings` describes; settings that it lacks keep their defaults."""
    kind = EncodeOptions if name == EncodeAction().name else DecodeOptions
    values = {f.name: settings[f.name] for f in fields(kind) if f.name in settings}
    values = {n: _plain(n, v) for n, v in values.items()}
    if kind is EncodeOptions:
        return EncodeAction(EncodeOptions(**values), bool(settings.get("keep_suffix")))
    return replace(DecodeAction(DecodeOptions(**values)), format=settings.get("format"), init=settings.get("init"))


def _plain(name: str, value: Any) -> Any:
    """JSON knows neither sets nor tuples."""
    if name == "strip":
        return frozenset(value)
    return tuple(value) if isinstance(value, list) else value


def stem_of(path: str) -> str:
    """a/photo.png → a/photo; a name that has no suffix stays."""
    suffix = PurePosixPath(path).suffix
    return path[: -len(suffix)] if suffix else path


def says_media(path: str) -> bool:
    """Whether a name claims to be of a picture, a sound, a video or an array."""
    suffix = PurePosixPath(path).suffix.lower()
    # A table of its own, because the shared one differs between machines.
    kind = mimetypes.MimeTypes().types_map[True].get(suffix, "")
    return suffix in _MEDIA or kind.split("/")[0] in ("image", "audio", "video")


def _own(path: str) -> bool:
    name = PurePosixPath(path).name
    return name.startswith(NAME) and name.endswith((SUFFIX, ".html", ".json"))
