"""A dyadic init: the integer networks that encoder and decoder share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nfcodec.blas import one_thread_each
from nfcodec.dyadic.features import LARGEST, inputs
from nfcodec.dyadic.order import PHASES
from nfcodec.entropy.networks import Layer, check_layer
from nfcodec.errors import CorruptError
from nfcodec.types import Doubles

KIND = "dyadic"
FORMAT = 1
DEPTH = 3
OUTPUTS = 2
LARGEST_HIDDEN = 255
LARGEST_SHIFT = 512  # of a prediction, in 128ths of a scale
LARGEST_WIDTH = 127  # of a change of the scale, in eighths of an octave
_AT_ONCE = 1 << 14  # samples, so that what is between two layers stays in the cache


@dataclass(frozen=True, slots=True)
class Network:
    """Three layers; between them values are clipped to 0 … 255."""

    layers: tuple[Layer, ...]

    def __call__(self, features: npt.NDArray[np.int8]) -> tuple[Doubles, Doubles]:
        """For features (F, n): how far to shift predictions, in 128ths of their scale, and how to change the scale, in
        eighths of an octave, both (n,) and whole."""
        out = np.empty((OUTPUTS, features.shape[1]), np.float32)
        with one_thread_each():
            for start in range(0, features.shape[1], _AT_ONCE):
                x = features[:, start : start + _AT_ONCE].astype(np.float32)
                for layer in self.layers[:-1]:
                    x = layer(x)
                    np.clip(x, 0, LARGEST_HIDDEN, out=x)
                out[:, start : start + _AT_ONCE] = self.layers[-1](x)
        shift = np.clip(out[0], -LARGEST_SHIFT, LARGEST_SHIFT).astype(np.float64)
        return shift, np.clip(out[1], -LARGEST_WIDTH, LARGEST_WIDTH).astype(np.float64)


@dataclass(frozen=True, eq=False)
class DyadicInit:
    """``networks``: one per phase (:data:`nfcodec.dyadic.order.PHASES`)."""

    id: str
    networks: tuple[Network, ...]
    sha256: bytes = b""

    @property
    def modality(self) -> str:
        """Arrays of one to three axes."""
        return "array"

    @property
    def kind(self) -> str:
        """The kind of field."""
        return KIND

    @property
    def parameters(self) -> int:
        """Weights and biases of all networks."""
        return sum(layer.weight.size + layer.bias.size for n in self.networks for layer in n.layers)

    @property
    def coded(self) -> int:
        """Symbols of a sample."""
        return 1

    def validate(self) -> None:
        """Raise :class:`CorruptError` unless shapes fit the features and every sum stays exact."""
        if len(self.networks) != len(PHASES):
            raise CorruptError(f"{len(self.networks)} networks for {len(PHASES)} phases")
        for i, network in enumerate(self.networks):
            if len(network.layers) != DEPTH:
                raise CorruptError(f"network {i} has {len(network.layers)} layers, not {DEPTH}")
            size, largest = inputs(i), LARGEST
            for j, layer in enumerate(network.layers):
                check_layer(f"network {i}, layer {j}", layer, size, largest)
                size, largest = len(layer.weight), LARGEST_HIDDEN
            if size != OUTPUTS:
                raise CorruptError(f"network {i} has {size} outputs, not {OUTPUTS}")


def build(meta: dict[str, Any], tensors: dict[str, Any], digest: bytes) -> DyadicInit:
    """The init of a file's tensors; :class:`CorruptError`, KeyError, TypeError or ValueError for anything else."""
    if meta["format"] != FORMAT:
        raise CorruptError(f"its format {meta['format']} is not known here")
    networks = tuple(Network(tuple(_layer(tensors, f"{i}.{j}") for j in range(DEPTH))) for i in range(len(PHASES)))
    init = DyadicInit(str(meta["id"]), networks, digest)
    init.validate()
    return init


def contents(init: DyadicInit) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays and metadata; the inverse of :func:`build`."""
    arrays: dict[str, Any] = {}
    for i, network in enumerate(init.networks):
        for j, layer in enumerate(network.layers):
            narrow = np.int8 if np.abs(layer.weight).max(initial=0) < 128 else np.int16
            arrays[f"{i}.{j}.weight"] = layer.weight.astype(narrow)
            arrays[f"{i}.{j}.bias"] = layer.bias.astype(np.int32)
            arrays[f"{i}.{j}.shift"] = layer.shift.astype(np.uint8)
    return arrays, {"format": FORMAT, "kind": KIND, "id": init.id}


def _layer(tensors: dict[str, Any], name: str) -> Layer:
    weight, bias, shift = (np.asarray(tensors[f"{name}.{part}"]) for part in ("weight", "bias", "shift"))
    if weight.dtype not in (np.int8, np.int16) or bias.dtype != np.int32 or shift.dtype != np.uint8:
        raise CorruptError(f"layer {name} does not hold integers")
    return Layer(weight.astype(np.float32), bias.astype(np.float32), shift.astype(np.int32))
