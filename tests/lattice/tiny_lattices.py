"""Tiny lattices of every geometry, trained for some seconds on synthetic signals and stored in tests/data."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from helpers import INITS, init, painting, sound

from nfcodec import zoo
from nfcodec.lattice.init import LatticeInit
from nfcodec.lattice.spec import MID_SIDE, OPPONENT, PLAIN, LatticeSpec
from nfcodec.lattice.train.config import DetailConfig, Field, LatticeConfig, NetworkConfig, OuterLoop, PruneConfig
from nfcodec.lattice.train.export import export_lattice
from nfcodec.lattice.train.loop import LatticeTrainer
from nfcodec.lattice.train.tasks import Crops, Pieces, Stretches
from nfcodec.train.settings import DataConfig

NETWORKS = NetworkConfig(d_width=8, d_blocks=1, e_width=8, e_blocks=1, hidden=8, mean_hidden=8)
PLANES = {"plain": PLAIN, "mid-side": MID_SIDE, "opponent": OPPONENT}


def config_of(name: str) -> LatticeConfig:
    """The config of one of :data:`GEOMETRIES`."""
    levels, crop, span = GEOMETRIES[name]
    audio = levels[0].axes == 1
    outer = OuterLoop(
        steps=150, batch=4, crop=crop, lr=6e-3, warmup=10, double_every=0, fit=600, drawn=0.0, trade=span[0],
        span=span[1],
    )  # fmt: skip
    data = DataConfig(modality="audio" if audio else "image")
    return LatticeConfig(
        id=name, field=Field(levels), data=data, networks=NETWORKS, outer=outer, prune=PruneConfig(share=0.0),
        detail=DetailConfig(steps=0), seed=1,
    )  # fmt: skip


_SOUND, _PICTURE = (1e-3, 1e-4), (5.6e-2, 5e-4)
GEOMETRIES: dict[str, tuple[tuple[LatticeSpec, ...], int, tuple[float, float]]] = {
    "mono": ((LatticeSpec.of(spacing=(16,), planes=PLAIN, region=(8,), width=32, w0=24.0),), 256, _SOUND),
    "stereo": ((LatticeSpec.of(spacing=(16,), planes=MID_SIDE, region=(8,), width=32, w0=24.0),), 256, _SOUND),
    "grey": ((LatticeSpec.of(spacing=(4, 4), planes=PLAIN, region=(8, 8), width=24),), 32, _PICTURE),
    "colour": ((LatticeSpec.of(spacing=(4, 4), region=(8, 8), width=24),), 32, _PICTURE),
    "coarse-fine": (
        (
            LatticeSpec.of(spacing=(8, 8), bases=10, region=(4, 4), width=24),
            LatticeSpec.of(spacing=(4, 4), region=(8, 8), width=24),
        ),
        32, _PICTURE,
    ),
}  # fmt: skip


def pieces_of(config: LatticeConfig) -> Pieces:
    """Synthetic signals for a config."""
    crop = config.outer.crop
    if config.data.modality == "audio":
        planes = len(config.field.levels[0].planes)
        return Stretches([sound(4000, planes, seed) for seed in range(4)], crop, planes)
    planes_of = LatticeTrainer(config, None).model.planes  # type: ignore[arg-type]
    return Crops([painting(96, 96, seed) for seed in range(8)], crop, planes_of)


def trained(name: str) -> LatticeInit:
    """The init of one of :data:`GEOMETRIES`, made now: that takes ten seconds."""
    config = config_of(name)
    trainer = LatticeTrainer(config, pieces_of(config))
    trainer.run()
    return export_lattice(trainer.model, trainer.shipped(), name=name, modality=config.data.modality)


def path_of(name: str) -> str:
    """The path of that init as it is stored; ``python tests/lattice/tiny_lattices.py`` makes them anew."""
    return init(f"lattice-{name}")


def signal_of(name: str, size: int = 45, seed: int = 99) -> np.ndarray:
    """A signal that the init was not trained on: uint8 (h, w, C) or float32 (n, C)."""
    levels = GEOMETRIES[name][0]
    if levels[0].axes == 1:
        return np.asarray(sound(10 * size, len(levels[0].planes), seed))
    return np.asarray(painting(size, size + 16, seed, channels=1 if len(levels[0].planes) == 1 else 3))


def main() -> None:
    torch.set_num_threads(1)
    for name in GEOMETRIES:
        zoo.write_init(trained(name), INITS / f"lattice-{name}.safetensors")
        print(f"lattice-{name}.safetensors", flush=True)


if __name__ == "__main__":
    main()
