"""What determines an init for moving pictures: the tables of its TOML file (``field.kind = "moving"``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nfcodec.errors import OptionError
from nfcodec.lattice.init import LatticeInit, Level
from nfcodec.lattice.train.config import DetailConfig, Field, LatticeConfig, NetworkConfig, OuterLoop, PruneConfig
from nfcodec.moving.init import FRAMES
from nfcodec.train.settings import DataConfig


@dataclass(frozen=True, slots=True)
class ClipConfig:
    """What is cut out of every clip and encoded, for its residuals: ``width`` × ``height`` samples at a random place
    and a random quality ``lowest`` … ``highest``. Crops of which a ``share`` of the blocks is coded are kept."""

    width: int = 320
    height: int = 256
    lowest: int = 40
    highest: int = 97
    share: float = 0.25


@dataclass(frozen=True, slots=True)
class ResidualLoop:
    """``steps`` of Adam on ``batch`` crops of ``crop`` samples of residuals; ``lr`` warms up over ``warmup`` steps and
    falls to zero over the last share ``decay`` of them. ``average``: of the running mean that is shipped."""

    steps: int = 1500
    batch: int = 4
    crop: int = 96
    lr: float = 3e-4
    warmup: int = 30
    decay: float = 0.6
    average: float = 0.99


@dataclass(frozen=True, slots=True)
class PriorLoop:
    """After the residuals' networks: ``steps`` of Adam on ``batch`` pictures, for the prior alone, which is told of
    predictions. Every clip is encoded ``encodings`` times. ``lr``: of the weights of what it is told, a ``share`` of
    that for all others; it warms up and falls to zero in a cosine. ``average``: of the running mean that is shipped."""

    steps: int = 0
    batch: int = 4
    encodings: int = 4
    lr: float = 1e-3
    share: float = 0.2
    average: float = 0.98


@dataclass(frozen=True, slots=True)
class MovingFieldConfig:
    """``pictures``: the id of the init for pictures of their own, from whose networks those of residuals begin;
    ``frames``: of a group."""

    pictures: str = "photo-lattice"
    frames: int = FRAMES

    @property
    def kind(self) -> str:
        """The kind of field."""
        return "moving"


@dataclass(frozen=True, slots=True)
class MovingConfig:
    """Everything that determines an init for moving pictures, with the data and the seed."""

    id: str
    field: MovingFieldConfig
    data: DataConfig = DataConfig(modality="video", frames=17)
    clips: ClipConfig = ClipConfig()
    outer: ResidualLoop = ResidualLoop()
    prior: PriorLoop = PriorLoop()
    seed: int = 0

    def lattice(self, pictures: LatticeInit) -> LatticeConfig:
        """How the level of residuals is trained, as that of a lattice whose trunk stays."""
        outer, (trade, span) = self.outer, pictures.trade
        loop = OuterLoop(
            steps=outer.steps, batch=outer.batch, crop=outer.crop, lr=outer.lr, warmup=outer.warmup, decay=outer.decay,
            average=outer.average, double_every=0, drawn=0.0, trade=trade, span=span,
        )  # fmt: skip
        level = pictures.levels[0]
        return LatticeConfig(
            id=self.id, field=Field((level.spec,)), data=self.data, outer=loop, prune=PruneConfig(share=0.0),
            networks=_networks(level), context=level.context, detail=DetailConfig(steps=self.prior.steps),
            seed=self.seed,
        )  # fmt: skip


def _networks(level: Level) -> NetworkConfig:
    """The sizes of the networks of a level."""
    prior = level.prior
    return NetworkConfig(
        inner_steps=level.inner_steps, d_width=len(level.restore.enter.bias), d_blocks=len(level.restore.blocks),
        e_width=len(level.first_step["e.in.bias"]), e_blocks=level.correction_blocks,
        hidden=len(prior.groups[0].layers[0].bias), mean_hidden=len(prior.means[0].layers[0].bias),
    )  # fmt: skip


TABLES: dict[str, type[Any]] = {"data": DataConfig, "clips": ClipConfig, "outer": ResidualLoop, "prior": PriorLoop}


def read_config(data: dict[str, Any], parts: dict[str, Any]) -> MovingConfig:
    """The config of the ``field`` table and of the other tables, which are read already."""
    field = {k: v for k, v in data["field"].items() if k != "kind"}
    if set(field) - {"pictures", "frames"} or not isinstance(field.get("pictures", ""), str):
        raise OptionError("field: pictures (the id of an init) and frames are known here")
    if type(field.get("frames", 1)) is not int or field.get("frames", 1) < 1:
        raise OptionError(f"field.frames = {field['frames']!r} must be a whole number above 0")
    return MovingConfig(field=MovingFieldConfig(**field), **parts)
