"""The training side of the lattice."""

from __future__ import annotations

import math
from dataclasses import replace

from torch import Tensor

from nfcodec.errors import OptionError
from nfcodec.lattice.fit.tensors import tensors
from nfcodec.lattice.init import LatticeInit
from nfcodec.lattice.train.bootstrap import Teacher
from nfcodec.lattice.train.config import TABLES, LatticeConfig, read_config
from nfcodec.lattice.train.export import export_lattice, params_of, with_detail, with_wider
from nfcodec.lattice.train.halves import Tuned
from nfcodec.lattice.train.looks import started
from nfcodec.lattice.train.loop import LatticeTrainer
from nfcodec.lattice.train.model import LatticeModel
from nfcodec.lattice.train.tasks import load_pieces
from nfcodec.train.signals import Folders

__all__ = ["TABLES", "finished", "new_trainer", "read_config"]


def new_trainer(
    config: LatticeConfig, folder: Folders, *, device: str = "cpu", begin: LatticeInit | None = None
) -> LatticeTrainer:  # fmt: skip
    """A trainer at step 0, with the media of ``folder`` in memory. ``begin``: the init to go on from, whose geometry
    must be that of the config (:class:`OptionError`)."""
    if config.perception.share and config.bootstrap.rounds:
        raise OptionError("the bootstrapped target is of squared errors: it does not go with a perceptual tune")
    if config.perception.share and config.detail.steps:
        raise OptionError("a perceptual tune and X are trained one after the other: set detail.steps = 0")
    params = None
    if begin is not None:
        if tuple(level.spec for level in begin.levels) != config.field.levels:
            raise OptionError(f"init {begin.id} has another geometry than the config")
        own = begin.tuned("perceptual") if config.perception.share else begin
        params = params_of(own) | _gains(own, config)
        if config.perception.share and begin.perceptual is None:
            named = [(i, started(config.perception, level)) for i, level in enumerate(begin.levels)]
            params |= {f"{i}.{name}": p for i, one in named for name, p in one.items()}
    elif config.perception.share:
        raise OptionError("a perceptual tune needs an init to go on from (--from)")
    teacher = Teacher(begin, config.bootstrap) if begin is not None and config.bootstrap.rounds else None
    trainer = LatticeTrainer(config, load_pieces(folder, config), device=device, begin=params, teacher=teacher)
    trainer.whole = begin
    if begin is not None and not config.detail.steps:
        trainer.kept_detail = tensors(begin.levels[-1].detail)
    if begin is not None and not config.outer.steps:
        trainer.tunes = tuple(_tuned(trainer.model, one) for one in (begin, begin.perceptual) if one is not None)
    return trainer


def _tuned(model: LatticeModel, init: LatticeInit) -> Tuned:
    own, last = replace(model, context=init.levels[0].context), init.levels[-1]
    return Tuned(own, params_of(init), tensors(last.detail), last.filter)


def _gains(begin: LatticeInit, config: LatticeConfig) -> dict[str, Tensor]:
    """Gains of the further inner steps for the context of the config: a loss that is a mean over a share γ of the cells
    makes steps 1/γ times as large, and training goes on with those that the init has learned."""
    found = {}
    for i, level in enumerate(begin.levels):
        if "log_again" in level.first_step:
            more = math.log2(config.context.share / level.context.share)
            found[f"{i}.log_again"] = tensors(level.first_step)["log_again"].float() + more
    return found


def finished(trainer: LatticeTrainer) -> LatticeInit:
    """The init of a trainer that has run to its end, with X as it was trained, or else as the init to go on from has
    it."""
    made, begin = _made(trainer), trainer.whole
    spacings = trainer.config.wider.spacings or (begin.spacings if begin is not None else ())
    return with_wider(made, spacings) if spacings else made


def _made(trainer: LatticeTrainer) -> LatticeInit:
    config = trainer.config
    if trainer.tunes:
        assert trainer.whole is not None
        return with_detail(trainer.whole, config.id, trainer.detail_trainer().trained())
    detail = trainer.detail_trainer().trained()[0] if config.detail.steps else trainer.kept_detail
    made = export_lattice(
        trainer.model, trainer.shipped(), name=config.id, modality=config.data.modality, detail=detail
    )  # fmt: skip
    whole = trainer.whole
    if whole is None or not (config.perception.share or whole.perceptual):
        return made
    # Trunk, tables and Y were not trained: those of the init as they are, not as they went through floats.
    tuned = whole.tuned("perceptual") if config.perception.share else whole
    both = zip(made.levels, whole.levels, tuned.levels, strict=True)
    levels = tuple(
        replace(new, trunk=old.trunk, table=old.table, detail=tuned.detail, filter=tuned.filter,
                first_step=new.first_step | {n: a for n, a in old.first_step.items() if n.startswith("analysis.")})
        for new, old, tuned in both
    )  # fmt: skip
    if config.perception.share:
        return replace(whole, id=config.id, perceptual=replace(made, levels=levels))
    assert whole.perceptual is not None
    other = replace(whole.perceptual, id=config.id)
    return replace(whole, id=config.id, levels=levels, trade=made.trade, perceptual=other)
