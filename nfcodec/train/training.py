"""The trainer that a config asks for, and the init that it ends in."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, cast

from nfcodec import families
from nfcodec.errors import CorruptError, LimitError, OptionError, UnsupportedFeatureError
from nfcodec.train.running import Running
from nfcodec.train.settings import check_value, read_toml, table
from nfcodec.train.signals import Folders


class Training(Protocol):
    """The training side of a family of fields: its module ``train.family``."""

    TABLES: dict[str, type[Any]]

    def read_config(self, data: dict[str, Any], parts: dict[str, Any]) -> Any:
        """The config of ``data["field"]`` and of the other tables, which are read already."""
        ...

    def new_trainer(self, config: Any, folder: Folders, *, device: str, begin: Any) -> Running:
        """A trainer at step 0, with the media of one or several folders in memory. ``begin``: the init to go on
        from, or None."""
        ...

    def finished(self, trainer: Any) -> families.Init:
        """The init of a trainer that has run to its end."""
        ...


def _training(kind: object) -> Training:
    return cast(Training, families.side(str(kind), "train"))


def load_config(path: Path) -> Any:
    """Read a training config; :class:`OptionError` names the key that is wrong."""
    data = read_toml(path)
    field = data.get("field")
    try:
        family = _training(field.get("kind") if isinstance(field, dict) else "siren")
    except UnsupportedFeatureError as error:
        raise OptionError(f"config {path}: field: {error}") from error
    unknown = sorted(set(data) - {*family.TABLES, "id", "field", "seed"})
    missing = [n for n in ("id", "field") if n not in data]
    if unknown or missing:
        raise OptionError(f"config {path}: " + (f"unknown key {unknown[0]}" if unknown else f"{missing[0]} is missing"))
    if not isinstance(data["id"], str):
        raise OptionError(f"config {path}: id = {data['id']!r} must be a string")
    check_value("seed", data.get("seed", 0), int)
    parts: dict[str, Any] = {n: table(c, data.get(n, {}), n) for n, c in family.TABLES.items()}
    parts |= {"id": data["id"], "seed": data.get("seed", 0)}
    try:
        return family.read_config(data, parts)
    except (CorruptError, LimitError) as error:
        raise OptionError(f"config {path}: field: {error}") from error


def new_trainer(
    config: Any, folder: Folders, *, device: str = "cpu", begin: families.Init | None = None
) -> Running:  # fmt: skip
    """A trainer at step 0, with the media of ``folder`` in memory. ``begin``: an init of the same kind to go on from,
    instead of from nothing (:class:`OptionError` for one of another kind)."""
    kind = config.field.kind
    if begin is not None and begin.kind != kind:
        raise OptionError(f"init {begin.id} is of the field {begin.kind}, the config of {kind}")
    return _training(kind).new_trainer(config, folder, device=device, begin=begin)


def finished(config: Any, trainer: Running) -> families.Init:
    """The init of a trainer that has run to its end."""
    return _training(config.field.kind).finished(trainer)
