"""A training small enough to run to its end in a second, with every stage in it."""

import dataclasses

import numpy as np
import torch
from tiny import PICTURE

from nfcodec.modules.train.config import InnerConfig, OuterConfig, RateConfig, SparseConfig, TrainConfig
from nfcodec.modules.train.tasks import Tasks
from nfcodec.train.settings import DataConfig

CONFIG = TrainConfig(
    id="tiny",
    field=PICTURE,
    data=DataConfig(),
    inner=InnerConfig(steps=2, gamma=0.5, rate=0.05),
    outer=OuterConfig(steps=4, batch=8, bootstrap_steps=2, bootstrap_weight=0.1),
    sparse=SparseConfig(rounds=1, fraction=0.3, steps=3, score="delta", base="dense"),
    rate=RateConfig(steps=4, coarsest=0.4),
    seed=5,
)
TOTAL = 4 + 3 + 4


def changed(config=CONFIG, **tables):
    """The config with keys of its tables replaced: ``changed(sparse={"rounds": 2})``."""
    return dataclasses.replace(
        config,
        **{n: dataclasses.replace(getattr(config, n), **v) if isinstance(v, dict) else v for n, v in tables.items()},
    )


def pictures(count=3, height=20, width=24):
    """Smooth random photographs, uint8 (H, W, 3)."""
    out = []
    for seed in range(count):
        rng = np.random.default_rng(seed)
        y, x = np.mgrid[0:height, 0:width] / 10.0
        waves = sum(np.sin(rng.normal() * y + rng.normal() * x + c)[..., None] * rng.normal(size=3) for c in range(5))
        out.append(np.clip(128 + 40 * waves + rng.normal(0, 4, waves.shape), 0, 255).astype(np.uint8))
    return out


def tasks(spec=PICTURE):
    return Tasks(spec, pictures())


def state_of(trainer):
    """Every number that training carries along, by name."""
    state = {f"{g}/{n}": t.detach().clone() for g, group in trainer._groups().items() for n, t in group.items()}
    for i, p in enumerate([*trainer.theta0.values(), *trainer.log_rate.values()]):
        for key, value in trainer.optimizer.state.get(p, {}).items():
            state[f"adam/{i}/{key}"] = torch.as_tensor(value).clone()
    numbers = torch.tensor([trainer.at, trainer.loss, trainer.error, trainer.bits], dtype=torch.float64)
    state["numbers"] = torch.nan_to_num(numbers, nan=-1.0)  # nothing yet is equal to nothing yet
    return state


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
