"""Arrays of numpy when decoding, tensors of torch in fitting and training: one text for both.

Shared functions are written against the Python array API standard; :func:`namespace` gives the functions that go with
an array. Decoding never imports torch.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = Any  # of numpy or of torch


def namespace(array: Array) -> Any:
    """The array library of ``array``, as the standard has it.

    numpy 2 is its own. array-api-compat would import all of numpy's submodules with it, which takes a tenth of a second
    of every command.
    """
    if isinstance(array, np.ndarray) and hasattr(np, "permute_dims"):
        return np
    from array_api_compat import array_namespace

    return array_namespace(array)


def device(array: Array) -> Any:
    """Where an array lies, as functions of its library take it."""
    return None if isinstance(array, np.ndarray) else array.device
