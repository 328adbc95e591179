"""The public functions over files: what the command line calls, and what Python users import."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

import numpy as np

from nfcodec import zoo
from nfcodec.container.layout import SectionType
from nfcodec.container.metadata import kind_name
from nfcodec.container.reader import Entry, Reader
from nfcodec.errors import InputError, MediaReadError, OutputError, TruncatedError
from nfcodec.families import kind_of_sections
from nfcodec.lattice.code import ALONE, RegionCoder
from nfcodec.lattice.space import section_run
from nfcodec.limits import DEFAULT_LIMITS, Limits
from nfcodec.media import check_output, default_suffix, open_sink, open_source
from nfcodec.media.atomic import atomic_output
from nfcodec.media.reading import named
from nfcodec.media.samples import quantize
from nfcodec.options import (
    CompareResult,
    DecodeOptions,
    DecodeResult,
    EncodeOptions,
    EncodeResult,
    FileInfo,
    ModelInfo,
    Progress,
    ProgressEvent,
    SectionInfo,
    VerifyResult,
)
from nfcodec.signal import Ints, SignalInfo

if TYPE_CHECKING:
    from nfcodec.decoder import Decoder
    from nfcodec.encoder import Encoded
    from nfcodec.field_file import FieldFile
    from nfcodec.train.running import Report

PathLike = str | os.PathLike[str]
RateUnit = Literal["bpp", "bpe", "kbps"]
STREAM = "-"


# -- names and streams -----------------------------------------------------------------------------------
def output_name(path: PathLike, suffix: str, folder: PathLike | None = None) -> Path:
    """photo.png → photo.nfc, beside the input or in ``folder``."""
    name = Path(path).name
    stem = name[: -len(Path(name).suffix)] if Path(name).suffix else name
    base = Path(folder) if folder is not None else Path(path).parent
    return base / f"{stem}.{suffix}"


@contextlib.contextmanager
def input_file(path: PathLike) -> Iterator[Path]:
    """The path itself, or a temporary copy of standard input (decoders need to seek)."""
    if os.fspath(path) != STREAM:
        yield Path(path)
        return
    with tempfile.TemporaryDirectory(prefix="nfc-") as folder:
        spool = Path(folder) / "standard input"
        with spool.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        try:
            yield spool
        except InputError as error:
            raise type(error)(str(error).replace(named(spool), "standard input"), hint=error.hint) from error


@contextlib.contextmanager
def output_file(path: PathLike, *, force: bool) -> Iterator[Path]:
    """A temporary path that becomes ``path`` (or is copied to standard output) only on success."""
    if os.fspath(path) != STREAM:
        with atomic_output(Path(path), force=force) as temporary, _told_as(named(Path(path)), temporary):
            yield temporary
        return
    with tempfile.TemporaryDirectory(prefix="nfc-") as folder:
        spool = Path(folder) / "out"
        with _told_as("standard output", spool):
            yield spool
        try:
            with spool.open("rb") as file:
                shutil.copyfileobj(file, sys.stdout.buffer)
            sys.stdout.buffer.flush()
        except OSError as error:
            raise OutputError(f"cannot write to standard output: {error.strerror}") from error


@contextlib.contextmanager
def _told_as(name: str, temporary: Path) -> Iterator[None]:
    """Let errors tell of ``name`` and not of the temporary file that stands for it."""
    try:
        yield
    except OutputError as error:
        raise type(error)(str(error).replace(named(temporary), name), hint=error.hint) from error


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise MediaReadError(f"cannot read {path}: {error.strerror}") from error
    with file:
        yield file


# -- rates -----------------------------------------------------------------------------------------------
def rate_of(size: int, info: SignalInfo) -> tuple[float, RateUnit]:
    """Bits per pixel of an image, bits per element of an array, kbit/s of sound and video; all bytes count."""
    if info.rate is not None and info.modality in ("audio", "video"):
        return size * 8 / 1000 / (info.shape[0] / float(info.rate)), "kbps"
    return size * 8 / info.samples, "bpp" if info.modality == "image" else "bpe"


# -- encode ----------------------------------------------------------------------------------------------
def encode(
    source: PathLike, output: PathLike | None = None, *, options: EncodeOptions | None = None, force: bool = False,
    progress: Progress | None = None, coder: RegionCoder = ALONE,
) -> EncodeResult:  # fmt: skip
    """Encode a media file (or ``-``) to an .nfc file; the name is derived when ``output`` is None.

    The file is read back before it gets its name (``options.verify``), so an existing ``output`` is never
    replaced by a bad one. ``coder``: for many small files at once, see :mod:`nfcodec.lattice.together`.
    Raises :class:`~nfcodec.errors.NfcError` subclasses only.
    """
    from nfcodec.encoder import encode_signal

    options = options or EncodeOptions()
    target = output if output is not None else _derived(source, "nfc")
    began = time.monotonic()
    with input_file(source) as path, output_file(target, force=force) as temporary:
        media = open_source(path, limits=options.limits)
        try:
            with temporary.open("wb") as file:
                encoded = encode_signal(
                    media, file, options, progress=progress, again=lambda: open_source(path, limits=options.limits),
                    coder=coder,
                )  # fmt: skip
        finally:
            media.close()
        if options.verify:
            with _opened(temporary) as written:
                encoded.verify(written, options)  # type: ignore[arg-type]
        input_bytes = path.stat().st_size if path.is_file() else 0
    return encode_result(source, target, encoded, options, input_bytes=input_bytes, began=began)


def encode_result(
    source: PathLike, target: PathLike, encoded: Encoded, options: EncodeOptions, *, input_bytes: int, began: float,
    warnings: tuple[str, ...] = (),
) -> EncodeResult:  # fmt: skip
    """What is told of a finished file. ``began``: in monotonic seconds; ``warnings`` go before the encoder's own."""
    rate, unit = rate_of(encoded.bytes, encoded.info)
    return EncodeResult(
        input=os.fspath(source), output=os.fspath(target), input_bytes=input_bytes, bytes=encoded.bytes, rate=rate,
        rate_unit=unit, psnr=encoded.psnr, snr=encoded.snr if encoded.info.modality == "audio" else None,
        seconds=time.monotonic() - began, init=encoded.init,
        quality=encoded.quality, effort=options.effort, warnings=(*warnings, *encoded.warnings),
    )  # fmt: skip


def _derived(source: PathLike, suffix: str) -> Path:
    if os.fspath(source) == STREAM:
        return Path(STREAM)
    return output_name(source, suffix)


# -- decode ----------------------------------------------------------------------------------------------
@contextlib.contextmanager
def _decoder(
    file: IO[bytes], *, limits: Limits, inits: tuple[str, ...] = (), partial: bool = False, coder: RegionCoder = ALONE
) -> Iterator[Decoder]:
    from nfcodec.decoder import Decoder

    try:
        decoder = Decoder(file, limits=limits, inits=inits, partial=partial, coder=coder)  # type: ignore[arg-type]
    except TruncatedError as error:
        if partial or not _header_is_whole(file, limits):
            raise
        raise TruncatedError(str(error), hint="nfc decode --partial takes what is there") from error
    yield decoder


def _header_is_whole(file: IO[bytes], limits: Limits) -> bool:
    file.seek(0)
    try:
        Reader(file, limits=limits)  # type: ignore[arg-type]
    except TruncatedError:
        return False
    return True


def decode(
    source: PathLike, output: PathLike | None = None, *, options: DecodeOptions | None = None, force: bool = False,
    format: str | None = None, folder: PathLike | None = None, init: str | None = None,
    progress: Progress | None = None, coder: RegionCoder = ALONE,
) -> DecodeResult:  # fmt: skip
    """Decode an .nfc file (or ``-``) to a media file.

    ``format`` (a suffix) decides the kind of output where the name does not; otherwise it follows from the
    kind recorded in the file. ``init``: path of an init that is not shipped. ``coder``: as for :func:`encode`.
    """
    options = options or DecodeOptions()
    began = time.monotonic()
    inits = (init,) if init else ()
    with (
        input_file(source) as path,
        _opened(path) as file,
        _decoder(file, limits=options.limits, inits=inits, partial=options.partial, coder=coder) as decoder,
    ):
        info = decoder.output_info(options)
        default = default_suffix(decoder.info, decoder.metadata)
        target, kind = _decode_target(source, output, format, folder, default)
        check_output(kind, info)
        with output_file(target, force=force) as temporary:
            warnings = (*_missing(decoder, options), *_write(decoder, options, info, temporary, kind, progress))
            size = temporary.stat().st_size
    return DecodeResult(
        input=os.fspath(source), output=os.fspath(target), shape=info.shape, bytes=size,
        seconds=time.monotonic() - began, warnings=warnings,
    )  # fmt: skip


def _missing(decoder: Decoder, options: DecodeOptions) -> tuple[str, ...]:
    """A warning about what a truncated file lacks."""
    from nfcodec.decoder.missing import missing

    lack = missing(decoder) if options.partial else None
    return () if lack is None else (f"the file is truncated: {lack}",)


def _decode_target(
    source: PathLike, output: PathLike | None, format: str | None, folder: PathLike | None, default: str
) -> tuple[PathLike, str]:
    if output is None and os.fspath(source) == STREAM:
        output = STREAM
    if output is None:
        return output_name(source, format or default, folder), (format or default).lower()
    suffix = Path(output).suffix.lstrip(".").lower() if os.fspath(output) != STREAM else ""
    return output, (format or suffix or default).lower()


def _write(
    decoder: Decoder, options: DecodeOptions, info: SignalInfo, path: Path, kind: str, progress: Progress | None
) -> tuple[str, ...]:
    whole = options.time is None
    sound = decoder.sidecar() if whole else b""
    sink = open_sink(path, info, decoder.metadata, sidecar=sound, format=kind)
    if decoder.sidecar() and not whole:
        sink.warnings.append("the sound track is dropped: it cannot be cut bit for bit")
    done = 0
    try:
        for block in decoder.blocks(options):
            sink.write(block)
            done += len(block.values)
            if progress:
                progress(ProgressEvent("decode", done, info.shape[0]))
        sink.close()
    except BaseException:
        sink.abort()
        raise
    return tuple(sink.warnings)


def decode_array(source: PathLike, *, options: DecodeOptions | None = None, init: str | None = None) -> Ints:
    """Decode to a numpy array (n_0, …, C) of the recorded sample type, alpha as the last channel."""
    options = options or DecodeOptions()
    inits = (init,) if init else ()
    with (
        _opened(Path(source)) as file,
        _decoder(file, limits=options.limits, inits=inits, partial=options.partial) as decoder,
    ):
        parts = []
        info = decoder.info
        for block in decoder.blocks(options):
            samples: Ints = quantize(block.values, info)
            if block.alpha is not None:
                samples = np.concatenate([samples, block.alpha[..., None].astype(samples.dtype)], -1)
            parts.append(samples)
    return np.concatenate(parts)


def open(source: PathLike, *, limits: Limits = DEFAULT_LIMITS, init: str | None = None) -> FieldFile:
    """Open an .nfc file as a continuous field; see :class:`nfcodec.field_file.FieldFile`."""
    from nfcodec.field_file import FieldFile

    return FieldFile(Path(source), limits=limits, inits=(init,) if init else ())


# -- info, verify, compare -------------------------------------------------------------------------------
def info(source: PathLike, *, limits: Limits = DEFAULT_LIMITS) -> FileInfo:
    """What the header says, and the sizes of the sections. Neither torch nor an init is loaded."""
    with input_file(source) as path, _opened(path) as file:
        reader = Reader(file, limits=limits)  # type: ignore[arg-type]
        entries = reader.index()
        size = path.stat().st_size
    head = reader.header
    described = SignalInfo(head.modality, head.shape, head.channels, head.sample_type, head.alpha, head.rate)  # type: ignore[arg-type]
    rate, unit = rate_of(size, described)
    kinds = [kind_name(e.first) for e in entries if e.type == SectionType.METADATA]
    return FileInfo(
        path=os.fspath(source), bytes=size, version=head.version, modality=head.modality, shape=head.shape,
        channels=head.channels, alpha=head.alpha, sample_type=head.sample_type,
        sample_rate=float(head.rate) if head.rate is not None else None, value_range=head.value_range,
        field=kind_of_sections([e.type for e in entries]), init=zoo.name_of_prefix(head.init),
        quality=head.quality, rate=rate, rate_unit=unit,
        metadata=tuple(k for k in kinds if k),
        sections=tuple(SectionInfo(SectionType(e.type).name, e.size, _layers(e)) for e in entries),
    )  # fmt: skip


def _layers(entry: Entry) -> tuple[int, ...]:
    """The layers, counted from 1, of a section of a lattice."""
    if entry.type != SectionType.CELLS or entry.first is None:
        return ()
    *_, first, count = section_run(entry.first)
    return tuple(range(first + 1, first + count + 1))


def verify(source: PathLike, *, limits: Limits = DEFAULT_LIMITS, init: str | None = None) -> VerifyResult:
    """Check structure and checksums and decode every symbol. Raises :class:`~nfcodec.errors.FormatError`."""
    began = time.monotonic()
    with input_file(source) as path, _opened(path) as file:
        reader = Reader(file, limits=limits)  # type: ignore[arg-type]
        for _ in reader.sections():
            pass
        file.seek(0)
        with _decoder(file, limits=limits, inits=(init,) if init else ()) as decoder:
            digest, symbols = decoder.digest()
            _ = decoder.metadata
        size = path.stat().st_size
    return VerifyResult(os.fspath(source), size, symbols, digest, time.monotonic() - began)


def compare(a: PathLike, b: PathLike, *, limits: Limits = DEFAULT_LIMITS, init: str | None = None) -> CompareResult:
    """Compare two files of equal size: media or .nfc, in any combination. Errors are of ``b`` against ``a``."""
    from nfcodec.comparison import compare_files

    return compare_files(Path(a), Path(b), limits=limits, inits=(init,) if init else ())


# -- inits -----------------------------------------------------------------------------------------------
def models() -> list[ModelInfo]:
    """The shipped inits."""
    return zoo.list_models()


def train(
    data: PathLike, output: PathLike, *, config: PathLike, checkpoint: PathLike | None = None, device: str = "cpu",
    begin: str | None = None, force: bool = False, report: Callable[[Report], None] | None = None,
) -> ModelInfo:  # fmt: skip
    """Meta-train an init on a folder of media and write it to ``output`` (safetensors).

    ``begin``: the id or the path of an init to go on from, of the geometry and the networks that the config asks for.

    The state is saved to ``checkpoint`` (default: the output with suffix .ckpt) every 15 seconds; when it exists,
    training goes on from it. One config, one folder and one seed give one init.
    """
    from nfcodec.train.training import finished, load_config, new_trainer

    settings = load_config(Path(config))
    state = Path(checkpoint) if checkpoint is not None else Path(output).with_suffix(".ckpt")
    with atomic_output(Path(output), force=force) as temporary:
        trainer = new_trainer(settings, Path(data), device=device, begin=None if begin is None else zoo.load(begin))
        if state.exists():
            trainer.resume(state)
        trainer.run(checkpoint=state, report=report)
        temporary.write_bytes(zoo.init_bytes(finished(settings, trainer)))
    return zoo.describe(os.fspath(output))
