"""Names for arrays that travel between rooms, each written once. Shapes are in the docstrings of what takes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.integer[Any]]
Indices = npt.NDArray[np.int64]
Symbols = npt.NDArray[np.int32]
Scales = npt.NDArray[np.uint8]
Bytes = npt.NDArray[np.uint8]
Gains = npt.NDArray[np.int8]
Mask = npt.NDArray[np.bool_]
Positions = npt.NDArray[np.float64]  # along an axis, in native samples: sample i is at i + ½
Span = tuple[int, int]  # first and one past the last
Shape = tuple[int, ...]
