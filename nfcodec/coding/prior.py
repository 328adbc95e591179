"""The lattice's integer prior: small networks that say how every symbol of a region is coded.

A network sees what is already known around a cell (:mod:`nfcodec.coding.context`) and puts out, for each
symbol of a pass, a mean M in eighths of a step and a scale index s. With base = ⌊(M + 4)/8⌋ and f = M − 8 · base the
symbol q is coded as v = q − base with the table (s, f) of :mod:`nfcodec.coding.logistic`. Means of cells add the
rounded mean of their nearest known neighbours to the base.

Every number is whole. A layer is ⌊(W x + b + 2^(sh − 1)) / 2^sh⌋; inputs and weights are whole numbers in float32, and
:meth:`Prior.validate` makes sure that no partial sum reaches 2^24. So the matrix product is exact in whatever order
it adds, with or without fused operations, on every machine. A convolution routine would not be: some transform
their inputs first.

A region has three payloads, one per layer of ``context.LAYERS``. A layer of nothing but zeros is the empty payload;
another layer whose range-coded stream happens to be empty is one zero byte, which no stream ends with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from nfcodec.coding import logistic
from nfcodec.coding.coder import LOGISTIC, SymbolDecoder, SymbolEncoder
from nfcodec.coding.context import (
    BASES,
    LARGEST_FEATURE,
    LAYERS,
    PASSES,
    PHASES,
    PLANES,
    MeanPass,
    Neighbourhood,
    feature_count,
    mean_bases,
    mean_feature_count,
    mean_features,
    mean_levels,
    phase_cells,
    seen_features,
)
from nfcodec.errors import CorruptError, InternalError
from nfcodec.limits import DEFAULT_LIMITS, Limits

LARGEST_MEAN = 126  # M, in eighths of a step
LARGEST_HIDDEN = 255
LARGEST_SYMBOL = 1 << 20
DEPTH = 3
_EXACT = 1 << 24  # float32 holds every whole number up to here
_NOTHING = b"\0"  # an empty stream of symbols that are not all zero

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.integer[Any]]
Symbols = npt.NDArray[np.int32]
Scales = npt.NDArray[np.uint8]
Product = Callable[[Floats, Floats], Floats]


@dataclass(frozen=True)
class Layer:
    """``weight`` (rows, inputs) and ``bias`` (rows,): whole numbers in float32; ``shift`` (rows,) int32, 1 … 24.

    ``product``: multiplies two matrices. numpy's own starts a thread per core for every product, whatever torch was
    told: several processes then take seven times as long. The sums are exact, so that any product gives the same.
    """

    weight: Floats
    bias: Floats
    shift: Symbols
    product: Product = np.matmul

    def __call__(self, x: Floats) -> Floats:
        """Whole outputs (rows, cells) of whole inputs (inputs, cells), in float32."""
        weight, bias = self._shifted
        # Some matrix kernels raise floating-point flags for what lies beside the operands; whole numbers raise none.
        with np.errstate(all="ignore"):
            out = self.product(weight, x)
        out += bias
        return np.floor(out, out=out)

    @cached_property
    def _shifted(self) -> tuple[Floats, Floats]:
        """Weight (rows, inputs) and bias (rows, 1) over 2^shift: powers of two change no digit of any sum."""
        scale = np.ldexp(np.float32(1), -self.shift)[:, None]
        half = np.ldexp(np.float32(1), self.shift - 1)
        return self.weight * scale, (self.bias + half)[:, None] * scale


@dataclass(frozen=True, slots=True)
class Network:
    """Three layers; between them values are clipped to 0 … 255."""

    layers: tuple[Layer, ...]

    def __call__(self, features: Floats) -> tuple[Symbols, Scales]:
        """Means M in eighths of a step, int32 (n, cells), and scale indices, uint8 (n, cells)."""
        x = features
        for layer in self.layers[:-1]:
            x = layer(x)
            np.clip(x, 0, LARGEST_HIDDEN, out=x)
        out = self.layers[-1](x)
        n = len(out) // 2
        mean = np.clip(out[:n], -LARGEST_MEAN, LARGEST_MEAN).astype(np.int32)
        return mean, np.clip(out[n:], 0, logistic.SCALES - 1).astype(np.uint8)

    def only(self, inputs: Ints) -> Network:
        """The network of some of the inputs; the others are zero."""
        first, *rest = self.layers
        return Network((replace(first, weight=first.weight[:, inputs]), *rest))


@dataclass(frozen=True)
class Prior:
    """``groups``: one network per entry of ``context.PASSES``; ``means``: diagonal and edge network of each plane."""

    groups: tuple[Network, ...]
    means: tuple[Network, ...]

    @cached_property
    def phases(self) -> tuple[tuple[Network, ...], ...]:
        """The networks of ``groups``, for each phase without the inputs that are zero in all its cells."""
        numbered = enumerate(self.groups)
        return tuple(tuple(n.only(seen_features(i, phase)) for phase in range(len(PHASES))) for i, n in numbered)

    def validate(self) -> None:
        """Raise :class:`CorruptError` unless shapes fit the features and every sum stays exact."""
        sizes = [(feature_count(i), high - low) for i, (_, low, high) in enumerate(PASSES)]
        _check_networks("group", self.groups, sizes)
        sizes = [(mean_feature_count(p), 1) for p in range(PLANES) for _ in range(2)]
        _check_networks("mean", self.means, sizes)


def _check_networks(kind: str, networks: Sequence[Network], sizes: list[tuple[int, int]]) -> None:
    """Raise :class:`CorruptError` unless there is one sound network for each (inputs, symbols) of ``sizes``."""
    if len(networks) != len(sizes):
        raise CorruptError(f"{len(networks)} {kind} networks where there are {len(sizes)}")
    for i, (network, (inputs, symbols)) in enumerate(zip(networks, sizes, strict=True)):
        if len(network.layers) != DEPTH:
            raise CorruptError(f"{kind} network {i} has {len(network.layers)} layers, not {DEPTH}")
        largest = LARGEST_FEATURE
        for j, layer in enumerate(network.layers):
            name = f"{kind} network {i}, layer {j}"
            _check_shapes(name, layer, inputs)
            _check_sums(name, layer, largest)
            inputs, largest = len(layer.weight), LARGEST_HIDDEN
        if inputs != 2 * symbols:
            raise CorruptError(f"{kind} network {i} has {inputs} outputs for {symbols} symbols")


def _check_shapes(name: str, layer: Layer, inputs: int) -> None:
    rows = layer.bias.shape
    if len(rows) != 1 or not rows[0] or layer.weight.shape != (*rows, inputs) or layer.shift.shape != rows:
        shapes = f"{layer.weight.shape}, {layer.bias.shape}, {layer.shift.shape}"
        raise CorruptError(f"{name}: shapes {shapes} for {inputs} inputs")
    if layer.weight.dtype != np.float32 or layer.bias.dtype != np.float32 or layer.shift.dtype != np.int32:
        raise CorruptError(f"{name}: {layer.weight.dtype}, {layer.bias.dtype} and {layer.shift.dtype}")


def _check_sums(name: str, layer: Layer, largest: int) -> None:
    """Raise :class:`CorruptError` if anything is not whole, or if a sum might reach 2^24."""
    if not all((values == np.rint(values)).all() for values in (layer.weight, layer.bias)):  # false for NaN
        raise CorruptError(f"{name}: weights are not whole numbers")
    if layer.shift.min() < 1 or layer.shift.max() > 24:
        raise CorruptError(f"{name}: shifts {layer.shift.min()}…{layer.shift.max()} leave 1…24")
    half = np.ldexp(1.0, layer.shift - 1)
    sums = np.abs(layer.weight).sum(1, dtype=np.float64) * largest + np.abs(layer.bias) + half
    if not sums.max() < _EXACT:  # also true for infinity
        raise CorruptError(f"{name}: a sum may reach {sums.max()}, float32 is exact up to {_EXACT}")


@dataclass(frozen=True, slots=True)
class Prediction:
    """How the symbols of a region are coded: ``mean`` int32 (3, 64, h, w) in eighths of a step, ``scale`` uint8 of
    that shape. Planes from ``planes`` on are not coded; their entries are zero."""

    mean: Symbols
    scale: Scales
    planes: int


@dataclass(frozen=True, slots=True)
class _Means:
    """The step of the coded order that codes means of one plane at once."""

    plane: int
    cells: MeanPass
    shape: tuple[int, int]

    @property
    def select(self) -> tuple[Any, ...]:
        """Index of the symbols (n,) in a region."""
        return self.plane, 0, *np.divmod(self.cells.cells, self.shape[1])

    def expect(self, prior: Prior, known: Neighbourhood) -> tuple[Symbols, Scales]:
        bases: list[Ints] = [mean_bases(known.means[p], self.cells.neighbours) for p in range(self.plane + 1)]
        features = mean_features(known.means, self.plane, self.cells, bases, known.quality)
        mean, scale = prior.means[2 * self.plane + self.cells.edge](features.astype(np.float32))
        return (mean[0] + 8 * bases[-1]).astype(np.int32), scale[0]

    def remember(self, known: Neighbourhood, values: Ints) -> None:
        known.put_means(self.plane, self.cells.cells, values)


@dataclass(frozen=True, slots=True)
class _Group:
    """The step of the coded order that codes one phase of one pass: symbol by symbol, cells row by row."""

    number: int
    phase: int

    @property
    def select(self) -> tuple[Any, ...]:
        """Index of the symbols (n, rows, columns) in a region."""
        plane, low, high = PASSES[self.number]
        return plane, slice(low, high), *phase_cells(self.phase)

    def expect(self, prior: Prior, known: Neighbourhood) -> tuple[Symbols, Scales]:
        return prior.phases[self.number][self.phase](known.features(self.number, self.phase))

    def remember(self, known: Neighbourhood, values: Ints) -> None:
        plane, low, _ = PASSES[self.number]
        known.put(plane, low, self.phase, values)


def _steps(shape: tuple[int, int], planes: int, layer: int) -> Iterator[_Means | _Group]:
    """The coded order of one layer."""
    if layer == 0:
        for cells in mean_levels(shape):
            yield from (_Means(p, cells, shape) for p in range(planes))
    for number in range(*LAYERS[layer]):
        if PASSES[number][0] < planes:
            yield from (_Group(number, i) for i, (y, x) in enumerate(PHASES) if y < shape[0] and x < shape[1])


def _check_region(shape: tuple[int, ...], quality: int, planes: int) -> None:
    """Raise :class:`InternalError` unless (h, w), the quality and the planes exist."""
    if len(shape) != 2 or min(shape) < 1:
        raise InternalError(f"region of {shape} cells")
    if not 0 <= quality <= 100 or not 1 <= planes <= PLANES:
        raise InternalError(f"quality {quality} with {planes} planes")


def _check_symbols(symbols: Symbols, quality: int, planes: int) -> None:
    """Raise :class:`InternalError` unless ``symbols`` can be coded."""
    if symbols.ndim != 4 or symbols.shape[:2] != (PLANES, BASES) or symbols.dtype != np.int32:
        raise InternalError(f"symbols {symbols.dtype} {symbols.shape}")
    _check_region(symbols.shape[2:], quality, planes)
    if symbols.min() < -LARGEST_SYMBOL or symbols.max() > LARGEST_SYMBOL:
        raise InternalError(f"symbols {symbols.min()}…{symbols.max()} leave ±{LARGEST_SYMBOL}")
    if symbols[planes:].any():
        raise InternalError(f"symbols in planes from {planes} on, which are not coded")


def predict(prior: Prior, symbols: Symbols, *, quality: int, planes: int) -> Prediction:
    """How each of ``symbols`` (3, 64, h, w) is coded, given that these are the symbols.

    Symbol q costs ``logistic.bits(q − base, scale, mean − 8 · base)`` bits with base = (mean + 4) >> 3.
    """
    _check_symbols(symbols, quality, planes)
    shape = symbols.shape[2], symbols.shape[3]
    known = Neighbourhood(shape, planes=planes, quality=quality)
    steps = [step for layer in range(len(LAYERS)) for step in _steps(shape, planes, layer)]
    for step in steps:
        step.remember(known, symbols[step.select])
    mean, scale = np.zeros(symbols.shape, np.int32), np.zeros(symbols.shape, np.uint8)
    for step in steps:
        found = step.expect(prior, known)
        like = mean[step.select].shape
        mean[step.select], scale[step.select] = (part.reshape(like) for part in found)
    return Prediction(mean, scale, planes)


def region_bits(prediction: Prediction, symbols: Symbols) -> npt.NDArray[np.float64]:
    """What the coder charges for each symbol, float64 (3, 64, h, w); layers of nothing but zeros cost less."""
    bits = np.zeros(symbols.shape)
    for plane in range(prediction.planes):  # one at a time, for the memory
        mean = prediction.mean[plane]
        base = (mean + 4) >> 3
        bits[plane] = logistic.bits(symbols[plane] - base, prediction.scale[plane], mean - 8 * base)
    return bits


def _tables(mean: Symbols, scale: Scales) -> tuple[Symbols, Scales, npt.NDArray[np.bool_]]:
    """Base, table row and changed sign of symbols in coded order, each (n,)."""
    mean = mean.ravel()
    base = (mean + 4) >> 3
    return base, *logistic.rows_of(scale.ravel(), mean - 8 * base)


def _encode_layer(prediction: Prediction, symbols: Symbols, layer: int) -> bytes:
    encoder, anything = SymbolEncoder(), False
    for step in _steps((symbols.shape[2], symbols.shape[3]), prediction.planes, layer):
        values = symbols[step.select].ravel()
        base, rows, negative = _tables(prediction.mean[step.select], prediction.scale[step.select])
        anything = anything or bool(values.any())
        values = values - base
        encoder.put(np.where(negative, -values, values), rows, LOGISTIC)
    return (encoder.finish() or _NOTHING) if anything else b""


def encode_region(prior: Prior, symbols: Symbols, *, quality: int, planes: int) -> list[bytes]:
    """The payloads of the three layers of ``symbols``, int32 (3, 64, h, w) within ±2^20.

    Of ``planes`` < 3 only the first are coded, the others must be zero. Raises :class:`InternalError`.
    """
    prediction = predict(prior, symbols, quality=quality, planes=planes)
    return [_encode_layer(prediction, symbols, layer) for layer in range(len(LAYERS))]


def _decode_layer(
    prior: Prior, data: bytes, layer: int, symbols: Symbols, known: Neighbourhood, limits: Limits
) -> None:
    """Fill ``symbols`` and ``known`` with one layer that is not empty."""
    decoder, anything = SymbolDecoder(b"" if data == _NOTHING else data, limits=limits), False
    for step in _steps(known.shape, known.planes, layer):
        base, rows, negative = _tables(*step.expect(prior, known))
        values = decoder.get(rows, LOGISTIC).astype(np.int64)
        np.negative(values, out=values, where=negative)
        values += base
        low, high = values.min(), values.max()
        if low < -LARGEST_SYMBOL or high > LARGEST_SYMBOL:
            raise CorruptError(f"symbols {low}…{high} leave ±{LARGEST_SYMBOL}")
        if low or high:  # everything is zero so far
            anything, select = True, step.select
            values = values.reshape(symbols[select].shape)
            symbols[select] = values
            step.remember(known, values)
    decoder.finish()
    if not anything:
        raise CorruptError(f"layer {layer} of zeros in {len(data)} bytes, where it needs none")


def decode_region(
    prior: Prior,
    payloads: Sequence[bytes],
    shape: tuple[int, int],
    *,
    quality: int,
    planes: int,
    limits: Limits = DEFAULT_LIMITS,
) -> Symbols:
    """Inverse of :func:`encode_region` for a region of ``shape`` cells: int32 (3, 64, h, w).

    Layers that are missing at the end of ``payloads`` are zeros. Raises :class:`CorruptError`, and
    :class:`LimitError` before anything is allocated.
    """
    _check_region(shape, quality, planes)
    limits.check("max_symbols", PLANES * BASES * shape[0] * shape[1], f"region of {shape[0]}×{shape[1]} cells")
    if len(payloads) > len(LAYERS):
        raise CorruptError(f"{len(payloads)} layers where there are {len(LAYERS)}")
    symbols = np.zeros((PLANES, BASES, *shape), np.int32)
    known = Neighbourhood(shape, planes=planes, quality=quality)
    for layer, data in enumerate(payloads):
        if data:
            _decode_layer(prior, data, layer, symbols, known, limits)
    return symbols
