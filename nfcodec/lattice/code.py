"""The symbols of lattice regions, to bytes and back, one region or many at once.

A region has one payload per layer of its spec, up to three. A layer of nothing but zeros is the empty payload;
another layer whose range-coded stream happens to be empty is one zero byte, which no stream ends with.

Regions that are coded together (:class:`~nfcodec.lattice.mosaic.Mosaic`) get the very bytes that they get alone: small
pictures spend their time on the many small steps of a region, and those are taken for all of them at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
import numpy.typing as npt

from nfcodec.blas import single_threaded
from nfcodec.entropy import logistic
from nfcodec.entropy.coder import LOGISTIC, SymbolDecoder, SymbolEncoder, get_each, put_each
from nfcodec.errors import CorruptError, InternalError
from nfcodec.lattice import correction
from nfcodec.lattice.correction import Coded, Corrections, Seen
from nfcodec.lattice.given import Given
from nfcodec.lattice.mosaic import Mosaic
from nfcodec.lattice.neighbourhood import Neighbourhood
from nfcodec.lattice.order import Order
from nfcodec.lattice.passes import Means, Step, coded_order, corrected_kinds, expected
from nfcodec.lattice.prior import Prior
from nfcodec.limits import DEFAULT_LIMITS, Limits
from nfcodec.types import Floats, Indices, Ints, Scales, Shape, Symbols

LARGEST_SYMBOL = 1 << 20
_NOTHING = b"\0"  # an empty stream of symbols that are not all zero


@dataclass(frozen=True, slots=True)
class Prediction:
    """How the symbols of a region are coded: ``mean`` int32 (P, K, *cells) in eighths of a step, ``scale`` uint8
    of that shape. Planes from ``planes`` on are not coded; their entries are zero."""

    mean: Symbols
    scale: Scales
    planes: int


@dataclass(frozen=True, slots=True)
class RegionSymbols:
    """Symbols int32 (P, K, *cells) to encode, within ±2^20. Of ``planes`` < P only the first are coded, the others must
    be zero. ``given``: what the prior is told, of a region that is coded alone."""

    symbols: Symbols
    quality: int
    planes: int
    given: Given | None = None

    def __post_init__(self) -> None:
        """Raise :class:`InternalError` unless the symbols can be coded."""
        symbols = self.symbols
        if symbols.ndim < 3 or symbols.dtype != np.int32:
            raise InternalError(f"symbols {symbols.dtype} {symbols.shape}")
        _check_region(self.shape, self.quality, self.planes)
        if symbols.min() < -LARGEST_SYMBOL or symbols.max() > LARGEST_SYMBOL:
            raise InternalError(f"symbols {symbols.min()}…{symbols.max()} leave ±{LARGEST_SYMBOL}")
        if symbols[self.planes :].any():
            raise InternalError(f"symbols in planes from {self.planes} on, which are not coded")

    @property
    def shape(self) -> Shape:
        """Cells along each axis."""
        return self.symbols.shape[2:]

    def check(self, order: Order) -> None:
        """Raise :class:`InternalError` unless these are symbols of the lattice."""
        shape, wanted = self.symbols.shape, (order.planes, order.spec.bases)
        if shape[:2] != wanted or len(self.shape) != order.axes or self.planes > order.planes:
            raise InternalError(f"symbols {shape}, {self.planes} planes of them, for {wanted} on {order.axes} axes")


@dataclass(frozen=True, slots=True)
class RegionBytes:
    """Payloads of a region of ``shape`` cells to decode. Layers that are missing at the end are zeros.

    The limits apply before anything is allocated.
    """

    payloads: Sequence[bytes]
    shape: Shape
    quality: int
    planes: int
    limits: Limits = DEFAULT_LIMITS

    def __post_init__(self) -> None:
        _check_region(self.shape, self.quality, self.planes)

    def check(self, order: Order) -> None:
        """Raise :class:`CorruptError` for too many layers, :class:`LimitError` for too many symbols, and
        :class:`InternalError` for other axes or planes than those of the lattice."""
        if len(self.shape) != order.axes or self.planes > order.planes:
            raise InternalError(f"region of {self.shape} cells, {self.planes} planes, on {order.axes} axes")
        cells = math.prod(self.shape)
        self.limits.check("max_symbols", order.spec.coded * cells, f"region of {'×'.join(map(str, self.shape))} cells")
        if len(self.payloads) > len(order.spec.layers):
            raise CorruptError(f"{len(self.payloads)} layers where there are {len(order.spec.layers)}")


def _check_region(shape: Shape, quality: int, planes: int) -> None:
    """Raise :class:`InternalError` unless the cells, the quality and the planes exist."""
    if not shape or min(shape) < 1:
        raise InternalError(f"region of {shape} cells")
    if not 0 <= quality <= 100 or planes < 1:
        raise InternalError(f"quality {quality} with {planes} planes")


class RegionCoder(Protocol):
    """Codes regions for those who have no use for the others that may be coded at the same time."""

    def encode(self, prior: Prior, region: RegionSymbols) -> list[bytes]:
        """The payloads of the layers of a region."""
        ...

    def decode(self, prior: Prior, region: RegionBytes) -> Symbols:
        """The symbols int32 (P, K, *cells) of a region. Raises :class:`CorruptError`."""
        ...


@lru_cache(maxsize=16)
def _mosaic_of(shapes: tuple[Shape, ...], order: Order) -> Mosaic:
    """Their places are worked out once: the same regions are coded again and again while they are adapted."""
    return Mosaic(shapes, order)


def _empty(order: Order, mosaic: Mosaic) -> Symbols:
    return np.zeros((order.planes, order.spec.bases, *mosaic.shape), np.int32)


# -- encoding --------------------------------------------------------------------------------------------
class _Canvas:
    """Symbols of regions on a mosaic, and what a decoder knows of them."""

    def __init__(self, order: Order, regions: Sequence[RegionSymbols]) -> None:
        for region in regions:
            region.check(order)
        self.planes, self.layers = regions[0].planes, range(len(order.spec.layers))
        self.mosaic = _mosaic_of(tuple(r.shape for r in regions), order)
        canvas = _empty(order, self.mosaic)
        for i, region in enumerate(regions):
            self.mosaic.patch(canvas, i)[...] = region.symbols
        self.symbols = canvas.reshape(*canvas.shape[:2], -1)
        given, qualities = regions[0].given, np.array([r.quality for r in regions])
        self.known = Neighbourhood(self.mosaic, planes=self.planes, qualities=qualities, given=given)

    def steps(self, layer: int) -> Iterator[Step]:
        return coded_order(self.mosaic, self.planes, layer)

    def learn(self, step: Step) -> Symbols:
        """The symbols (n, m) of a step, known from now on."""
        found: Symbols = self.symbols[step.plane, step.low : step.high].take(step.cells.flat, axis=1)
        step.remember(self.known, found)
        return found


@single_threaded
def predict(prior: Prior, region: RegionSymbols, *, means: bool = False) -> Prediction:
    """How each symbol of a region is coded; ``means``: these alone, zeros for all other symbols.

    Symbol q costs ``logistic.bits(q − base, scale, mean − 8 · base)`` bits with base = (mean + 4) >> 3.
    """
    canvas = _Canvas(prior.order, [region])
    mean, scale = np.zeros(canvas.symbols.shape, np.int32), np.zeros(canvas.symbols.shape, np.uint8)
    for layer in canvas.layers[: 1 if means else None]:
        for step in canvas.steps(layer):
            if means and not isinstance(step, Means):
                break  # they come first
            place = slice(step.low, step.high), step.cells.flat
            mean[step.plane][place], scale[step.plane][place] = step.expect(prior, canvas.known)
            canvas.learn(step)
    shape = region.symbols.shape
    return Prediction(mean.reshape(shape), scale.reshape(shape), region.planes)


def region_bits(prediction: Prediction, symbols: Symbols) -> Floats:
    """What the coder charges for each symbol, float32 (P, K, *cells); layers of nothing but zeros cost less."""
    bits = np.zeros(symbols.shape, np.float32)
    for plane in range(prediction.planes):  # one at a time, for the memory
        mean = prediction.mean[plane]
        base = (mean + 4) >> 3
        bits[plane] = logistic.bits(symbols[plane] - base, prediction.scale[plane], mean - 8 * base)
    return bits


def _owners(step: Step, patches: int) -> Indices | None:
    """The patch of every symbol of a step; None where there is only one."""
    return None if patches == 1 else np.tile(step.cells.owner, step.high - step.low)


def _not_zero(values: Ints, owners: Indices | None, patches: int) -> npt.NDArray[np.bool_]:
    """Which patches have other values (n,) than zeros."""
    if owners is None:
        return np.array([values.any()])
    return np.bincount(owners, values != 0, patches) > 0


@single_threaded
def encode_regions(prior: Prior, regions: Sequence[RegionSymbols]) -> list[list[bytes]]:
    """The payloads of the layers of every region; all must have the same number of planes.

    Every payload is decoded once more. Its tables come from what a decoder knows at that point, so that a decoder
    comes to the same ones.
    """
    canvas = _Canvas(prior.order, regions)
    layers = [_encode_layer(prior, canvas, layer) for layer in canvas.layers]
    return [list(payloads) for payloads in zip(*layers, strict=True)]


def _encode_layer(prior: Prior, canvas: _Canvas, layer: int) -> list[bytes]:
    count, kinds = len(canvas.mosaic.shapes), corrected_kinds(prior.order, canvas.planes, layer)
    anything, seen = np.zeros(count, bool), list[tuple[int, Seen]]()
    for step in canvas.steps(layer):
        # What the decoder will know, and no more: its tables are these.
        base, fraction, scale = expected(step, prior, canvas.known)
        values, owners = canvas.learn(step).ravel(), _owners(step, count)
        anything |= _not_zero(values, owners, count)
        seen.append((kinds[step.plane, step.low], Seen(owners, scale, fraction, values - base)))
    if not anything.any():
        return [b""] * count
    corrections = correction.best(count, [[s for k, s in seen if k == kind] for kind in range(len(kinds))])
    coded = [*corrections.coded(), *(_coded(corrections, kind, part) for kind, part in seen)]
    encoders = [SymbolEncoder() for _ in range(count)]
    for whose, rows, numbers in coded:
        put_each(encoders, whose, numbers, rows, LOGISTIC)
    payloads = [(e.finish() or _NOTHING) if some else b"" for e, some in zip(encoders, anything, strict=True)]
    _check(payloads, coded)
    return payloads


def _coded(corrections: Corrections, kind: int, seen: Seen) -> Coded:
    rows, negative = logistic.rows_of(corrections.scales(kind, seen.scale, seen.owners), seen.fraction)
    return seen.owners, rows, np.negative(seen.values, out=seen.values.copy(), where=negative)


def _check(payloads: Sequence[bytes], coded: Iterable[Coded]) -> None:
    """Raise :class:`InternalError` unless the payloads that are not empty decode to what was coded."""
    decoders, there = [_stream(p, echo=False) for p in payloads], np.array([bool(p) for p in payloads])
    for owners, rows, values in coded if there.any() else ():
        if owners is not None and not there.all():
            kept = there[owners]
            owners, rows, values = owners[kept], rows[kept], values[kept]  # noqa: PLW2901
        try:
            same = np.array_equal(get_each(decoders, owners, rows, LOGISTIC), values)
        except CorruptError as error:
            raise InternalError(f"a coded region cannot be decoded: {error}") from error
        if not same:
            raise InternalError("a coded region decodes to other symbols")


def _stream(payload: bytes, *, limits: Limits = DEFAULT_LIMITS, echo: bool = True) -> SymbolDecoder:
    return SymbolDecoder(b"" if payload == _NOTHING else payload, limits=limits, echo=echo)


# -- decoding --------------------------------------------------------------------------------------------
def _decode_layer(
    prior: Prior, regions: Sequence[RegionBytes], layer: int, symbols: Symbols, known: Neighbourhood
) -> None:  # fmt: skip
    """Fill ``symbols`` (P, K, cells) and ``known`` with one layer of those regions in which it is not empty."""
    payloads = [r.payloads[layer] if layer < len(r.payloads) else b"" for r in regions]
    there = np.array([bool(p) for p in payloads])
    decoders = [_stream(p, limits=r.limits) for p, r in zip(payloads, regions, strict=True)]
    anything, kinds = np.zeros(len(regions), bool), corrected_kinds(prior.order, known.planes, layer)
    if not there.any():
        return
    corrections = Corrections.read(lambda o, r: get_each(decoders, o, r, LOGISTIC), there, len(kinds))
    for step in coded_order(known.mosaic.only(there), known.planes, layer):
        base, fraction, scale = expected(step, prior, known)
        owners = _owners(step, len(regions))
        corrected = corrections.scales(kinds[step.plane, step.low], scale, owners)
        rows, negative = logistic.rows_of(corrected, fraction)
        values = get_each(decoders, owners, rows, LOGISTIC).astype(np.int64)
        np.negative(values, out=values, where=negative)
        values += base
        low, high = values.min(), values.max()
        if low < -LARGEST_SYMBOL or high > LARGEST_SYMBOL:
            raise CorruptError(f"symbols {low}…{high} leave ±{LARGEST_SYMBOL}")
        if low or high:  # everything is zero so far
            anything |= _not_zero(values, owners, len(regions))
            values = values.reshape(-1, len(step.cells))
            symbols[step.plane][step.low : step.high, step.cells.flat] = values
            step.remember(known, values)
    for decoder, payload, some in zip(decoders, payloads, anything, strict=True):
        decoder.finish()
        if payload and not some:
            raise CorruptError(f"layer {layer} of zeros in {len(payload)} bytes, where it needs none")


@single_threaded
def decode_regions(prior: Prior, regions: Sequence[RegionBytes]) -> list[Symbols]:
    """Inverse of :func:`encode_regions`: int32 (P, K, *cells) for every region.

    Raises :class:`CorruptError` when any of them is damaged: who needs the others decodes each alone.
    """
    order, planes = prior.order, regions[0].planes
    for region in regions:
        region.check(order)
    mosaic = _mosaic_of(tuple(r.shape for r in regions), order)
    canvas = _empty(order, mosaic)
    symbols = canvas.reshape(*canvas.shape[:2], -1)
    known = Neighbourhood(mosaic, planes=planes, qualities=np.array([r.quality for r in regions]))
    for layer in range(len(order.spec.layers)):
        _decode_layer(prior, regions, layer, symbols, known)
    return [np.ascontiguousarray(mosaic.patch(canvas, i)) for i in range(len(regions))]


class Alone:
    """Codes every region by itself; see :class:`RegionCoder`."""

    def encode(self, prior: Prior, region: RegionSymbols) -> list[bytes]:
        """The payloads of the layers of a region."""
        return encode_regions(prior, [region])[0]

    def decode(self, prior: Prior, region: RegionBytes) -> Symbols:
        """The symbols int32 (P, K, *cells) of a region. Raises :class:`CorruptError`."""
        return decode_regions(prior, [region])[0]


ALONE = Alone()

KnownKey = tuple[Prior, tuple[bytes, ...], Shape, int, int]  # payloads, shape, quality, planes


@dataclass(frozen=True, slots=True)
class Known:
    """A :class:`RegionCoder` that knows the ``symbols`` of some payloads, which have been decoded when they were made
    (:func:`encode_regions`); ``other`` codes all others."""

    symbols: Mapping[KnownKey, Ints]
    other: RegionCoder = ALONE

    def encode(self, prior: Prior, region: RegionSymbols) -> list[bytes]:
        """The payloads of the layers of a region."""
        return self.other.encode(prior, region)

    def decode(self, prior: Prior, region: RegionBytes) -> Symbols:
        """The symbols int32 (P, K, *cells) of a region. Raises :class:`CorruptError`."""
        found = self.symbols.get((prior, tuple(region.payloads), region.shape, region.quality, region.planes))
        return self.other.decode(prior, region) if found is None else np.asarray(found, np.int32)
