"""A lattice init as named tensors and JSON, as they stand in a safetensors file.

Weights of the networks are stored in half precision and of the prior as small integers; the trunk, whose errors
every sample would see, in single precision.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nfcodec.errors import CorruptError
from nfcodec.lattice.init import LatticeInit
from nfcodec.lattice.order import order_of
from nfcodec.lattice.prior import Layer, Network, Prior
from nfcodec.lattice.spec import LatticeSpec

Floats = npt.NDArray[np.float32]

KIND = "lattice"
FORMAT = 1
_HALF = ("restore", "first_step", "detail")


def build(meta: dict[str, Any], tensors: dict[str, Tensor], digest: bytes) -> LatticeInit:
    """The init of a file's tensors; :class:`CorruptError`, KeyError, TypeError or ValueError for anything else."""
    if meta["format"] != FORMAT:
        raise CorruptError(f"its format {meta['format']} is not known here")
    groups: dict[str, dict[str, Tensor]] = {g: {} for g in ("trunk", *_HALF, "prior")}
    for name, tensor in tensors.items():
        group, _, rest = name.partition("/")
        if group in groups:
            groups[group][rest] = tensor
    floats = {g: {n: t.float() for n, t in groups[g].items()} for g in ("trunk", *_HALF)}
    low, high = (float(t) for t in meta["trade"])
    spec = LatticeSpec.from_dict(meta["spec"])
    init = LatticeInit(
        id=meta["id"], modality=meta["modality"], spec=spec, trunk=floats["trunk"],
        restore=floats["restore"], log_step=tensors["log_step"].float(), first_step=floats["first_step"],
        detail=floats["detail"], prior=_prior(spec, groups["prior"]), trade=(low, high), sha256=digest,
    )  # fmt: skip
    init.validate()
    return init


def contents(init: LatticeInit) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and metadata; the inverse of :func:`build`."""
    tensors = {"log_step": init.log_step.float().contiguous()}
    for group in ("trunk", *_HALF):
        for name, tensor in getattr(init, group).items():
            tensors[f"{group}/{name}"] = (tensor.half() if group in _HALF else tensor.float()).contiguous()
    for prefix, network in _named(init.prior):
        for i, layer in enumerate(network.layers):
            tensors[f"prior/{prefix}.{i}.weight"] = torch.from_numpy(_narrow(layer.weight))
            tensors[f"prior/{prefix}.{i}.bias"] = torch.from_numpy(layer.bias.astype(np.int32))
            tensors[f"prior/{prefix}.{i}.shift"] = torch.from_numpy(layer.shift.astype(np.uint8))
    meta = {
        "format": FORMAT, "kind": KIND, "id": init.id, "modality": init.modality, "spec": init.spec.to_dict(),
        "trade": list(init.trade),
    }  # fmt: skip
    return tensors, meta


def _narrow(weight: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return weight.astype(np.int8 if np.abs(weight).max(initial=0) < 128 else np.int16)


def _named(prior: Prior) -> list[tuple[str, Network]]:
    named = [(f"group.{i}", n) for i, n in enumerate(prior.groups)]
    return named + [(f"mean.{i}", n) for i, n in enumerate(prior.means)]


def _floats(whole: Tensor) -> Floats:
    return whole.numpy().astype(np.float32)


def product(a: Floats, b: Floats) -> Floats:
    """a·b on as many threads as torch may use."""
    out: Floats = torch.mm(torch.from_numpy(a), torch.from_numpy(b)).numpy()
    return out


def _network(tensors: dict[str, Tensor], prefix: str) -> Network:
    layers = []
    for i in range(3):
        weight, bias, shift = (tensors[f"{prefix}.{i}.{part}"] for part in ("weight", "bias", "shift"))
        if weight.dtype not in (torch.int8, torch.int16) or bias.dtype != torch.int32 or shift.dtype != torch.uint8:
            raise CorruptError(f"layer {prefix}.{i} of the prior does not hold integers")
        layers.append(Layer(_floats(weight), _floats(bias), shift.numpy().astype(np.int32), product))
    return Network((layers[0], layers[1], layers[2]))


def _prior(spec: LatticeSpec, tensors: dict[str, Tensor]) -> Prior:
    groups = tuple(_network(tensors, f"group.{i}") for i in range(len(spec.passes)))
    return Prior(spec, groups, tuple(_network(tensors, f"mean.{i}") for i in range(len(order_of(spec).means))))
