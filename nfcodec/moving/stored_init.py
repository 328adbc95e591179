"""An init for moving pictures as named arrays and JSON: a lattice init, and what residuals have of their own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from nfcodec.errors import CorruptError
from nfcodec.lattice import stored_init as lattice
from nfcodec.moving.init import MovingInit

KIND = "moving"
_FORMAT = 1
_PICTURES, _RESIDUALS = "pictures/", "residuals/"


def build(meta: dict[str, Any], arrays: dict[str, Any], digest: bytes) -> MovingInit:
    """The init that :func:`contents` has described. Raises :class:`CorruptError`, KeyError, TypeError or ValueError."""
    if meta["format"] != _FORMAT:
        raise CorruptError(f"init format {meta['format']!r}, known is {_FORMAT}")
    pictures = lattice.build(meta["pictures"], _within(arrays, _PICTURES), digest)
    own = _within(arrays, _RESIDUALS)
    if own:
        known = {**_within(arrays, _PICTURES), **own}
        known.pop("0/offset", None)
        level = lattice.build({**meta["pictures"], **meta.get("residuals", {})}, known, digest).levels[0]
    else:
        level = replace(pictures.levels[0], offset=None)
    init = MovingInit(
        str(meta["id"]), str(meta["modality"]), pictures, level, int(meta["frames"]), digest
    )
    init.validate()
    return init


def _within(arrays: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {name[len(prefix) :]: array for name, array in arrays.items() if name.startswith(prefix)}


def contents(init: MovingInit) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays and metadata; the inverse of :func:`build`."""
    arrays, meta = lattice.contents(init.pictures)
    found = {_PICTURES + name: array for name, array in arrays.items()}
    more: dict[str, Any] = {}
    if not init.shared:
        other, theirs = lattice.contents(replace(init.pictures, levels=(init.residuals,)))
        more = {"residuals": {"told": theirs["told"]}} if "told" in theirs else {}
        found |= {_RESIDUALS + n: a for n, a in other.items() if n not in arrays or not np.array_equal(a, arrays[n])}
    about = {
        "format": _FORMAT, "kind": KIND, "id": init.id, "modality": init.modality, "pictures": meta,
        "frames": init.frames, **more,
    }  # fmt: skip
    return found, about
