"""A lattice init as named arrays and JSON, as they stand in a safetensors file.

Weights of the networks are stored in half precision and of the prior as small integers; the trunk, whose errors
every sample would see, in single precision.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nfcodec.errors import CorruptError
from nfcodec.lattice import order
from nfcodec.lattice.init import LatticeInit, Level
from nfcodec.lattice.prior import Layer, Network, Prior
from nfcodec.lattice.trunk import LatticeSpec

Array = npt.NDArray[Any]

KIND = "lattice"
FORMAT = 1
_HALF = ("restore", "first_step", "detail")


def build(meta: dict[str, Any], tensors: dict[str, Any], digest: bytes) -> LatticeInit:
    """The init of a file's tensors; :class:`CorruptError`, KeyError, TypeError or ValueError for anything else."""
    if meta["format"] != FORMAT:
        raise CorruptError(f"its format {meta['format']} is not known here")
    groups: dict[str, dict[str, Array]] = {g: {} for g in ("trunk", *_HALF, "prior")}
    for name, tensor in tensors.items():
        group, _, rest = name.partition("/")
        if group in groups:
            groups[group][rest] = np.asarray(tensor)
    floats = {g: {n: a.astype(np.float32) for n, a in groups[g].items()} for g in ("trunk", *_HALF)}
    low, high = (float(t) for t in meta["trade"])
    level = Level(
        spec=LatticeSpec.from_dict(meta["spec"]), trunk=floats["trunk"], restore=floats["restore"],
        log_step=np.asarray(tensors["log_step"]).astype(np.float32), first_step=floats["first_step"],
        prior=_prior(groups["prior"]), detail=floats["detail"],
    )  # fmt: skip
    init = LatticeInit(meta["id"], meta["modality"], (level,), (low, high), digest)
    init.validate()
    return init


def contents(init: LatticeInit) -> tuple[dict[str, Array], dict[str, Any]]:
    """Arrays and metadata; the inverse of :func:`build`."""
    [level] = init.levels
    arrays: dict[str, Array] = {"log_step": level.log_step}
    for group in ("trunk", *_HALF):
        for name, array in getattr(level, group).items():
            arrays[f"{group}/{name}"] = array.astype(np.float16 if group in _HALF else np.float32)
    for prefix, network in _named(level.prior):
        for i, layer in enumerate(network.layers):
            arrays[f"prior/{prefix}.{i}.weight"] = _narrow(layer.weight)
            arrays[f"prior/{prefix}.{i}.bias"] = layer.bias.astype(np.int32)
            arrays[f"prior/{prefix}.{i}.shift"] = layer.shift.astype(np.uint8)
    meta = {
        "format": FORMAT, "kind": KIND, "id": init.id, "modality": init.modality, "spec": level.spec.to_dict(),
        "trade": list(init.trade),
    }  # fmt: skip
    return arrays, meta


def _narrow(weight: Array) -> Array:
    return weight.astype(np.int8 if np.abs(weight).max(initial=0) < 128 else np.int16)


def _named(prior: Prior) -> list[tuple[str, Network]]:
    named = [(f"group.{i}", n) for i, n in enumerate(prior.groups)]
    return named + [(f"mean.{i}", n) for i, n in enumerate(prior.means)]


def _network(tensors: dict[str, Array], prefix: str) -> Network:
    layers = []
    for i in range(3):
        weight, bias, shift = (tensors[f"{prefix}.{i}.{part}"] for part in ("weight", "bias", "shift"))
        if weight.dtype not in (np.int8, np.int16) or bias.dtype != np.int32 or shift.dtype != np.uint8:
            raise CorruptError(f"layer {prefix}.{i} of the prior does not hold integers")
        layers.append(Layer(weight.astype(np.float32), bias.astype(np.float32), shift.astype(np.int32)))
    return Network((layers[0], layers[1], layers[2]))


def _prior(tensors: dict[str, Array]) -> Prior:
    groups = tuple(_network(tensors, f"group.{i}") for i in range(len(order.PASSES)))
    return Prior(groups, tuple(_network(tensors, f"mean.{i}") for i in range(2 * order.PLANES)))
