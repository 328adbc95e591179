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
from nfcodec.media.extent import extent_of, is_missing
from nfcodec.media.reading import named, reading, reason
from nfcodec.media.samples import convert_alpha, dequantize, dtype_of, samples_of
from nfcodec.signal import Block, Metadata, SampleType, SignalInfo, Source

_TYPES: dict[str, SampleType] = {
    "bool": "u1", "uint8": "u8", "uint16": "u16", "uint32": "u32", "uint64": "u64", "int8": "i8", "int16": "i16",
    "int32": "i32", "int64": "i64", "float16": "f16", "float32": "f32", "float64": "f64",
}  # fmt: skip
# (H, W, 3) of these is nearly always a picture; as one, its channels are coded together. It comes back as an array.
_PICTURES: dict[str, SampleType] = {"uint8": "u8", "uint16": "u16"}
_SIDE = 8  # smaller ones are tables


class ArraySource:
    """A memory-mapped array."""

    def __init__(self, array: npt.NDArray[Any], info: SignalInfo, fill: float | None = None) -> None:
        self._array: npt.NDArray[Any] | None = array
        self._fill = fill
        self.info, self.metadata = info, Metadata()
        self.warnings: list[str] = []
        if fill is not None:
            self.warnings.append(f"samples of {fill:g} count as missing; they are kept exactly")

    def blocks(self, rows: int) -> Iterator[Block]:
        """Yield blocks of ``rows`` rows: values (n, …, 1) in [0, 1], and the samples themselves."""
        for start in range(0, self.info.shape[0], rows):
            if self._array is None:
                return
            part = np.ascontiguousarray(self._array[start : start + rows])
            part = part.astype(part.dtype.newbyteorder("="), copy=False)
            values = dequantize(part, self.info.sample_type, self.info.value_range)[..., None]
            samples = part.view(np.uint8) if part.dtype == bool else part
            yield Block(values, samples=samples, missing=is_missing(part, self._fill) if self.info.gaps else None)

    def sidecar(self) -> bytes:
        """No sound track."""
        return b""

    def close(self) -> None:
        """Drop the map; may be called twice."""
        self._array = None


def open_array(path: Path, *, limits: Limits = DEFAULT_LIMITS, plain: bool = False) -> Source:
    """Map ``path`` and find its range of values.

    ``plain``: an array even where it looks like a picture. Raises :class:`UnsupportedMediaError` for kinds of numbers
    and numbers of axes that nfc does not take, :class:`MediaReadError` for damaged files.
    """
    with reading(path, "npy"):
        array = _mapped(path)
    return _source(path, array, limits, plain=plain)


def array_source(array: npt.NDArray[Any], *, limits: Limits = DEFAULT_LIMITS, plain: bool = False) -> Source:
    """An array in memory as a signal; raises as :func:`open_array` does."""
    return _source(Path("the array"), array, limits, plain=plain)


def _source(path: Path, array: npt.NDArray[Any], limits: Limits, *, plain: bool) -> Source:
    _check(path, array, limits)
    if not plain and _like_a_picture(array):
        from nfcodec.media.image import colour_array

        return colour_array(path, array, _PICTURES[array.dtype.name], limits=limits)
    extent = extent_of(array)
    info = SignalInfo(
        modality="array",
        shape=array.shape,
        channels=1,
        sample_type=_TYPES[array.dtype.name],
        value_range=extent.range,
        gaps=extent.gaps,
    )
    return ArraySource(array, info, extent.fill)


def _like_a_picture(array: npt.NDArray[Any]) -> bool:
    coloured = array.ndim == 3 and array.shape[2] == 3 and array.dtype.name in _PICTURES
    return coloured and min(array.shape[:2]) >= _SIDE


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
        samples = samples_of(block, self._info)
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
