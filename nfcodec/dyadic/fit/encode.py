"""Encode an array chunk by chunk, so that the bound holds on every sample that is decoded."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from nfcodec.container.layout import SectionType, chunk_payload
from nfcodec.container.writer import Writer
from nfcodec.dyadic.chunk import FILL, MINUS, NAN, PLUS, VALID, Chunk, Patches, finish, pack, stored
from nfcodec.dyadic.code import SERIES
from nfcodec.dyadic.fit.giver import Giver
from nfcodec.dyadic.fit.measure import measure_for
from nfcodec.dyadic.init import DyadicInit
from nfcodec.dyadic.stored import LARGEST_CHUNK
from nfcodec.dyadic.values import Measure, Mode, Samples
from nfcodec.dyadic.volume import as_planes, decode_planes
from nfcodec.encoder.base import Encoder
from nfcodec.entropy.coder import SymbolEncoder
from nfcodec.errors import InternalError, OptionError
from nfcodec.options import EncodeOptions, ErrorBound, Progress
from nfcodec.signal import Block, Source
from nfcodec.types import Bytes, Doubles, Mask

_QUALITY_STEP = 25.0  # of quality is a factor of ten in the bound
# Series of steps that are tried: where most samples need no symbol, coarse levels should be known better.
_TRIED = (0, 1)
_MANY_STEPS = 2000  # with more, the bound is so tight that only the first one pays


def bound_of_quality(quality: int) -> ErrorBound:
    """100 is a ten-thousandth of the range of values, 75 a thousandth, 50 a hundredth, 0 all of it."""
    return ErrorBound(10.0 ** (-quality / _QUALITY_STEP), relative=True)


@dataclass(frozen=True, slots=True)
class Coded:
    """A chunk in the file, and the samples that it decodes to."""

    payload: bytes
    samples: Samples


class DyadicEncoder(Encoder):
    """Encodes one array with a dyadic init."""

    def __init__(self, source: Source, init: DyadicInit, options: EncodeOptions, progress: Progress | None) -> None:
        super().__init__(source, init, options, progress)
        self.init = init
        self.ends = self.info.value_range or (0.0, 0.0)
        self.bound = (options.bound or bound_of_quality(options.quality)).absolute(*self._surely_within())
        self.wrap = _wrapped_axes(options.wrap, self.info.shape)
        row = math.prod(self.info.shape[1:])
        self.rows = max(1, min(self.info.shape[0], LARGEST_CHUNK // row))
        if self.wrap[0] and len(self.info.shape) == 2 and self.rows < self.info.shape[0]:
            self.warnings.append("the first axis is not wrapped: the array is encoded in several parts along it")
            self.wrap = (False, self.wrap[1])

    def _surely_within(self) -> tuple[float, float]:
        """Ends of a range that the samples fill: those of 64-bit integers are known to the nearest double alone."""
        low, high = self.ends
        if self.info.sample_type not in ("i64", "u64") or max(abs(low), abs(high)) < 2.0**53:
            return low, high
        return low, max(low, high - 2.0 * float(np.spacing(max(abs(low), abs(high)))))

    def write_signal(self, writer: Writer) -> int:
        """One SAMPLES section per chunk."""
        length = 0
        for number, block in enumerate(self.source.blocks(self.rows)):
            if block.samples is None:
                raise InternalError("an array without samples")
            coded = self.coded(block)
            self._check(block, coded.samples)
            writer.add(SectionType.SAMPLES, chunk_payload(number, coded.payload))
            self.symbols.update(_words(coded.samples))
            length += len(block.values)
            self.tick(float(coded.samples.size))
        return length

    def _check(self, block: Block, decoded: Samples) -> None:
        """The bound must hold on what is decoded, in the samples' own type."""
        assert block.samples is not None
        seen = np.ones(decoded.shape, bool) if block.missing is None else ~block.missing
        if over(block.samples[seen], decoded[seen], self.bound).any() or not _same(block.samples, decoded, ~seen):
            raise InternalError("a decoded sample is farther from the original than the bound")
        self.error.add_seen(self.info.measured(block.samples[seen]), self.info.measured(decoded[seen]), None)

    # -- one chunk ---------------------------------------------------------------------------------------
    def coded(self, block: Block) -> Coded:
        """The smallest way to write a chunk that is found."""
        assert block.samples is not None
        samples, mask = block.samples, _mask_of(block)
        seen = mask == VALID
        measure = measure_for(samples[seen], *self.ends, self.bound)
        gone = samples[mask == FILL]
        plain = Chunk(
            measure, b"", wrap=self.wrap, mask=None if seen.all() else mask, fill=gone[0] if gone.size else None
        )
        options = [self._walked(replace(plain, series=s), samples, seen) for s in self._series(measure)]
        found = min(options, key=lambda c: len(c.payload)) if options else None
        limit = samples.nbytes // 4 if found else 0
        if found and len(found.payload) < limit:
            return found
        raw = Coded(pack(Chunk(replace(measure, mode=Mode.STORED), stored(samples))), samples)
        return found if found and len(found.payload) <= len(raw.payload) else raw

    def _series(self, measure: Measure) -> Iterator[int]:
        if measure.mode in (Mode.WHOLE, Mode.INTEGERS):
            yield 0
        elif measure.mode == Mode.FREE:
            effort, fine = self.options.effort, measure.steps > _MANY_STEPS
            if effort > 6:
                yield from range(len(SERIES))
            else:
                yield from _TRIED[:1] if fine else _TRIED[1:] if effort < 3 else _TRIED

    def _walked(self, chunk: Chunk, samples: Samples, seen: Mask) -> Coded:
        """A chunk in one series of steps."""
        planes, encoder = as_planes(samples.shape), SymbolEncoder()
        units: Doubles = np.zeros(samples.shape)
        units[seen] = chunk.measure.units(samples[seen])
        cube = units.reshape(planes)
        tune = self.options.effort > 1
        decoded = decode_planes(
            self.init, chunk.scheme, seen.reshape(planes), lambda index: Giver(cube[index], encoder, tune=tune)
        )
        whole = np.where(seen, decoded.reshape(samples.shape), 0.0)
        found = finish(chunk, whole)
        wrong = seen.copy()
        wrong[seen] = over(samples[seen], found[seen], self.bound)
        if wrong.any():
            index = np.flatnonzero(wrong)
            chunk = replace(chunk, patches=Patches(index, samples.reshape(-1)[index]))
            found = finish(chunk, whole)
        return Coded(pack(replace(chunk, stream=encoder.finish())), found)


def over(samples: Samples, decoded: Samples, bound: float) -> Mask:
    """Which of decoded samples (n,) are farther from the originals than ``bound``. Differences of floats are rounded:
    they must stay below it."""
    if samples.dtype.kind != "f":
        wide = np.maximum(samples, decoded).astype(np.uint64) - np.minimum(samples, decoded).astype(np.uint64)
        return np.asarray(wide > np.uint64(min(int(bound), 2**64 - 1)))
    with np.errstate(all="ignore"):
        off = np.abs(samples.astype(np.float64) - decoded.astype(np.float64))
    return np.asarray((off != 0) & ~(off < bound))


def _same(samples: Samples, decoded: Samples, where: Mask) -> bool:
    """Whether samples that are missing come back as they were."""
    if not where.any():
        return True
    return bool(np.array_equal(samples[where], decoded[where], equal_nan=samples.dtype.kind == "f"))


def _mask_of(block: Block) -> Bytes:
    """The codes of a chunk's samples."""
    samples = block.samples
    assert samples is not None
    mask: Bytes = np.zeros(samples.shape, np.uint8)
    if block.missing is None:
        return mask
    mask[block.missing] = FILL
    if samples.dtype.kind == "f":
        mask[np.isnan(samples)] = NAN
        mask[np.isposinf(samples)] = PLUS
        mask[np.isneginf(samples)] = MINUS
    return mask


def _wrapped_axes(wrap: tuple[int, ...], shape: tuple[int, ...]) -> tuple[bool, bool]:
    """Whether the last but one and the last axis wrap; :class:`OptionError` for axes that are not there."""
    d = len(shape)
    if any(not -d <= axis < d for axis in wrap):
        raise OptionError(f"wrap names axis {next(a for a in wrap if not -d <= a < d)} of an array of {d} axes")
    axes = {axis % d for axis in wrap}
    if d == 3 and 0 in axes:
        raise OptionError("wrap: the first of three axes cannot wrap, since it is encoded as a chain")
    return d > 1 and d - 2 in axes, d - 1 in axes


def _words(samples: Samples) -> bytes:
    """What a decoder calls the symbols of a chunk."""
    if samples.dtype.itemsize < 4:
        return samples.view(f"u{samples.dtype.itemsize}").astype("<i4").tobytes()
    return samples.astype(samples.dtype.newbyteorder("<")).tobytes()
