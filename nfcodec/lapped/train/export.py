"""From a trained prior to an init: networks in whole numbers, then the tables and corrections that go with them.

Tables and corrections are counted, not learned: what the networks of whole numbers say of stretches of the training
data, quantized as the encoder does.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nfcodec.entropy import logistic
from nfcodec.entropy.tables import TOTAL
from nfcodec.lapped import order
from nfcodec.lapped.code import ChunkSymbols, chunk_scales
from nfcodec.lapped.fit.quantize import quantize
from nfcodec.lapped.init import LARGEST_KNOWN, LappedInit
from nfcodec.lapped.law import Law
from nfcodec.lapped.prior import COUNTED, LARGEST_HIDDEN, LAWS, SUPPORT, Network, Prior
from nfcodec.lapped.train.config import LappedConfig, LawConfig
from nfcodec.lapped.train.model import SCALE_UNIT, SCALE_ZERO, Params, logistic_costs, network_name
from nfcodec.lapped.train.tasks import Batch
from nfcodec.lattice.order import LARGEST_FEATURE
from nfcodec.lattice.steps import OCTAVE
from nfcodec.lattice.train.export import whole_layer
from nfcodec.types import Doubles, Floats, Indices, Symbols

_LAYERS = ("0", "1", "out")
_ESCAPE, _LEAST = 4, 2
# Noise for zeros: so much of the spread of their scale, and at most so much of a step, both before they are squared.
_FILL, _MOST_FILL = 0.6, 0.25
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


def whole_law(config: LawConfig) -> Law:
    """The law of a config."""
    steps = round(config.coarsest * OCTAVE), round(config.finest * OCTAVE)
    return Law(*steps, config.power == 3, float(config.trade))


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
    laws = whole_law(config.law), whole_law(config.perceptual)
    none = np.zeros((LAWS, logistic.SCALES, 1 + LARGEST_KNOWN), np.int8)
    init = LappedInit(config.id, "audio", spec, laws, prior, none, b"")
    init.validate()
    return init


def counted(init: LappedInit, batches: Iterable[Batch], rounds: int = 2) -> LappedInit:
    """The init with tables and corrections as they come out of batches that are quantized with it."""
    most = logistic_costs().shape[1]
    seen = np.zeros((LAWS, logistic.SCALES, most))
    moved = np.zeros((2, LAWS, logistic.SCALES, LARGEST_KNOWN))
    for batch in batches:
        for bins, splits, quality, number in zip(batch.bins, batch.splits, batch.quality, batch.law, strict=True):
            law = init.laws[number]
            sizes = law.compressed(bins, law.step(quality, 0))
            front = ChunkSymbols(np.zeros(bins.shape, np.int32), splits, number, 0)
            chunk = quantize(init, quality, front, sizes, np.zeros(bins.shape, bool), rounds)
            scales = chunk_scales(init, quality, chunk).astype(np.int64)
            row = scales * most + np.minimum(chunk.symbols, most - 1)
            seen[number] += np.bincount(row.ravel(), minlength=seen[number].size).reshape(seen[number].shape)
            _add(moved[:, number], scales, chunk.symbols, sizes)
    shift = np.rint(256.0 * moved[1] / (moved[0] + 20.0)).clip(-127, 127).astype(np.int8)
    shift = np.concatenate([fills(init.laws)[..., None], shift], -1)
    prior = Prior(init.spec, init.prior.networks, tables_of(seen))
    return LappedInit(init.id, init.modality, init.spec, init.laws, prior, shift, b"")


def fills(laws: tuple[Law, ...]) -> npt.NDArray[np.int8]:
    """What stands for 0 at each scale, in 256ths of a step (LAWS, SCALES): noise where the law is perceptual."""
    spread = np.exp2((np.arange(logistic.SCALES) - SCALE_ZERO) / SCALE_UNIT)
    noise = np.rint(256.0 * np.minimum(_FILL * spread, _MOST_FILL)).clip(0, 127).astype(np.int8)
    return np.stack([noise if law.companded else np.zeros_like(noise) for law in laws])


def _add(moved: npt.NDArray[np.float64], scales: Indices, symbols: Symbols, sizes: Floats) -> None:
    """Add how often (first) and by how much in sum (second) the sizes of symbols were not what they say."""
    some = symbols > 0
    q = symbols[some]
    at = scales[some] * LARGEST_KNOWN + np.minimum(q, LARGEST_KNOWN) - 1
    for i, weights in enumerate((np.ones(len(q)), (sizes[some] - q).astype(np.float64))):
        moved[i] += np.bincount(at, weights, minlength=moved[i].size).reshape(moved[i].shape)


def export(config: LappedConfig, params: Params, seen: Tensor, batches: Iterable[Batch]) -> LappedInit:
    """The init of trained parameters; ``seen``: how often which magnitudes came at which scales."""
    init = counted(start_init(config, params, seen.double().numpy()), batches)
    init.validate()
    return init
