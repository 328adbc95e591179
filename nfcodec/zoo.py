"""The shipped inits: list them, load them, and make sure they are the bytes that were pinned.

An init file is safetensors: the arrays of its family, and one metadata entry ``init`` with JSON. Nothing is ever
unpickled.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

from nfcodec import families
from nfcodec.container.layout import INIT_BYTES
from nfcodec.errors import FormatError, LimitError, ModelError, ModelHashError, ModelNotFoundError
from nfcodec.families import Init
from nfcodec.media.atomic import atomic_output
from nfcodec.options import FIELD_KINDS, FieldKind, ModelInfo

PREFIX = INIT_BYTES  # bytes of the SHA-256 that a file carries
MAX_INIT_BYTES = 64 * 2**20
# What a file that is no init can raise on the way.
_NO_INIT = (LookupError, TypeError, ValueError, ArithmeticError, RecursionError, OSError, FormatError, LimitError)


def models_folder() -> Path:
    """Where the shipped inits live: package data of the wheel, or models/ beside the package in a checkout."""
    try:
        return Path(str(resources.files("nfcodec.models")))
    except ModuleNotFoundError:
        return Path(__file__).parents[1] / "models"


@lru_cache(maxsize=1)
def index() -> dict[str, Any]:
    """models/index.json: ``inits`` maps ids to pinned SHA-256, ``defaults`` maps signal kinds to ids."""
    try:
        data: dict[str, Any] = json.loads((models_folder() / "index.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"the list of shipped inits cannot be read: {error}", hint="reinstall nfcodec") from error
    return data


def default_id(modality: str, axes: int, rate: float | None, field: str | None = None) -> str:
    """The init for a signal: by modality, for audio by sample rate, for arrays by the number of axes.

    ``field``: the kind of field, where a signal has inits of several kinds; None for the usual one.
    """
    kind = modality
    if modality == "array":
        kind = f"array{axes}"
    elif modality == "audio":
        kind = "speech" if rate is not None and rate <= 24_000 else "music"
    defaults: dict[str, str] = index()["defaults"]
    if field is not None:
        defaults = index()["fields"].get(field, {})
        kind_of_field = f" on the field {field}"
    else:
        kind_of_field = ""
    if kind not in defaults:
        raise ModelNotFoundError(f"no init is shipped for {kind}{kind_of_field}", hint="make one with nfc train")
    return defaults[kind]


def _path_of(name: str) -> Path:
    if name in index()["inits"]:
        return models_folder() / f"{name}.safetensors"
    path = Path(name)
    if path.is_file():
        return path
    known = ", ".join(index()["inits"])
    raise ModelNotFoundError(f"no init called {name!r}; shipped: {known}", hint="give a path to use your own init")


def load(name: str) -> Init:
    """Load an init by id or by path. A shipped one must have its pinned hash (:class:`ModelHashError`)."""
    path = _path_of(name)
    init = read_init(path)
    pinned = index()["inits"].get(name)
    if pinned is not None and init.sha256.hex() != pinned:
        message = f"init {name} has hash {init.sha256.hex()[:16]}…, pinned is {pinned[:16]}…"
        raise ModelHashError(message, hint="reinstall nfcodec")
    return init


def load_prefix(prefix: bytes, candidates: tuple[str, ...] = ()) -> Init:
    """The init that a file names by the first bytes of its hash: shipped, or among ``candidates`` (paths)."""
    for name, pinned in index()["inits"].items():
        if bytes.fromhex(pinned)[:PREFIX] == prefix:
            return load(name)
    for path in candidates:
        init = load(path)
        if init.sha256[:PREFIX] == prefix:
            return init
    raise ModelNotFoundError(
        f"the file needs the init {prefix.hex()}…, which is not shipped with this version",
        hint="pass the init it was made with: --init PATH",
    )


def name_of_prefix(prefix: bytes) -> str:
    """The id of a shipped init, or its hash prefix; reads no model file."""
    for name, pinned in index()["inits"].items():
        if bytes.fromhex(pinned)[:PREFIX] == prefix:
            return str(name)
    return prefix.hex()


def field_of(name: str) -> FieldKind | None:
    """The kind of field of a shipped init by its id, None for any other; reads no model file."""
    fields = index().get("fields", {})
    return next((field for field in FIELD_KINDS if name in fields.get(field, {}).values()), None)


@lru_cache(maxsize=8)
def _read_cached(path: Path, stamp: tuple[int, int]) -> Init:
    from safetensors import SafetensorError, safe_open
    from safetensors.numpy import load

    try:
        data = path.read_bytes()
        with safe_open(path, "np") as file:
            meta = json.loads(file.metadata()["init"])
        return _build(meta, load(data), hashlib.sha256(data).digest())
    except (SafetensorError, *_NO_INIT) as error:
        raise ModelError(f"{path} is not an init: {error}", hint="inits are made by nfc train") from error


def read_init(path: Path) -> Init:
    """Read an init file; :class:`ModelError` when it is anything else."""
    try:
        stat = path.stat()
    except OSError as error:
        raise ModelNotFoundError(f"cannot read init {path}: {error.strerror}") from error
    if stat.st_size > MAX_INIT_BYTES or stat.st_size < 16:
        raise ModelError(f"{path} has {stat.st_size} bytes, which is no init")
    return _read_cached(path.resolve(), (stat.st_mtime_ns, stat.st_size))


def _build(meta: dict[str, Any], arrays: dict[str, Any], digest: bytes) -> Init:
    """Inits of modules name their kind in the spec alone."""
    kind = meta["kind"] if "kind" in meta else meta["spec"]["kind"]
    if not isinstance(kind, str):
        raise TypeError(f"the kind of field is {kind!r}")
    return families.runtime(kind).read_init(meta, arrays, digest)


def init_bytes(init: Init) -> bytes:
    """An init as safetensors."""
    from safetensors.numpy import save

    arrays, meta = families.runtime(init.kind).init_contents(init)
    return bytes(save(arrays, {"init": json.dumps(meta, sort_keys=True)}))


def write_init(init: Init, path: Path) -> bytes:
    """Write :func:`init_bytes` (atomically) and return its SHA-256. Raises :class:`~nfcodec.errors.OutputError`."""
    data = init_bytes(init)
    with atomic_output(path, force=True) as temporary:
        temporary.write_bytes(data)
    return hashlib.sha256(data).digest()


def describe(name: str) -> ModelInfo:
    """What one init is, by id or path."""
    init, path = load(name), _path_of(name)
    return ModelInfo(
        id=init.id, modality=init.modality, field=init.kind, sha256=init.sha256.hex(),
        bytes=path.stat().st_size, parameters=init.parameters, kept=init.coded, path=str(path),
        default=name in index()["defaults"].values(),
    )  # fmt: skip


def list_models() -> list[ModelInfo]:
    """Every shipped init."""
    return [describe(name) for name in index()["inits"]]
