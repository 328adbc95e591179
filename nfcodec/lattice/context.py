"""Which context an init was trained on: what share of the cells its further inner steps adapted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from nfcodec.errors import CorruptError

Score = Literal["samples", "blocks"]


@dataclass(frozen=True, slots=True)
class Context:
    """The inner steps after the first one adapt the best ``share`` 0 … 1 of the blocks of ``side`` cells along each
    axis alone, by the sample score pooled per cell or by the block score (:mod:`nfcodec.lattice.fit.scores`); all
    cells where it is 1."""

    share: float = 1.0
    score: Score = "samples"
    side: int = 1

    @property
    def full(self) -> bool:
        """Whether no cell is left out."""
        return self.share >= 1.0

    def to_dict(self) -> dict[str, Any]:
        """As an init says it."""
        return {"share": self.share, "score": self.score, "side": self.side}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Context:
        """The inverse; :class:`CorruptError` for anything else."""
        share, score, side = data["share"], data["score"], data["side"]
        if not isinstance(share, (int, float)) or not 0 < share <= 1 or score not in get_args(Score):
            raise CorruptError(f"a context of {share!r} by {score!r} is not known here")
        if type(side) is not int or side < 1:
            raise CorruptError(f"a context of blocks of {side!r} cells")
        return cls(float(share), score, side)


FULL = Context()
