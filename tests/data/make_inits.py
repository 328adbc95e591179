"""Train the tiny inits of the tests on synthetic signals: about seven minutes on one thread.

    OMP_NUM_THREADS=1 python tests/data/make_inits.py

The golden files name these inits by hash, so new inits need new golden files (tests/golden/make_golden.py).
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from nfcodec import zoo
from nfcodec.entropy.networks import Layer
from nfcodec.lattice.filtering import SampleFilter
from nfcodec.lattice.prior import Network, Prior
from nfcodec.lattice.restore import Restore
from nfcodec.lattice.spec import LatticeSpec
from nfcodec.lattice.train import config as lattice_config
from nfcodec.lattice.train.config import DetailConfig, Field, LatticeConfig, NetworkConfig, PruneConfig
from nfcodec.lattice.train.export import with_wider
from nfcodec.lattice.train.loop import LatticeTrainer
from nfcodec.lattice.train.tasks import Crops
from nfcodec.modules.spec import FieldSpec
from nfcodec.modules.train.config import InnerConfig, OuterConfig, RateConfig, SparseConfig, TrainConfig
from nfcodec.modules.train.export import export
from nfcodec.modules.train.loop import Trainer
from nfcodec.modules.train.tasks import Tasks
from nfcodec.moving.given import told
from nfcodec.moving.init import MovingInit
from nfcodec.train.settings import DataConfig
from nfcodec.train.training import finished

sys.path.insert(0, str(Path(__file__).parents[1]))
from helpers import INITS, moving, painting, sound  # noqa: E402


def spec(axes: int, tile: tuple[int, ...], width: int) -> FieldSpec:
    pictures = axes > 1
    return FieldSpec("siren", axes, 3 if pictures else 1, width, 2, 30, 1, pictures, pictures, tile)


FOURIER = FieldSpec("fourier", 2, 3, 16, 1, 2, 1, True, True, (8, 8))
NERV = FieldSpec("nerv", 3, 3, 32, 2, 3, 1, True, True, (4, 8, 8))


def config(name: str, modality: str, field: FieldSpec, coarsest: float, base: str = "dense") -> TrainConfig:
    score = "theta" if base == "masked" else "delta"
    return TrainConfig(
        id=f"test-{name}", field=field, data=DataConfig(modality=modality), inner=InnerConfig(2, 0.5, 0.01),
        outer=OuterConfig(steps=700, batch=32), sparse=SparseConfig(2, 0.25, 150, score, base),
        rate=RateConfig(steps=1200, coarsest=coarsest), seed=1,
    )  # fmt: skip


def brief(name: str, modality: str, field: FieldSpec, coarsest: float) -> TrainConfig:
    """For golden files alone: it need not be good."""
    outer, rate = OuterConfig(steps=150, batch=8, lr=3e-3), RateConfig(steps=150, coarsest=coarsest)
    return replace(config(name, modality, field, coarsest), outer=outer, sparse=SparseConfig(1, 0.2, 20), rate=rate)


def mono(seed: int) -> np.ndarray:
    return sound(8000, 1, seed)


PLANS = {
    "image": (config("image", "image", spec(2, (8, 8), 16), 0.8), [painting(96, 96, s) for s in range(40)]),
    "masked": (config("masked", "image", spec(2, (8, 8), 12), 0.8, "masked"), [painting(96, 96, s) for s in range(40)]),
    "audio": (config("audio", "audio", spec(1, (64,), 16), 0.5), [mono(s) for s in range(40)]),
    "video": (config("video", "video", spec(3, (4, 8, 8), 16), 1.5), [moving(12, 48, 48, s) for s in range(16)]),
    "fourier": (brief("fourier", "image", FOURIER, 0.8), [painting(96, 96, s) for s in range(40)]),
    "nerv": (brief("nerv", "video", NERV, 1.5), [moving(12, 48, 48, s) for s in range(16)]),
}


# Most of its bytes are the two tables of the first step, 64 × 256 each.
LATTICE = LatticeConfig(
    id="test-lattice", field=Field((LatticeSpec(width=48),)),
    networks=NetworkConfig(d_width=8, d_blocks=1, e_width=8, e_blocks=1, hidden=5, mean_hidden=5),
    outer=lattice_config.OuterLoop(steps=2500, batch=2, crop=64, lr=3e-3, warmup=20), prune=PruneConfig(share=0.0),
    detail=DetailConfig(steps=0), seed=1,
)  # fmt: skip


def make_lattice() -> None:
    trainer = LatticeTrainer(LATTICE, Crops([painting(160, 160, s) for s in range(40)], LATTICE.outer.crop))
    trainer.run(report=lambda r: print(f"\r{r.step}/{r.total} {r.psnr:.2f} dB {r.bits:.3f} bits", end=""))
    digest = zoo.write_init(finished(trainer), INITS / "tiny-lattice.safetensors")
    print(f"\ntiny-lattice: {digest.hex()[:8]}")


def make_moving() -> None:
    """Groups of eight, residuals with the networks of tiny-lattice."""
    lattice = zoo.read_init(INITS / "tiny-lattice.safetensors")
    init = MovingInit("test-moving", "video", lattice, replace(lattice.levels[0], offset=None), 8, b"")
    print(f"tiny-moving: {zoo.write_init(init, INITS / 'tiny-moving.safetensors').hex()[:8]}")


def make_told() -> None:
    """The same with a prior of residuals that is told of predictions, by random weights of one unit."""
    init, random = zoo.read_init(INITS / "tiny-moving.safetensors"), np.random.default_rng(0)
    level = init.residuals
    what, order = told(level.spec), level.prior.order

    def wider(network: Network, symbols: int) -> Network:
        first, *rest = network.layers
        more = random.choice([-1.0, 0.0, 0.0, 1.0], (len(first.bias), what.inputs(symbols))).astype(np.float32)
        return Network((replace(first, weight=np.concatenate([first.weight, more], 1)), *rest))

    groups = tuple(wider(n, s) for n, (_, s) in zip(level.prior.groups, order.groups, strict=True))
    means = tuple(wider(n, s) for n, (_, s) in zip(level.prior.means, order.means, strict=True))
    prior = Prior(level.spec, groups, means, what)
    found = replace(init, id="test-told", residuals=replace(level, prior=prior), sha256=b"")
    print(f"told-moving: {zoo.write_init(found, INITS / 'told-moving.safetensors').hex()[:8]}")


def make_filtered() -> None:
    """tiny-lattice with another spacing and a Y of random weights, four views and three heads; the perceptual tune has
    none."""
    init = with_wider(zoo.read_init(INITS / "tiny-lattice.safetensors"), (12,))
    level, random = init.levels[0], np.random.default_rng(0)

    def layer(rows: int, inputs: int, shift: int) -> Layer:
        weight = random.integers(-40, 41, (rows, inputs)).astype(np.float32)
        bias = random.integers(-300, 301, rows).astype(np.float32)
        return Layer(weight, bias, np.full(rows, shift, np.int32))

    networks = tuple(
        Restore(layer(6, 9 * 12 + 8 + 1, 5), tuple(layer(6, 54, 6) for _ in range(blocks)), layer(3 * 12, 6, 4))
        for blocks in (2, 1)
    )
    found = SampleFilter(networks, np.arange(-900, -1860, -120).astype(np.int16), views=4, heads=3)
    filtered = replace(level, filter=found)
    made = replace(
        init, id="test-filtered", levels=(filtered,), perceptual=replace(init, id="test-filtered"), sha256=b""
    )  # fmt: skip
    print(f"filtered-lattice: {zoo.write_init(made, INITS / 'filtered-lattice.safetensors').hex()[:8]}")


# What has a maker of its own.
MADE = {
    "tiny-lattice": make_lattice, "tiny-moving": make_moving, "told-moving": make_told,
    "filtered-lattice": make_filtered,
}  # fmt: skip


def main() -> None:
    torch.set_num_threads(1)
    for name in sys.argv[1:] or [*PLANS, *MADE]:
        if name in MADE:
            MADE[name]()
            continue
        settings, signals = PLANS[name]
        began = time.monotonic()
        trainer = Trainer(settings, Tasks(settings.field, signals))
        trainer.run(report=lambda r: print(f"\r{r.step}/{r.total} {r.psnr:.2f} dB {r.bits:.3f} bits", end=""))
        digest = zoo.write_init(export(trainer, modules=256), INITS / f"{name}.safetensors")
        print(f"\n{name}: {digest.hex()[:8]}, {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
