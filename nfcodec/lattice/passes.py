"""The coded order of a lattice, step by step: what is coded at once, and from what it is expected.

:mod:`nfcodec.lattice.order` says what the networks see; here they are asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from nfcodec.lattice.mosaic import Cells, MeanPass, Mosaic
from nfcodec.lattice.neighbourhood import Neighbourhood
from nfcodec.lattice.order import Order
from nfcodec.lattice.prior import Prior
from nfcodec.types import Gains, Ints, Scales, Symbols


@dataclass(frozen=True, slots=True)
class Means:
    """The step of the coded order that codes means of one plane at once."""

    plane: int
    means: MeanPass

    low, high = 0, 1

    @property
    def cells(self) -> Cells:
        """Where they are."""
        return self.means.cells

    def expect(self, prior: Prior, known: Neighbourhood) -> tuple[Symbols, Scales]:
        """What the prior says: means in eighths of a step and scale indices."""
        features, base = known.mean_features(self.plane, self.means)
        mean, scale = prior.mean_network(self.plane, self.means.kind)(features)
        return (mean + 8 * base).astype(np.int32), scale

    def remember(self, known: Neighbourhood, values: Ints) -> None:
        """The symbols are known from now on."""
        known.put_means(self.plane, self.cells.flat, values[0])


@dataclass(frozen=True, slots=True)
class Group:
    """The step of the coded order that codes one phase of one pass: symbol by symbol, cells in order of the axes."""

    number: int
    phase: int
    cells: Cells
    plane: int
    low: int
    high: int

    def expect(self, prior: Prior, known: Neighbourhood) -> tuple[Symbols, Scales]:
        """What the prior says: means in eighths of a step and scale indices."""
        return prior.phases[self.number][self.phase].of_parts(known.features(self.number, self.phase, self.cells.flat))

    def remember(self, known: Neighbourhood, values: Ints) -> None:
        """The symbols are known from now on."""
        known.put(self.plane, self.low, self.phase, self.cells.flat, values)


Step = Means | Group


def coded_order(mosaic: Mosaic, planes: int, layer: int) -> Iterator[Step]:
    """The coded order of one layer."""
    if layer == 0:
        for means in mosaic.mean_passes:
            yield from (Means(p, means) for p in range(planes))
    order = mosaic.order
    for number in order.layer(layer):
        coded = order.spec.passes[number]
        for phase in range(len(order.phases)) if coded[0] < planes else ():
            cells = mosaic.phase(phase)
            if len(cells):
                yield Group(number, phase, cells, *coded)


def expected(step: Step, prior: Prior, known: Neighbourhood) -> tuple[Symbols, Gains, Scales]:
    """Base, fraction and scale of the symbols of a step in coded order, each (n,)."""
    mean, scale = step.expect(prior, known)
    mean = mean.ravel()
    base = (mean + 4) >> 3
    return base, (mean - 8 * base).astype(np.int8), scale.ravel()


def corrected_kinds(order: Order, planes: int, layer: int) -> dict[tuple[int, int], int]:
    """The number of the corrections of a step, by its plane and its first symbol: means plane by plane, then passes."""
    passes = [order.spec.passes[number][:2] for number in order.layer(layer)]
    means = [(plane, 0) for plane in range(planes if layer == 0 else 0)]
    return {key: i for i, key in enumerate([*means, *((p, low) for p, low in passes if p < planes)])}
