"""Lapped inits as arrays and metadata, and back."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from nfcodec.entropy.networks import Layer
from nfcodec.errors import CorruptError
from nfcodec.lapped.init import LappedInit
from nfcodec.lapped.law import Law
from nfcodec.lapped.order import STEPS
from nfcodec.lapped.prior import DEPTH, Network, Prior
from nfcodec.lapped.spec import LappedSpec

_FORMAT = 1


def contents(init: LappedInit) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays and metadata of an init."""
    arrays: dict[str, Any] = {
        "corrections": init.corrections, "counts": init.prior.counts.astype(np.int32), "gains": init.gains,
    }  # fmt: skip
    for plane, networks in enumerate(init.prior.networks):
        for number, network in enumerate(networks):
            for j, layer in enumerate(network.layers):
                name = f"prior/{plane}.{number}.{j}"
                wide = np.abs(layer.weight).max() > 127
                arrays[f"{name}.weight"] = layer.weight.astype(np.int16 if wide else np.int8)
                arrays[f"{name}.bias"] = layer.bias.astype(np.int32)
                arrays[f"{name}.shift"] = layer.shift.astype(np.uint8)
    meta = {
        "format": _FORMAT, "kind": init.kind, "id": init.id, "modality": init.modality, "spec": init.spec.to_dict(),
        "laws": [asdict(law) for law in init.laws],
    }  # fmt: skip
    return arrays, meta


def build(meta: dict[str, Any], arrays: dict[str, Any], digest: bytes) -> LappedInit:
    """The init that :func:`contents` has described. Raises :class:`CorruptError`, KeyError, TypeError or ValueError."""
    if meta["format"] != _FORMAT:
        raise CorruptError(f"init format {meta['format']!r}, known is {_FORMAT}")
    spec = LappedSpec.from_dict(meta["spec"])
    sets = tuple(
        tuple(_network(arrays, f"prior/{plane}.{number}") for number in range(STEPS))
        for plane in range(spec.sets)
    )
    prior = Prior(spec, sets, np.asarray(arrays["counts"], np.int64))
    laws = tuple(Law(**law) for law in meta["laws"])
    said = str(meta["id"]), str(meta["modality"])
    init = LappedInit(*said, spec, laws, prior, arrays["corrections"], arrays["gains"], digest)
    init.validate()
    return init


def _network(arrays: dict[str, Any], name: str) -> Network:
    return Network(tuple(_layer(arrays, f"{name}.{j}") for j in range(DEPTH)))


def _layer(arrays: dict[str, Any], name: str) -> Layer:
    weight, bias, shift = (arrays[f"{name}.{part}"] for part in ("weight", "bias", "shift"))
    return Layer(weight.astype(np.float32), bias.astype(np.float32), shift.astype(np.int32))
