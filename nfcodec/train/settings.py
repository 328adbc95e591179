"""The tables of the TOML file behind ``nfc train``: one frozen dataclass each, unknown keys are errors."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

from nfcodec.errors import OptionError
from nfcodec.signal import Modality

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DataConfig:
    """What to cut training modules from. ``keep``: files held in memory at once; ``frames``: consecutive
    frames kept of each clip; ``height``: clips are reduced to this height."""

    modality: Modality = "image"
    keep: int = 2000
    frames: int = 48
    height: int = 288


def table(cls: type[T], data: Any, name: str) -> T:
    """The table ``name`` as a ``cls``; :class:`OptionError` names the key that is wrong."""
    if not isinstance(data, dict):
        raise OptionError(f"{name} must be a table, got {data!r}")
    known = {f.name for f in fields(cls)}  # type: ignore[arg-type]
    unknown = sorted(set(data) - known)
    if unknown:
        raise OptionError(f"unknown key {name}.{unknown[0]}; known: {', '.join(sorted(known))}")
    hints, found = get_type_hints(cls), dict(data)
    for key, value in data.items():
        if hints[key] == tuple[int, ...]:
            found[key] = _whole_numbers(f"{name}.{key}", value)
        else:
            check_value(f"{name}.{key}", value, hints[key])
    return cls(**found)


def _whole_numbers(key: str, value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or any(type(n) is not int or n <= 0 for n in value):
        raise OptionError(f"{key} = {value!r} must be a list of whole numbers above 0")
    return tuple(value)


def check_value(key: str, value: Any, hint: Any) -> None:
    """Raise :class:`OptionError` unless ``value`` is of the annotated type: int, float, bool or a choice of strings."""
    if hint is bool and type(value) is not bool:
        raise OptionError(f"{key} = {value!r} must be true or false")
    choices = get_args(hint)
    if choices and value not in choices:
        raise OptionError(f"{key} = {value!r} is not known; known: {', '.join(choices)}")
    numbers = {int: (int,), float: (int, float)}.get(hint)
    if numbers and (type(value) not in numbers or not 0 <= value < float("inf")):
        raise OptionError(f"{key} = {value!r} must be {'a whole number' if hint is int else 'a number'}, 0 or more")


def read_toml(path: Path) -> dict[str, Any]:
    """A file's tables; :class:`OptionError` where there are none."""
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
