"""What determines a lattice init: the tables of its TOML file (``field.kind = "lattice"``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nfcodec.lattice.spec import LatticeSpec
from nfcodec.train.tables import DataConfig


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """Sizes of the networks around a lattice: D (``d_width``, ``d_blocks``), that of the first step (``e_width``,
    ``e_blocks``), the prior (``hidden`` for groups of symbols, ``mean_hidden`` for the means); ``inner_steps`` of
    gradient descent before the first step's network."""

    inner_steps: int = 2
    d_width: int = 160
    d_blocks: int = 2
    e_width: int = 128
    e_blocks: int = 1
    hidden: int = 128
    mean_hidden: int = 48


@dataclass(frozen=True, slots=True)
class OuterConfig:
    """``steps`` of Adam on ``batch`` crops of ``crop`` pixels; ``lr`` warms up over ``warmup`` steps and falls to
    zero over the last share ``decay`` of them. Every ``double_every``-th step also renders at 2× against the larger
    original, weighted ``double``. ``average``: of the running mean that is shipped. ``fit``: steps that fit the
    trunk to the lapped basis before all this. A share ``drawn`` of the crops comes from ``drawings`` drawn pictures."""

    steps: int = 25000
    batch: int = 4
    crop: int = 128
    lr: float = 1e-3
    warmup: int = 200
    decay: float = 0.5
    clip: float = 1.0
    double_every: int = 4
    double: float = 0.3
    average: float = 0.999
    fit: int = 4000
    drawn: float = 0.12
    drawings: int = 120


@dataclass(frozen=True, slots=True)
class PruneConfig:
    """The trunk loses its smallest weights until ``share`` of each layer is gone, between the shares ``start`` and
    ``stop`` of the outer steps, in rounds of ``every`` steps; what is gone stays gone."""

    share: float = 0.5
    start: float = 0.02
    stop: float = 0.35
    every: int = 50


@dataclass(frozen=True, slots=True)
class DetailConfig:
    """X, what is shown between the samples: ``width`` channels, trained for ``steps`` steps on ``batch`` pictures of
    half the size at qualities from ``lowest`` to 100."""

    width: int = 32
    steps: int = 2400
    batch: int = 2
    lowest: int = 20
    lr: float = 2e-3


@dataclass(frozen=True, slots=True)
class LatticeConfig:
    """Everything that determines a lattice init, with the data and the seed."""

    id: str
    field: LatticeSpec
    data: DataConfig = DataConfig()
    networks: NetworkConfig = NetworkConfig()
    outer: OuterConfig = OuterConfig()
    prune: PruneConfig = PruneConfig()
    detail: DetailConfig = DetailConfig()
    seed: int = 0


TABLES: dict[str, type[Any]] = {
    "data": DataConfig, "networks": NetworkConfig, "outer": OuterConfig, "prune": PruneConfig, "detail": DetailConfig,
}  # fmt: skip


def lattice_spec(data: dict[str, Any]) -> LatticeSpec:
    """The spec of a ``[field]`` table; keys that are left out have their usual values.

    :class:`CorruptError` or :class:`LimitError` for anything that is no lattice.
    """
    given = {k: float(v) if k == "w0" and type(v) is int else v for k, v in data.items() if k != "kind"}
    return LatticeSpec.from_dict({**LatticeSpec().to_dict(), **given})


def read_config(data: dict[str, Any], parts: dict[str, Any]) -> LatticeConfig:
    """The config of a file's tables: ``data["field"]``, and everything else as ``parts``."""
    return LatticeConfig(field=lattice_spec(data["field"]), **parts)
