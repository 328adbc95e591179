"""Recordings as WAV, FLAC or Ogg Vorbis."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nfcodec.errors import OutputError
from nfcodec.media.reading import named, reason
from nfcodec.media.samples import dequantize, quantize, quantize_block
from nfcodec.signal import Block, SampleType, SignalInfo
from nfcodec.tags import Tags

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
        self._path, self._info = path, info
        self._subtype = self._choose(form)
        rate = max(1, round(info.rate or 1))
        if rate != info.rate:
            self.warnings.append(f"the rate {float(info.rate or 0):g} Hz is written as {rate} Hz")
        container = {"wav": "WAV", "flac": "FLAC", "ogg": "OGG"}[form]
        if form == "wav" and self._bytes() > _RIFF_MAX:
            container = "RF64"
        try:
            self._file: Any = soundfile.SoundFile(
                os.fsencode(path), "w", rate, info.channels, self._subtype, None, container
            )
            self._write_texts(tags)
        except (OSError, RuntimeError, ValueError, OverflowError) as error:
            raise self._failure(error) from error

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
            self._write_text(name, text)

    def _write_text(self, name: str, text: str) -> None:
        try:
            setattr(self._file, name, text)
        except RuntimeError as error:
            self.warnings.append(f"the tag {name} is left out: {reason(error)}")

    def _failure(self, error: Exception) -> OutputError:
        return OutputError(f"cannot write {named(self._path)}: {reason(error)}")

    def write(self, block: Block) -> None:
        """Take the next samples."""
        samples = self._samples(block.values)
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
        except (OSError, RuntimeError) as error:
            raise self._failure(error) from error

    def abort(self) -> None:
        """Close the file as it is."""
        try:
            self._file.close()
        except (OSError, RuntimeError):
            return
