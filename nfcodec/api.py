"""The public functions over files: what the command line calls, and what Python users import."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

from nfcodec import zoo
from nfcodec.container.layout import SectionType
from nfcodec.container.metadata import kind_name, unpack_metadata, unpack_tags
from nfcodec.container.reader import Entry, Reader
from nfcodec.errors import FormatError, TruncatedError
from nfcodec.families import kind_of_sections
from nfcodec.files import (
    STREAM,
    PathLike,
    decode_target,
    derived,
    input_file,
    moved_aside,
    name_of,
    opened,
    opener,
    output_file,
)
from nfcodec.files import output_name as output_name
from nfcodec.lattice.space import section_run
from nfcodec.limits import DEFAULT_LIMITS, Limits
from nfcodec.media import check_output, default_suffix, open_sink
from nfcodec.media.atomic import atomic_output, check_target
from nfcodec.media.formats import check_format
from nfcodec.media.reading import check_file, named
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
from nfcodec.signal import Ints, Metadata, SignalInfo
from nfcodec.tags import read_tags

if TYPE_CHECKING:
    from nfcodec.container.layout import Header
    from nfcodec.decoder import Decoder
    from nfcodec.encoder import Encoded
    from nfcodec.field_file import FieldFile
    from nfcodec.lattice.code import RegionCoder
    from nfcodec.train.running import Report

RateUnit = Literal["bpp", "bpe", "kbps"]


# -- rates -----------------------------------------------------------------------------------------------
def rate_of(size: int, info: SignalInfo) -> tuple[float, RateUnit]:
    """Bits per pixel of an image, bits per element of an array, kbit/s of sound and video; all bytes count."""
    if info.rate is not None and info.modality in ("audio", "video"):
        return size * 8 / 1000 / (info.shape[0] / float(info.rate)), "kbps"
    return size * 8 / info.samples, "bpp" if info.modality == "image" else "bpe"


# -- encode ----------------------------------------------------------------------------------------------
def encode(
    source: PathLike | Ints, output: PathLike | None = None, *, options: EncodeOptions | None = None,
    force: bool = False, progress: Progress | None = None, coder: RegionCoder | None = None,
) -> EncodeResult:  # fmt: skip
    """Encode a media file (or ``-``) or an array to an .nfc file; the name is derived when ``output`` is None.

    An array is what a .npy file of it would be; it has no name, so ``output`` must be given.
    The file is read back before it gets its name (``options.verify``), so an existing ``output`` is never
    replaced by a bad one. ``coder``: for many small files at once, see :mod:`nfcodec.lattice.together`.
    Raises :class:`~nfcodec.errors.NfcError` subclasses only.
    """
    options = options or EncodeOptions()
    began, name = time.monotonic(), name_of(source)
    target = output if output is not None else derived(source, "nfc")
    plain = options.max_error is not None or bool(options.wrap)
    source_of = opener(source, options.limits, plain=plain)
    with source_of as (again, input_bytes), output_file(target, force=force) as temporary:
        media = again()
        try:
            # Only now: what cannot be read is refused before anything heavy is loaded.
            from nfcodec.encoder import encode_signal

            with temporary.open("wb") as file:
                encoded = encode_signal(media, file, options, progress=progress, again=again, coder=coder)
        finally:
            media.close()
        if options.verify:
            with opened(temporary) as written:
                encoded.verify(written, options)  # type: ignore[arg-type]
    notes = (NOT_SMALLER,) if 0 < input_bytes <= encoded.bytes else ()
    return encode_result(name, target, encoded, options, input_bytes=input_bytes, began=began, warnings=notes)


NOT_SMALLER = "the output is not smaller than the input; a lower quality makes it smaller"


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
        max_error=encoded.max_error,
    )  # fmt: skip


# -- decode ----------------------------------------------------------------------------------------------
def _decoder(
    file: IO[bytes], *, limits: Limits, inits: tuple[str, ...] = (), partial: bool = False,
    coder: RegionCoder | None = None,
) -> Decoder:  # fmt: skip
    _header(file, limits)
    from nfcodec.decoder import Decoder

    try:
        return Decoder(file, limits=limits, inits=inits, partial=partial, coder=coder)  # type: ignore[arg-type]
    except TruncatedError as error:
        if partial or not _header_is_whole(file, limits):
            raise
        raise TruncatedError(str(error), hint="nfc decode --partial takes what is there") from error


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
    progress: Progress | None = None, coder: RegionCoder | None = None, aside: bool = True,
) -> DecodeResult:  # fmt: skip
    """Decode an .nfc file (or ``-``) to a media file.

    Where ``output`` is None the name is derived. A file that has it may be the original, so the decoded one gets
    another, photo.decoded.png, whatever ``force`` says of that; without ``aside`` it is an error.
    ``format`` (a suffix) decides the kind of output where the name does not; otherwise it follows from the
    kind recorded in the file. ``init``: path of an init that is not shipped. ``coder``: as for :func:`encode`.
    """
    options = options or DecodeOptions()
    began = time.monotonic()
    inits = (init,) if init else ()
    with input_file(source) as path, opened(path) as file:
        _refuse(_header(file, options.limits), source, output, format, folder, force=force, aside=aside)
        decoder = _decoder(file, limits=options.limits, inits=inits, partial=options.partial, coder=coder)
        info = decoder.output_info(options)
        default = default_suffix(decoder.info, decoder.metadata)
        target, kind = decode_target(source, output, format, folder, default)
        check_output(kind, info)
        moved = moved_aside(target) if output is None and aside and os.fspath(target) != STREAM else None
        notes = (f"{named(Path(target))} exists already, so the output is {named(moved)}",) if moved else ()
        target = moved or target
        with output_file(target, force=force) as temporary:
            warnings = (*notes, *_missing(decoder, options), *_write(decoder, options, info, temporary, kind, progress))
            size = temporary.stat().st_size
    return DecodeResult(
        input=os.fspath(source), output=os.fspath(target), shape=info.shape, bytes=size,
        seconds=time.monotonic() - began, warnings=warnings, modality=info.modality,
    )  # fmt: skip


def _header(file: IO[bytes], limits: Limits) -> Header:
    """The header, read before anything heavy is loaded; :class:`~nfcodec.errors.FormatError` where there is none."""
    file.seek(0)
    header = Reader(file, limits=limits).header  # type: ignore[arg-type]
    file.seek(0)
    return header


def _described(head: Header) -> SignalInfo:
    return SignalInfo(head.modality, head.shape, head.channels, head.sample_type, head.alpha, head.rate)  # type: ignore[arg-type]


def _refuse(
    header: Header, source: PathLike, output: PathLike | None, format: str | None, folder: PathLike | None, *,
    force: bool, aside: bool,
) -> None:  # fmt: skip
    """Raise for outputs that cannot be, as far as the header tells: the suffix of a video may follow from its tags, and
    a default name gives way to a file that is there."""
    info = _described(header)
    target, kind = decode_target(source, output, format, folder, default_suffix(info, Metadata()))
    if info.modality == "video" and output is None and format is None:
        return
    check_format(kind, info.modality)
    if os.fspath(target) != STREAM and not (output is None and aside):
        check_target(Path(target), force=force)


def _missing(decoder: Decoder, options: DecodeOptions) -> tuple[str, ...]:
    """A warning about what a truncated or growing file lacks."""
    from nfcodec.decoder.missing import missing

    if decoder.reader.unfinished:
        there = decoder.info.shape[0] / float(decoder.info.rate or 1)
        return (f"the recording has no end yet: its first {there:.2f} s are there",)
    lack = missing(decoder) if options.partial else None
    return () if lack is None else (f"the file is truncated: {lack}",)


def _write(
    decoder: Decoder, options: DecodeOptions, info: SignalInfo, path: Path, kind: str, progress: Progress | None
) -> tuple[str, ...]:
    from nfcodec.decoder.beside import beside

    kept = beside(decoder, options)
    sink = open_sink(path, info, kept.metadata, sidecar=kept.sound, format=kind)
    sink.warnings.extend(kept.warnings)
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
    """Decode to a numpy array of the recorded sample type: arrays as they were, other signals (n_0, …, C).

    Alpha is the last channel.
    """
    import numpy as np

    from nfcodec.media.samples import samples_of

    options = options or DecodeOptions()
    inits = (init,) if init else ()
    with opened(Path(source)) as file:
        decoder = _decoder(file, limits=options.limits, inits=inits, partial=options.partial)
        parts = []
        info = decoder.info
        for block in decoder.blocks(options):
            samples: Ints = samples_of(block, info)
            if block.alpha is not None:
                samples = np.concatenate([samples, block.alpha[..., None].astype(samples.dtype)], -1)
            parts.append(samples)
    whole = np.concatenate(parts)
    return whole[..., 0] if info.modality == "array" else whole


def open(source: PathLike, *, limits: Limits = DEFAULT_LIMITS, init: str | None = None) -> FieldFile:
    """Open an .nfc file as a continuous field; see :class:`nfcodec.field_file.FieldFile`."""
    from nfcodec.field_file import FieldFile

    return FieldFile(Path(source), limits=limits, inits=(init,) if init else ())


# -- info, verify, compare -------------------------------------------------------------------------------
def info(source: PathLike, *, limits: Limits = DEFAULT_LIMITS) -> FileInfo:
    """What the header says, and the sizes of the sections. Neither torch nor an init is loaded."""
    with input_file(source) as path, opened(path) as file:
        reader = Reader(file, limits=limits)  # type: ignore[arg-type]
        entries = reader.index()
        uneven = reader.header.modality == "video" and _is_uneven(reader, entries, limits)
        size = path.stat().st_size
    head = reader.header
    rate, unit = rate_of(size, _described(head))
    kinds = [kind_name(e.first) for e in entries if e.type == SectionType.METADATA]
    name = zoo.name_of_prefix(head.init)
    return FileInfo(
        path=os.fspath(source), bytes=size, version=head.version, modality=head.modality, shape=head.shape,
        channels=head.channels, alpha=head.alpha, sample_type=head.sample_type,
        sample_rate=float(head.rate) if head.rate is not None else None, value_range=head.value_range,
        field=zoo.field_of(name) or kind_of_sections([e.type for e in entries]), init=name,
        quality=head.quality, rate=rate, rate_unit=unit,
        metadata=tuple(k for k in kinds if k),
        sections=tuple(SectionInfo(SectionType(e.type).name, e.size, _layers(e)) for e in entries), uneven=uneven,
        growing=reader.unfinished, spacing=head.spacing, turn=head.turn, dither=head.dither,
    )  # fmt: skip


def _is_uneven(reader: Reader, entries: Sequence[Entry], limits: Limits) -> bool:
    """Whether the tags say when each frame of a video is shown; damaged tags are the business of verify."""
    try:
        payloads = [reader.read(e).payload for e in entries if e.type == SectionType.METADATA]
        tags = unpack_tags(dict(unpack_metadata(payloads, limits=limits)).get("tags", b""))
    except FormatError:
        return False
    return any(read_tags(tags, frames=reader.header.shape[0])[0].durations)


def _layers(entry: Entry) -> tuple[int, ...]:
    """The layers, counted from 1, of a section of a lattice."""
    if entry.type != SectionType.CELLS or entry.first is None:
        return ()
    *_, first, count = section_run(entry.first)
    return tuple(range(first + 1, first + count + 1))


def verify(source: PathLike, *, limits: Limits = DEFAULT_LIMITS, init: str | None = None) -> VerifyResult:
    """Check structure and checksums and decode every symbol. Raises :class:`~nfcodec.errors.FormatError`."""
    began = time.monotonic()
    with input_file(source) as path, opened(path) as file:
        for _ in Reader(file, limits=limits).sections():  # type: ignore[arg-type]
            pass
        decoder = _decoder(file, limits=limits, inits=(init,) if init else ())
        digest, symbols = decoder.digest()
        _ = decoder.metadata
        size = path.stat().st_size
    return VerifyResult(os.fspath(source), size, symbols, digest, time.monotonic() - began)


def compare(
    a: PathLike, b: PathLike, *, limits: Limits = DEFAULT_LIMITS, init: str | None = None, plot: PathLike | None = None
) -> CompareResult:
    """Compare two files of equal size: media or .nfc, in any combination. Errors are of ``b`` against ``a``.

    ``plot``: where to write a picture of the spectrograms of two recordings and of their difference (matplotlib).
    """
    for name in (a, b):
        if not os.path.isdir(name):
            check_file(Path(name))
    from nfcodec.comparison import compare_files

    inits = (init,) if init else ()
    found = compare_files(Path(a), Path(b), limits=limits, inits=inits)
    if plot is not None:
        from nfcodec.spectrograms import plot_spectrograms

        plot_spectrograms(Path(a), Path(b), Path(plot), limits=limits, inits=inits)
    return found


# -- inits -----------------------------------------------------------------------------------------------
def models() -> list[ModelInfo]:
    """The shipped inits."""
    return zoo.list_models()


def train(
    data: PathLike | Sequence[PathLike], output: PathLike, *, config: PathLike, checkpoint: PathLike | None = None,
    device: str = "cpu", begin: str | None = None, minutes: float | None = None, force: bool = False,
    report: Callable[[Report], None] | None = None,
) -> ModelInfo:  # fmt: skip
    """Meta-train an init on one or more folders of media and write it to ``output`` (safetensors).

    ``begin``: the id or the path of an init to go on from, of the geometry and the networks that the config asks for.
    ``minutes``: stop after so many, at a learning rate that has fallen to zero by then; the init is written as far as
    it is trained.

    The state is saved to ``checkpoint`` (default: the output with suffix .ckpt) every 15 seconds; when it exists,
    training goes on from it. One config, the same folders and one seed give one init, but with ``minutes``.
    """
    from nfcodec.train.training import finished, load_config, new_trainer

    settings = load_config(Path(config))
    state = Path(checkpoint) if checkpoint is not None else Path(output).with_suffix(".ckpt")
    folders = [Path(data)] if isinstance(data, (str, os.PathLike)) else [Path(folder) for folder in data]
    with atomic_output(Path(output), force=force) as temporary:
        trainer = new_trainer(settings, folders, device=device, begin=None if begin is None else zoo.load(begin))
        if state.exists():
            trainer.resume(state)
        trainer.run(checkpoint=state, report=report, minutes=minutes)
        temporary.write_bytes(zoo.init_bytes(finished(settings, trainer)))
    return zoo.describe(os.fspath(output))
