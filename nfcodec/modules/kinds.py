"""The kinds of fields, by name. Append only: a name, once shipped, keeps its meaning."""

from __future__ import annotations

import math
from typing import Protocol

from nfcodec.arrays import Array
from nfcodec.errors import UnsupportedFeatureError
from nfcodec.modules import fourier, nerv, siren
from nfcodec.modules.spec import FieldSpec, Params, TensorSpec


class FieldKind(Protocol):
    """What a field module must offer; see :mod:`nfcodec.modules.siren` for the meaning of each function."""

    def tensors(self, spec: FieldSpec) -> tuple[TensorSpec, ...]:
        """Named parameter tensors in coded order."""
        ...

    def features(self, spec: FieldSpec, params: Params, coords: Array) -> Array:
        """Inputs (M, N, K) of the linear last layer."""
        ...

    def head(self, spec: FieldSpec, params: Params, phi: Array) -> Array:
        """The linear last layer (M, N, C)."""
        ...

    def forward(self, spec: FieldSpec, params: Params, coords: Array) -> Array:
        """``head`` of ``features``."""
        ...


def field_kind(name: str) -> FieldKind:
    """The functions of the field called ``name``; :class:`UnsupportedFeatureError` when there is none."""
    kinds: dict[str, FieldKind] = {"siren": siren, "fourier": fourier, "nerv": nerv}
    if name not in kinds:
        raise UnsupportedFeatureError(f"field kind {name!r} is not known here; known: {', '.join(kinds)}")
    return kinds[name]


def samples_at_once(spec: FieldSpec) -> int:
    """How many samples in a row a field makes together, so that contexts hold all of them or none: a frame of NeRV, one
    sample of all others."""
    return math.prod(spec.tile[1:]) if spec.kind == "nerv" else 1
