"""Recordings, read with libsndfile in blocks; what it does not know goes through ffmpeg first."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nfcodec.errors import MediaReadError, NfcError
from nfcodec.limits import DEFAULT_LIMITS, Limits
from nfcodec.media.ffmpeg import complaint, input_url, run
from nfcodec.media.metadata import check_metadata, make_tags
from nfcodec.media.reading import named, reading
from nfcodec.media.samples import dequantize
from nfcodec.signal import Block, Metadata, SampleType, SignalInfo, Source
from nfcodec.tags import SOUND_TEXTS

_TYPES: dict[str, SampleType] = {
    "PCM_U8": "u8", "PCM_S8": "i8", "PCM_24": "i24", "PCM_32": "i32", "FLOAT": "f32", "DOUBLE": "f64",
    "ALAC_20": "i24", "ALAC_24": "i24", "ALAC_32": "i32",
}  # fmt: skip
# Compressed with loss: decoders work in floats and may overshoot, so they are read as floats and clipped.
_LOSSY = ("VORBIS", "OPUS", "MPEG_LAYER_I", "MPEG_LAYER_II", "MPEG_LAYER_III")
_AT_ONCE = 1 << 18


class AudioSource:
    """A recording that libsndfile reads; ``owned`` is a temporary file to delete at the end."""

    def __init__(self, path: Path, limits: Limits, owned: Path | None = None) -> None:
        import soundfile

        self._owned = owned
        self.warnings: list[str] = []
        # As bytes: the name need not be UTF-8.
        self._file: Any = soundfile.SoundFile(os.fsencode(owned or path))
        try:
            self.info = self._describe(path, limits)
            tags = {name: str(getattr(self._file, name, "") or "") for name in SOUND_TEXTS}
            self.metadata = check_metadata(Metadata(tags=make_tags(tags)), limits)
        except BaseException:
            self._file.close()
            raise

    def _describe(self, path: Path, limits: Limits) -> SignalInfo:
        file = self._file
        if file.frames < 1 or file.samplerate < 1:
            raise MediaReadError(f"cannot read {named(path)}: the recording has no samples")
        limits.check("max_channels", file.channels, f"recording with {file.channels} channels")
        limits.check("max_samples", file.frames, f"recording of {file.frames} samples")
        info = SignalInfo(
            modality="audio",
            shape=(int(file.frames),),
            channels=int(file.channels),
            sample_type=_TYPES.get(file.subtype, "i16"),
            rate=Fraction(int(file.samplerate)),
        )
        return replace(info, value_range=self._extent(path)) if info.sample_type.startswith("f") else info

    def _extent(self, path: Path) -> tuple[float, float] | None:
        """The symmetric range of float samples that leave [-1, 1], found by reading them all once."""
        peak = 0.0
        while len(part := self._file.read(_AT_ONCE, dtype="float64", always_2d=True)):
            if not np.isfinite(part).all():
                raise MediaReadError(f"cannot read {named(path)}: it has samples that are NaN or infinite")
            peak = max(peak, float(np.abs(part).max()))
        self._file.seek(0)
        if peak <= 1.0:
            return None
        self.warnings.append(f"samples reach ±{peak:.6g}: the range is kept, the loudest sample counts as full scale")
        return -peak, peak

    def blocks(self, rows: int) -> Iterator[Block]:
        """Yield blocks of ``rows`` samples: values (n, C) in [-1, 1]."""
        total = 0
        while not self._file.closed:
            with reading(Path(os.fsdecode(self._file.name))):
                samples = self._read(rows)
            if not len(samples):
                break
            total += len(samples)
            yield Block(dequantize(samples, self.info.sample_type, self.info.value_range, signed=True))
        if total and total != self.info.shape[0]:
            self.warnings.append(f"the header announces {self.info.shape[0]} samples, the file has {total}")
            self.info = replace(self.info, shape=(total,))

    def _read(self, rows: int) -> npt.NDArray[Any]:
        """Samples (n, C) as stored; libsndfile delivers small integers in the high bits of wider ones."""
        kind = self.info.sample_type
        if kind.startswith("f"):
            return self._get(rows, "float64" if kind == "f64" else "float32")
        if kind == "i16" and self._file.subtype in _LOSSY:
            # Values of the encoder are clipped here, so a rounding to 16 bits is not wanted yet.
            clipped: npt.NDArray[Any] = np.clip(self._get(rows, "float32"), -1.0, 1.0)
            return clipped * 32768.0
        if kind in ("i24", "i32"):
            wide = self._get(rows, "int32")
            return wide >> 8 if kind == "i24" else wide
        narrow = self._get(rows, "int16")
        if kind == "i16":
            return narrow
        return (narrow >> 8) + (128 if kind == "u8" else 0)

    def _get(self, rows: int, dtype: str) -> npt.NDArray[Any]:
        samples: npt.NDArray[Any] = self._file.read(rows, dtype=dtype, always_2d=True)
        return samples

    def sidecar(self) -> bytes:
        """No sound track beside the sound."""
        return b""

    def close(self) -> None:
        """Close the file and delete the temporary one; may be called twice."""
        self._file.close()
        if self._owned:
            with suppress(OSError):
                self._owned.unlink()


def open_audio(path: Path, demuxer: str = "", *, limits: Limits = DEFAULT_LIMITS) -> Source:
    """Open a recording; ``demuxer`` is ffmpeg's name of the container, for when libsndfile does not know it."""
    with reading(path):
        try:
            return AudioSource(path, limits)
        except NfcError:
            raise
        except Exception as error:
            return _through_ffmpeg(path, demuxer, limits, error)


def open_sound_track(path: Path, demuxer: str, *, limits: Limits = DEFAULT_LIMITS) -> Source:
    """Open the first sound track of a media container as a recording."""
    with reading(path):
        return _through_ffmpeg(path, demuxer, limits, None)


def _through_ffmpeg(path: Path, demuxer: str, limits: Limits, first: Exception | None) -> Source:
    """Decode to a temporary Wave64 file. ``first`` is libsndfile's complaint, told when ffmpeg fails too."""
    before = ["-f", demuxer] if demuxer else []
    source = [*before, "-i", input_url(path)]
    probe = run(source, level="info").log
    deep = re.search(r"Audio: .*\((24|32) bit\)", probe)
    codec = "pcm_s24le" if deep else "pcm_s16le"
    handle, name = tempfile.mkstemp(suffix=".w64")
    os.close(handle)
    temp = Path(name)
    try:
        result = run([*source, "-map", "0:a:0", "-c:a", codec, "-fs", str(_byte_limit(limits)), "-f", "w64", "-y",
                      input_url(temp)])  # fmt: skip
        if result.code != 0:
            told = str(first) if first else complaint(result.log) or f"ffmpeg failed with code {result.code}"
            raise ValueError(re.sub(r"^Error opening .*?: (?=[A-Z])", "", told))
        recording = AudioSource(path, limits, temp)
        if result.log.strip():
            recording.warnings.append(f"ffmpeg: {complaint(result.log)}")
        recording.metadata = Metadata(tags=_ffmpeg_tags(probe))
        return recording
    except BaseException:
        temp.unlink(missing_ok=True)
        raise


def _byte_limit(limits: Limits) -> int:
    """Just above what ``max_samples`` of the widest recording take, so that a bomb cannot fill the disk."""
    return 4 * limits.max_samples * limits.max_channels


def _ffmpeg_tags(probe: str) -> tuple[tuple[str, str], ...]:
    found: dict[str, str | None] = dict.fromkeys(SOUND_TEXTS)
    for key, value in re.findall(r"^\s{4}(\w+)\s*: (.*)$", probe, re.MULTILINE):
        name = {"track": "tracknumber"}.get(key.lower(), key.lower())
        if name in found and not found[name]:
            found[name] = value.strip()
    return make_tags(found)
