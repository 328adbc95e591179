"""From a signal to the bytes of a file."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from nfcodec import zoo
from nfcodec.coding.region import ALONE, RegionCoder
from nfcodec.encoder.attempts import encode_to_goal
from nfcodec.encoder.base import Encoded
from nfcodec.encoder.lattice import LatticeEncoder
from nfcodec.encoder.modules import ModuleEncoder
from nfcodec.encoder.targets import goal_of
from nfcodec.errors import OptionError
from nfcodec.lattice.init import LatticeInit
from nfcodec.options import EncodeOptions, Progress
from nfcodec.signal import SignalInfo, Source

__all__ = ["Encoded", "choose_init", "encode_signal"]


def choose_init(info: SignalInfo, options: EncodeOptions) -> zoo.AnyInit:
    """The init to use: the one asked for, or the default of the signal's kind (and of the field asked for)."""
    if options.init is not None:
        init = zoo.load(options.init)
        if options.field not in (None, init.kind):
            raise OptionError(f"init {init.id} is of the field {init.kind}, not {options.field}")
        return init
    rate = float(info.rate) if info.rate is not None else None
    return zoo.load(zoo.default_id(info.modality, len(info.shape), rate, options.field))


def encode_signal(
    source: Source, out: BinaryIO, options: EncodeOptions, *, progress: Progress | None = None,
    again: Callable[[], Source] | None = None, coder: RegionCoder = ALONE,
) -> Encoded:  # fmt: skip
    """Encode ``source`` to ``out`` (binary, written once from start to end).

    ``again`` opens the source anew: a field of modules needs it for a target, and then leaves ``source`` unread.
    ``coder``: codes the regions of a lattice, see :mod:`nfcodec.coding.together`.
    Raises :class:`~nfcodec.errors.UnsupportedMediaError` when the init does not fit the signal.
    """
    init = choose_init(source.info, options)
    if isinstance(init, LatticeInit):
        return LatticeEncoder(source, init, options, progress, coder).run(out)
    goal = goal_of(options, source.info.samples)
    if goal is None:
        return ModuleEncoder(source, init, options, progress).run(out)
    if again is None:
        raise OptionError(f"{goal.name}: init {init.id} needs a source that can be opened again to meet a target")
    return encode_to_goal(again, init, out, options, goal, source.info.samples, progress)
