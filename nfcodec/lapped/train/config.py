"""What determines the init of a lapped field: the tables of its TOML file (``field.kind = "lapped"``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nfcodec.lapped.law import Law
from nfcodec.lapped.spec import LappedSpec
from nfcodec.lattice.steps import OCTAVE
from nfcodec.train.settings import DataConfig


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """Units of the two hidden layers of the prior's networks."""

    hidden: int = 64
    second: int = 48


@dataclass(frozen=True, slots=True)
class LawConfig:
    """How quality sets the step: 2^``coarsest`` at quality 0, 2^``finest`` at 100 (log2 of it is linear between);
    ``power``: bins are coded as |c|^(power / 6), 6 for plain steps. λ is ``trade`` times the squared step per bit.
    ``follow``, ``shape``: by how many octaves steps follow an octave of the level of a frame, and of a band above that
    of its frame; ``tilt``: by how many they grow with frequency. Noise stands for zeros: ``noise`` times the mean
    magnitude that was rounded to them."""

    coarsest: float = 3.0
    finest: float = 10.5
    power: int = 6
    trade: float = 0.14
    follow: float = 0.0
    shape: float = 0.0
    tilt: float = 0.0
    noise: float = 0.0

    def whole(self) -> Law:
        """The law that is shipped."""
        steps = round(self.coarsest * OCTAVE), round(self.finest * OCTAVE)
        rest = self.trade, self.follow, self.shape, self.tilt
        return Law(*steps, self.power, *map(float, rest))


@dataclass(frozen=True, slots=True)
class PerceptualConfig(LawConfig):
    """The same of the law for ears, with what suits speech."""

    coarsest: float = 4.8
    finest: float = 10.4
    power: int = 4
    trade: float = 0.11
    follow: float = 0.6
    shape: float = 0.2
    tilt: float = 1.0
    noise: float = 0.6


@dataclass(frozen=True, slots=True)
class OuterLoop:
    """``steps`` of Adam on ``batch`` stretches of ``frames``; ``lr`` warms up over ``warmup`` steps and falls to zero
    over the last share ``decay`` of them. ``shifts``: how often every recording is analysed, each time from another
    sample on. From the share ``tables`` on the loss counts by the tables that are shipped."""

    steps: int = 40000
    batch: int = 8
    frames: int = 64
    lr: float = 2e-3
    warmup: int = 200
    decay: float = 0.6
    clip: float = 1.0
    average: float = 0.999
    shifts: int = 3
    tables: float = 0.3


@dataclass(frozen=True, slots=True)
class Field:
    """The spec of a lapped field as part of a config."""

    spec: LappedSpec

    @property
    def kind(self) -> str:
        """The kind of field."""
        return "lapped"


@dataclass(frozen=True, slots=True)
class LappedConfig:
    """Everything that determines a lapped init, with the data and the seed."""

    id: str
    field: Field
    data: DataConfig = DataConfig()
    networks: NetworkConfig = NetworkConfig()
    law: LawConfig = LawConfig()
    perceptual: PerceptualConfig = PerceptualConfig()
    outer: OuterLoop = OuterLoop()
    seed: int = 0

    @property
    def laws(self) -> tuple[Law, Law]:
        """Both laws as they are shipped."""
        return self.law.whole(), self.perceptual.whole()


TABLES: dict[str, type[Any]] = {
    "data": DataConfig, "networks": NetworkConfig, "law": LawConfig, "perceptual": PerceptualConfig, "outer": OuterLoop,
}  # fmt: skip


def read_config(data: dict[str, Any], parts: dict[str, Any]) -> LappedConfig:
    """The config of a file's tables: the spec in ``data["field"]``, everything else as ``parts``."""
    spec = LappedSpec.from_dict({k: v for k, v in data["field"].items() if k != "kind"})
    for name in ("law", "perceptual"):
        parts[name].whole().validate()
    return LappedConfig(field=Field(spec), **parts)
