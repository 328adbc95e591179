"""Recordings as WAV, FLAC or Ogg Vorbis: written with libsndfile; what that cannot say is added at the end."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nfcodec.errors import OutputError
from nfcodec.media.reading import named, reason
from nfcodec.media.samples import dequantize, quantize, quantize_block
from nfcodec.media.sound_texts import add_flac_comments, add_ogg_comments, add_wave_texts, set_wave_mask
from nfcodec.media.speakers import customary_mask, says_more, speaker_names, to_xiph, usable_mask
from nfcodec.signal import Block, SampleType, SignalInfo
from nfcodec.tags import SOUND_TEXTS, Tags

_WAV: dict[SampleType, str] = {
    "u8": "PCM_U8", "i8": "PCM_U8", "i16": "PCM_16", "i24": "PCM_24", "i32": "PCM_32", "f32": "FLOAT", "f64": "DOUBLE",
}  # fmt: skip
_FLAC: dict[SampleType, str] = {"u8": "PCM_S8", "i8": "PCM_S8", "i16": "PCM_16", "i24": "PCM_24"}
_INTEGERS: dict[str, SampleType] = {"PCM_U8": "u8", "PCM_S8": "i8", "PCM_16": "i16", "PCM_24": "i24", "PCM_32": "i32"}
# A RIFF file counts its bytes in 32 bits; some room for the header and the tags.
_RIFF_MAX = 2**32 - 2**20
# libsndfile's Vorbis encoder keeps a whole write on the stack.
_AT_ONCE = 1 << 14


class AudioSink:
    """Takes blocks (n, C) in [-1, 1]; integers go to the file exactly as :func:`quantize_block` rounds them."""

    def __init__(self, path: Path, info: SignalInfo, tags: Tags, form: str) -> None:
        import soundfile

        self.warnings: list[str] = []
        self._path, self._info, self._form = path, info, form
        self._later: list[tuple[str, str]] = []
        self._mask = self._check_mask(tags.channel_mask)
        self._order = self._stream_order() if form == "ogg" else None
        self._subtype = self._choose(form)
        rate = max(1, round(info.rate or 1))
        if rate != info.rate:
            self.warnings.append(f"the rate {float(info.rate or 0):g} Hz is written as {rate} Hz")
        container = {"wav": "WAV", "flac": "FLAC", "ogg": "OGG"}[form]
        if form == "wav" and says_more(self._mask, info.channels):
            container = "WAVEX"
        if form == "wav" and self._bytes() > _RIFF_MAX:
            container = "RF64"
        try:
            self._file: Any = soundfile.SoundFile(
                os.fsencode(path), "w", rate, info.channels, self._subtype, None, container
            )
            self._write_texts(tags)
        except (OSError, RuntimeError, ValueError, OverflowError) as error:
            raise self._failure(error) from error

    def _check_mask(self, mask: int | None) -> int | None:
        channels = self._info.channels
        if mask is not None and usable_mask(mask, channels) != mask:
            self.warnings.append(f"the tag channel_mask is left out: {mask:#x} is not for {channels} channels")
            return None
        if self._form == "flac" and mask is not None and says_more(mask, channels):
            self._later.append(("WAVEFORMATEXTENSIBLE_CHANNEL_MASK", f"{mask:#06x}"))
        return mask

    def _stream_order(self) -> tuple[int, ...] | None:
        """Which channel goes to each place of a Vorbis stream."""
        channels, usual = self._info.channels, customary_mask(self._info.channels)
        if self._mask is not None and self._mask != usual:
            meant = f"as {' '.join(speaker_names(usual))}" if usual else "without loudspeakers"
            names = " ".join(speaker_names(self._mask))
            self.warnings.append(f"ogg has one layout for {channels} channels: {names} will be played {meant}")
        return to_xiph(channels, self._mask)

    def _choose(self, form: str) -> str:
        if form == "ogg":
            return "VORBIS"
        subtype = (_WAV if form == "wav" else _FLAC).get(self._info.sample_type, "PCM_24")
        if form == "flac" and self._info.sample_type not in _FLAC:
            self.warnings.append(f"flac holds at most 24 bits: {self._info.sample_type} samples are rounded")
        if form != "wav" and self._peak > 1.0:
            self.warnings.append(f"{form} holds ±1 at most: louder samples are clipped")
        return subtype

    @property
    def _peak(self) -> float:
        return 1.0 if self._info.value_range is None else self._info.value_range[1]

    def _bytes(self) -> int:
        wide = {"PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "DOUBLE": 8}.get(self._subtype, 4)
        return self._info.shape[0] * self._info.channels * wide

    def _write_texts(self, tags: Tags) -> None:
        for name, text in tags.texts:
            if name in SOUND_TEXTS and not (name == "license" and self._form == "wav"):
                self._write_text(name, text)
            else:
                self._later.append((name, text))

    def _write_text(self, name: str, text: str) -> None:
        try:
            setattr(self._file, name, text)
        except RuntimeError as error:
            self.warnings.append(f"the tag {name} is left out: {reason(error)}")

    def _failure(self, error: Exception) -> OutputError:
        return OutputError(f"cannot write {named(self._path)}: {reason(error)}")

    def write(self, block: Block) -> None:
        """Take the next samples."""
        samples = self._samples(block.values if self._order is None else block.values[:, self._order])
        for start in range(0, len(samples), _AT_ONCE):
            part = samples[start : start + _AT_ONCE]
            try:
                self._file.write(part)
            except AssertionError as error:  # soundfile's sign that fewer samples were written than given
                raise OutputError(f"cannot write {named(self._path)}: no room left on the device") from error
            except (OSError, RuntimeError) as error:
                raise self._failure(error) from error

    def _samples(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Values (n, C) as soundfile wants them: floats, or integers in the high bits of int16 or int32."""
        kind = _INTEGERS.get(self._subtype)
        if kind is None:
            return np.ascontiguousarray(self._floats(values))
        samples = quantize_block(values * np.float32(self._peak), kind, signed=True)
        if kind in ("u8", "i8"):
            return (samples.astype(np.int16) - (128 if kind == "u8" else 0)) << 8
        return samples << 8 if kind == "i24" else samples

    def _floats(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        samples, kind = quantize(values, self._info), self._info.sample_type
        if self._subtype in ("FLOAT", "DOUBLE"):
            return samples
        if kind.startswith("f"):
            return np.clip(samples, -1.0, 1.0)
        return dequantize(samples, kind, signed=True)

    def close(self) -> None:
        """Finish the file."""
        try:
            self._file.close()
            self._complete()
        except (OSError, RuntimeError, ValueError) as error:
            raise self._failure(error) from error

    def _complete(self) -> None:
        """Add what libsndfile cannot write."""
        if self._form == "wav" and self._mask is not None and says_more(self._mask, self._info.channels):
            set_wave_mask(self._path, self._mask)
        if not self._later:
            return
        if self._form == "wav":
            add_wave_texts(self._path, self._later)
        elif self._form == "flac":
            add_flac_comments(self._path, self._later)
        elif not add_ogg_comments(self._path, self._later):
            names = ", ".join(name for name, _ in self._later)
            self.warnings.append(f"the tags {names} are left out: there is no room in the header of the file")

    def abort(self) -> None:
        """Close the file as it is."""
        try:
            self._file.close()
        except (OSError, RuntimeError):
            return
