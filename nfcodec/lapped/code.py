"""The symbols of chunks, to bytes and back.

A payload says the law, how often frames are split, whether there are gains, how many blocks of every plane are coded,
and one stream of the range coder: the splits, the gains, then block by block the steps of the order. Chunks of equal
length can be decoded side by side; each is what it is alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nfcodec.blas import single_threaded
from nfcodec.container.varint import ByteReader, encode_varint
from nfcodec.entropy.coder import FLAG_BITS, LOGISTIC, SymbolDecoder, SymbolEncoder, get_each
from nfcodec.errors import CorruptError, InternalError
from nfcodec.lapped import order
from nfcodec.lapped.gains import exponents as gain_exponents
from nfcodec.lapped.gains import residuals, rows_of, through
from nfcodec.lapped.init import LappedInit
from nfcodec.lapped.order import ORDER, Step
from nfcodec.limits import DEFAULT_LIMITS, Limits
from nfcodec.types import Bytes, Floats, Gains, Indices, Ints, Scales, Symbols

_NEVER = 15  # the chance of a split that stands for none
_GAINS = 32  # the bit of the first byte that says that there are gains
_SPLIT_BITS = 2


@dataclass(frozen=True)
class ChunkSymbols:
    """``symbols`` (P, T, K) of T frames in P planes, their ``splits`` (T,), the number of the ``law`` and the ``gains``
    (T, bands) of its steps."""

    symbols: Symbols
    splits: Bytes
    law: int
    gains: Gains

    def numbers(self) -> Symbols:
        """All that is coded, in a row: what two files of one signal are compared by."""
        front = np.array([self.law], np.int32)
        parts = front, self.splits.astype(np.int32), self.gains.astype(np.int32).ravel(), self.symbols.ravel()
        return np.concatenate(parts)


@dataclass(frozen=True)
class Decoded:
    """A chunk and the ``scales`` (P, T, K) that its symbols were coded at; 0 where nothing was coded."""

    chunk: ChunkSymbols
    scales: Scales


def _chance(index: int) -> int:
    """How many of 2^16 frames are split: 2^(15 − index), a half to nearly never."""
    return max(1, 1 << (FLAG_BITS - 1 - index))


# -- what the networks see -------------------------------------------------------------------------------
@dataclass(frozen=True)
class FrameSteps:
    """What is known of the frames of N chunks before their symbols: ``splits`` (N, T), ``gains`` (N, T, bands)."""

    splits: Bytes
    gains: Gains


class Seen:
    """Magnitudes of chunks of equal shape as far as they are known, and what the networks make of them.

    ``known`` (N, P, T + 2 · REACH, LOWER + K): features of magnitudes.
    """

    def __init__(self, init: LappedInit, quality: int, law: int, frames: FrameSteps, planes: int, bins: int) -> None:
        """Nothing is known of chunks but their ``frames``."""
        splits = frames.splits
        self.init, self.spec = init, init.spec
        self.count, self.frames = splits.shape
        self.blocks = bins // init.spec.block
        shape = (self.count, planes, self.frames + 2 * order.REACH, bins + order.LOWER)
        self.known = np.zeros(shape, np.float32)
        self._of_frames = [
            np.concatenate([order.frame_features(z, step, quality, law) for z in splits]) for step in ORDER
        ]
        bands, half = init.spec.bands_of(bins), init.spec.block // 2
        exponents = gain_exponents(frames.gains, bands, bins)[..., half :: init.spec.block]
        self._levels = exponents >> 5
        self._of_steps: dict[int, Floats] = {}
        self._places = np.stack([order.place_features(g) for g in range(self.blocks)])
        self._static: dict[tuple[int, int], tuple[Floats, Floats]] = {}

    def _added(self, plane: int, number: int) -> tuple[Floats, Floats]:
        """What frames (N · frames, hidden) and blocks (blocks, hidden) add to the first sums of a network."""
        key = plane, number
        if key not in self._static:
            network, frames = self.init.prior.networks[plane][number], self._of_frames[number]
            self._static[key] = network.of_frames(frames, order.PLACES), network.of_blocks(self._places)
        return self._static[key]

    def _steps(self, number: int, blocks: tuple[int, int]) -> Floats:
        """What is known of steps in blocks [a, b): (N, frames, b − a, n)."""
        phase = number // 2
        if phase not in self._of_steps:
            self._of_steps[phase] = order.step_features(self._levels, ORDER[number])
        return self._of_steps[phase][:, :, blocks[0] : blocks[1]]

    def put(self, plane: int, symbols: Symbols) -> None:
        """All symbols (N, T, K) of a plane are known."""
        inside = self.known[:, plane, order.REACH : order.REACH + self.frames, order.LOWER :]
        inside[...] = order.magnitudes(symbols)

    def put_step(self, plane: int, step: Step, block: int, symbols: Symbols) -> None:
        """The symbols (N, frames, block / 2) of a step are known."""
        start = order.LOWER + block * self.spec.block + step.parity
        rows = slice(order.REACH + step.phase.start, order.REACH + self.frames, step.phase.period)
        columns = slice(start, order.LOWER + (block + 1) * self.spec.block, 2)
        self.known[:, plane, rows, columns] = order.magnitudes(symbols)

    def scales(self, plane: int, number: int, blocks: tuple[int, int]) -> Scales:
        """Scales (N, frames, blocks, block / 2) of a step in blocks [a, b)."""
        used = min(plane, self.spec.sets - 1)
        first = self.known[:, 0] if used else None
        windows = order.seen(self.known[:, plane], first, self.spec, ORDER[number], blocks)
        x = np.concatenate([*windows, self._steps(number, blocks)], axis=-1)
        of_frames, of_blocks = self._added(used, number)
        shape = x.shape[:-1]
        static = of_frames.reshape(*shape[:2], 1, -1) + of_blocks[blocks[0] : blocks[1]]
        network = self.init.prior.networks[used][number]
        found = network(x.reshape(-1, x.shape[-1]), static.reshape(-1, static.shape[-1]))
        return found.reshape(*shape, -1)


def tops_of(symbols: Symbols, block: int) -> list[int]:
    """How many blocks of every plane (P, T, K) hold anything, from the lowest on."""
    used = np.abs(symbols).max(1).reshape(len(symbols), -1, block).max(2)
    return [int(np.flatnonzero(plane).max(initial=-1)) + 1 for plane in used]


@single_threaded
def chunk_scales(init: LappedInit, quality: int, chunk: ChunkSymbols, tops: Sequence[int] | None = None) -> Scales:
    """The scales (P, T, K) that the symbols of a chunk are coded at, in the first ``tops`` blocks; all by default."""
    planes, frames, bins = chunk.symbols.shape
    seen = Seen(init, quality, chunk.law, FrameSteps(chunk.splits[None], chunk.gains[None]), planes, bins)
    out = np.zeros((planes, frames, seen.blocks, init.spec.block), np.uint8)
    for plane in range(planes):
        seen.put(plane, chunk.symbols[plane][None])
        top = seen.blocks if tops is None else tops[plane]
        for number, step in order.frame_steps(frames) if top else ():
            rows = slice(step.phase.start, None, step.phase.period)
            out[plane, rows, :top, step.parity :: 2] = seen.scales(plane, number, (0, top))[0]
    return out.reshape(planes, frames, bins)


# -- encoding --------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Coded:
    """The ``payload`` of a chunk, and what a decoder makes of it."""

    payload: bytes
    decoded: Decoded


def encode_chunk(init: LappedInit, quality: int, chunk: ChunkSymbols) -> Coded:
    """The payload of a chunk; nothing if all symbols are zero.

    It is decoded once more. Its tables come from what a decoder knows at that point, so that a decoder comes to the
    same ones.
    """
    if not chunk.symbols.any():
        return Coded(b"", silent(init, chunk.symbols.shape))
    tops = tops_of(chunk.symbols, init.spec.block)
    scales = chunk_scales(init, quality, chunk, tops)
    lists = [
        (chunk.symbols[plane][part].ravel(), scales[plane][part].ravel())
        for plane, top in enumerate(tops)
        for part in _parts(init.spec.block, chunk.splits.size, top)
    ]
    encoder, family = SymbolEncoder(), init.prior.families[chunk.law]
    chance = _put_splits(encoder, chunk.splits)
    varied = bool(chunk.gains.any())
    if varied:
        put_gains(init, encoder, chunk.gains)
    for symbols, rows in lists:
        encoder.put(symbols, rows, family)
    stream = encoder.finish()
    _check(init, chunk, chance, stream, lists)
    front = bytes([chunk.law | chance << 1 | varied * _GAINS]) + b"".join(map(encode_varint, tops))
    return Coded(front + stream, Decoded(chunk, scales))


def _check(
    init: LappedInit, chunk: ChunkSymbols, chance: int, stream: bytes, lists: list[tuple[Symbols, Scales]]
) -> None:  # fmt: skip
    """Raise :class:`InternalError` unless a stream decodes to what was coded."""
    decoder, family = SymbolDecoder(stream, echo=False), init.prior.families[chunk.law]
    try:
        same = np.array_equal(_get_splits(decoder, chunk.splits.size, chance, init.spec.splits), chunk.splits)
        if chunk.gains.any():
            same = same and np.array_equal(get_gains(init, [decoder], chunk.gains.shape)[0], chunk.gains)
        same = same and all(np.array_equal(decoder.get(rows, family), symbols) for symbols, rows in lists)
    except CorruptError as error:
        raise InternalError(f"a coded chunk cannot be decoded: {error}") from error
    if not same:
        raise InternalError("a coded chunk decodes to other symbols")


def _parts(block: int, frames: int, top: int) -> list[tuple[slice, slice]]:
    """The coded order of a plane: frames and bins of every step."""
    return [
        (slice(step.phase.start, None, step.phase.period), slice(g * block + step.parity, (g + 1) * block, 2))
        for g in range(top)
        for _, step in order.frame_steps(frames)
    ]


def put_gains(init: LappedInit, encoder: SymbolEncoder, gains: Gains) -> None:
    """Code gains (T, bands)."""
    rows = rows_of(init.gains)
    for phase, band, apart, differences in residuals(gains):
        encoder.put(differences.astype(np.int32), rows[phase, int(band > 0)][apart], LOGISTIC)


def get_gains(init: LappedInit, decoders: Sequence[SymbolDecoder], shape: tuple[int, int]) -> Gains:
    """Gains (N, T, bands) of as many streams."""
    found = np.zeros((len(decoders), *shape), np.int8)

    def coded(rows: Ints) -> Ints:
        owners = None if len(decoders) == 1 else np.repeat(np.arange(len(decoders)), rows.shape[1])
        return get_each(decoders, owners, rows.ravel(), LOGISTIC).reshape(rows.shape)

    through(found, init.gains, coded)
    return found


def _put_splits(encoder: SymbolEncoder, splits: Bytes) -> int:
    """Code splits (T,); the chance that they were coded with."""
    split = splits > 0
    count = int(split.sum())
    if not count:
        return _NEVER
    chances = 2.0 ** -np.arange(1.0, _NEVER + 1)
    costs = -count * np.log2(chances) - (len(split) - count) * np.log2(1.0 - chances)
    chance = int(np.argmin(costs))
    encoder.put_flags(split.astype(np.int32), np.full(len(split), _chance(chance)))
    encoder.put_bits(splits[split].astype(np.int32) - 1, _SPLIT_BITS)
    return chance


# -- decoding --------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class ChunkBytes:
    """The ``payload`` of a chunk of ``planes``, ``frames`` and ``bins``."""

    payload: bytes
    planes: int
    frames: int
    bins: int
    limits: Limits = DEFAULT_LIMITS

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the symbols."""
        return self.planes, self.frames, self.bins


@dataclass(frozen=True)
class _Front:
    """What stands before the stream of a chunk, and its splits."""

    law: int
    varied: bool
    tops: list[int]
    splits: Bytes
    decoder: SymbolDecoder


def _open(init: LappedInit, chunk: ChunkBytes) -> _Front:
    """Read what comes before the symbols. Raises :class:`CorruptError`."""
    planes, frames, bins = chunk.shape
    chunk.limits.check("max_symbols", planes * frames * bins, f"chunk of {frames} frames")
    reader = ByteReader(chunk.payload)
    first = reader.byte("law")
    if first >> 6:
        raise CorruptError(f"chunk that begins with {first:#x}")
    tops = [reader.varint("number of blocks") for _ in range(planes)]
    if max(tops) * init.spec.block > bins:
        raise CorruptError(f"{max(tops)} blocks of {init.spec.block} in {bins} bins")
    if not any(tops):
        raise CorruptError(f"chunk of zeros in {len(chunk.payload)} bytes, where it needs none")
    decoder = SymbolDecoder(reader.rest(), limits=chunk.limits)
    splits = _get_splits(decoder, frames, first >> 1 & 15, init.spec.splits)
    return _Front(first & 1, bool(first & _GAINS), tops, splits, decoder)


def _get_splits(decoder: SymbolDecoder, frames: int, chance: int, most: int) -> Bytes:
    splits = np.zeros(frames, np.uint8)
    if chance != _NEVER:
        split = decoder.get_flags(np.full(frames, _chance(chance))) > 0
        splits[split] = decoder.get_bits(int(split.sum()), _SPLIT_BITS) + 1
        if splits.max() > most or not split.any():
            raise CorruptError(f"frames split up to 2^{splits.max()} times")
    return splits


@single_threaded
def decode_chunks(init: LappedInit, quality: int, chunks: Sequence[ChunkBytes]) -> list[Decoded]:
    """The chunks, all of one shape; those of one law are decoded side by side. Raises :class:`CorruptError`."""
    fronts = {i: _open(init, c) for i, c in enumerate(chunks) if c.payload}
    found = {i: silent(init, c.shape) for i, c in enumerate(chunks) if not c.payload}
    for law in {front.law for front in fronts.values()}:
        mine = [i for i, front in fronts.items() if front.law == law]
        decoded = _decode(init, quality, [fronts[i] for i in mine], chunks[mine[0]].shape)
        found |= dict(zip(mine, decoded, strict=True))
    return [found[i] for i in range(len(chunks))]


def no_gains(init: LappedInit, frames: int, bins: int) -> Gains:
    """Gains (frames, bands) of 0."""
    return np.zeros((frames, len(init.spec.bands_of(bins))), np.int8)


def silent(init: LappedInit, shape: tuple[int, ...]) -> Decoded:
    """A chunk (P, T, K) of zeros."""
    chunk = ChunkSymbols(np.zeros(shape, np.int32), np.zeros(shape[1], np.uint8), 0, no_gains(init, *shape[1:]))
    return Decoded(chunk, np.zeros(shape, np.uint8))


def _decode(init: LappedInit, quality: int, fronts: list[_Front], shape: tuple[int, int, int]) -> list[Decoded]:
    """Chunks of one law and ``shape`` (P, T, K)."""
    planes, frames, bins = shape
    gains = _gains_of(init, fronts, frames, bins)
    known = FrameSteps(np.stack([f.splits for f in fronts]), gains)
    seen = Seen(init, quality, fronts[0].law, known, planes, bins)
    symbols = np.zeros((len(fronts), *shape), np.int32)
    scales = np.zeros((len(fronts), *shape), np.uint8)
    for plane in range(planes):
        tops = np.array([f.tops[plane] for f in fronts])
        for g in range(int(tops.max())):
            active = np.flatnonzero(tops > g)
            for number, step in order.frame_steps(frames):
                said = seen.scales(plane, number, (g, g + 1))[:, :, 0]
                part = _get(init, fronts, said, active)
                rows = slice(step.phase.start, None, step.phase.period)
                columns = slice(g * init.spec.block + step.parity, (g + 1) * init.spec.block, 2)
                symbols[:, plane, rows, columns] = part
                scales[active, plane, rows, columns] = said[active]
                if part.any():
                    seen.put_step(plane, step, g, part)
    parts = zip(fronts, gains, symbols, scales, strict=True)
    return [_finished(init, front, g, q, s) for front, g, q, s in parts]


def _gains_of(init: LappedInit, fronts: list[_Front], frames: int, bins: int) -> Gains:
    """Gains (N, T, bands) of chunks."""
    gains = np.stack([no_gains(init, frames, bins)] * len(fronts))
    varied = [i for i, f in enumerate(fronts) if f.varied]
    if varied:
        gains[varied] = get_gains(init, [fronts[i].decoder for i in varied], gains.shape[1:])
        if not gains[varied].any((1, 2)).all():
            raise CorruptError("gains that are all 0, where none were needed")
    return gains


def _get(init: LappedInit, fronts: list[_Front], said: Scales, active: Indices) -> Symbols:
    """The symbols (N, frames, n) of a step of those chunks that are ``active``; zeros of the others."""
    part = np.zeros(said.shape, np.int32)
    rows = said[active]
    owners = None if len(fronts) == 1 else np.repeat(active, rows[0].size)
    family = init.prior.families[fronts[0].law]
    part[active] = get_each([f.decoder for f in fronts], owners, rows.ravel(), family).reshape(rows.shape)
    return part


def _finished(init: LappedInit, front: _Front, gains: Gains, symbols: Symbols, scales: Scales) -> Decoded:
    front.decoder.finish()
    law = init.laws[front.law]
    if np.abs(symbols).max() > law.largest:
        raise CorruptError(f"symbols up to {np.abs(symbols).max()}, at most {law.largest} are allowed")
    if tops_of(symbols, init.spec.block) != front.tops:
        raise CorruptError("blocks of zeros at the end of a chunk")
    return Decoded(ChunkSymbols(symbols, front.splits, front.law, gains), scales)
