"""The TOML file behind ``nfc train``: one frozen dataclass per table, unknown keys are errors."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeVar

from nfcodec.errors import OptionError
from nfcodec.fields.spec import FieldSpec
from nfcodec.signal import Modality

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class InnerConfig:
    """``steps`` K, ``gamma`` share of context kept, ``rate`` initial step size of every weight."""

    steps: int = 3
    gamma: float = 0.5
    rate: float = 0.01


@dataclass(frozen=True, slots=True)
class OuterConfig:
    """Adam over θ0 (``lr``) and the log step sizes (``lr_rate``) on ``batch`` modules for ``steps`` steps, then
    the bootstrapped target of GradNCP."""

    steps: int = 4000
    batch: int = 64
    lr: float = 1e-3
    lr_rate: float = 2e-2
    clip: float = 1.0
    bootstrap_steps: int = 0
    bootstrap_rate: float = 5.0
    bootstrap_weight: float = 0.0


@dataclass(frozen=True, slots=True)
class SparseConfig:
    """``rounds`` of pruning ``fraction`` of the survivors by ``score``, ``steps`` outer steps after each.

    ``base`` "dense" keeps θ0 whole and limits only Δ to the mask; "masked" is Meta-SparseINR itself.
    """

    rounds: int = 6
    fraction: float = 0.2
    steps: int = 600
    score: Literal["theta", "delta", "random"] = "delta"
    base: Literal["dense", "masked"] = "dense"


@dataclass(frozen=True, slots=True)
class RateConfig:
    """Outer steps on D + λR with quantized deltas. ``coarsest``: quantization error at quality 0, as the step
    size of a weight of unit sensitivity, in signal units."""

    steps: int = 4000
    coarsest: float = 0.8
    lr: float = 1e-3
    lr_rate: float = 2e-2


@dataclass(frozen=True, slots=True)
class DataConfig:
    """What to cut training modules from. ``keep``: files held in memory at once; ``frames``: consecutive
    frames kept of each clip; ``height``: clips are reduced to this height."""

    modality: Modality = "image"
    keep: int = 2000
    frames: int = 48
    height: int = 288


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """Everything that determines an init, with the data and the seed."""

    id: str
    field: FieldSpec
    data: DataConfig = DataConfig()
    inner: InnerConfig = InnerConfig()
    outer: OuterConfig = OuterConfig()
    sparse: SparseConfig = SparseConfig()
    rate: RateConfig = RateConfig()
    seed: int = 0


def _table(cls: type[T], data: dict[str, Any], name: str) -> T:
    known = {f.name for f in fields(cls)}  # type: ignore[arg-type]
    unknown = sorted(set(data) - known)
    if unknown:
        raise OptionError(f"unknown key {name}.{unknown[0]}; known: {', '.join(sorted(known))}")
    return cls(**data)


def load_config(path: Path) -> TrainConfig:
    """Read a training config; :class:`OptionError` names the key that is wrong."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise OptionError(f"cannot read config {path}: {error}") from error
    tables = {"data": DataConfig, "inner": InnerConfig, "outer": OuterConfig, "sparse": SparseConfig, "rate": RateConfig}
    unknown = sorted(set(data) - {*tables, "id", "field", "seed"})
    if unknown or "id" not in data or "field" not in data:
        raise OptionError(f"config {path}: unknown key {unknown[0]}" if unknown else f"config {path}: id and field are required")
    parts: dict[str, Any] = {n: _table(c, data.get(n, {}), n) for n, c in tables.items()}
    return TrainConfig(id=data["id"], field=FieldSpec.from_dict(data["field"]), seed=data.get("seed", 0), **parts)
