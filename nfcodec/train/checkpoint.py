"""Checkpoints of training: tensors and a few numbers as safetensors, tied to the config that made them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nfcodec.errors import CorruptError, OptionError
from nfcodec.media.atomic import atomic_output

Tensors = dict[str, Tensor]
_ADAM = "adam"


def write_state(path: Path, tensors: Tensors, numbers: dict[str, float], config: object) -> None:
    """Replace the checkpoint; a crash while writing leaves the previous file."""
    from safetensors.torch import save_file

    plain = {k: v.detach().contiguous() for k, v in tensors.items()}
    with atomic_output(path, force=True) as temporary:
        save_file(plain, temporary, {"state": json.dumps({**numbers, "config": repr(config)})})


def read_state(path: Path, names: tuple[str, ...], config: object) -> tuple[Tensors, list[Any]]:
    """Tensors and the numbers called ``names``.

    :class:`OptionError` when another config made the checkpoint, :class:`CorruptError` when it is none.
    """
    tensors, meta = _read(path)
    try:
        made_with, numbers = meta["config"], [meta[n] for n in names]
    except (KeyError, TypeError) as error:
        raise CorruptError(f"cannot resume from {path}: {error}") from error
    if made_with != repr(config):
        raise OptionError(f"checkpoint {path} was made with another config")
    return tensors, numbers


def read_tensors(path: Path) -> Tensors:
    """The tensors alone, of whatever config; :class:`CorruptError` where there are none."""
    return _read(path)[0]


def _read(path: Path) -> tuple[Tensors, Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            meta = json.loads(file.metadata()["state"])
            return {k: file.get_tensor(k) for k in file.keys()}, meta  # noqa: SIM118
    except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
        raise CorruptError(f"cannot resume from {path}: {error}") from error


def grouped(tensors: Tensors) -> dict[str, Tensors]:
    """Tensors "group/name" by group."""
    groups: dict[str, Tensors] = {}
    for key, value in tensors.items():
        group, name = key.split("/", 1)
        groups.setdefault(group, {})[name] = value
    return groups


def moments(optimizer: torch.optim.Optimizer, leaves: Iterable[Tensor]) -> Tensors:
    """The state of Adam as named tensors."""
    return {
        f"{_ADAM}/{i}/{key}": torch.as_tensor(value)
        for i, leaf in enumerate(leaves)
        for key, value in optimizer.state.get(leaf, {}).items()
    }


def restore_moments(optimizer: torch.optim.Optimizer, leaves: Iterable[Tensor], groups: dict[str, Tensors]) -> None:
    """The inverse of :func:`moments`, from the groups of a checkpoint."""
    saved = grouped(groups.get(_ADAM, {}))
    for i, leaf in enumerate(leaves):
        if state := saved.get(str(i)):
            optimizer.state[leaf] = {**state, "step": state["step"].cpu()}
