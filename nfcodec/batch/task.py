"""What happens in a worker process to one file."""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nfcodec.batch.keys import file_sha256, settings_key, settings_of
from nfcodec.batch.places import make_folder
from nfcodec.errors import MediaReadError, ModelError, OutputError
from nfcodec.media.reading import named, reason
from nfcodec.options import DecodeOptions, EncodeOptions
from nfcodec.parallel import limited

if TYPE_CHECKING:
    from nfcodec.lattice.code import RegionCoder

# No fault of the item: the whole batch has to wait for a person.
TARGET_FAULTS = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EROFS))
# Samples per byte of containers that have no header to tell their size cheaply.
_DENSE = 300.0


@dataclass(frozen=True, slots=True)
class Task:
    """One order to a worker: absolute paths, and how many threads it may use."""

    source: str
    target: str
    threads: int = 1
    force: bool = False


Begun = Callable[[float], None]  # called with the samples that the input holds, as soon as they are known
TaskFunction = Callable[[Task, Begun, "RegionCoder"], dict[str, Any]]
Setup = Callable[[], TaskFunction]


def encoder(options: EncodeOptions, key: str | None = None) -> TaskFunction:
    """Load what encoding needs, and return the function that encodes one file.

    ``key``: what the parent takes :func:`~nfcodec.batch.keys.settings_key` for. Raises
    :class:`~nfcodec.errors.ModelError` when an init was replaced since.
    """
    import torch  # noqa: F401 - the first item would wait for it

    from nfcodec import api, encoder  # noqa: F401

    if key not in (None, settings_key(settings_of(options), options.init)):
        raise ModelError("the init was replaced while the batch ran", hint="start it again with --resume")

    def work(task: Task, begun: Begun, coder: RegionCoder) -> dict[str, Any]:
        stamp, digest = _stamp(task.source), _hashed(task.source)
        samples = _samples(task.source)
        begun(samples)
        make_folder(Path(task.target).parent)
        with limited(task.threads):
            result = api.encode(task.source, task.target, options=options, force=task.force, coder=coder)
        if _stamp(task.source) != stamp:
            raise MediaReadError(f"{named(Path(task.source))} was changed while it was read")
        return _record(asdict(result), digest, task.target)

    return work


def decoder(options: DecodeOptions, format: str | None, init: str | None) -> TaskFunction:
    """Load what decoding needs, and return the function that decodes one file."""
    from nfcodec import api
    from nfcodec.batch.suffix import decoded_kind

    def work(task: Task, begun: Begun, coder: RegionCoder) -> dict[str, Any]:
        digest = _hashed(task.source)
        begun(float(decoded_kind(task.source, limits=options.limits)[1]))
        make_folder(Path(task.target).parent)
        size = os.path.getsize(task.source)
        with limited(task.threads):
            result = api.decode(
                task.source, task.target, options=options, force=task.force, format=format, init=init, coder=coder
            )
        return _record({**asdict(result), "input_bytes": size}, digest, task.target)

    return work


def _record(result: dict[str, Any], digest: str, target: str) -> dict[str, Any]:
    """The line of the manifest, as far as the worker knows it."""
    wanted = {name: _finite(value) for name, value in result.items() if name not in ("input", "output")}
    return {**wanted, "sha256": digest, "output_sha256": file_sha256(target)}


def _finite(value: Any) -> Any:
    """JSON has no infinity, which is the PSNR of a perfect copy."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _samples(source: str) -> float:
    """Samples of the input from its header; a guess for kinds whose header needs a whole pass."""
    from nfcodec.media import open_source
    from nfcodec.media.sniff import sniff

    if sniff(Path(source)).family == "av":
        return os.path.getsize(source) * _DENSE
    opened = open_source(Path(source))
    try:
        return float(opened.info.samples)
    finally:
        opened.close()


def _stamp(source: str) -> tuple[int, int]:
    try:
        status = os.stat(source)
    except OSError as error:
        raise MediaReadError(f"cannot read {named(Path(source))}: {reason(error)}") from error
    return status.st_size, status.st_mtime_ns


def _hashed(source: str) -> str:
    try:
        return file_sha256(source)
    except OSError as error:
        raise MediaReadError(f"cannot read {named(Path(source))}: {reason(error)}") from error


def target_is_full(error: BaseException) -> bool:
    """Whether an output could not be written for a reason that every further output will meet."""
    if not isinstance(error, OutputError):
        return False
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in TARGET_FAULTS:
            return True
        cause = cause.__cause__
    return False
