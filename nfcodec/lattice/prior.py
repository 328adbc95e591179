"""The lattice's integer prior: small networks that say how every symbol of a region is coded.

A network sees what is already known around a cell (:mod:`nfcodec.lattice.order`) and puts out, for each
symbol of a pass, a mean M in eighths of a step and a scale index s. With base = ⌊(M + 4)/8⌋ and f = M − 8 · base the
symbol q is coded as v = q − base with the table (s, f) of :mod:`nfcodec.entropy.logistic`. Means of cells add the
rounded mean of their nearest known neighbours to the base. :mod:`nfcodec.lattice.code` does the coding.

Every number is whole (:mod:`nfcodec.entropy.networks`); :meth:`Prior.validate` proves that all sums are exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from nfcodec.entropy import logistic
from nfcodec.entropy.networks import Layer, check_layer
from nfcodec.errors import CorruptError
from nfcodec.lattice.given import NOTHING, Told
from nfcodec.lattice.neighbourhood import seen_features
from nfcodec.lattice.order import LARGEST_FEATURE, Order, order_of
from nfcodec.lattice.spec import LatticeSpec
from nfcodec.parallel import ordered_map
from nfcodec.types import Floats, Ints, Scales, Symbols

LARGEST_MEAN = 126  # M, in eighths of a step
LARGEST_HIDDEN = 255
DEPTH = 3


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

    def of_parts(self, features: Iterable[Floats]) -> tuple[Symbols, Scales]:
        """The same of features (F, cells) that come part by part."""
        means, scales = zip(*ordered_map(self, features), strict=True)
        return (means[0], scales[0]) if len(means) == 1 else (np.concatenate(means, 1), np.concatenate(scales, 1))

    def only(self, inputs: Ints) -> Network:
        """The network of some of the inputs; the others are zero."""
        first, *rest = self.layers
        return Network((replace(first, weight=first.weight[:, inputs]), *rest))


@dataclass(frozen=True, eq=False)
class Prior:
    """The networks of one level. ``groups``: one per pass of the spec; ``means``: one per plane and class of cells
    (:attr:`Order.mean_classes`), plane by plane. ``told``: what they see beside symbols, behind the other inputs."""

    spec: LatticeSpec
    groups: tuple[Network, ...]
    means: tuple[Network, ...]
    told: Told = NOTHING

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
        phases = range(len(self.order.phases))
        return tuple(tuple(n.only(self._seen(i, p)) for p in phases) for i, n in enumerate(self.groups))

    def _seen(self, number: int, phase: int) -> Ints:
        """Which inputs of a pass can be other than zero in a phase."""
        _, low, high = self.spec.passes[number]
        first = self.order.feature_count(number)
        told = np.arange(first, first + self.told.inputs(high - low))
        return np.concatenate([seen_features(self.order, number, phase), told])

    def validate(self) -> None:
        """Raise :class:`CorruptError` unless shapes fit the features and every sum stays exact."""
        groups, means = self.sizes
        _check_networks("group", self.groups, groups)
        _check_networks("mean", self.means, means)

    @property
    def sizes(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """(inputs, symbols) of every network of ``groups`` and of ``means``."""
        of_order = self.order.groups, self.order.means
        groups, means = ([(n + self.told.inputs(s), s) for n, s in some] for some in of_order)
        return groups, means


def _check_networks(kind: str, networks: Sequence[Network], sizes: list[tuple[int, int]]) -> None:
    """Raise :class:`CorruptError` unless there is one sound network for each (inputs, symbols) of ``sizes``."""
    if len(networks) != len(sizes):
        raise CorruptError(f"{len(networks)} {kind} networks where there are {len(sizes)}")
    for i, (network, (inputs, symbols)) in enumerate(zip(networks, sizes, strict=True)):
        if len(network.layers) != DEPTH:
            raise CorruptError(f"{kind} network {i} has {len(network.layers)} layers, not {DEPTH}")
        largest = LARGEST_FEATURE
        for j, layer in enumerate(network.layers):
            check_layer(f"{kind} network {i}, layer {j}", layer, inputs, largest)
            inputs, largest = len(layer.weight), LARGEST_HIDDEN
        if inputs != 2 * symbols:
            raise CorruptError(f"{kind} network {i} has {inputs} outputs for {symbols} symbols")
