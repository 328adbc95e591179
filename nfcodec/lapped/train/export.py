"""From a trained prior to an init: networks in whole numbers, then the tables and corrections that go with them.

Tables and corrections are counted, not learned: what the networks of whole numbers say of stretches of the training
data, quantized as the encoder does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nfcodec.entropy import logistic
from nfcodec.entropy.tables import TOTAL
from nfcodec.lapped import order
from nfcodec.lapped.code import ChunkSymbols, chunk_scales
from nfcodec.lapped.fit.quantize import quantize
from nfcodec.lapped.gains import LARGEST_GAIN, SHAPE, residuals
from nfcodec.lapped.init import LARGEST_KNOWN, LappedInit
from nfcodec.lapped.prior import COUNTED, LARGEST_HIDDEN, LAWS, SUPPORT, Network, Prior
from nfcodec.lapped.stored import step_exponents
from nfcodec.lapped.train.config import LappedConfig
from nfcodec.lapped.train.model import SCALE_UNIT, SCALE_ZERO, Params, logistic_costs, network_name
from nfcodec.lapped.train.tasks import Batch
from nfcodec.lattice.order import LARGEST_FEATURE
from nfcodec.lattice.train.export import whole_layer
from nfcodec.types import Doubles, Floats, Indices, Symbols

_LAYERS = ("0", "1", "out")
_ESCAPE, _LEAST = 4, 2
_WIDE = 24  # the scale of what is coded of gains, before it is known
_ONE_OF_EACH = 0.02
_TRUST = 200.0  # symbols that a table is worth before any were seen


def whole_network(params: Params, name: str) -> Network:
    """The integer twin of one network of training."""
    w = {f"{n}.{p}": params[f"{name}.{n}.{p}"].double().numpy() for n in _LAYERS for p in ("weight", "bias")}
    return Network((
        whole_layer(w["0.weight"], 16.0 * w["0.bias"], LARGEST_FEATURE, 8),
        whole_layer(w["1.weight"], 16.0 * w["1.bias"], LARGEST_HIDDEN, 8),
        whole_layer(w["out.weight"] * (SCALE_UNIT / 16.0), SCALE_UNIT * w["out.bias"] + SCALE_ZERO, LARGEST_HIDDEN, 16),
    ))  # fmt: skip


def params_of(init: LappedInit) -> Params:
    """The parameters that training goes on from: the inverse of :func:`whole_network`, up to its rounding."""
    found: dict[str, Tensor] = {}
    for plane, networks in enumerate(init.prior.networks):
        for number, network in enumerate(networks):
            for name, layer in zip(_LAYERS, network.layers, strict=True):
                whole = np.ldexp(1.0, -layer.shift)
                last = name == "out"
                unit, zero = (SCALE_UNIT, SCALE_ZERO) if last else (16.0, 0.0)
                weight = layer.weight * (whole * (16.0 / SCALE_UNIT if last else 1.0))[:, None]
                prefix = f"{network_name(plane, number)}.{name}"
                found[f"{prefix}.weight"] = torch.from_numpy(weight.astype(np.float32))
                found[f"{prefix}.bias"] = torch.from_numpy(((layer.bias * whole - zero) / unit).astype(np.float32))
    return found


# -- tables ----------------------------------------------------------------------------------------------
def table_of(seen: Doubles, expected: Doubles) -> Indices:
    """Counts of 2^20 (SUPPORT + 2,) of the magnitudes 0 … SUPPORT and of larger ones; ``seen`` (MOST + 1,) how often
    each came, ``expected`` their chances by a logistic density."""
    mixed = seen + _TRUST * expected
    mass = np.concatenate([mixed[: SUPPORT + 1], [mixed[SUPPORT + 1 :].sum()]]) / mixed.sum()
    counts: Indices = np.maximum(np.rint(mass * TOTAL).astype(np.int64), _LEAST)
    counts[1:-1] += counts[1:-1] % 2
    counts[-1] = max(_ESCAPE, counts[-1])
    counts[0] += TOTAL - counts.sum()
    while counts[0] < _LEAST:  # wide tables: the largest gives
        largest = int(counts[1:-1].argmax()) + 1
        counts[largest] -= 2
        counts[0] += 2
    return counts


def expected_chances() -> Doubles:
    """Chances (SCALES, MOST + 1) of magnitudes by the logistic densities of the scales."""
    chances = np.exp2(-logistic_costs().astype(np.float64))
    chances[:, 1:] *= 2.0
    return chances


def tables_of(seen: npt.NDArray[np.float64]) -> Indices:
    """The tables (LAWS, COUNTED, SUPPORT + 2) of counts (LAWS, SCALES, MOST + 1)."""
    expected = expected_chances()
    rows = [[table_of(law[s], expected[s]) for s in range(COUNTED)] for law in seen]
    found: Indices = np.array(rows, np.int64)
    return found


def start_init(config: LappedConfig, params: Params, seen: npt.NDArray[np.float64]) -> LappedInit:
    """The init without corrections, with the tables of what training saw."""
    spec = config.field.spec
    sets = tuple(
        tuple(whole_network(params, network_name(plane, number)) for number in range(order.STEPS))
        for plane in range(spec.sets)
    )
    prior = Prior(spec, sets, tables_of(seen))
    laws = config.laws
    none = np.zeros((LAWS, logistic.SCALES, 1 + LARGEST_KNOWN), np.int8)
    init = LappedInit(config.id, "audio", spec, laws, prior, none, np.full(SHAPE, _WIDE, np.uint8), b"")
    init.validate()
    return init


def counted(init: LappedInit, batches: Iterable[Batch], noise: tuple[float, ...], rounds: int = 2) -> LappedInit:
    """The init with tables and corrections as they come out of batches that are quantized with it; ``noise``: of each
    law, what stands for zeros."""
    most = logistic_costs().shape[1]
    seen = np.zeros((LAWS, logistic.SCALES, most))
    moved = np.zeros((2, LAWS, logistic.SCALES, 1 + LARGEST_KNOWN))
    gains = np.zeros((*SHAPE, 4 * LARGEST_GAIN + 1), np.int64)
    for batch in batches:
        for bins, quality, front in zip(batch.bins, batch.quality, batch.chunks(), strict=True):
            number = front.law
            sizes = init.laws[number].compressed(bins, step_exponents(init, quality, front))
            chunk = quantize(init, quality, front, sizes, np.zeros(bins.shape, bool), rounds)
            scales = chunk_scales(init, quality, chunk).astype(np.int64)
            row = scales * most + np.minimum(chunk.symbols, most - 1)
            seen[number] += np.bincount(row.ravel(), minlength=seen[number].size).reshape(seen[number].shape)
            _add(moved[:, number], scales, chunk.symbols, sizes)
            _count_gains(gains, front)
    shift = moved[1] / (moved[0] + 20.0)
    shift[..., 0] *= np.array(noise)[:, None]
    corrections = np.rint(256.0 * shift).clip(-127, 127).astype(np.int8)
    prior = Prior(init.spec, init.prior.networks, tables_of(seen))
    return replace(init, prior=prior, corrections=corrections, gains=scales_of(gains))


def _add(moved: npt.NDArray[np.float64], scales: Indices, symbols: Symbols, sizes: Floats) -> None:
    """Add how often (first) and by how much in sum (second) the sizes of symbols were not what they say."""
    at = (scales * (1 + LARGEST_KNOWN) + np.minimum(symbols, LARGEST_KNOWN)).ravel()
    for i, weights in enumerate((np.ones(at.size), (sizes - symbols).ravel().astype(np.float64))):
        moved[i] += np.bincount(at, weights, minlength=moved[i].size).reshape(moved[i].shape)


def _count_gains(counts: Indices, chunk: ChunkSymbols) -> None:
    """Count what is coded of the gains of a chunk."""
    for phase, band, apart, differences in residuals(chunk.gains) if chunk.gains.any() else ():
        np.add.at(counts[phase, int(band > 0)], (apart, differences + 2 * LARGEST_GAIN), 1)


def scales_of(counts: Indices) -> npt.NDArray[np.uint8]:
    """The scales that code counted differences of gains with the fewest bits."""
    values = np.arange(counts.shape[-1]) - 2 * LARGEST_GAIN
    costs = np.stack([logistic.bits(values, np.full(values.shape, s), np.zeros(values.shape, np.int64)) for s in
                      range(logistic.SCALES)])  # fmt: skip
    # One of each, so that what never came has a wide table.
    found: npt.NDArray[np.uint8] = np.argmin((counts + _ONE_OF_EACH) @ costs.T, -1).astype(np.uint8)
    return found


def export(config: LappedConfig, params: Params, seen: Tensor, batches: Iterable[Batch]) -> LappedInit:
    """The init of trained parameters; ``seen``: how often which magnitudes came at which scales."""
    noise = config.law.noise, config.perceptual.noise
    init = counted(start_init(config, params, seen.double().numpy()), batches, noise)
    init.validate()
    return init
