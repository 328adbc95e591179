"""The payload of a DELTA section: integer deltas (M, P) of M modules with P kept weights each.

Delta [m, j] is coded with table row

    clip(scale[j] + offset[tensor_of[j]] + SHIFTS[class[m]], 0, ROWS − 1)

``scale`` (P,) and ``tensor_of`` (P,) are known from the init. The encoder chooses ``offset`` (one whole number
per tensor) and ``class`` (one per module) for the fewest bits and sends them first; modules of class 0 have no
deltas. An empty payload means that every delta is zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from nfcodec.entropy.coder import LARGEST, SymbolDecoder, SymbolEncoder
from nfcodec.entropy.tables import LMAX, ROWS, magnitude_bits
from nfcodec.errors import CorruptError, InternalError
from nfcodec.limits import DEFAULT_LIMITS, Limits
from nfcodec.modules.classes import (
    CLASSES,
    SHIFTS,
    class_bits,
    class_penalties,
    get_classes,
    put_classes,
)
from nfcodec.types import Ints

BLOCK = 1 << 20  # deltas sorted and coded together: part of the format, not a tuning knob
MAX_TENSORS = 1024
_OFFSET_ROW = 16  # table row of the tensor offsets
_OFFSET_BOUND = 2 * ROWS
_ROUNDS = 6  # at most, of choosing offsets and classes by turns
_COARSE, _FINE = (16, 8, 4, 2, 1), (2, 1)  # steps of the search for offsets, in rows
_KEEP = 1 << 22  # deltas up to which the places of the nonzero ones are kept in memory
_SMALL = 1 << 16  # deltas for which every start is tried

Deltas = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class DeltaModel:
    """The side information of one payload: ``offsets`` (T,) int64 by tensor, ``classes`` (M,) uint8 by module."""

    offsets: npt.NDArray[np.int64]
    classes: npt.NDArray[np.uint8]

    @property
    def shifts(self) -> npt.NDArray[np.int64]:
        """Row shift of every module (M,); 0 for class 0, which codes nothing."""
        return np.array(SHIFTS, dtype=np.int64)[self.classes]


def rows_for(scale: Ints, tensor_of: Ints, offsets: Ints, shifts: Ints | int) -> npt.NDArray[np.uint8]:
    """Table rows: (P,) for one shift, (M, P) for shifts (M,). Index ``magnitude_bits()`` with them for costs."""
    base = scale.astype(np.int64) + np.asarray(offsets, dtype=np.int64)[tensor_of]  # (P,)
    moved = np.asarray(shifts, dtype=np.int64)[..., None] + base
    return np.clip(moved, 0, ROWS - 1).astype(np.uint8)


def _tensors(scale: Ints, tensor_of: Ints) -> int:
    """Number of tensors, after checking that the init's arrays fit together."""
    if scale.ndim != 1 or scale.shape != tensor_of.shape or scale.dtype.kind not in "iu":
        raise InternalError(f"scale {scale.dtype} {scale.shape} with tensor ids {tensor_of.shape}")
    bad = tensor_of.size > 0 and not 0 <= tensor_of.min() <= tensor_of.max() < MAX_TENSORS
    if bad or tensor_of.dtype.kind not in "iu":
        raise InternalError(f"tensor ids must be integers in 0…{MAX_TENSORS - 1}")
    if scale.size and np.abs(scale.astype(np.int64)).max() >= 1 << 16:
        raise InternalError(f"scale indices {scale.min()}…{scale.max()} are no table rows")
    return int(tensor_of.max()) + 1 if tensor_of.size else 0


def _check_deltas(q: Ints, scale: Ints) -> None:
    """Raise :class:`InternalError` unless ``q`` is (M ≥ 1, P) integers that fit the coder."""
    if q.ndim != 2 or q.dtype.kind not in "iu" or q.shape[1:] != scale.shape or not len(q):
        raise InternalError(f"deltas {q.dtype} {q.shape} for {scale.size} kept weights")
    if q.size and (q.min() < -LARGEST or q.max() > LARGEST):
        raise InternalError(f"deltas {q.min()}…{q.max()} do not fit 32 bits")


def _blocks(modules: int, weights: int) -> Iterator[slice]:
    """Slices of modules with about ``BLOCK`` deltas each."""
    size = max(1, BLOCK // max(1, weights))
    return (slice(a, min(a + size, modules)) for a in range(0, modules, size))


@dataclass(frozen=True, slots=True)
class _Part:
    """The deltas of consecutive modules that are not zero: the module within, the weight, the magnitude (n,)."""

    modules: slice
    module: npt.NDArray[np.intp]
    weight: npt.NDArray[np.intp]
    magnitude: Deltas


class _Nonzero:
    """The parts of deltas (M, P), kept where they are few and found again on every pass where they are many."""

    def __init__(self, q: Ints) -> None:
        self._q = q
        self._kept = list(self._find()) if q.size <= _KEEP else None

    def __iter__(self) -> Iterator[_Part]:
        return iter(self._find() if self._kept is None else self._kept)

    def __len__(self) -> int:
        return len(self._q)

    def _find(self) -> Iterator[_Part]:
        for part in _blocks(*self._q.shape):
            module, weight = np.nonzero(self._q[part])
            magnitude = np.abs(self._q[part][module, weight].astype(np.int64))
            yield _Part(part, module, weight, np.minimum(magnitude, LMAX).astype(np.int32))


@lru_cache(maxsize=1)
def _extra_bits() -> npt.NDArray[np.float32]:
    """What a magnitude costs over a zero, float32 (ROWS · 1024,): flat, because ``take`` beats 2-d indexing."""
    bits = magnitude_bits()
    return (bits - bits[:, :1]).astype(np.float32).ravel()


def _class_costs(nonzero: _Nonzero, scale: Ints, tensor_of: Ints, offsets: Ints) -> Floats:
    """Bits (M, CLASSES) of every module's deltas under every class; class 0 costs infinity where it cannot be."""
    rows = rows_for(scale, tensor_of, offsets, np.array(SHIFTS))  # (CLASSES, P)
    flat = rows.astype(np.int32) * (LMAX + 1)
    costs = np.tile(magnitude_bits()[rows, 0].sum(axis=1), (len(nonzero), 1))
    for part in nonzero:
        size = part.modules.stop - part.modules.start
        for c in range(1, CLASSES):
            extra = _extra_bits().take(flat[c].take(part.weight) + part.magnitude)
            costs[part.modules, c] += np.bincount(part.module, extra, minlength=size)
        costs[part.modules, 0] = np.where(np.bincount(part.module, minlength=size) > 0, np.inf, 0)
    return costs


def _offset_costs(nonzero: _Nonzero, scale: Ints, tensor_of: Ints, model: DeltaModel) -> Floats:
    """Bits (T,) of every tensor's deltas and offset under ``model``."""
    rows = rows_for(scale, tensor_of, model.offsets, np.array(SHIFTS))  # (CLASSES, P)
    flat = (rows.astype(np.int32) * (LMAX + 1)).ravel()
    members = np.bincount(model.classes, minlength=CLASSES)
    members[0] = 0
    costs: Floats = np.bincount(tensor_of, members @ magnitude_bits()[rows, 0]).astype(np.float64)
    first = model.classes.astype(np.intp) * scale.size
    for part in nonzero:
        extra = _extra_bits().take(flat.take(first[part.modules].take(part.module) + part.weight) + part.magnitude)
        costs += np.bincount(tensor_of.take(part.weight), extra, minlength=costs.size)
    costs += magnitude_bits()[_OFFSET_ROW, np.minimum(np.abs(model.offsets), LMAX)]
    return costs


def _best_offsets(
    nonzero: _Nonzero, scale: Ints, tensor_of: Ints, model: DeltaModel, reaches: tuple[int, ...]
) -> npt.NDArray[np.int64]:
    """Offsets (T,) near those of ``model`` with the fewest bits: searched coarse to fine, all tensors at once."""
    best = model.offsets
    cost = _offset_costs(nonzero, scale, tensor_of, model)
    for reach in reaches:
        start = best
        for step in (-reach, reach):
            tried = np.clip(start + step, -_OFFSET_BOUND, _OFFSET_BOUND)
            found = _offset_costs(nonzero, scale, tensor_of, DeltaModel(tried, model.classes))
            best = np.where(found < cost, tried, best)
            cost = np.minimum(found, cost)
    return best


def _refine(nonzero: _Nonzero, scale: Ints, tensor_of: Ints, model: DeltaModel, width: int) -> DeltaModel:
    """Improve ``model``: offsets for its classes, then classes for the offsets, and so on."""
    penalties = np.zeros((len(nonzero), CLASSES))
    last = np.inf
    for turn in range(_ROUNDS):
        offsets = _best_offsets(nonzero, scale, tensor_of, model, _FINE if turn else _COARSE)
        costs = _class_costs(nonzero, scale, tensor_of, offsets) + penalties
        model = DeltaModel(offsets, np.argmin(costs, axis=1).astype(np.uint8))
        penalties = class_penalties(model.classes, width)
        total = costs.min(axis=1).sum()
        if turn > 1 and total > 0.999 * last:
            break
        last = total
    return model


def choose_model(q: Ints, scale: Ints, tensor_of: Ints, *, width: int = 0) -> DeltaModel:
    """Offsets and classes for ``q`` (M, P) with nearly the fewest bits.

    ``width`` is the width of the grid of modules (0: one line); it must be the same when decoding.
    """
    tensors = _tensors(scale, tensor_of)
    _check_deltas(q, scale)
    if not q.any():
        return DeltaModel(np.zeros(tensors, np.int64), np.zeros(len(q), np.uint8))
    # Offsets first: starting from the best classes instead ends 3 % worse on many modules (measured), because
    # each class makes up for the wrong offsets. Few deltas, though, do not pay for offsets: then try both.
    start = DeltaModel(np.zeros(tensors, np.int64), np.full(len(q), CLASSES // 2, np.uint8))
    nonzero = _Nonzero(q)
    model = _refine(nonzero, scale, tensor_of, start, width)
    if q.size > _SMALL:
        return model
    classes = np.argmin(_class_costs(nonzero, scale, tensor_of, start.offsets), axis=1).astype(np.uint8)
    plain = DeltaModel(start.offsets, classes)
    models = [model, plain, _refine(nonzero, scale, tensor_of, plain, width)]
    return min(models, key=lambda m: delta_bits(q, scale, tensor_of, m, width=width))


def class_costs(q: Ints, scale: Ints, tensor_of: Ints, offsets: Ints) -> Floats:
    """Bits (M, CLASSES) of the deltas ``q`` (M, P) of every module under every class and ``offsets`` (T,).

    Class 0 costs infinity where a delta is not zero. Encoder only.
    """
    return _class_costs(_Nonzero(q), scale, tensor_of, offsets)


def delta_bits(q: Ints, scale: Ints, tensor_of: Ints, model: DeltaModel, *, width: int = 0) -> float:
    """Bits of the payload for ``q`` (M, P) under ``model``, up to the coder's rounding. Encoder only."""
    if not q.any():
        return 0.0
    data = float(_offset_costs(_Nonzero(q), scale, tensor_of, model).sum())
    return data + class_bits(model.classes, width)


def encode_deltas(q: Ints, scale: Ints, tensor_of: Ints, *, width: int = 0, model: DeltaModel | None = None) -> bytes:
    """The payload for deltas ``q`` (M, P), integers of magnitude < 2^31.

    ``scale`` (P,): table row of the expected magnitude, any integers. ``tensor_of`` (P,): ids 0, 1, 2 … of the
    tensor that each weight belongs to. ``width``: see :func:`choose_model`, which also gives ``model`` if None.
    Raises :class:`InternalError` on arguments that cannot be coded.
    """
    _tensors(scale, tensor_of)
    _check_deltas(q, scale)
    if not q.any():
        return b""
    model = model or choose_model(q, scale, tensor_of, width=width)
    if q[model.classes == 0].any():
        raise InternalError("a module of class 0 has deltas")
    encoder = SymbolEncoder()
    encoder.put(model.offsets, np.full(model.offsets.size, _OFFSET_ROW))
    put_classes(encoder, model.classes, width)
    active = np.flatnonzero(model.classes)
    for part in _blocks(active.size, scale.size):
        rows = rows_for(scale, tensor_of, model.offsets, model.shifts[active[part]])
        encoder.put(q[active[part]].ravel(), rows.ravel())
    return encoder.finish()


def decode_deltas(
    data: bytes, *, modules: int, scale: Ints, tensor_of: Ints, width: int = 0, limits: Limits = DEFAULT_LIMITS
) -> Deltas:
    """Inverse of :func:`encode_deltas`: int32 (modules, P).

    ``modules`` ≥ 1 follows from the header; the other arguments must be those of the encoder. Raises
    :class:`CorruptError`, or :class:`LimitError` when modules × P is over ``limits.max_symbols``.
    """
    tensors = _tensors(scale, tensor_of)
    if modules < 1:
        raise InternalError(f"{modules} modules in a section")
    limits.check("max_symbols", modules * max(1, scale.size), f"deltas of {modules} modules")
    q = np.zeros((modules, scale.size), np.int32)
    if not data:
        return q
    # The limit counts deltas; their side information comes on top and is bounded by the same check.
    room = limits.max_symbols + tensors + modules + 2
    decoder = SymbolDecoder(data, limits=replace(limits, max_symbols=room))
    offsets = decoder.get(np.full(tensors, _OFFSET_ROW)).astype(np.int64)
    if tensors and np.abs(offsets).max() > _OFFSET_BOUND:
        raise CorruptError(f"tensor offsets {offsets.min()}…{offsets.max()} leave ±{_OFFSET_BOUND}")
    model = DeltaModel(offsets, get_classes(decoder, modules, width))
    active = np.flatnonzero(model.classes)
    for part in _blocks(active.size, scale.size):
        rows = rows_for(scale, tensor_of, offsets, model.shifts[active[part]])
        q[active[part]] = decoder.get(rows.ravel()).reshape(rows.shape)
    decoder.finish()
    return q
