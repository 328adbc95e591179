"""The integer prior of a lapped field: for every bin one of 48 scales, which is the frequency table of its symbol.

A network per step of the order (:mod:`nfcodec.lapped.order`) sees magnitudes and says scales; signs cost a bit. The
tables of the lower scales were counted in training, those of the higher ones are logistic. :meth:`Prior.validate`
proves that every sum is exact (:mod:`nfcodec.entropy.networks`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nfcodec.entropy import logistic
from nfcodec.entropy.coder import Family
from nfcodec.entropy.networks import Layer, check_layer
from nfcodec.entropy.tables import TOTAL
from nfcodec.errors import CorruptError
from nfcodec.lapped import order
from nfcodec.lapped.spec import LappedSpec
from nfcodec.lattice.order import LARGEST_FEATURE
from nfcodec.types import Floats, Indices, Scales

LARGEST_HIDDEN = 255
DEPTH = 3
COUNTED = logistic.FINE  # scales whose tables are counted
SUPPORT = 40  # magnitudes that these tells apart
LAWS = 2


@dataclass(frozen=True)
class Network:
    """Three layers; between them values are clipped to 0 … 255."""

    layers: tuple[Layer, ...]

    def of_frames(self, features: Floats, after: int) -> Floats:
        """What those features (cells, n) of the first layer add to its sums that lie before the last ``after`` ones,
        and its bias: (cells, hidden)."""
        weight, bias = self.layers[0].shifted
        stop = weight.shape[1] - after
        found: Floats = features @ weight[:, stop - features.shape[-1] : stop].T + bias[:, 0]
        return found

    def of_blocks(self, features: Floats) -> Floats:
        """What its last features (blocks, n) add: (blocks, hidden)."""
        weight = self.layers[0].shifted[0]
        found: Floats = features @ weight[:, weight.shape[1] - features.shape[-1] :].T
        return found

    def __call__(self, windows: Floats, static: Floats) -> Scales:
        """Scales (cells, n) of the first features (cells, F'), and what the others add: (cells, hidden).

        The parts of a sum are whole numbers over one power of two, as their sum is, so that any order is exact.
        """
        first, second, last = self.layers
        x = windows @ first.shifted[0][:, : windows.shape[-1]].T
        x += static
        np.floor(x, out=x)
        np.clip(x, 0, LARGEST_HIDDEN, out=x)
        y = second(x.T)
        np.clip(y, 0, LARGEST_HIDDEN, out=y)
        z = last(y)
        np.clip(z, 0, logistic.SCALES - 1, out=z)
        found: Scales = z.T.astype(np.uint8)
        return found


@dataclass(frozen=True, eq=False)
class Prior:
    """``networks``: of every set, one per step. ``counts`` (LAWS, COUNTED, SUPPORT + 2): how many of 2^20 symbols are
    0, have magnitude 1, 2, … (both signs together), or are larger."""

    spec: LappedSpec
    networks: tuple[tuple[Network, ...], ...]
    counts: Indices

    @cached_property
    def families(self) -> tuple[Family, ...]:
        """The tables of every law."""
        return tuple(Family(logistic.SCALES, self._table(law)) for law in range(LAWS))

    def _table(self, law: int) -> Callable[[int], tuple[int, ...]]:
        def counts(row: int) -> tuple[int, ...]:
            if row >= COUNTED:
                return logistic.row_counts(logistic.row_of(row, 0)[0])
            zero, *sizes, larger = self.counts[law, row].tolist()
            return (zero, *(n // 2 for n in sizes for _ in range(2)), larger)

        return counts

    def validate(self) -> None:
        """Raise :class:`CorruptError` unless shapes fit the features, every sum stays exact and tables are sound."""
        if len(self.networks) != self.spec.sets:
            raise CorruptError(f"{len(self.networks)} sets of networks where there are {self.spec.sets}")
        for plane, networks in enumerate(self.networks):
            for number, (network, step) in enumerate(zip(networks, order.ORDER, strict=True)):
                inputs = order.inputs(self.spec, plane > 0, step)
                _check(f"network {plane}.{number}", network, inputs, self.spec.block // 2)
        counts = self.counts
        if counts.shape != (LAWS, COUNTED, SUPPORT + 2) or counts.dtype != np.int64:
            raise CorruptError(f"frequency tables of {counts.dtype} {counts.shape}")
        least, even = counts.min() >= 2, (counts[:, :, 1:-1] % 2 == 0).all()
        if not least or not even or (counts.sum(2) != TOTAL).any() or (counts[:, :, -1] < 4).any():
            raise CorruptError("impossible frequency tables")


def _check(name: str, network: Network, inputs: int, outputs: int) -> None:
    if len(network.layers) != DEPTH:
        raise CorruptError(f"{name} has {len(network.layers)} layers, not {DEPTH}")
    largest = LARGEST_FEATURE
    for j, layer in enumerate(network.layers):
        check_layer(f"{name}, layer {j}", layer, inputs, largest)
        inputs, largest = len(layer.weight), LARGEST_HIDDEN
    if inputs != outputs:
        raise CorruptError(f"{name} has {inputs} outputs for {outputs} symbols")
