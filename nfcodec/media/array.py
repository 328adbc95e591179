"""Arrays in NumPy's .npy files: one to three axes of real numbers, mapped to [0, 1] block by block."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from nfcodec.errors import MediaReadError, OutputError, UnsupportedMediaError
from nfcodec.limits import DEFAULT_LIMITS, Limits
from nfcodec.media.reading import named, reading, reason
from nfcodec.media.samples import convert_alpha, dequantize, dtype_of, quantize
from nfcodec.signal import Block, Metadata, SampleType, SignalInfo, Source

_TYPES: dict[str, SampleType] = {
    "bool": "u1", "uint8": "u8", "uint16": "u16", "uint32": "u32", "uint64": "u64", "int8": "i8", "int16": "i16",
    "int32": "i32", "int64": "i64", "float16": "f16", "float32": "f32", "float64": "f64",
}  # fmt: skip
# (H, W, 3) of these is nearly always a picture; as one, its channels are coded together. It comes back as an array.
_PICTURES: dict[str, SampleType] = {"uint8": "u8", "uint16": "u16"}
_SIDE = 8  # smaller ones are tables
_AT_ONCE = 1 << 20


class ArraySource:
    """A memory-mapped array."""

    def __init__(self, array: npt.NDArray[Any], info: SignalInfo) -> None:
        self._array: npt.NDArray[Any] | None = array
        self.info, self.metadata = info, Metadata()
        self.warnings: list[str] = []

    def blocks(self, rows: int) -> Iterator[Block]:
        """Yield blocks of ``rows`` rows: values (n, …, 1) in [0, 1]."""
        for start in range(0, self.info.shape[0], rows):
            if self._array is None:
                return
            part = np.ascontiguousarray(self._array[start : start + rows])
            yield Block(dequantize(part, self.info.sample_type, self.info.value_range)[..., None])

    def sidecar(self) -> bytes:
        """No sound track."""
        return b""

    def close(self) -> None:
        """Drop the map; may be called twice."""
        self._array = None


def open_array(path: Path, *, limits: Limits = DEFAULT_LIMITS) -> Source:
    """Map ``path`` and find its range of values.

    Raises :class:`UnsupportedMediaError` for kinds of numbers and numbers of axes that nfc does not take,
    :class:`MediaReadError` for damaged files and for NaN or infinite values.
    """
    with reading(path, "npy"):
        array = _mapped(path)
    return _source(path, array, limits)


def array_source(array: npt.NDArray[Any], *, limits: Limits = DEFAULT_LIMITS) -> Source:
    """An array in memory as a signal; raises as :func:`open_array` does."""
    return _source(Path("the array"), array, limits)


def _source(path: Path, array: npt.NDArray[Any], limits: Limits) -> Source:
    _check(path, array, limits)
    if array.ndim == 3 and array.shape[2] == 3 and array.dtype.name in _PICTURES and min(array.shape[:2]) >= _SIDE:
        from nfcodec.media.image import colour_array

        return colour_array(path, array, _PICTURES[array.dtype.name], limits=limits)
    info = SignalInfo(
        modality="array",
        shape=array.shape,
        channels=1,
        sample_type=_TYPES[array.dtype.name],
        value_range=_extent(path, array),
    )
    return ArraySource(array, info)


def _mapped(path: Path) -> npt.NDArray[Any]:
    try:
        return cast("npt.NDArray[Any]", np.load(path, mmap_mode="r", allow_pickle=False))
    except ValueError as error:
        if "mmap" in str(error) and "length" in str(error):
            raise ValueError("the file ends before its data") from error
        if "object" in str(error).lower():
            raise UnsupportedMediaError(f"{named(path)} holds Python objects, not numbers") from error
        raise


def _check(path: Path, array: npt.NDArray[Any], limits: Limits) -> None:
    if array.dtype.name not in _TYPES:
        kinds = {"c": "complex numbers", "V": "records", "O": "Python objects", "S": "text", "U": "text"}
        what = kinds.get(array.dtype.kind, f"values of type {array.dtype}")
        raise UnsupportedMediaError(f"{named(path)} holds {what}; nfc takes real numbers of up to 64 bits")
    if not 1 <= array.ndim <= 3:
        raise UnsupportedMediaError(f"{named(path)} has {array.ndim} axes; nfc takes one to three")
    if array.size == 0:
        raise MediaReadError(f"cannot read {named(path)}: shape {array.shape} has no elements")
    limits.check("max_array", array.size, f"array of shape {array.shape}")


def _extent(path: Path, array: npt.NDArray[Any]) -> tuple[float, float]:
    """Smallest and largest value, read in order of storage and in pieces."""
    low, high = np.inf, -np.inf
    flat = array.reshape(-1, order="F" if array.flags.f_contiguous else "C")
    for start in range(0, flat.size, _AT_ONCE):
        part = flat[start : start + _AT_ONCE]
        if array.dtype.kind == "f" and not np.isfinite(part).all():
            raise MediaReadError(f"cannot read {named(path)}: it has values that are NaN or infinite")
        low, high = min(low, float(part.min())), max(high, float(part.max()))
    return low, high


class ArraySink:
    """Writes any signal as .npy.

    Arrays keep their shape. Other signals get a last axis of channels and alpha, which a single channel
    lacks: a grey picture is (H, W), a colour one (H, W, 3), stereo sound (T, 2). "u1" becomes bool.
    """

    def __init__(self, path: Path, info: SignalInfo) -> None:
        self.warnings: list[str] = []
        self._path, self._info, self._row = path, info, 0
        depth = info.channels + info.alpha
        self._shape = info.shape if info.modality == "array" or depth == 1 else (*info.shape, depth)
        dtype = np.dtype(bool) if info.sample_type == "u1" else dtype_of(info.sample_type)
        try:
            self._map: Any = _allocate(path, dtype, self._shape)
        except (OSError, ValueError) as error:
            raise OutputError(f"cannot write {named(path)}: {reason(error)}") from error

    def write(self, block: Block) -> None:
        """Take the next rows."""
        samples = quantize(block.values, self._info)
        if self._info.alpha and block.alpha is not None:
            alpha = convert_alpha(block.alpha, self._info.sample_type)
            samples = np.concatenate([samples, alpha[..., None]], axis=-1)
        rows = samples.reshape(len(samples), *self._shape[1:])
        self._map[self._row : self._row + len(rows)] = rows
        self._row += len(rows)

    def close(self) -> None:
        """Flush the map."""
        if self._map is None:
            return
        if self._row != self._shape[0]:
            self.abort()
            raise OutputError(f"cannot write {named(self._path)}: {self._row} of {self._shape[0]} rows were given")
        try:
            self._map.flush()
        except OSError as error:
            raise OutputError(f"cannot write {named(self._path)}: {reason(error)}") from error
        finally:
            self._map = None

    def abort(self) -> None:
        """Drop the map."""
        self._map = None


def _allocate(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Any:
    array = np.lib.format.open_memmap(path, "w+", dtype, shape)
    if hasattr(os, "posix_fallocate"):
        # A store into a map of a sparse file ends the process with SIGBUS when the disk is full; this
        # reserves the room now, and fails with an ordinary error.
        with open(path, "rb+") as file:
            try:
                os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                    raise
    return array
