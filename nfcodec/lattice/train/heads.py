"""Heads of Y to begin with: the blocks of coded pictures, parted by which last layer suits them (Lloyd's algorithm, a
least-squares fit in the place of each mean)."""

from __future__ import annotations

import torch
from torch import Tensor

_ROUNDS = 40
# Blocks that a head is begun with, at random; how much the first one counts beside them; the fewest that move one.
_SEEDS, _FIRST, _FEWEST = 60, 30.0, 20
_RIDGE = 1e-4


class Blocks:
    """Normal equations of blocks of ``size`` squares along each axis: of A activations and a 1, and C numbers that are
    missing."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._parts: list[tuple[Tensor, Tensor, Tensor]] = []

    def see(self, active: Tensor, missing: Tensor, errors: Tensor) -> None:
        """Add the whole blocks of activations (N, A, h, w) and of what is missing (N, C, h, w), counted over the
        squared error (N,) that pictures are measured by."""
        seen, wanted = self._cut(torch.cat([active, torch.ones_like(active[:, :1])], 1)), self._cut(missing)
        share = errors.repeat_interleave(len(seen) // len(errors))[:, None, None].rsqrt()
        seen, wanted = seen * share, wanted * share
        self._parts.append((seen @ seen.mT, seen @ wanted.mT, wanted.square().sum((1, 2))))

    def _cut(self, x: Tensor) -> Tensor:
        """Blocks (N · blocks, C, squares) of (N, C, h, w)."""
        x = x.unfold(2, self._size, self._size).unfold(3, self._size, self._size)
        blocks: Tensor = x.permute(0, 2, 3, 1, 4, 5).flatten(4).flatten(0, 2)
        return blocks

    def parted(self, first: Tensor, count: int, generator: torch.Generator) -> Tensor:
        """``count`` layers (count, A + 1, C): the one most like the ``first`` (A + 1, C) comes first."""
        squares, products, wanted = (torch.cat(part) for part in zip(*self._parts, strict=True))
        prior, heads = _FIRST * squares.mean(0), first.repeat(count, 1, 1)
        for head in range(count):
            some = torch.randint(len(squares), (_SEEDS,), generator=generator)
            heads[head] = _solved(squares[some].sum(0) + prior, products[some].sum(0) + prior @ first)
        for _ in range(_ROUNDS):
            own = _errors(heads, squares, products, wanted).argmin(1)
            for head in range(count):
                mine = own == head
                if mine.sum() > _FEWEST:
                    heads[head] = _solved(squares[mine].sum(0), products[mine].sum(0))
        return heads[(heads - first).square().sum((1, 2)).argsort()]


def _errors(heads: Tensor, squares: Tensor, products: Tensor, wanted: Tensor) -> Tensor:
    """The squared error of every block with every head: (blocks, heads)."""
    found = [((squares @ head - 2.0 * products) * head).sum((1, 2)) for head in heads]
    return wanted[:, None] + torch.stack(found, 1)


def _solved(squares: Tensor, products: Tensor) -> Tensor:
    """The least-squares layer, in double precision."""
    ridge = _RIDGE * squares.diagonal().mean() * torch.eye(len(squares))
    found: Tensor = torch.linalg.solve((squares + ridge).double(), products.double())
    return found.float()
