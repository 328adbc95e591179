"""What determines a dyadic init: the tables of its TOML file (``field.kind = "dyadic"``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nfcodec.errors import CorruptError


@dataclass(frozen=True, slots=True)
class Field:
    """The networks of the phases: units of their two hidden layers."""

    first: int = 64
    second: int = 48

    @property
    def kind(self) -> str:
        """The kind of field."""
        return "dyadic"


@dataclass(frozen=True, slots=True)
class OuterLoop:
    """``steps`` rounds: in each ``fields`` drawn fields of up to ``side`` samples along each axis are encoded with the
    networks as they are, and with what these saw in the last ``keep`` rounds follow ``updates`` steps of Adam on
    ``batch`` samples per phase. ``lr`` falls in a straight line to a hundredth."""

    steps: int = 1500
    fields: int = 12
    side: int = 224
    keep: int = 30
    updates: int = 40
    batch: int = 4096
    lr: float = 2e-3


@dataclass(frozen=True, slots=True)
class DyadicConfig:
    """Everything that determines a dyadic init, with the seed."""

    id: str
    field: Field
    outer: OuterLoop = OuterLoop()
    seed: int = 0


TABLES: dict[str, type[Any]] = {"outer": OuterLoop}


def read_config(data: dict[str, Any], parts: dict[str, Any]) -> DyadicConfig:
    """The config of a file's tables: ``data["field"]``, and everything else as ``parts``."""
    sizes = {k: v for k, v in data["field"].items() if k != "kind"}
    if set(sizes) - {"first", "second"} or not all(isinstance(v, int) and 0 < v <= 256 for v in sizes.values()):
        raise CorruptError(f"bad networks {sizes!r}: first and second are numbers of units, 1 … 256")
    return DyadicConfig(field=Field(**sizes), **parts)
