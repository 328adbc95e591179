"""How large an experiment is: the papers' own size, and two that fit a processor.

A table has numbers of its own beside these; it keeps them in a dictionary by protocol name, in its own module.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Name = Literal["small", "medium", "full"]


@dataclass(frozen=True)
class Protocol:
    """What all tables share.

    ``side``: pictures are ``side`` × ``side`` samples. ``width``, ``depth``: units and number of hidden layers of the
    base network. ``outer``: outer steps of dense meta-training, the paper's 150,000. ``test``: signals that a row
    averages over. ``seeds``: of a SIREN on the first data set; ``other_seeds``: of everything else.
    """

    name: Name
    side: int
    width: int
    depth: int
    outer: int
    test: int
    seeds: tuple[int, ...]
    other_seeds: tuple[int, ...]

    def scaled(self, papers: int) -> int:
        """Of ``papers`` outer steps at the papers' size as many as this protocol can afford, at least one."""
        return max(1, round(papers * self.outer / 150_000))

    def frequency(self, papers: float) -> int:
        """A w0 that is ``papers`` on 178 samples: the same number of radians from sample to sample."""
        return max(1, round(papers * self.side / 178))

    @property
    def full(self) -> bool:
        """Whether numbers may be held against the papers' own; scaled ones compare among themselves only."""
        return self.name == "full"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for the result file."""
        return asdict(self)


PROTOCOLS: dict[str, Protocol] = {
    "small": Protocol("small", 64, 64, 4, 600, 16, (0, 1, 2), (0,)),
    "medium": Protocol("medium", 96, 128, 4, 10_000, 50, (0, 1, 2), (0,)),
    "full": Protocol("full", 178, 256, 4, 150_000, 100, (0, 1, 2), (0, 1, 2)),
}
