from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from nfcodec.media import open_sink, open_source
from nfcodec.media.samples import dequantize, quantize
from nfcodec.signal import Block, Metadata, SignalInfo


@dataclass
class Read:
    info: SignalInfo
    samples: Any
    alpha: Any
    metadata: Metadata
    warnings: list[str]
    sidecar: bytes = b""


def read(path: Path, rows: int = 5) -> Read:
    source = open_source(path)
    try:
        blocks = list(source.blocks(rows))
        assert all(len(b.values) == rows for b in blocks[:-1])
        assert all(b.values.dtype == np.float32 for b in blocks)
        values = np.concatenate([b.values for b in blocks])
        alpha = np.concatenate([b.alpha for b in blocks]) if source.info.alpha else None
        low = -1.0 if source.info.modality == "audio" else 0.0
        assert values.min() >= low and values.max() <= 1.0
        assert values.shape == (*source.info.shape, source.info.channels)
        samples = quantize(values, source.info)
        return Read(source.info, samples, alpha, source.metadata, source.warnings, source.sidecar())
    finally:
        source.close()
        source.close()


def write(
    path: Path, info: SignalInfo, samples: Any, alpha: Any = None, *, metadata: Metadata | None = None,
    sidecar: bytes = b"", format: str = "", rows: int = 7,
) -> list[str]:  # fmt: skip
    """Write samples as they were written before, in blocks; returns the sink's warnings."""
    form = format or path.suffix[1:]
    values = dequantize(samples, info.sample_type, info.value_range, signed=info.modality == "audio")
    sink = open_sink(path, info, metadata or Metadata(), sidecar=sidecar, format=form)
    for a in range(0, len(values), rows):
        sink.write(Block(values[a : a + rows], None if alpha is None else alpha[a : a + rows]))
    sink.close()
    return sink.warnings


def picture(height: int, width: int, depth: int, seed: int = 0) -> Any:
    """Noise over a slope, uint8 (H, W, depth)."""
    rng = np.random.default_rng(seed)
    slope = np.linspace(0, 200, width)[None, :, None] + np.zeros((height, 1, depth))
    return (slope + rng.integers(0, 56, (height, width, depth))).astype(np.uint8)


def load(path: Path) -> Any:
    """A Pillow image that is loaded and closed."""
    with Image.open(path) as image:
        image.load()
        return image.copy()


def ffmpeg(*arguments: str) -> None:
    from nfcodec.media.ffmpeg import run

    result = run(["-y", *arguments])
    assert result.code == 0, result.log
