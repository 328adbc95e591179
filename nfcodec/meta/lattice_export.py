"""From trained floats to an init: the prior in whole numbers, everything else as it is stored."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from torch import Tensor

from nfcodec.coding import context
from nfcodec.coding.prior import Layer, Network, Prior
from nfcodec.lattice.init import LatticeInit
from nfcodec.meta.lattice_model import LAMBDA_0, LAMBDA_SPAN, LatticeModel

Params = dict[str, Tensor]
Floats = npt.NDArray[np.float64]

_MAX_SHIFT = 14
_EXACT = 1 << 24


def whole_layer(weight: Floats, bias: Floats, largest: int, bits: int) -> Layer:
    """Whole weights and biases and a right shift per row, such that every sum stays exact in float32.

    ``weight`` and ``bias`` are in units of the output, per unit of the input; ``largest`` bounds the inputs.
    """
    rows = [_whole_row(w, b, largest, bits) for w, b in zip(weight, bias, strict=True)]
    whole, offset, shift = (np.array(part) for part in zip(*rows, strict=True))
    return Layer(whole.astype(np.float32), offset.astype(np.float32), shift.astype(np.int32))


def _whole_row(weight: Floats, bias: float, largest: int, bits: int) -> tuple[Floats, float, int]:
    top = (1 << (bits - 1)) - 1
    for shift in range(_MAX_SHIFT, 0, -1):
        scaled = np.rint(weight * 2.0**shift)
        offset = np.rint(bias * 2.0**shift)
        if np.abs(scaled).max() <= top and np.abs(scaled).sum() * largest + abs(offset) + 2.0 ** (shift - 1) < _EXACT:
            return scaled, float(offset), shift
    return np.clip(np.rint(weight * 2.0), -top, top), float(np.rint(bias * 2.0)), 1


def whole_network(params: Params, prefix: str, bits: int = 8) -> Network:
    """The integer twin of one network of the float prior; units in :mod:`nfcodec.coding.prior`."""
    names = [f"{layer}.{part}" for layer in ("0", "1", "out") for part in ("weight", "bias")]
    w = {k: params[f"{prefix}.{k}"].double().numpy() for k in names}
    half = len(w["out.bias"]) // 2
    # Inputs and hidden units count sixteenths; means come out in eighths, scales in quarter octaves from 2^(−18/4).
    unit = np.concatenate([np.full(half, 8.0), np.full(half, 4.0)])
    zero = np.concatenate([np.zeros(half), np.full(half, 18.0)])
    return Network((
        whole_layer(w["0.weight"], 16.0 * w["0.bias"], 127, bits),
        whole_layer(w["1.weight"], 16.0 * w["1.bias"], 255, bits),
        whole_layer(w["out.weight"] * unit[:, None] / 16.0, unit * w["out.bias"] + zero, 255, 16),
    ))  # fmt: skip


def export_lattice(
    model: LatticeModel, params: Params, *, name: str, detail: Params | None = None, bits: int = 8
) -> LatticeInit:
    """The init that a trained model makes, with X where it was trained; ``bits`` of the prior's weights."""
    groups = tuple(whole_network(params, f"p.{i}", bits) for i in range(len(context.PASSES)))
    kinds = [(plane, kind) for plane in range(context.PLANES) for kind in ("diagonal", "edge")]
    means = tuple(whole_network(params, f"m.{plane}.{kind}", bits) for plane, kind in kinds)
    prefixes = {"trunk": ("trunk.",), "restore": ("d.",), "first_step": ("e.", "analysis.", "log_gain", "log_again")}
    parts = {g: {n: p.detach().clone() for n, p in params.items() if n.startswith(of)} for g, of in prefixes.items()}
    init = LatticeInit(
        id=name, modality="image", spec=model.spec, log_step=params["log_step"].detach().clone(),
        prior=Prior(groups, means), trade=(LAMBDA_0, LAMBDA_SPAN), sha256=b"", detail=detail or {}, **parts,
    )  # fmt: skip
    init.validate()
    return init
