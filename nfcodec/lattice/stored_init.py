"""A lattice init as named arrays and JSON, as they stand in a safetensors file.

The prior, D, the steps and the table of φ are whole numbers; the trunk is stored in single precision, the networks of
the encoder and X in half precision. The names of a level's arrays begin with its number; those of the perceptual tune,
as far as they are not those of the other one, with its name before that.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from nfcodec.entropy.networks import Layer
from nfcodec.errors import CorruptError
from nfcodec.lattice.context import FULL, Context
from nfcodec.lattice.filtering import SIDE, SampleFilter
from nfcodec.lattice.given import NOTHING, Told
from nfcodec.lattice.init import LatticeInit, Level
from nfcodec.lattice.order import order_of
from nfcodec.lattice.prior import Network, Prior
from nfcodec.lattice.restore import Restore
from nfcodec.lattice.spec import LatticeSpec
from nfcodec.lattice.wider import Wider

Array = npt.NDArray[Any]

KIND = "lattice"
FORMAT = 1
PERCEPTUAL = "perceptual"
WIDER = "wider"
# Whether a tune has Y: its tensors alone would not say that the other tune has none.
FILTER = "filter"
_HALF = ("first_step", "detail")
_FLOAT = ("trunk", *_HALF)
# Layers of a network of the prior.
_PRIOR_LAYERS = ("0", "1", "2")


def build(meta: dict[str, Any], tensors: dict[str, Any], digest: bytes) -> LatticeInit:
    """The init of a file's tensors; :class:`CorruptError`, KeyError, TypeError or ValueError for anything else."""
    if meta["format"] != FORMAT:
        raise CorruptError(f"its format {meta['format']} is not known here")
    arrays = {name: np.asarray(tensor) for name, tensor in tensors.items()}
    own = {name: array for name, array in arrays.items() if not name.startswith(f"{PERCEPTUAL}/")}
    init = _init(meta, meta, own, digest)
    if PERCEPTUAL in meta:
        # What both tunes have in common is stored once.
        init = replace(init, perceptual=_init(meta, meta[PERCEPTUAL], own | _within(arrays, PERCEPTUAL), digest))
    init.validate()
    return init


def _init(meta: dict[str, Any], tune: dict[str, Any], arrays: dict[str, Array], digest: bytes) -> LatticeInit:
    """The init of a tune, whose own metadata are ``tune``."""
    specs = [LatticeSpec.from_dict(spec) for spec in meta["levels"]]
    contexts = [Context.from_dict(c) for c in tune.get("context", [FULL.to_dict()] * len(specs))]
    told = [Told(int(e), int(c)) for e, c in tune.get("told", [(0, 0)] * len(specs))]
    every = zip(specs, contexts, told, strict=True)
    levels = tuple(_level(spec, _within(arrays, str(i)), context, t) for i, (spec, context, t) in enumerate(every))
    if FILTER in tune:
        found = _filter(_within(arrays, f"{len(levels) - 1}/filter"), tune[FILTER], len(specs[-1].planes))
        levels = (*levels[:-1], replace(levels[-1], filter=found))
    if WIDER in meta:
        levels = tuple(replace(v, wider=_wider(meta[WIDER], _within(arrays, str(i)))) for i, v in enumerate(levels))
    low, high = (float(t) for t in tune["trade"])
    return LatticeInit(meta["id"], meta["modality"], levels, (low, high), digest)


def _wider(finer: dict[str, int], arrays: dict[str, Array]) -> dict[int, Wider]:
    """What a level has at other spacings, of which ``finer`` tells by how much their steps are finer."""
    if {type(n) for n in finer.values()} != {int}:
        raise CorruptError(f"{WIDER} = {finer!r} must be whole numbers")
    return {int(spacing): Wider(arrays[f"table.{spacing}"].copy(), n) for spacing, n in finer.items()}


def _within(arrays: dict[str, Array], group: str) -> dict[str, Array]:
    """The arrays GROUP/NAME by NAME."""
    return {n[len(group) + 1 :]: a for n, a in arrays.items() if n.startswith(f"{group}/")}


def _level(spec: LatticeSpec, arrays: dict[str, Array], context: Context, told: Told) -> Level:
    floats: dict[str, Any] = {
        g: {n: a.astype(np.float32) for n, a in _within(arrays, g).items()} for g in _FLOAT
    }  # fmt: skip
    restore = _restore(_within(arrays, "restore"), "D")
    return Level(
        spec=spec, table=arrays["table"].copy(), log_step=arrays["log_step"].copy(),
        restore=restore, prior=_prior(spec, _within(arrays, "prior"), told), context=context,
        offset=arrays["offset"].copy() if "offset" in arrays else None,
        masking=arrays["masking"].copy() if "masking" in arrays else None, **floats,
    )  # fmt: skip


def _restore(layers: dict[str, Array], network: str) -> Restore:
    return Restore.of({n: _layer(layers, n, network) for n in {n.rpartition(".")[0] for n in layers}})


def _filter(arrays: dict[str, Array], views: Any, planes: int) -> SampleFilter:
    if type(views) is not int:
        raise CorruptError(f"{FILTER} = {views!r} must be a whole number")
    count = len({name.partition("/")[0] for name in arrays} - {"log_unit"})
    networks = tuple(_restore(_within(arrays, str(i)), "Y") for i in range(count))
    heads = len(networks[0].leave.bias) // (SIDE**2 * planes) if networks else 1
    return SampleFilter(networks, arrays["log_unit"].copy(), views=views, heads=heads)


def contents(init: LatticeInit) -> tuple[dict[str, Array], dict[str, Any]]:
    """Arrays and metadata; the inverse of :func:`build`."""
    arrays = _arrays(init)
    meta = {
        "format": FORMAT, "kind": KIND, "id": init.id, "modality": init.modality,
        "levels": [level.spec.to_dict() for level in init.levels], **_tune(init),
    }  # fmt: skip
    if init.spacings:
        meta[WIDER] = {str(spacing): init.levels[0].wider[spacing].finer for spacing in init.spacings}
    if init.perceptual is not None:
        more = {n: a for n, a in _arrays(init.perceptual).items() if not _same(a, arrays.get(n))}
        arrays |= {f"{PERCEPTUAL}/{n}": a for n, a in more.items()}
        meta[PERCEPTUAL] = _tune(init.perceptual)
    return arrays, meta


def _same(a: Array, b: Array | None) -> bool:
    return b is not None and a.dtype == b.dtype and np.array_equal(a, b)


def _arrays(init: LatticeInit) -> dict[str, Array]:
    return {f"{i}/{n}": a for i, level in enumerate(init.levels) for n, a in _level_contents(level).items()}


def _tune(init: LatticeInit) -> dict[str, Any]:
    """What the metadata say of a tune."""
    found: dict[str, Any] = {"trade": list(init.trade)}
    if not all(level.context.full for level in init.levels):
        found["context"] = [level.context.to_dict() for level in init.levels]
    if any(level.prior.told != NOTHING for level in init.levels):
        found["told"] = [[level.prior.told.each, level.prior.told.cell] for level in init.levels]
    if init.levels[-1].filter is not None:
        found[FILTER] = init.levels[-1].filter.views
    return found


def _level_contents(level: Level) -> dict[str, Array]:
    arrays: dict[str, Array] = {"log_step": level.log_step, "table": level.table}
    more = {"offset": level.offset, "masking": level.masking}
    arrays |= {name: array for name, array in more.items() if array is not None}
    arrays |= {f"table.{spacing}": wider.table for spacing, wider in level.wider.items()}
    for group in _FLOAT:
        for name, array in getattr(level, group).items():
            arrays[f"{group}/{name}"] = array.astype(np.float16 if group in _HALF else np.float32)
    networks = [(f"restore/{n}", layer) for n, layer in level.restore.layers.items()]
    if level.filter is not None:
        arrays["filter/log_unit"] = level.filter.log_unit
        for i, network in enumerate(level.filter.networks):
            networks += [(f"filter/{i}/{n}", layer) for n, layer in network.layers.items()]
    for prefix, of_prior in _named(level.prior):
        networks += [(f"prior/{prefix}.{i}", layer) for i, layer in zip(_PRIOR_LAYERS, of_prior.layers, strict=True)]
    for name, layer in networks:
        arrays[f"{name}.weight"] = _narrow(layer.weight)
        arrays[f"{name}.bias"] = layer.bias.astype(np.int32)
        arrays[f"{name}.shift"] = layer.shift.astype(np.uint8)
    return arrays


def _narrow(weight: Array) -> Array:
    return weight.astype(np.int8 if np.abs(weight).max(initial=0) < 128 else np.int16)


def _named(prior: Prior) -> list[tuple[str, Network]]:
    named = [(f"group.{i}", n) for i, n in enumerate(prior.groups)]
    return named + [(f"mean.{i}", n) for i, n in enumerate(prior.means)]


def _layer(arrays: dict[str, Array], name: str, network: str) -> Layer:
    weight, bias, shift = (arrays[f"{name}.{part}"] for part in ("weight", "bias", "shift"))
    if weight.dtype not in (np.int8, np.int16) or bias.dtype != np.int32 or shift.dtype != np.uint8:
        raise CorruptError(f"layer {name} of {network} does not hold integers")
    return Layer(weight.astype(np.float32), bias.astype(np.float32), shift.astype(np.int32))


def _network(arrays: dict[str, Array], prefix: str) -> Network:
    first, second, last = (_layer(arrays, f"{prefix}.{i}", "the prior") for i in _PRIOR_LAYERS)
    return Network((first, second, last))


def _prior(spec: LatticeSpec, arrays: dict[str, Array], told: Told) -> Prior:
    groups = tuple(_network(arrays, f"group.{i}") for i in range(len(spec.passes)))
    means = tuple(_network(arrays, f"mean.{i}") for i in range(len(order_of(spec).means)))
    return Prior(spec, groups, means, told)
