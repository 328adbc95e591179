"""Between what a network puts out and the values of a signal.

Pictures use an orthonormal opponent rotation T of RGB (the discrete cosine transform of three points): luma
first, then two chroma axes. Being orthonormal it changes no squared error, and a grey picture needs only the
first output. Stereo sound uses the orthonormal mid/side rotation of its two channels.
"""

from __future__ import annotations

from nfcodec.arrays import Array
from nfcodec.modules.spec import FieldSpec
from nfcodec.rotations import ROOT3, opponent_matrix


def active_outputs(spec: FieldSpec, channels: int) -> int:
    """How many network outputs a signal of ``channels`` channels uses; the others carry no delta."""
    return min(spec.channels, channels) if spec.opponent else spec.channels


def to_outputs(spec: FieldSpec, values: Array) -> Array:
    """Targets (…, active outputs) for signal values (…, C)."""
    if not spec.offset:
        return values
    centred = values - 0.5
    if not spec.opponent:
        return centred
    if values.shape[-1] == 1:
        return centred * ROOT3
    return centred @ opponent_matrix(values).T


def to_values(spec: FieldSpec, outputs: Array, channels: int) -> Array:
    """Signal values (…, C) from raw network outputs (…, spec.channels); the inverse of :func:`to_outputs`."""
    if not spec.offset:
        return outputs
    if not spec.opponent:
        return outputs + 0.5
    if channels == 1:
        return outputs[..., :1] / ROOT3 + 0.5
    return outputs @ opponent_matrix(outputs) + 0.5
