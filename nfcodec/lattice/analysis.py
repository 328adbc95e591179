"""From given samples to the last layers of the cells that reach them, in whole numbers: the same on every machine.

A cell's weight is the sum over its reach of sample times function. The functions are those of the encoder's first inner
step, gains included: trained to undo the rendering, which φ itself would not, since neighbouring cells are not
orthogonal. Samples count 2^-20, functions and weights 2^-16; all sums are whole numbers in float64, and none
reaches 2^53.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nfcodec.errors import InternalError
from nfcodec.lattice.init import Level
from nfcodec.lattice.spec import LatticeSpec
from nfcodec.lattice.steps import LARGEST_WEIGHT, LOWEST, OCTAVE, mantissas
from nfcodec.lattice.trunk import unfold
from nfcodec.types import Doubles, Floats

SAMPLE_BITS = 20
# Of the planes of a signal in [0, 1] or [−1, 1], with room for what a decoder renders beyond it.
LARGEST_SAMPLE = 1 << 24


def whole_samples(planes: Doubles) -> Doubles:
    """Whole planes (…) in 2^-32, as :func:`nfcodec.lattice.native.render_box` gives them, in 2^-20 within ±2^24."""
    return np.clip(np.floor(planes * 2.0 ** (SAMPLE_BITS - 32) + 0.5), -LARGEST_SAMPLE, LARGEST_SAMPLE)


def analysis_table(level: Level) -> Doubles:
    """What samples are multiplied by: (P·K, places), whole numbers in 2^-16.

    From the stored numbers in whole numbers alone: tables of half precision count 2^-24, gains are rounded to 256ths of
    an octave. Bounded so that no sum of samples within ±2^24 reaches 2^53.
    """
    sets = [level.first_step[f"analysis.{plane.functions}"] for plane in level.spec.planes]
    planes = np.stack(sets).astype(np.float64)
    tables = np.rint(np.ldexp(planes, 24)).astype(np.int64).clip(-(1 << 32), 1 << 32)
    e = np.rint(level.first_step["log_gain"] * np.float32(OCTAVE)).astype(np.int64).clip(LOWEST * OCTAVE, 0x7FF)
    shift = (24 - e // OCTAVE)[..., None]
    whole = (tables * mantissas(e)[..., None] + (1 << (shift - 1))) >> shift
    largest = (1 << 28) // planes.shape[-1]
    bounded: Doubles = whole.clip(-largest, largest).reshape(level.spec.coded, -1).astype(np.float64)
    return bounded


def analyse(spec: LatticeSpec, functions: Doubles, planes: Doubles) -> Floats:
    """Last layers (P·K, *cells), whole numbers in 2^-16, of planes (P, *cells · spacing) of whole numbers in 2^-20;
    ``functions`` are those of :func:`analysis_table`.

    The signal is mirrored beyond its border. Raises :class:`InternalError` for samples beyond ±2^24 or between whole
    numbers, and for sizes that are no whole cells.
    """
    _check_samples(spec, planes)
    sets = functions.reshape(len(spec.planes), spec.bases, -1)
    patches = unfold(planes, spec.spacing)
    sums = [own @ some.T for own, some in zip(patches, sets, strict=True)]
    whole = np.floor(np.moveaxis(np.stack(sums), -1, 1) * 2.0**-SAMPLE_BITS + 0.5)
    clipped = np.clip(whole, -LARGEST_WEIGHT, LARGEST_WEIGHT)
    return clipped.reshape(spec.coded, *clipped.shape[2:]).astype(np.float32)


def padded(planes: Doubles, spacing: Sequence[int]) -> Doubles:
    """Planes (P, *samples) with the last samples repeated up to whole cells."""
    missing = [(0, -n % s) for n, s in zip(planes.shape[1:], spacing, strict=True)]
    return np.pad(planes, [(0, 0), *missing], "edge")


def _check_samples(spec: LatticeSpec, planes: Doubles) -> None:
    if planes.shape[0] != len(spec.planes) or any(n % s for n, s in zip(planes.shape[1:], spec.spacing, strict=True)):
        raise InternalError(f"planes {planes.shape} for {len(spec.planes)} planes of cells of {spec.spacing} samples")
    whole = planes.dtype == np.float64 and bool((planes == np.rint(planes)).all())
    if not whole or np.abs(planes).max(initial=0) > LARGEST_SAMPLE:
        raise InternalError("samples to analyse must be whole numbers within ±2^24, in float64")
