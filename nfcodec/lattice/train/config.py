"""What determines a lattice init: the tables of its TOML file (``field.kind = "lattice"``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from nfcodec.errors import CorruptError
from nfcodec.lattice.context import Context
from nfcodec.lattice.spec import MID_SIDE, OPPONENT, PLAIN, LatticeSpec, Plane
from nfcodec.train.settings import DataConfig


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """Sizes of the networks around a lattice: D (``d_width``, ``d_blocks``), that of the first step (``e_width``,
    ``e_blocks``), the prior (``hidden`` for groups of symbols, ``mean_hidden`` for the means); ``inner_steps`` of
    gradient descent before the first step's network."""

    inner_steps: int = 2
    d_width: int = 160
    d_blocks: int = 2
    e_width: int = 128
    e_blocks: int = 1
    hidden: int = 128
    mean_hidden: int = 48


@dataclass(frozen=True, slots=True)
class OuterLoop:
    """``steps`` of Adam on ``batch`` crops of ``crop`` samples along each axis; ``lr`` warms up over ``warmup`` steps
    and falls to zero over the last share ``decay`` of them. Every ``double_every``-th step also renders at 2× against
    the larger original, weighted ``double``. ``average``: of the running mean that is shipped. ``fit``: steps that fit
    the trunk to the lapped basis before all this. A share ``drawn`` of the crops comes from ``drawings`` drawn
    pictures, a share ``enlarged`` is enlarged up to twice. λ is ``trade`` at quality 0, and ``span`` times that at 100:
    squared error of a sample per bit and sample; on photographs quality 0 then comes out near 0.05 bits per pixel, 100
    above 2.5, and each step in between adds alike."""

    steps: int = 25000
    batch: int = 4
    crop: int = 128
    lr: float = 1e-3
    warmup: int = 200
    decay: float = 0.5
    clip: float = 1.0
    double_every: int = 4
    double: float = 0.3
    average: float = 0.999
    fit: int = 4000
    drawn: float = 0.12
    drawings: int = 120
    enlarged: float = 0.0
    trade: float = 5.6e-2
    span: float = 5e-4


@dataclass(frozen=True, slots=True)
class PruneConfig:
    """The trunk loses its smallest weights until ``share`` of each layer is gone, between the shares ``start`` and
    ``stop`` of the outer steps, in rounds of ``every`` steps; what is gone stays gone."""

    share: float = 0.5
    start: float = 0.02
    stop: float = 0.35
    every: int = 50


@dataclass(frozen=True, slots=True)
class SparseConfig:
    """Meta-SparseINR (Lee et al. 2021, Algorithm 1): ``rounds`` times, evenly over the outer steps, a ``share`` of the
    weights that are left goes, by one threshold over the trunk, the first step and D together, or at ``random``; the
    rest trains on. None where ``rounds`` is 0. ``unit`` of the threshold: weights as they are, or in units of the
    spread of their tensor, since the networks have units of their own. ``scope``: the networks but for the
    trunk's first layer, which sets the frequencies of everything; all networks; the tables of the preconditioner as
    well."""

    rounds: int = 0
    share: float = 0.2
    choice: Literal["magnitude", "random"] = "magnitude"
    unit: Literal["weight", "spread"] = "spread"
    scope: Literal["inner", "networks", "all"] = "inner"


@dataclass(frozen=True, slots=True)
class OffsetConfig:
    """W0, the last layers that Δ is taken from: learned at ``rate`` times ``outer.lr``; none where it is 0, and what an
    init to go on from has stays."""

    rate: float = 0.0


@dataclass(frozen=True, slots=True)
class BootstrapConfig:
    """The bootstrapped target (GradNCP; Tack et al. 2023, §3.2): what ``rounds`` further rounds of the encoder make of
    a batch with the init that training goes on from teaches the first steps, every ``every``-th step; none where
    ``rounds`` is 0. ``form`` of the distance to it, and its ``weight`` beside R + D/λ: bits per step that a symbol is
    off. ``ring``: the steps with a target go round so many batches, whose targets are kept; always new ones where it
    is 0. ``rate``: learning rate of the correction network relative to ``outer.lr``."""

    rounds: int = 0
    form: Literal["norm", "square", "hinge"] = "hinge"
    weight: float = 30.0
    every: int = 1
    ring: int = 0
    rate: float = 0.5


@dataclass(frozen=True, slots=True)
class PerceptionConfig:
    """Training to look well, from an init that makes errors small: its trunk and its first step's tables stay, and what
    is trained becomes its perceptual tune. Off where ``share`` is 0: how much of the loss of distortion is by the score
    of :mod:`nfcodec.lattice.train.perception`, the rest by squared error. One point of it is worth as much as a change
    of the rate by 1/``slope_low`` at quality 0, by 1/``slope_high`` at 100.

    Where training starts, if the init has no perceptual tune yet: steps are those of a quality that is
    ``finer_low`` … ``finer_high`` higher, grow linearly with frequency to ``highest`` times at the highest, those of
    colours are ``chroma`` times as large, and all but those of the means grow with activity by γ = ``masking``."""

    share: float = 0.0
    slope_low: float = 58.0
    slope_high: float = 9.0
    finer_low: float = 10.0
    finer_high: float = 18.0
    highest: float = 4.5
    chroma: float = 0.8
    masking: float = 0.3


@dataclass(frozen=True, slots=True)
class DetailConfig:
    """X, what is shown between the samples of the first ``shown`` planes: ``blocks`` residual layers of ``width``
    channels, trained for ``steps`` steps on parts of ``batch`` pictures, ``crop`` samples of half the size on each
    side, at qualities from ``lowest`` to 100. ``ring``: batches of eight encoded pictures that are used again and
    again. ``average``: how much of the running mean of the weights, which is what is kept, stays in a step."""

    width: int = 32
    blocks: int = 6
    shown: int = 1
    steps: int = 4000
    batch: int = 8
    crop: int = 64
    lowest: int = 20
    ring: int = 600
    lr: float = 2e-3
    average: float = 0.99


@dataclass(frozen=True, slots=True)
class Field:
    """The levels of a lattice."""

    levels: tuple[LatticeSpec, ...]

    @property
    def kind(self) -> str:
        """The kind of field."""
        return "lattice"

    @property
    def axes(self) -> int:
        """Axes of its signals."""
        return self.levels[0].axes


@dataclass(frozen=True, slots=True)
class WiderConfig:
    """Other ``spacings`` that an encoder may choose for a signal, in samples along every axis; where none are named,
    those of the init to go on from. Nothing is trained for them."""

    spacings: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class LatticeConfig:
    """Everything that determines a lattice init, with the data and the seed."""

    id: str
    field: Field
    data: DataConfig = DataConfig()
    networks: NetworkConfig = NetworkConfig()
    outer: OuterLoop = OuterLoop()
    prune: PruneConfig = PruneConfig()
    sparse: SparseConfig = SparseConfig()
    offset: OffsetConfig = OffsetConfig()
    bootstrap: BootstrapConfig = BootstrapConfig()
    context: Context = Context()
    detail: DetailConfig = DetailConfig()
    perception: PerceptionConfig = PerceptionConfig()
    wider: WiderConfig = WiderConfig()
    seed: int = 0


TABLES: dict[str, type[Any]] = {
    "data": DataConfig, "networks": NetworkConfig, "outer": OuterLoop, "prune": PruneConfig, "detail": DetailConfig,
    "sparse": SparseConfig, "offset": OffsetConfig, "bootstrap": BootstrapConfig, "context": Context,
    "perception": PerceptionConfig, "wider": WiderConfig,
}  # fmt: skip
# What ``planes`` of a config may say; a list of [name, set of functions] says it in full.
_PLANES = {"opponent": OPPONENT, "mid-side": MID_SIDE, "plain": PLAIN}
_KEYS = ("spacing", "planes", "bases", "passes", "layers", "region", "width", "w0")


def lattice_spec(data: dict[str, Any]) -> LatticeSpec:
    """The spec of one level; what is left out has its usual value (:meth:`LatticeSpec.of`).

    :class:`CorruptError` or :class:`LimitError` for anything that is no lattice.
    """
    unknown = sorted(set(data) - set(_KEYS))
    if unknown:
        raise CorruptError(f"unknown key {unknown[0]}; known: {', '.join(_KEYS)}")
    given: dict[str, Any] = {k: float(v) if k == "w0" and type(v) is int else v for k, v in data.items()}
    named = given.get("planes", "opponent")
    if isinstance(named, str) and named not in _PLANES:
        raise CorruptError(f"planes {named!r} are not known; known: {', '.join(_PLANES)}")
    try:
        planes = _PLANES[named] if isinstance(named, str) else [Plane(*plane) for plane in named]
        return LatticeSpec.from_dict(LatticeSpec.of(**{**given, "planes": planes}).to_dict())
    except (TypeError, ValueError) as error:
        raise CorruptError(f"bad lattice spec {data!r}: {error}") from error


def read_config(data: dict[str, Any], parts: dict[str, Any]) -> LatticeConfig:
    """The config of a file's tables: ``data["field"]``, which is one level or has a list of ``levels``, and everything
    else as ``parts``."""
    field = {k: v for k, v in data["field"].items() if k != "kind"}
    levels = field["levels"] if set(field) == {"levels"} and isinstance(field["levels"], list) else [field]
    if not levels or not all(isinstance(level, dict) for level in levels):
        raise CorruptError(f"levels = {levels!r} must be tables")
    return LatticeConfig(field=Field(tuple(lattice_spec(level) for level in levels)), **parts)
