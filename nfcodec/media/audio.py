"""Recordings, in blocks: read with libsndfile, and with ffmpeg where that fails or stops early."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nfcodec.errors import MediaReadError, NfcError
from nfcodec.limits import DEFAULT_LIMITS, Limits
from nfcodec.media.metadata import check_metadata, make_tags
from nfcodec.media.reading import named, reading
from nfcodec.media.samples import dequantize
from nfcodec.media.sound_plan import Plan, ffmpeg_plan, make_plan
from nfcodec.media.sound_readers import FfmpegReader, SndfileReader, SoundReader, telling
from nfcodec.media.sound_tags import told_losses
from nfcodec.media.speakers import says_more
from nfcodec.signal import Block, Metadata, SignalInfo, Source
from nfcodec.tags import SOUND_TEXTS

_AT_ONCE = 1 << 16


class AudioSource:
    """A recording, read part by part as its plan says.

    ``more``: the plan to go on with when a reader fails or stops before the end that it announced.
    ``info.shape`` holds what the headers announce until all blocks were read, the truth from then on.
    """

    def __init__(self, path: Path, plan: Plan, limits: Limits, more: Callable[[], Plan] | None = None) -> None:
        self._path, self._plan, self._limits, self._more = path, plan, limits, more
        self.warnings = told_losses(plan.lost, plan.unknown)
        self._reader: SoundReader | None = plan.openers[0]()
        self._trouble: Exception | None = None
        self._closed = self._short = False
        try:
            self.info = self._describe(self._reader)
            self.metadata = check_metadata(Metadata(tags=self._tags(self._reader)), limits)
            if self.info.sample_type.startswith("f"):
                self.info = replace(self.info, value_range=self._extent())
        except BaseException:
            self.close()
            raise

    def _describe(self, reader: SoundReader) -> SignalInfo:
        frames = self._length(reader)
        if frames < 1 or reader.rate < 1:
            raise MediaReadError(f"cannot read {named(self._path)}: the recording has no samples")
        self._limits.check("max_channels", reader.channels, f"recording with {reader.channels} channels")
        self._limits.check("max_samples", frames, f"recording of {frames} samples")
        return SignalInfo("audio", (frames,), reader.channels, reader.kind, rate=Fraction(reader.rate))

    def _length(self, reader: SoundReader) -> int:
        """Samples of all parts as their headers have it. Raises ``ValueError`` where one has no length."""
        total = reader.frames
        for opener in self._plan.openers[1:]:
            part = opener()
            part.close()
            total = total + part.frames if total is not None and part.frames is not None else None
        if total is None:
            raise ValueError("the header has no length")
        return total

    def _tags(self, reader: SoundReader) -> tuple[tuple[str, str], ...]:
        file = reader.file if isinstance(reader, SndfileReader) else None
        found = {name: str(getattr(file, name, "") or "") for name in SOUND_TEXTS} if file else {}
        found |= dict(self._plan.tags)
        if reader.mask is not None and says_more(reader.mask, reader.channels):
            found["channel_mask"] = f"{reader.mask:#x}"
        return make_tags(found)

    def _extent(self) -> tuple[float, float] | None:
        """The symmetric range of float samples that leave [-1, 1], found by reading them all once."""
        peak = 0.0
        for part in self._samples(_AT_ONCE):
            if not np.isfinite(part).all():
                raise MediaReadError(f"cannot read {named(self._path)}: it has samples that are NaN or infinite")
            peak = max(peak, float(np.abs(part).max()))
        if self._reader:
            self._reader.close()
        self._reader, self._trouble, self._short = self._plan.openers[0](), None, False
        if peak <= 1.0:
            return None
        self.warnings.append(f"samples reach ±{peak:.6g}: the range is kept, the loudest sample counts as full scale")
        return -peak, peak

    def blocks(self, rows: int) -> Iterator[Block]:
        """Yield blocks of ``rows`` samples: values (n, C) in [-1, 1]."""
        total, rest = 0, None  # type: int, npt.NDArray[np.float32] | None
        for samples in self._samples(rows):
            total += len(samples)
            self._limits.check("max_samples", total, f"recording of {total} samples")
            values = dequantize(samples, self.info.sample_type, self.info.value_range, signed=True)
            # Parts are as long as asked for but at the seams of joined files, and where another reader goes on.
            values = values if rest is None else np.concatenate([rest, values])
            end = len(values) // rows * rows
            yield from (Block(values[a : a + rows]) for a in range(0, end, rows))
            rest = values[end:] if end < len(values) else None
        if rest is not None:
            yield Block(rest)
        if not self._closed:
            self._judge(total)

    def _samples(self, count: int) -> Iterator[npt.NDArray[Any]]:
        """All samples (n, C) of the file, up to ``count`` at once."""
        total = 0
        for number in range(len(self._plan.openers)):
            if number and not self._turn(number):
                return
            for part in self._part(count):
                total += len(part)
                yield part
        expected = self.info.shape[0] if isinstance(self._reader, SndfileReader) else 0
        if not self._closed and (self._trouble or total < expected):
            yield from self._rest(total, count)

    def _turn(self, number: int) -> bool:
        """Go on to a further part; whether it fits to those before."""
        reader, old = self._plan.openers[number](), self._reader
        if old:
            old.close()
        self._reader = reader
        alike = (reader.rate, reader.channels, reader.kind) == (
            int(self.info.rate or 0), self.info.channels, self.info.sample_type
        )  # fmt: skip
        if not alike:
            self._short = True
            told = f"part {number + 1} of the file is left out: it has another rate, depth or channels"
            self.warnings += [told] if told not in self.warnings else []
        return alike

    def _part(self, count: int) -> Iterator[npt.NDArray[Any]]:
        while self._reader and not self._closed:
            try:
                samples = self._reader.read(count)
            except Exception as error:  # libsndfile and soundfile fail on damage with nearly anything
                self._trouble = error
                return
            if not len(samples):
                return
            yield samples

    def _rest(self, total: int, count: int) -> Iterator[npt.NDArray[Any]]:
        """What ffmpeg finds behind the first ``total`` samples."""
        try:
            plan = self._more() if self._more and len(self._plan.openers) == 1 else None
            reader = plan.openers[0]() if plan else None
        except (ValueError, RuntimeError, OSError) as error:
            self._trouble = error if not total else self._trouble
            return
        if reader is None:
            return
        if self._reader:
            self._reader.close()
        self._reader = reader
        if (reader.channels, reader.kind) != (self.info.channels, self.info.sample_type):
            return
        skip = total
        for part in self._part(count):
            if len(part) > skip:
                yield part[skip:]
            skip = max(0, skip - len(part))

    def _judge(self, total: int) -> None:
        """Say what is not as the header has it, in one warning."""
        if not total:
            raise MediaReadError(f"cannot read {named(self._path)}: {telling(self._trouble)}")
        plan = self._plan
        promised = self.info.shape[0] if plan.announced is None else plan.announced
        said = self._reader.said if isinstance(self._reader, FfmpegReader) else ""
        if self._short:
            pass  # said already
        elif abs(total - promised) > plan.slack and (plan.announced is not None or not plan.asked):
            self.warnings.append(f"the header announces {promised} samples, the file has {total}")
        elif plan.cut:
            self.warnings.append(f"the file is cut off: its first {total} samples are there")
        elif said:
            self.warnings.append(f"ffmpeg: {said}")
        elif self._trouble:
            self.warnings.append(f"the file is damaged: {telling(self._trouble)}")
        self.info = replace(self.info, shape=(total,))

    def sidecar(self) -> bytes:
        """No sound track beside the sound."""
        return b""

    def close(self) -> None:
        """Close the file or end ffmpeg; may be called twice."""
        self._closed = True
        if self._reader:
            self._reader.close()


def open_audio(path: Path, demuxer: str = "", *, limits: Limits = DEFAULT_LIMITS) -> Source:
    """Open a recording; ``demuxer`` is ffmpeg's name of the container, for when libsndfile does not know it."""
    more, plan = partial(ffmpeg_plan, path, demuxer), None
    with reading(path):
        try:
            plan = make_plan(path, demuxer)
            return AudioSource(path, plan, limits, None if plan.asked else more)
        except NfcError:
            raise
        except Exception as error:
            return _second_try(path, lambda: _informed(more(), plan), limits, error)


def _informed(plan: Plan, first: Plan | None) -> Plan:
    """``plan`` with what the ``first`` one, whose reader fails, knows better of the file."""
    if first is None or first.asked:
        return plan
    return replace(
        plan, cut=first.cut, announced=first.announced or plan.announced, tags=first.tags or plan.tags,
        lost=tuple(dict.fromkeys((*first.lost, *plan.lost))), unknown=first.unknown or plan.unknown,
    )  # fmt: skip


def _second_try(path: Path, more: Callable[[], Plan], limits: Limits, first: Exception) -> Source:
    try:
        return AudioSource(path, more(), limits)
    except (ValueError, RuntimeError, OSError) as second:
        raise MediaReadError(f"cannot read {named(path)}: {telling(second, first)}") from second


def open_sound_track(path: Path, demuxer: str, *, limits: Limits = DEFAULT_LIMITS) -> Source:
    """Open the first sound track of a media container as a recording."""
    with reading(path):
        return AudioSource(path, ffmpeg_plan(path, demuxer), limits)
