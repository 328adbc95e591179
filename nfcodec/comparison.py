"""Compare two files sample by sample: media or .nfc, in any combination, block by block."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from nfcodec.container.layout import SIGNATURE
from nfcodec.decoder import Decoder
from nfcodec.errors import InputError
from nfcodec.limits import Limits
from nfcodec.media import open_source
from nfcodec.media.samples import samples_of
from nfcodec.metrics import ErrorSum, ms_ssim
from nfcodec.options import CompareResult, DecodeOptions
from nfcodec.signal import Ints, SignalInfo

Part = tuple[Ints, "Ints | None"]


@contextlib.contextmanager
def open_samples(path: Path, limits: Limits, inits: tuple[str, ...]) -> Iterator[tuple[SignalInfo, Iterator[Part]]]:
    """The signal's info and its samples as written, with their alpha or None, in blocks of any length."""
    with contextlib.ExitStack() as stack:
        if _is_nfc(path):
            file = stack.enter_context(path.open("rb"))
            decoder = Decoder(file, limits=limits, inits=inits)
            info, blocks = decoder.info, decoder.blocks(DecodeOptions(limits=limits))
        else:
            source = open_source(path, limits=limits)
            stack.callback(source.close)
            info, blocks = source.info, source.blocks(_rows(source.info))
        yield info, ((samples_of(b, info), b.alpha) for b in blocks)


def _rows(info: SignalInfo) -> int:
    per_row = max(1, info.samples // info.shape[0])
    return max(1, (1 << 20) // per_row)


def _is_nfc(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(SIGNATURE)) == SIGNATURE
    except OSError:
        return False


def paired(a: Iterator[Part], b: Iterator[Part]) -> Iterator[tuple[Part, Part]]:
    """Blocks of equal length; the end of the shorter signal ends both, with an error if rows are left."""
    left, right = next(a, None), next(b, None)
    while left is not None and right is not None:
        n = min(len(left[0]), len(right[0]))
        yield _cut(left, slice(n)), _cut(right, slice(n))
        left = _cut(left, slice(n, None)) if len(left[0]) > n else next(a, None)
        right = _cut(right, slice(n, None)) if len(right[0]) > n else next(b, None)
    if left is not None or right is not None:
        raise InputError("the two signals have different lengths")


def _cut(part: Part, rows: slice) -> Part:
    samples, alpha = part
    return samples[rows], None if alpha is None else alpha[rows]


def compare_files(a: Path, b: Path, *, limits: Limits, inits: tuple[str, ...] = ()) -> CompareResult:
    """PSNR, SNR (sound), MS-SSIM (pictures) and the largest error of ``b`` against ``a``, where that is to be seen.

    (Not where its alpha is 0.) Raises :class:`InputError` when the signals differ in kind, shape or channels.
    """
    error, whole = ErrorSum(), ([], [])  # type: tuple[ErrorSum, tuple[list[Ints], list[Ints]]]
    with open_samples(a, limits, inits) as (left, blocks_a), open_samples(b, limits, inits) as (right, blocks_b):
        check_alike(left, right)
        same = left.sample_type == right.sample_type
        for (x, alpha), (y, _) in paired(blocks_a, blocks_b):
            other = y if same else _converted(y, right, left)
            error.add_seen(*_but_equal_gaps(left.measured(x), left.measured(other)), alpha)
            if left.modality == "image":
                whole[0].append(x)
                whole[1].append(other if alpha is None else np.where((alpha == 0)[..., None], x, other))
    similarity = None
    if left.modality == "image":
        similarity = ms_ssim(np.concatenate(whole[0]), np.concatenate(whole[1]), left.peak)
    snr = error.snr() if left.modality == "audio" else None
    worst = float(np.ldexp(error.max_error, left.exponent))
    return CompareResult(str(a), str(b), error.psnr(left.measured_peak), snr, similarity, worst)


def _but_equal_gaps(a: Ints, b: Ints) -> tuple[Ints, Ints]:
    """Two blocks without what is missing or infinite in both alike; what is missing in one alone is infinitely far."""
    if a.dtype.kind != "f" or (np.isfinite(a).all() and np.isfinite(b).all()):
        return a, b
    gone = np.isnan(a) & np.isnan(b) | np.isinf(a) & (a == b)
    left, right = (np.where(np.isnan(x), np.inf, x)[~gone] for x in (a, b))
    return left, right


def _converted(samples: Ints, have: SignalInfo, want: SignalInfo) -> Ints:
    """Samples of one type as they would be in another, not rounded."""
    converted: Ints = (samples.astype(np.float64) - have.zero) * (want.full / have.full) + want.zero
    return converted


def check_alike(a: SignalInfo, b: SignalInfo) -> None:
    """Raise :class:`InputError` unless two signals can be compared."""
    # The length of a clip or recording may be an estimate; differing lengths show when the blocks run out.
    first = 1 if a.modality in ("audio", "video") else 0
    if (a.modality, a.channels, a.shape[first:]) != (b.modality, b.channels, b.shape[first:]):
        raise InputError(f"cannot compare {_described(a)} with {_described(b)}")


def _described(info: SignalInfo) -> str:
    size = "×".join(map(str, reversed(info.shape) if info.modality in ("image", "video") else info.shape))
    return f"{info.modality} of {size} in {info.channels} channels"
