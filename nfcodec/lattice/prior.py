"""The lattice's integer prior: small networks that say how every symbol of a region is coded.

A network sees what is already known around a cell (:mod:`nfcodec.lattice.order`) and puts out, for each
symbol of a pass, a mean M in eighths of a step and a scale index s. With base = ⌊(M + 4)/8⌋ and f = M − 8 · base the
symbol q is coded as v = q − base with the table (s, f) of :mod:`nfcodec.entropy.logistic`. Means of cells add the
rounded mean of their nearest known neighbours to the base. :mod:`nfcodec.lattice.code` does the coding.

Every number is whole. A layer is ⌊(W x + b + 2^(sh − 1)) / 2^sh⌋; inputs and weights are whole numbers in float32, and
:meth:`Prior.validate` makes sure that no partial sum reaches 2^24. So the matrix product is exact in whatever order
it adds, with or without fused operations, on every machine. A convolution routine would not be: some transform
their inputs first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from nfcodec.entropy import logistic
from nfcodec.errors import CorruptError
from nfcodec.lattice.neighbourhood import seen_features
from nfcodec.lattice.order import LARGEST_FEATURE, Order, order_of
from nfcodec.lattice.spec import LatticeSpec

LARGEST_MEAN = 126  # M, in eighths of a step
LARGEST_HIDDEN = 255
DEPTH = 3
_EXACT = 1 << 24  # float32 holds every whole number up to here

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


@dataclass(frozen=True, eq=False)
class Prior:
    """The networks of one level. ``groups``: one per pass of the spec; ``means``: one per plane and class of cells
    (:attr:`Order.mean_classes`), plane by plane."""

    spec: LatticeSpec
    groups: tuple[Network, ...]
    means: tuple[Network, ...]

    @property
    def order(self) -> Order:
        """What its features are, and in which order symbols are coded."""
        return order_of(self.spec)

    def mean_network(self, plane: int, kind: int) -> Network:
        """The network for the means of a plane in cells of class ``kind``."""
        return self.means[len(self.order.mean_classes) * plane + kind]

    @cached_property
    def phases(self) -> tuple[tuple[Network, ...], ...]:
        """The networks of ``groups``, for each phase without the inputs that are zero in all its cells."""
        order = self.order
        phases = range(len(order.phases))
        return tuple(tuple(n.only(seen_features(order, i, p)) for p in phases) for i, n in enumerate(self.groups))

    def validate(self) -> None:
        """Raise :class:`CorruptError` unless shapes fit the features and every sum stays exact."""
        _check_networks("group", self.groups, self.order.groups)
        _check_networks("mean", self.means, self.order.means)


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
