"""Where trees are: a local folder, or the URL of one that fsspec reaches. Nothing here needs fsspec."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

from platformdirs import user_cache_path

from nfcodec.errors import OptionError, OutputError
from nfcodec.media.reading import named, reason

# s3://bucket/photos, or several joined as in simplecache::https://host/photos.
_URL = re.compile(r"(?:[A-Za-z][\w+.-]*::)*[A-Za-z][\w+.-]*://")
_PASSWORD = re.compile(r"://[^/@]*:[^/@]*@")
_NAME_LENGTH = 24  # hex digits


@dataclass(frozen=True, slots=True)
class Url:
    """A folder by its URL. ``state``: local folder below which manifests and files in transit are; None: the cache."""

    text: str
    state: Path | None = None

    def __post_init__(self) -> None:
        if _PASSWORD.search(self.text):
            # The manifest and messages keep the URL.
            hint = "let the environment or the configuration of fsspec hold it"
            raise OptionError("a URL with a password in it would be written to the manifest", hint=hint)

    def __str__(self) -> str:
        return self.text


Place = Path | Url


def place_of(text: str) -> Place:
    """A URL or a local path. Raises :class:`~nfcodec.errors.OptionError` for a URL with a password."""
    return Url(text.rstrip("/") if not text.endswith("://") else text) if _URL.match(text) else Path(text)


def shown(place: Place) -> str:
    """The place as it appears in messages."""
    return named(place) if isinstance(place, Path) else ascii(str(place))[1:-1]


def recorded(place: Place) -> str:
    """The place as the manifest keeps it: the same whatever the working folder."""
    return os.path.abspath(place) if isinstance(place, Path) else place.text


def with_state(place: Place, state: Path | None) -> Place:
    """The same place with another state folder; a local one needs none."""
    return replace(place, state=state) if isinstance(place, Url) and state is not None else place


def state_folder(place: Place) -> Path:
    """The local folder that belongs to an output: it follows from its URL or path; it may not exist yet."""
    above = place.state if isinstance(place, Url) else None
    return folder_in(above, place)


def folder_in(above: Path | None, place: Place) -> Path:
    """The folder of an output's own below ``above``, or in the cache."""
    name = hashlib.sha256(recorded(place).encode()).hexdigest()[:_NAME_LENGTH]
    return (above if above is not None else user_cache_path("nfcodec", appauthor=False) / "batch") / name


def make_folder(folder: Path) -> None:
    """Make a folder and those above it where they are missing. Raises :class:`~nfcodec.errors.OutputError`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {named(folder)}: {reason(error)}") from error
