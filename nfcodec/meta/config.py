"""The TOML file behind ``nfc train``: one frozen dataclass per table, unknown keys are errors."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args, get_type_hints

from nfcodec.errors import CorruptError, LimitError, OptionError
from nfcodec.fields.spec import FieldSpec
from nfcodec.signal import Modality

if TYPE_CHECKING:
    from nfcodec.meta.lattice_config import LatticeConfig

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


TABLES: dict[str, type[Any]] = {
    "data": DataConfig, "inner": InnerConfig, "outer": OuterConfig, "sparse": SparseConfig, "rate": RateConfig,
}  # fmt: skip


def _table(cls: type[T], data: Any, name: str) -> T:
    if not isinstance(data, dict):
        raise OptionError(f"{name} must be a table, got {data!r}")
    known = {f.name for f in fields(cls)}  # type: ignore[arg-type]
    unknown = sorted(set(data) - known)
    if unknown:
        raise OptionError(f"unknown key {name}.{unknown[0]}; known: {', '.join(sorted(known))}")
    hints = get_type_hints(cls)
    for key, value in data.items():
        _check_value(f"{name}.{key}", value, hints[key])
    return cls(**data)


def _check_value(key: str, value: Any, hint: Any) -> None:
    """Raise :class:`OptionError` unless ``value`` is of the annotated type: int, float or a choice of strings."""
    choices = get_args(hint)
    if choices and value not in choices:
        raise OptionError(f"{key} = {value!r} is not known; known: {', '.join(choices)}")
    numbers = {int: (int,), float: (int, float)}.get(hint)
    if numbers and (type(value) not in numbers or not 0 <= value < float("inf")):
        raise OptionError(f"{key} = {value!r} must be {'a whole number' if hint is int else 'a number'}, 0 or more")


def load_config(path: Path) -> TrainConfig | LatticeConfig:
    """Read a training config; :class:`OptionError` names the key that is wrong."""
    from nfcodec.meta import lattice_config as lattice

    data = _read_toml(path)
    field = data.get("field")
    is_lattice = isinstance(field, dict) and field.get("kind") == "lattice"
    tables = lattice.TABLES if is_lattice else TABLES
    unknown = sorted(set(data) - {*tables, "id", "field", "seed"})
    missing = [n for n in ("id", "field") if n not in data]
    if unknown or missing:
        raise OptionError(f"config {path}: " + (f"unknown key {unknown[0]}" if unknown else f"{missing[0]} is missing"))
    if not isinstance(data["id"], str):
        raise OptionError(f"config {path}: id = {data['id']!r} must be a string")
    _check_value("seed", data.get("seed", 0), int)
    parts: dict[str, Any] = {n: _table(c, data.get(n, {}), n) for n, c in tables.items()}
    parts |= {"id": data["id"], "seed": data.get("seed", 0)}
    try:
        if is_lattice:
            return lattice.LatticeConfig(field=lattice.lattice_spec(data["field"]), **parts)
        return TrainConfig(field=FieldSpec.from_dict(data["field"]), **parts)
    except (CorruptError, LimitError) as error:
        raise OptionError(f"config {path}: field: {error}") from error


def _read_toml(path: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise OptionError(f"cannot read config {path}: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise OptionError(f"config {path} is not TOML: {error}") from error
