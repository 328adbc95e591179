"""What a table is given to run with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.seeds.protocol import Protocol


@dataclass(frozen=True)
class Context:
    """``data``: folder of the data sets. ``work``: where checkpoints and rows of unfinished runs lie. ``only``: rows
    of these keys and values alone, as ``--only`` gives them."""

    protocol: Protocol
    data: Path
    work: Path
    device: str
    only: dict[str, str]

    def wanted(self, **key: object) -> bool:
        """Whether a row of this key is asked for; a value of ``only`` may be several, with commas between."""
        return all(str(key[k]) in (v, *v.split(",")) for k, v in self.only.items() if k in key)
