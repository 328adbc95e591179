"""A lattice init as named arrays and JSON, as they stand in a safetensors file.

Weights of the networks are stored in half precision and of the prior as small integers; the trunk, whose errors
every sample would see, in single precision.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from nfcodec.errors import CorruptError
from nfcodec.lattice.init import LatticeInit, Level
from nfcodec.lattice.order import order_of
from nfcodec.lattice.prior import Layer, Network, Prior
from nfcodec.lattice.spec import LatticeSpec

Floats = npt.NDArray[np.float32]
Array = npt.NDArray[Any]

KIND = "lattice"
FORMAT = 1
# What inits of photographs call the tables of the first step.
_RENAMED = {"analysis.luma": "analysis.0", "analysis.chroma": "analysis.1"}
_HALF = ("restore", "first_step", "detail")


def build(meta: dict[str, Any], tensors: dict[str, Any], digest: bytes) -> LatticeInit:
    """The init of a file's tensors; :class:`CorruptError`, KeyError, TypeError or ValueError for anything else."""
    if meta["format"] != FORMAT:
        raise CorruptError(f"its format {meta['format']} is not known here")
    specs = meta["levels"] if "levels" in meta else [meta["spec"]]
    levels = [_level(LatticeSpec.from_dict(spec), _of_level(tensors, i)) for i, spec in enumerate(specs)]
    low, high = (float(t) for t in meta["trade"])
    init = LatticeInit(meta["id"], meta["modality"], tuple(levels), (low, high), digest)
    init.validate()
    return init


def _prefix(number: int) -> str:
    """What the tensors of a level begin with; those of the first with nothing."""
    return f"level.{number}/" if number else ""


def _of_level(tensors: dict[str, Any], number: int) -> dict[str, Array]:
    prefix = _prefix(number)
    return {name.removeprefix(prefix): np.asarray(t) for name, t in tensors.items() if name.startswith(prefix)}


def _level(spec: LatticeSpec, arrays: dict[str, Array]) -> Level:
    groups: dict[str, dict[str, Array]] = {g: {} for g in ("trunk", *_HALF, "prior")}
    for name, array in arrays.items():
        group, _, rest = name.partition("/")
        if group in groups:
            groups[group][_RENAMED.get(rest, rest)] = array
    floats = {g: {n: a.astype(np.float32) for n, a in groups[g].items()} for g in ("trunk", *_HALF)}
    log_step = arrays["log_step"].astype(np.float32)
    return Level(spec=spec, log_step=log_step, prior=_prior(spec, groups["prior"]), **floats)


def contents(init: LatticeInit) -> tuple[dict[str, Array], dict[str, Any]]:
    """Arrays and metadata; the inverse of :func:`build`."""
    levels = enumerate(init.levels)
    arrays = {_prefix(i) + name: array for i, level in levels for name, array in _arrays(level).items()}
    meta = {
        "format": FORMAT, "kind": KIND, "id": init.id, "modality": init.modality, "trade": list(init.trade),
        "levels": [level.spec.to_dict() for level in init.levels],
    }  # fmt: skip
    return arrays, meta


def _arrays(level: Level) -> dict[str, Array]:
    arrays: dict[str, Array] = {"log_step": level.log_step}
    for group in ("trunk", *_HALF):
        for name, array in getattr(level, group).items():
            arrays[f"{group}/{name}"] = array.astype(np.float16 if group in _HALF else np.float32)
    for prefix, network in _named(level.prior):
        for i, layer in enumerate(network.layers):
            arrays[f"prior/{prefix}.{i}.weight"] = _narrow(layer.weight)
            arrays[f"prior/{prefix}.{i}.bias"] = layer.bias.astype(np.int32)
            arrays[f"prior/{prefix}.{i}.shift"] = layer.shift.astype(np.uint8)
    return arrays


def _narrow(weight: Array) -> Array:
    return weight.astype(np.int8 if np.abs(weight).max(initial=0) < 128 else np.int16)


def _named(prior: Prior) -> list[tuple[str, Network]]:
    named = [(f"group.{i}", n) for i, n in enumerate(prior.groups)]
    return named + [(f"mean.{i}", n) for i, n in enumerate(prior.means)]


def product(a: Floats, b: Floats) -> Floats:
    """a·b on as many threads as torch may use."""
    out: Floats = torch.mm(torch.from_numpy(a), torch.from_numpy(b)).numpy()
    return out


def _network(tensors: dict[str, Array], prefix: str) -> Network:
    layers = []
    for i in range(3):
        weight, bias, shift = (tensors[f"{prefix}.{i}.{part}"] for part in ("weight", "bias", "shift"))
        if weight.dtype not in (np.int8, np.int16) or bias.dtype != np.int32 or shift.dtype != np.uint8:
            raise CorruptError(f"layer {prefix}.{i} of the prior does not hold integers")
        layers.append(Layer(weight.astype(np.float32), bias.astype(np.float32), shift.astype(np.int32), product))
    return Network((layers[0], layers[1], layers[2]))


def _prior(spec: LatticeSpec, tensors: dict[str, Array]) -> Prior:
    groups = tuple(_network(tensors, f"group.{i}") for i in range(len(spec.passes)))
    return Prior(spec, groups, tuple(_network(tensors, f"mean.{i}") for i in range(len(order_of(spec).means))))
