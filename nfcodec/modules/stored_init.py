"""An init of independent modules as named tensors and JSON, as they stand in a safetensors file.

Tensors ``theta0/…``, ``log_rate/…`` (float32), ``mask/…`` (uint8), ``step`` and ``scale`` (int32).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nfcodec.errors import CorruptError
from nfcodec.modules.init import Init
from nfcodec.modules.kinds import field_kind
from nfcodec.modules.spec import FieldSpec

FORMAT = 1


def build(meta: dict[str, Any], tensors: dict[str, npt.NDArray[Any]], digest: bytes) -> Init:
    """The init of a file's tensors; :class:`CorruptError`, KeyError, TypeError or ValueError for anything else."""
    if meta["format"] != FORMAT:
        raise CorruptError(f"its format {meta['format']} is not known here")
    spec = FieldSpec.from_dict(meta["spec"])
    # In coded order, not in the file's alphabetical one: everything that flattens parameters relies on it.
    names = [t.name for t in field_kind(spec.kind).tensors(spec)]
    groups = {g: {n: tensors[f"{g}/{n}"].astype(np.float32) for n in names} for g in ("theta0", "log_rate", "mask")}
    if {tensors["step"].dtype, tensors["scale"].dtype} != {np.dtype(np.int32)}:
        raise CorruptError("steps and scales must be int32")
    init = Init(
        id=meta["id"], modality=meta["modality"], spec=spec, **groups,
        step=tensors["step"], scale=tensors["scale"],
        inner_steps=int(meta["inner_steps"]), gamma=float(meta["gamma"]), coarsest=float(meta["coarsest"]),
        sha256=digest, rho=float(meta.get("rho", 0.0)),
    )  # fmt: skip
    init.validate()
    return init


def contents(init: Init) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    """Tensors and metadata; the inverse of :func:`build`."""
    tensors: dict[str, npt.NDArray[Any]] = {f"theta0/{n}": t.astype(np.float32) for n, t in init.theta0.items()}
    tensors |= {f"log_rate/{n}": t.astype(np.float32) for n, t in init.log_rate.items()}
    tensors |= {f"mask/{n}": t.astype(np.uint8) for n, t in init.mask.items()}
    tensors |= {"step": init.step, "scale": init.scale}
    meta = {
        "format": FORMAT, "id": init.id, "modality": init.modality, "spec": init.spec.to_dict(),
        "inner_steps": init.inner_steps, "gamma": init.gamma, "coarsest": init.coarsest,
    }  # fmt: skip
    if init.rho:
        meta["rho"] = init.rho
    return tensors, meta
