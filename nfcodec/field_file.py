"""An .nfc file as what it is: a function of continuous coordinates."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from nfcodec.decoder import Decoder
from nfcodec.errors import MediaReadError, OptionError
from nfcodec.limits import DEFAULT_LIMITS, Limits
from nfcodec.options import DecodeOptions
from nfcodec.signal import Floats, Metadata, SignalInfo

_BATCH = 1 << 14


class FieldFile:
    """An open .nfc file. Use as a context manager.

    ``sample(coords)`` evaluates the field anywhere; ``render(…)`` on a regular grid.
    """

    def __init__(self, path: Path, *, limits: Limits = DEFAULT_LIMITS, inits: tuple[str, ...] = ()) -> None:
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise MediaReadError(f"cannot read {path}: {error.strerror}") from error
        try:
            self._decoder = Decoder(self._file, limits=limits, inits=inits)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> FieldFile:
        """The file itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self.close()

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._file.close()

    @property
    def info(self) -> SignalInfo:
        """What was encoded."""
        return self._decoder.info

    @property
    def metadata(self) -> Metadata:
        """ICC, EXIF, XMP, tags."""
        return self._decoder.metadata

    def render(self, **options: Any) -> Floats:
        """Values (n_0, …, C) on the grid of :class:`~nfcodec.options.DecodeOptions`, without alpha, not rounded."""
        return np.concatenate([b.values for b in self._decoder.blocks(DecodeOptions(**options))])

    def sample(self, coords: npt.ArrayLike) -> Floats:
        """Field values (N, C) at coordinates (N, axes), in the order of ``info.shape``.

        Spatial coordinates: the longest spatial axis covers [-1, 1], the others proportionally less, centred;
        time is in seconds from the start. Outside the domain the nearest module is continued.
        """
        points = np.atleast_2d(np.asarray(coords, np.float64))
        if points.ndim != 2 or points.shape[1] != len(self.info.shape):
            raise OptionError(f"coordinates of shape {points.shape} for {len(self.info.shape)} axes")
        if not np.isfinite(points).all():
            raise OptionError("coordinates must be finite")
        positions = self._positions(points)
        out = np.zeros((len(points), self.info.channels), np.float32)
        chunk = np.clip(positions[:, 0] // self._decoder.chunk_length, 0, self._decoder.chunks - 1).astype(int)
        for c in np.unique(chunk):
            rows = np.flatnonzero(chunk == c)
            for a in range(0, len(rows), _BATCH):
                part = rows[a : a + _BATCH]
                out[part] = self._decoder.field.sample(int(c), positions[part])
        if self._decoder.silence:
            self._decoder.silence.apply(out, positions[:, 0])
        return out

    def _positions(self, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Native sample positions of coordinates."""
        info = self.info
        temporal = info.modality in ("audio", "video")
        spatial = info.shape[1:] if temporal else info.shape
        longest = max(spatial, default=1)
        columns = []
        for axis, n in enumerate(info.shape):
            if temporal and axis == 0 and self._decoder.times is not None:
                columns.append(self._decoder.times.positions(points[:, 0]))
            elif temporal and axis == 0:
                columns.append(points[:, 0] * float(info.rate or 1))
            else:
                columns.append((points[:, axis] * longest + n) / 2.0)
        return np.stack(columns, 1)
