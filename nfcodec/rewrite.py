"""Files made anew from what they hold, or from what they were made from."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

import numpy as np

from nfcodec import zoo
from nfcodec.api import encode_result
from nfcodec.comparison import compare_files
from nfcodec.decoder import Decoder
from nfcodec.encoder import BOUNDED, Encoded, encode_signal
from nfcodec.errors import InputError, MediaReadError
from nfcodec.files import PathLike, input_file, output_file
from nfcodec.limits import DEFAULT_LIMITS, Limits
from nfcodec.media import open_source
from nfcodec.media.samples import dequantize, samples_of
from nfcodec.options import DecodeOptions, EncodeOptions, EncodeResult, Progress
from nfcodec.signal import Block, Ints, Metadata, SignalInfo, Source

# Efforts differ by a few dB, pictures by more: even a poor file is over 10 dB nearer to its own original.
OTHER_SIGNAL_DB = 10.0
LOSS = "transcoding loses: the PSNR is against the decoded input, not against what that was made from"


@dataclass(frozen=True, slots=True)
class ImproveResult:
    """What became of a file. ``improved``: it was replaced. ``old_…`` are of the file as it was; PSNR in dB."""

    input: str
    output: str
    improved: bool
    old_bytes: int
    bytes: int
    old_psnr: float
    psnr: float
    effort: int
    seconds: float
    warnings: tuple[str, ...] = ()


# -- sources ---------------------------------------------------------------------------------------------
@dataclass(slots=True)
class _Beside:
    """A source with what a file holds beside its samples instead of its own."""

    source: Source
    metadata: Metadata
    sound: bytes
    warnings: list[str] = field(default_factory=list)

    @property
    def info(self) -> SignalInfo:
        return self.source.info

    def blocks(self, rows: int) -> Iterator[Block]:
        return self.source.blocks(rows)

    def sidecar(self) -> bytes:
        return self.sound

    def close(self) -> None:
        self.source.close()


@dataclass(slots=True)
class DecodedSource:
    """The samples of an open .nfc file, as decoding writes them."""

    decoder: Decoder
    info: SignalInfo
    metadata: Metadata
    warnings: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, decoder: Decoder) -> DecodedSource:
        """A source over a file that stays the caller's to close."""
        return cls(decoder, decoder.info, decoder.metadata)

    def blocks(self, rows: int) -> Iterator[Block]:
        """Yield blocks of ``rows`` rows, the last may be shorter; rounded to samples and back."""
        waiting: list[Block] = []
        for block in self.decoder.blocks(DecodeOptions(limits=self.decoder.limits)):
            waiting.append(block)
            if sum(len(b.values) for b in waiting) >= rows:
                whole = _joined(waiting)
                ends = range(rows, len(whole.values) + 1, rows)
                yield from (self._rounded(_rows(whole, end - rows, end)) for end in ends)
                waiting = [_rows(whole, ends[-1], len(whole.values))]
        rest = _joined(waiting)
        if len(rest.values):
            yield self._rounded(rest)

    def _rounded(self, block: Block) -> Block:
        info, sound = self.info, self.info.modality == "audio"
        samples = samples_of(block, info)
        values = dequantize(samples, info.sample_type, info.value_range, signed=sound)
        return Block(values, block.alpha, block.samples, block.missing)

    def sidecar(self) -> bytes:
        """The sound track of a video."""
        return self.decoder.sidecar()

    def close(self) -> None:
        """Nothing of its own to release."""


def _joined(blocks: list[Block]) -> Block:
    def whole(parts: list[Ints | None]) -> Ints | None:
        known = [p for p in parts if p is not None]
        return np.concatenate(known) if known else None

    values = np.concatenate([b.values for b in blocks])
    alpha, samples = whole([b.alpha for b in blocks]), whole([b.samples for b in blocks])
    return Block(values, alpha, samples, whole([b.missing for b in blocks]))


def _rows(block: Block, start: int, stop: int) -> Block:
    others = (block.alpha, block.samples, block.missing)
    return Block(block.values[start:stop], *(None if o is None else o[start:stop] for o in others))


# -- transcode -------------------------------------------------------------------------------------------
def transcode(
    source: PathLike, output: PathLike, *, options: EncodeOptions, init: str | None = None, force: bool = False,
    progress: Progress | None = None,
) -> EncodeResult:  # fmt: skip
    """Decode an .nfc file (or ``-``) and encode it again, which loses: encode the original where you have it.

    ``options``: of the new file. ``init``: path of the init of the old one, where it is not shipped. Errors and the
    reported PSNR are against the decoded ``source``; a warning says so. Raises what decoding and encoding do.
    """
    began = time.monotonic()
    with input_file(source) as path, output_file(output, force=force) as temporary, ExitStack() as files:
        decoder = _decoder(_opened(path, files), options.limits, init)

        def again() -> Source:
            return DecodedSource.of(decoder)

        with temporary.open("w+b") as file:
            encoded = encode_signal(again(), file, options, progress=progress, again=again)
            if options.verify:
                encoded.verify(file, options)
        size = path.stat().st_size
    return encode_result(source, output, encoded, options, input_bytes=size, began=began, warnings=(LOSS,))


def _opened(path: Path, files: ExitStack) -> IO[bytes]:
    try:
        return files.enter_context(path.open("rb"))
    except OSError as error:
        raise MediaReadError(f"cannot read {path}: {error.strerror}") from error


def _decoder(file: IO[bytes], limits: Limits, init: str | None) -> Decoder:
    return Decoder(file, limits=limits, inits=(init,) if init else ())  # type: ignore[arg-type]


# -- improve ---------------------------------------------------------------------------------------------
def improve(
    path: PathLike, original: PathLike, *, effort: int = 9, max_time: float | None = None, init: str | None = None,
    limits: Limits = DEFAULT_LIMITS, progress: Progress | None = None,
) -> ImproveResult:  # fmt: skip
    """Encode ``original`` with the quality, the init and the metadata of the file ``path``, and replace the file only
    if D + λR of the new one is lower: its squared error plus λ, the trade-off of its quality, times its bits.

    The search begins anew; what the file holds is not taken up. ``init``: path of its init, where it is not shipped.
    Raises :class:`InputError` when ``original`` is of another kind or size, or so different that the file cannot
    have been made from it; the file is untouched then.
    """
    began = time.monotonic()
    file = Path(path)
    with tempfile.TemporaryDirectory(prefix="nfc-") as folder, ExitStack() as files:
        decoder = _decoder(_opened(file, files), limits, init)
        if decoder.init.kind == BOUNDED:
            raise InputError(
                f"{path} holds an array within a bound, which no further search makes better",
                hint="nfc encode -e 9 --max-error tries everything at once",
            )
        options = EncodeOptions(
            quality=decoder.header.quality, effort=effort, max_time=max_time, init=_reference(decoder, init),
            tune=decoder.field.tune, limits=limits,
        )  # fmt: skip
        candidate = Path(folder) / "candidate.nfc"
        encoded = _encoded(decoder, Path(original), candidate, options, progress)
        old_psnr = compare_files(Path(original), file, limits=limits, inits=(init,) if init else ()).psnr
        _check_same_signal(file, original, old_psnr, encoded.psnr)
        old_bytes = file.stat().st_size
        better = cost(decoder, encoded.psnr, encoded.bytes) < cost(decoder, old_psnr, old_bytes)
        if better:
            with output_file(file, force=True) as temporary:
                shutil.copyfile(candidate, temporary)
    return ImproveResult(
        input=os.fspath(original), output=os.fspath(path), improved=better, old_bytes=old_bytes,
        bytes=encoded.bytes if better else old_bytes, old_psnr=old_psnr, psnr=encoded.psnr if better else old_psnr,
        effort=effort, seconds=time.monotonic() - began, warnings=encoded.warnings,
    )  # fmt: skip


def _reference(decoder: Decoder, init: str | None) -> str:
    """The init of a file as options name it."""
    name = zoo.name_of_prefix(decoder.header.init)
    return name if name in zoo.index()["inits"] else str(init)


def _encoded(
    decoder: Decoder, original: Path, target: Path, options: EncodeOptions, progress: Progress | None
) -> Encoded:
    source = open_source(original, limits=options.limits)
    try:
        _check_alike(decoder.info, source.info, original, whole=source.info.modality in ("image", "array"))
        with target.open("w+b") as file:
            beside = _Beside(source, decoder.metadata, decoder.sidecar())
            encoded = encode_signal(beside, file, options, progress=progress)
            encoded.verify(file, options)
    finally:
        source.close()
    _check_alike(decoder.info, encoded.info, original, whole=True)
    return encoded


def _check_alike(held: SignalInfo, given: SignalInfo, original: PathLike, *, whole: bool) -> None:
    """``whole``: the length of a recording or a video is known now."""
    if not whole:
        given = replace(given, shape=(held.shape[0], *given.shape[1:]))
    if held.modality == given.modality == "video":
        # Known for sure only at the end, and no matter of which signal it is.
        given = replace(given, rate=held.rate)
    if held != given:
        raise InputError(
            f"{original} is not what the file was made from: {_told(given)}, and the file holds {_told(held)}"
        )


def _told(info: SignalInfo) -> str:
    extent = "×".join(map(str, info.shape if info.modality == "array" else reversed(info.shape)))
    return f"{info.modality} {extent}, {info.channels} channels{' and alpha' * info.alpha}, {info.sample_type}"


def _check_same_signal(file: Path, original: PathLike, old: float, new: float) -> None:
    if old < new - OTHER_SIGNAL_DB:
        raise InputError(
            f"{original} is not what {file} was made from: the file is {old:.1f} dB from it, {new:.1f} dB are usual",
            hint="nfc encode -f makes the file anew",
        )


def cost(decoder: Decoder, psnr: float, size: int) -> float:
    """D/λ + R in bits, for a PSNR (dB) and a size (bytes) of the signal of a file, as its encoder weighs them."""
    info = decoder.info
    error = 10.0 ** (-psnr / 10.0) * info.samples * info.channels
    return float(error / decoder.field.trade + 8.0 * size)
