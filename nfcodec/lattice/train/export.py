"""From trained floats to an init: the prior in whole numbers, everything else as it is stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nfcodec.entropy.networks import EXACT, Layer
from nfcodec.lattice.fit.tensors import tensors
from nfcodec.lattice.fit.twin import LAYER_NAMES, MEAN_UNIT, SCALE_UNIT, SCALE_ZERO, float_params, network_names
from nfcodec.lattice.init import LatticeInit, Level
from nfcodec.lattice.masking import LARGEST_GAIN
from nfcodec.lattice.native import TABLE_BITS
from nfcodec.lattice.order import LARGEST_FEATURE, order_of
from nfcodec.lattice.prior import LARGEST_HIDDEN, Network, Prior
from nfcodec.lattice.spec import LatticeSpec
from nfcodec.lattice.steps import OCTAVE, WEIGHT_UNIT
from nfcodec.lattice.train.model import LatticeModel, of_level
from nfcodec.lattice.train.whole import numpy_restore, restore_params
from nfcodec.lattice.trunk import table
from nfcodec.lattice.wider import Wider, finer

Params = dict[str, Tensor]
Floats = npt.NDArray[np.float64]

_MAX_SHIFT = 14


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
        if np.abs(scaled).max() <= top and np.abs(scaled).sum() * largest + abs(offset) + 2.0 ** (shift - 1) < EXACT:
            return scaled, float(offset), shift
    return np.clip(np.rint(weight * 2.0), -top, top), float(np.rint(bias * 2.0)), 1


def whole_network(params: Params, prefix: str, bits: int = 8) -> Network:
    """The integer twin of one network of the float prior; inputs and hidden units count sixteenths."""
    names = [f"{layer}.{part}" for layer in LAYER_NAMES for part in ("weight", "bias")]
    w = {k: params[f"{prefix}.{k}"].double().numpy() for k in names}
    half = len(w["out.bias"]) // 2
    unit = np.repeat([MEAN_UNIT, SCALE_UNIT], half)
    zero = np.repeat([0.0, SCALE_ZERO], half)
    return Network((
        whole_layer(w["0.weight"], 16.0 * w["0.bias"], LARGEST_FEATURE, bits),
        whole_layer(w["1.weight"], 16.0 * w["1.bias"], LARGEST_HIDDEN, bits),
        whole_layer(w["out.weight"] * unit[:, None] / 16.0, unit * w["out.bias"] + zero, LARGEST_HIDDEN, 16),
    ))  # fmt: skip


def _arrays(params: Params) -> dict[str, npt.NDArray[np.float32]]:
    """Copies: training goes on."""
    return {n: p.detach().float().cpu().numpy().copy() for n, p in params.items()}


def whole_table(spec: LatticeSpec, trunk: dict[str, npt.NDArray[np.float32]]) -> npt.NDArray[np.int16]:
    """φ at the samples' own positions, in whole numbers."""
    doubles = {n: a.astype(np.float64) for n, a in trunk.items()}
    functions: Floats = table(spec, doubles, spec.spacing)
    return np.rint(functions * 2.0**TABLE_BITS).astype(np.int16)


def whole_steps(log_step: npt.NDArray[np.float32]) -> npt.NDArray[np.int16]:
    """log2 of steps in 256ths of an octave."""
    return np.rint(log_step * OCTAVE).astype(np.int16)


def whole_gains(gains: npt.NDArray[np.float32]) -> npt.NDArray[np.int16]:
    """γ of masking in 256ths; means have none."""
    whole = np.clip(np.rint(gains * OCTAVE), -LARGEST_GAIN, LARGEST_GAIN).astype(np.int16)
    whole[:, :, 0] = 0
    return whole


def export_lattice(
    model: LatticeModel,
    params: Params,
    *,
    name: str,
    modality: str = "image",
    detail: Params | None = None,
    bits: int = 8,
) -> LatticeInit:
    """The init that a trained model makes, with X where it was trained; ``bits`` of the prior's weights."""
    last, levels = len(model.specs) - 1, []
    for i, spec in enumerate(model.specs):
        level = _level(spec, of_level(params, i), (detail or {}) if i == last else {}, bits)
        levels.append(replace(level, context=model.context))
    init = LatticeInit(name, modality, tuple(levels), trade=(model.trade, model.span), sha256=b"")
    init.validate()
    return init


def with_detail(init: LatticeInit, name: str, details: Sequence[Params]) -> LatticeInit:
    """An init with another X, that of each of its tunes; everything else stays as it is."""

    def one(init: LatticeInit, detail: Params) -> LatticeInit:
        last = replace(init.levels[-1], detail=_arrays(detail))
        return replace(init, id=name, levels=(*init.levels[:-1], last))

    made = one(init, details[0])
    if init.perceptual is not None:
        made = replace(made, perceptual=one(init.perceptual, details[-1]))
    made.validate()
    return made


def with_wider(init: LatticeInit, spacings: Sequence[int]) -> LatticeInit:
    """An init whose cells may also lie so many samples apart; of those that it had none are left, and no Y that was
    told of others."""
    same = tuple(sorted(spacings)) == init.spacings

    def one(init: LatticeInit) -> LatticeInit:
        wider = [{s: _wider(level, s, init.trade) for s in spacings} for level in init.levels]
        pairs = zip(init.levels, wider, strict=True)
        return replace(init, levels=tuple(
            replace(v, wider=w, filter=v.filter if same else None) for v, w in pairs
        ))  # fmt: skip

    made = one(init)
    if init.perceptual is not None:
        made = replace(made, perceptual=one(init.perceptual))
    made.validate()
    return made


def _wider(level: Level, spacing: int, trade: tuple[float, float]) -> Wider:
    spec = replace(level.spec, spacing=(spacing,) * level.spec.axes)
    return Wider(whole_table(spec, level.trunk), finer(spacing / level.spec.spacing[0], trade))


def _level(spec: LatticeSpec, params: Params, detail: Params, bits: int) -> Level:
    names = network_names(order_of(spec))
    groups, means = (tuple(whole_network(params, name, bits) for name in some) for some in names)
    prefixes = {"trunk": ("trunk.",), "first_step": ("e.", "analysis.", "log_gain", "log_again")}
    parts = {g: _arrays({n: p for n, p in params.items() if n.startswith(of)}) for g, of in prefixes.items()}
    base, gains = (_arrays(params).get(name) for name in ("offset", "masking"))
    return Level(
        spec=spec, table=whole_table(spec, parts["trunk"]), restore=numpy_restore(params),
        log_step=whole_steps(_arrays(params)["log_step"]), prior=Prior(spec, groups, means), detail=_arrays(detail),
        trunk=parts["trunk"], first_step=parts["first_step"],
        offset=None if base is None else np.rint(base / WEIGHT_UNIT).astype(np.int32),
        masking=None if gains is None else whole_gains(gains),
    )  # fmt: skip


def params_of(init: LatticeInit) -> Params:
    """The parameters that training goes on from: the inverse of :func:`export_lattice`, up to its rounding."""
    found: Params = {}
    for i, level in enumerate(init.levels):
        named = {**tensors(level.trunk), **restore_params(level.restore), **tensors(level.first_step)}
        named |= {} if level.offset is None else {"offset": torch.from_numpy(level.base)}
        named |= {} if level.masking is None else {"masking": torch.from_numpy(level.masking / OCTAVE)}
        named |= {"log_step": torch.from_numpy(level.log_step / OCTAVE), **float_params(level.prior)}
        found |= {f"{i}.{name}": value.float().clone() for name, value in named.items()}
    return found
