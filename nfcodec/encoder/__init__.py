"""From a signal to the bytes of a file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, BinaryIO, Protocol, cast

from nfcodec import families, zoo
from nfcodec.encoder.base import Encoded
from nfcodec.errors import OptionError, UnsupportedMediaError
from nfcodec.lattice.code import ALONE, RegionCoder
from nfcodec.options import EncodeOptions, Progress
from nfcodec.signal import SignalInfo, Source

# The field whose samples keep to a bound.
BOUNDED = "dyadic"

__all__ = ["Encoded", "Fitting", "choose_init", "encode_growing", "encode_signal"]


class Fitting(Protocol):
    """The encoder's side of a family of fields: its module ``fit.family``."""

    def encode(
        self, source: Source, out: BinaryIO, init: Any, options: EncodeOptions, *, progress: Progress | None,
        again: Callable[[], Source] | None, coder: RegionCoder,
    ) -> Encoded:  # fmt: skip
        """See :func:`encode_signal`."""
        ...


def choose_init(info: SignalInfo, options: EncodeOptions) -> families.Init:
    """The init to use: the one asked for, or the default of the signal's kind (and of the field asked for)."""
    if options.init is not None:
        init = zoo.load(options.init)
        if options.field not in (None, init.kind):
            raise OptionError(f"init {init.id} is of the field {init.kind}, not {options.field}")
        return init
    rate = float(info.rate) if info.rate is not None else None
    return zoo.load(zoo.default_id(info.modality, len(info.shape), rate, options.field))


def _check_arrays_only(info: SignalInfo, init: families.Init, options: EncodeOptions) -> None:
    """Raise where options, or samples that are missing, ask for the field of arrays and this is another."""
    bound = init.kind == BOUNDED
    if not bound and (options.max_error is not None or options.wrap):
        name = "max_error" if options.max_error is not None else "wrap"
        raise OptionError(f"{name} is for arrays on the field {BOUNDED}, not for {info.modality} on {init.kind}")
    if not bound and info.gaps:
        gone = "NaN, infinite or a fill value"
        raise UnsupportedMediaError(f"samples are missing ({gone}), which {init.kind} does not keep")


def encode_signal(
    source: Source, out: BinaryIO, options: EncodeOptions, *, progress: Progress | None = None,
    again: Callable[[], Source] | None = None, coder: RegionCoder | None = None,
) -> Encoded:  # fmt: skip
    """Encode ``source`` to ``out`` (binary, written once from start to end).

    ``again`` opens the source anew: a field of modules needs it for a target, and then leaves ``source`` unread.
    ``coder``: codes the regions of a lattice, see :mod:`nfcodec.lattice.together`.
    Raises :class:`~nfcodec.errors.UnsupportedMediaError` when the init does not fit the signal.
    """
    init = choose_init(source.info, options)
    _check_arrays_only(source.info, init, options)
    fitting = cast(Fitting, families.side(init.kind, "fit"))
    return fitting.encode(source, out, init, options, progress=progress, again=again, coder=coder or ALONE)


def encode_growing(
    source: Source, out: BinaryIO, options: EncodeOptions, *, progress: Progress | None = None,
    told: Callable[[int], None] | None = None,
) -> Encoded:  # fmt: skip
    """Encode a recording of unknown length to ``out`` (binary, only ever appended to) while it is made.

    ``told`` hears how many samples the file holds whenever it holds more. Raises
    :class:`~nfcodec.errors.UnsupportedMediaError` for anything but sound, and for fields that need all of it.
    """
    init = choose_init(source.info, options)
    fitting = families.side(init.kind, "fit")
    if source.info.modality != "audio" or not hasattr(fitting, "encode_growing"):
        raise UnsupportedMediaError(f"a growing file holds sound on lapped fields or modules, not {init.kind}")
    return cast(Encoded, fitting.encode_growing(source, out, init, options, progress=progress, told=told))
