"""What flags of the motion cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nfcodec.entropy.adaptive import Counts
from nfcodec.entropy.coder import FLAG_BITS
from nfcodec.moving.motion import CONTEXTS
from nfcodec.types import Doubles


@dataclass(frozen=True, slots=True)
class Prices:
    """Bits of flags that are set, ``yes`` (contexts,), and of those that are not, ``no``."""

    yes: Doubles
    no: Doubles

    @classmethod
    def of(cls, counts: Counts) -> Prices:
        """As the coder begins a picture; what it learns meanwhile is left out."""
        chances = counts.chances(np.arange(CONTEXTS)) / (1 << FLAG_BITS)
        return cls(-np.log2(chances), -np.log2(1.0 - chances))
