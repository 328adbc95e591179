"""The families of fields: what every one of them offers, and where it lives. Append only: a kind, once shipped, keeps
its name and its meaning.

A family is a package with three sides, each a module called ``family``: the package itself (what encoder and decoder
share), ``fit`` (the encoder alone, :class:`nfcodec.encoder.Fitting`) and ``train``
(:class:`nfcodec.train.training.Training`). Sides are imported when they are asked for, so that decoding never loads
what only encoding needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

from nfcodec.container.layout import SectionType
from nfcodec.errors import UnsupportedFeatureError
from nfcodec.options import FieldKind, Tune

if TYPE_CHECKING:  # listing inits needs no numpy
    from collections.abc import Callable, Collection

    from nfcodec.container.reader import Entry, Reader
    from nfcodec.limits import Limits
    from nfcodec.signal import Ints, SignalInfo
    from nfcodec.types import Floats, Mask, Positions, Symbols

Box = tuple[int, int, int, int]

# The package of every kind of field, by the name that inits and --field give it.
_PACKAGES = {
    "lattice": "nfcodec.lattice", "siren": "nfcodec.modules", "lapped": "nfcodec.lapped", "dyadic": "nfcodec.dyadic",
    "moving": "nfcodec.moving",
    "fourier": "nfcodec.modules", "nerv": "nfcodec.modules",
}  # fmt: skip
# The section that holds the symbols of a field of a package.
_SECTIONS: dict[SectionType, FieldKind] = {
    SectionType.CELLS: "lattice", SectionType.DELTA: "siren", SectionType.FRAMES: "lapped",
    SectionType.SAMPLES: "dyadic", SectionType.GROUP: "moving",
}  # fmt: skip


class Init(Protocol):
    """A meta-learned starting point, as far as everybody may know it."""

    @property
    def id(self) -> str:
        """Its name."""
        ...

    @property
    def modality(self) -> str:
        """What kind of signal it is for."""
        ...

    @property
    def kind(self) -> str:
        """The kind of field."""
        ...

    @property
    def sha256(self) -> bytes:
        """Of the file's bytes."""
        ...

    @property
    def parameters(self) -> int:
        """How many numbers it holds that encoder and decoder share, entropy models apart."""
        ...

    @property
    def coded(self) -> int:
        """Symbols of one module or cell."""
        ...


@dataclass(frozen=True, slots=True)
class Deltas:
    """What a file holds: ``symbols`` in their places, (planes, K, *cells) or (modules, K), and ``steps`` (planes, K) or
    (K,), so that symbols times steps are the deltas."""

    symbols: Symbols
    steps: Floats


@dataclass(frozen=True, slots=True)
class Preview:
    """Means over ``side`` × ``side`` samples: values (⌈h/side⌉, ⌈w/side⌉, C)."""

    values: Floats
    side: int


class StoredField(Protocol):
    """The field of a file, whatever its kind. A chunk is a run of rows of the first axis."""

    @property
    def chunk_length(self) -> int:
        """Samples of axis 0 in one chunk, the last excepted."""
        ...

    @property
    def trade(self) -> float:
        """λ of its encoder: squared error of the values, summed over samples and channels, per bit."""
        ...

    @property
    def tune(self) -> Tune:
        """What its encoder minded, as :class:`~nfcodec.options.EncodeOptions` has it; "perceptual" where that makes no
        difference."""
        ...

    def symbols(self, chunk: int) -> Symbols:
        """All integers of a chunk (n,): exact on every machine."""
        ...

    def deltas(self) -> Deltas:
        """All symbols of the file in their places, and their step sizes."""
        ...

    def lacking(self) -> str:
        """What a truncated file lacks of the field, in words; nothing when all is there."""
        ...

    def render(self, chunk: int, positions: list[Positions]) -> Floats:
        """Values (n_0, …, C) of the field on the product grid of native positions; those of axis 0 lie in ``chunk``."""
        ...

    def render_dense(self, chunk: int, positions: list[Positions]) -> Floats:
        """As :meth:`render`, on a grid of several positions per output sample, over which they will be low-passed:
        what lies between the samples may be left out."""
        ...

    def samples(self, chunk: int, positions: list[Positions]) -> tuple[Ints, Mask | None] | None:
        """As :meth:`render`, samples (n_0, …) in the file's own type, and which of them are missing; None from a field
        that has values alone."""
        ...

    def written(self, values: Floats) -> Ints | None:
        """Samples (n_0, …) of values (n_0, …, 1) that were low-passed, NaN among them where samples are missing; None
        where values are all there is."""
        ...

    def sample(self, chunk: int, positions: Positions) -> Floats:
        """Values (N, C) of the same field at native positions (N, axes) that lie in ``chunk`` along axis 0."""
        ...

    def piece(self, most: int, native: int) -> int:
        """Of how many samples the pieces are in which it is asked for: ``most`` where nothing else matters, a chunk has
        ``native``."""
        ...

    def expect(self, chunk: int, rows: Callable[[], Positions]) -> None:
        """Of a chunk ``rows`` (n,), native positions along axis 0, are going to be asked for, in pieces."""
        ...

    def preview(self, step: int, box: Box, *, rough: bool) -> Preview | None:
        """The part ``box`` (x, y, width, height) of a picture from less than the whole file, as means over squares
        whose side divides ``step``; None where there is no quicker way than to render it all. ``rough``: also where a
        sample may be off by a little."""
        ...


class Runtime(Protocol):
    """What encoder and decoder share of a family."""

    def read_init(self, meta: dict[str, Any], arrays: dict[str, Any], digest: bytes) -> Init:
        """An init from what its file holds; :class:`~nfcodec.errors.CorruptError`, LookupError, TypeError or
        ValueError for anything else."""
        ...

    def init_contents(self, init: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Arrays of numpy and metadata of an init; the inverse of :meth:`read_init`."""
        ...

    def open_field(
        self, init: Any, reader: Reader, index: list[Entry], info: SignalInfo, limits: Limits, coder: Any, *,
        partial: bool,
    ) -> StoredField:  # fmt: skip
        """The field of an open file. :class:`~nfcodec.errors.CorruptError` when its parts do not fit together."""
        ...


def side(kind: str, part: str = "") -> Any:
    """The module of a family's side: "" for what all share, "fit" or "train".

    :class:`~nfcodec.errors.UnsupportedFeatureError` for a kind that is not known.
    """
    if kind not in _PACKAGES:
        known = ", ".join(sorted(_PACKAGES))
        raise UnsupportedFeatureError(f"field kind {kind!r} is not known here; known: {known}")
    return import_module(".".join(p for p in (_PACKAGES[kind], part, "family") if p))


def runtime(kind: str) -> Runtime:
    """What encoder and decoder share of a kind of field."""
    return cast(Runtime, side(kind))


def kind_of_sections(types: Collection[int]) -> FieldKind:
    """The kind of field by the sections of a file."""
    return next((kind for section, kind in _SECTIONS.items() if section in types), "siren")
