"""What determines an init of independent modules: the tables of its TOML file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from nfcodec.errors import OptionError
from nfcodec.modules.kinds import field_kind
from nfcodec.modules.spec import FieldSpec
from nfcodec.modules.train.continual import segments_of
from nfcodec.train.settings import DataConfig


@dataclass(frozen=True, slots=True)
class InnerConfig:
    """``steps`` K, ``gamma`` share of context kept, ``rate`` initial step size of every weight, ``rho`` 0…1, how far
    samples are weighted by their Fisher information."""

    steps: int = 3
    gamma: float = 0.5
    rate: float = 0.01
    rho: float = 0.0


@dataclass(frozen=True, slots=True)
class OuterConfig:
    """Adam over θ0 (``lr``) and the log step sizes (``lr_rate``; 0: they stay as they are, which is MAML) on ``batch``
    modules for ``steps`` steps, then the bootstrapped target of GradNCP. ``clip``: largest norm of the meta-gradient,
    0 for any. ``samples``: of each module that a step draws for its inner and outer losses, 0 for all."""

    steps: int = 4000
    batch: int = 64
    lr: float = 1e-3
    lr_rate: float = 2e-2
    clip: float = 1.0
    samples: int = 0
    bootstrap_steps: int = 0
    bootstrap_rate: float = 5.0
    bootstrap_weight: float = 0.0


@dataclass(frozen=True, slots=True)
class ContinualConfig:
    """With more than one of ``segments`` the inner loop visits the segments of a module in turn, K steps each, and
    moves all layers ("all", MAML) or the last one ("head", OML) (:mod:`nfcodec.modules.train.continual`)."""

    segments: int = 1
    adapts: Literal["all", "head"] = "all"


@dataclass(frozen=True, slots=True)
class SparseConfig:
    """``rounds`` of pruning ``fraction`` of the survivors by ``score``, ``steps`` outer steps after each.

    ``base`` "dense" keeps θ0 whole and limits only Δ to the mask; "masked" is Meta-SparseINR itself. ``rewind``: what
    is left goes back to its first random values after each round, as winning tickets do (Frankle & Carbin 2019).
    ``moves`` "shifts": of Δ there are the biases of hidden layers alone, which are the shift modulations of COIN++ and
    functa without their linear map (Dupont et al. 2022, §2.2).
    """

    rounds: int = 6
    fraction: float = 0.2
    steps: int = 600
    score: Literal["theta", "spread", "delta", "random"] = "delta"
    base: Literal["dense", "masked"] = "dense"
    rewind: bool = False
    moves: Literal["all", "shifts"] = "all"

    def __post_init__(self) -> None:
        if self.base == "masked" and self.moves == "shifts":
            raise OptionError('sparse.base = "masked" would prune every weight where sparse.moves = "shifts"')


@dataclass(frozen=True, slots=True)
class GateConfig:
    """``steps`` outer steps, after the dense ones, that learn which weights may change at all: ``weight`` is that of
    the share of open gates in the loss, ``lr`` of their log α. 0 steps: none (Schwarz & Teh 2022, §3)."""

    steps: int = 0
    weight: float = 0.01
    lr: float = 0.1


@dataclass(frozen=True, slots=True)
class RateConfig:
    """Outer steps on D + λR with quantized deltas. ``coarsest``: quantization error at quality 0, as the step
    size of a weight of unit sensitivity, in signal units."""

    steps: int = 4000
    coarsest: float = 0.8
    lr: float = 1e-3
    lr_rate: float = 2e-2


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """Everything that determines an init, with the data and the seed."""

    id: str
    field: FieldSpec
    data: DataConfig = DataConfig()
    inner: InnerConfig = InnerConfig()
    outer: OuterConfig = OuterConfig()
    gates: GateConfig = GateConfig()
    sparse: SparseConfig = SparseConfig()
    rate: RateConfig = RateConfig()
    continual: ContinualConfig = ContinualConfig()
    seed: int = 0


TABLES: dict[str, type[Any]] = {
    "data": DataConfig, "inner": InnerConfig, "outer": OuterConfig, "gates": GateConfig, "sparse": SparseConfig,
    "rate": RateConfig, "continual": ContinualConfig,
}  # fmt: skip


def read_config(data: dict[str, Any], parts: dict[str, Any]) -> TrainConfig:
    """The config of a file's tables: ``data["field"]``, and everything else as ``parts``."""
    spec = FieldSpec.from_dict(data["field"])
    field_kind(spec.kind).tensors(spec)  # what a kind cannot be made of is told now
    config = TrainConfig(field=spec, **parts)
    if not 0.0 <= config.inner.rho <= 1.0:
        raise OptionError(f"inner.rho = {config.inner.rho} is outside 0…1")
    if config.continual.segments != 1:
        segments_of(config.field.tile, config.continual.segments)
        if config.outer.bootstrap_steps or config.outer.samples:
            raise OptionError("continual.segments: a sequence has neither a bootstrapped target nor drawn samples")
    return config
