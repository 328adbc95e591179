"""Make golden files: new ones by name, old ones only when the format or the test inits change for good.

    python tests/golden/make_golden.py NAME…
    python tests/golden/make_golden.py --force

Files that were written once must decode to the same samples for ever; that is what test_golden.py holds. New
golden files mean that old .nfc files are lost, or that the inits of tests/data were trained anew.
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from helpers import MemorySource, init, memory, moving, pack, painting, sound  # noqa: E402

from nfcodec.encoder import encode_growing  # noqa: E402
from nfcodec.media.array import array_source  # noqa: E402
from nfcodec.media.samples import dequantize, samples_of  # noqa: E402
from nfcodec.options import EncodeOptions  # noqa: E402
from nfcodec.signal import Metadata, SignalInfo  # noqa: E402

# What lies between the samples is pinned for these, too.
ENLARGED = ("shipped",)


def drawn() -> Any:
    """A painting with a box of two colours in it: part of the file is an overlay."""
    samples = painting(40, 50, 5)
    samples[:32, :32] = 230
    samples[4:28:3, 5:30] = (200, 20, 40)
    return samples


def scenes() -> Any:
    """Two scenes, one that moves and one of few colours behind it, over three groups."""
    clip = np.concatenate([moving(9, 24, 42, 3), np.full((9, 24, 42, 3), 40, np.uint8)])
    for t, frame in enumerate(clip[9:]):
        frame[4:9, 3 + t : 12 + t] = (200, 20, 40)
    return clip


def grown(source: Any, kind: str, **options: Any) -> tuple[bytes, Any]:
    """A file that was written while its signal came in."""
    out = io.BytesIO()
    encoded = encode_growing(source, out, EncodeOptions(init=init(kind), **options))
    return out.getvalue(), encoded


def edges() -> Any:
    """A painting with sharp edges: there is something between its samples."""
    samples = painting(21, 26, 6).astype(np.int64)
    y, x = np.indices(samples.shape[:2])
    return np.clip(samples + 90 * (y > 0.6 * x)[..., None] - 60 * (x > 15)[..., None], 0, 255).astype(np.uint8)


def soft() -> Any:
    """A wide disc on slopes: cells that lie far apart show all of it."""
    y, x = np.mgrid[:70, :90].astype(np.float64)
    disc = 0.5 - 0.5 * np.tanh((np.hypot(y - 30, x - 40) - 22) / 9)
    planes = [90 + 60 * disc + x / 2, 120 - 40 * disc + y / 2, 140 + 20 * disc - x / 3]
    return np.clip(np.rint(np.stack(planes, -1)), 0, 255).astype(np.uint8)


def tinted() -> Any:
    """Brown waves on an even ground that lies between two steps: planes of its own, and grids moved."""
    y, x = np.mgrid[:150, :200].astype(np.float64)
    wave = 0.55 + 0.3 * np.sin(x / 3 + y / 5) * np.exp(-(((y - 80) / 40) ** 2) - ((x - 90) / 30) ** 2)
    return np.clip(np.rint(wave[..., None] * (255.0, 165.0, 70.0)), 0, 255).astype(np.uint8)


def sources() -> dict[str, tuple[Any, str, dict[str, Any]]]:
    """Name, source, init and options of every golden file. The tall picture has two regions."""
    grey = np.add.outer(np.arange(17) * 1500, np.arange(23) * 1300).astype(np.uint16)[..., None]
    grey_info = SignalInfo("image", (17, 23), 1, "u16")
    plain = memory("image", painting(19, 26, 3))
    alpha = (np.indices((19, 26)).sum(0) * 5).astype(np.uint8)
    tags = Metadata(icc=b"icc profile", tags=(("title", "näive"),))
    table = np.sin(np.arange(12 * 15) / 20).reshape(12, 15).astype(np.float32)
    bounds = float(table.min()), float(table.max())
    table_info = SignalInfo("array", (12, 15), 1, "f32", value_range=bounds)
    grid = (280 + 10 * np.outer(np.cos(np.arange(40) / 9), np.sin(np.arange(60) / 7))).astype(np.float32)
    grid[5:9, 50:] = np.nan
    clip = memory("video", moving(6, 10, 18, 2))
    return {
        "rgb": (memory("image", painting(21, 30)), "image", {}),
        "grey16": (MemorySource(grey_info, dequantize(grey, "u16")), "masked", {"quality": 90}),
        "rgba": (MemorySource(replace(plain.info, alpha=True), plain.values, alpha, tags), "image", {"quality": 30}),
        "stereo": (memory("audio", sound(333, 2)), "audio", {"quality": 60}),
        "voice": (memory("audio", sound(9000, 1)), "speech-lapped", {"quality": 50}),
        "growing": (memory("audio", sound(1700, 2)), "audio", {"quality": 40}),
        "clip": (replace(clip, info=replace(clip.info, rate=Fraction(30000, 1001))), "video", {}),
        "fourier": (memory("image", painting(21, 30, 8)), "fourier", {"quality": 70}),
        "nerv": (memory("video", moving(6, 12, 18, 5)), "nerv", {"quality": 70}),
        "lattice": (MemorySource(replace(plain.info, alpha=True), plain.values, alpha, tags), "tiny-lattice", {}),
        "drawn": (memory("image", drawn()), "tiny-lattice", {}),
        "tall": (memory("image", painting(1030, 9, 4, 1)), "tiny-lattice", {"quality": 90}),
        "shipped": (memory("image", edges()), "photo-lattice", {"quality": 80}),
        "wide": (memory("image", soft()), "photo-lattice", {"quality": 40, "tune": "psnr"}),
        "filtered": (memory("image", painting(43, 70, 12)), "filtered-lattice", {"quality": 80, "tune": "psnr"}),
        "turned": (memory("image", tinted()), "photo-lattice", {"quality": 50, "tune": "psnr"}),
        "table": (MemorySource(table_info, dequantize(table, "f32", bounds)[..., None]), "image", {"quality": 100}),
        "moving": (memory("video", scenes()), "tiny-moving", {"quality": 70}),
        "told": (memory("video", moving(9, 40, 56, 7)), "told-moving", {"quality": 85}),
        "grid": (array_source(grid), "array-dyadic", {"max_error": "0.1%", "wrap": (1,)}),
    }


def main() -> None:
    names = sys.argv[1:]
    force = "--force" in names
    if not names or (not force and any((HERE / f"{name}.nfc").exists() for name in names)):
        sys.exit("golden files are kept, not made; --force replaces them (read the top of this script first)")
    from nfcodec.decoder import Decoder
    from nfcodec.lattice.fit import coded
    from nfcodec.options import DecodeOptions

    coded.SPLIT_FROM = 0  # a section for every layer, as larger pictures have them
    expected, stored = json.loads((HERE / "expected.json").read_text()), dict(np.load(HERE / "samples.npz"))
    for name, (source, kind, options) in sources().items():
        if not force and name not in names:
            continue
        data, encoded = (grown if name == "growing" else pack)(source, kind, effort=4, **options)
        (HERE / f"{name}.nfc").write_bytes(data)
        decoder = Decoder(io.BytesIO(data), inits=(init(kind),))
        blocks = list(decoder.blocks(DecodeOptions()))
        samples = np.concatenate([samples_of(b, decoder.info) for b in blocks])
        stored[name] = samples
        if name in ENLARGED:
            twice = [b.values for b in decoder.blocks(DecodeOptions(scale=2.0))]
            stored[f"{name} at 2x"] = np.concatenate(twice)
        expected[name] = {
            "init": kind, "bytes": len(data), "shape": list(decoder.info.shape), "channels": decoder.info.channels,
            "type": decoder.info.sample_type, "symbols": encoded.digest,
            "samples": hashlib.sha256(np.ascontiguousarray(samples).tobytes()).hexdigest(),
        }  # fmt: skip
        print(f"{name}: {len(data)} bytes, {encoded.psnr:.2f} dB")
    np.savez_compressed(HERE / "samples.npz", **stored)
    (HERE / "expected.json").write_text(json.dumps(expected, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
