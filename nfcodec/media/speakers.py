"""Which loudspeaker each channel is for, and the order that a format keeps its channels in.

Inside nfc channels lie in the order of the bits of a WAVE channel mask (Microsoft, "Multiple channel audio data and
WAVE files", 2001). Ogg Vorbis ("Vorbis I specification", 4.3.9) and Opus in Ogg (RFC 7845, 5.1.1) share another order.
FLAC (RFC 9639, 9.1.3) has the order of WAVE and one layout for each number of channels, unless a comment says which.
"""

from __future__ import annotations

from collections.abc import Sequence

# By bit of the mask.
_NAMES = (
    "FL", "FR", "FC", "LFE", "BL", "BR", "FLC", "FRC", "BC", "SL", "SR", "TC", "TFL", "TFC", "TFR", "TBL", "TBC", "TBR",
)  # fmt: skip
# What a number of channels means in FLAC, Vorbis and Opus, 1 … 8.
_CUSTOMARY = (0x4, 0x3, 0x7, 0x33, 0x37, 0x3F, 0x70F, 0x63F)
_XIPH_ORDER = (
    ("FC",), ("FL", "FR"), ("FL", "FC", "FR"), ("FL", "FR", "BL", "BR"), ("FL", "FC", "FR", "BL", "BR"),
    ("FL", "FC", "FR", "BL", "BR", "LFE"), ("FL", "FC", "FR", "SL", "SR", "BC", "LFE"),
    ("FL", "FC", "FR", "SL", "SR", "BL", "BR", "LFE"),
)  # fmt: skip
# A listener takes these for each other.
_NEAR = {"SL": "BL", "SR": "BR", "BL": "SL", "BR": "SR"}


def customary_mask(channels: int) -> int | None:
    """The layout that a number of channels stands for where nothing says more; None over 8."""
    return _CUSTOMARY[channels - 1] if 1 <= channels <= len(_CUSTOMARY) else None


def usable_mask(mask: int, channels: int) -> int | None:
    """``mask`` as far as it says where each of ``channels`` goes: surplus bits are ignored, too few say nothing."""
    while mask.bit_count() > channels:
        mask &= ~(1 << (mask.bit_length() - 1))
    return mask if mask and mask.bit_count() == channels else None


def says_more(mask: int | None, channels: int) -> bool:
    """Whether ``mask`` must be written down: readers take one channel for mono and two for stereo anyway."""
    return mask is not None and not (channels <= 2 and mask == customary_mask(channels))


def speaker_names(mask: int) -> tuple[str, ...]:
    """The usual short names, in the order of the channels."""
    return tuple(_NAMES[i] if i < len(_NAMES) else f"bit {i}" for i in range(32) if mask >> i & 1)


def from_xiph(channels: int) -> tuple[int, ...] | None:
    """Where each channel, in WAVE order, lies in a Vorbis or Opus stream; None over 8 channels, which have no order."""
    mask = customary_mask(channels)
    if mask is None:
        return None
    order = _XIPH_ORDER[channels - 1]
    return tuple(order.index(name) for name in speaker_names(mask))


def to_xiph(channels: int, mask: int | None) -> tuple[int, ...] | None:
    """Which channel, of those in the order of ``mask``, goes to each place of a Vorbis stream; None over 8.

    A speaker that the stream does not know takes the place of the one nearest to it, or else one that is left.
    """
    if channels > len(_XIPH_ORDER):
        return None
    names = speaker_names(mask if mask is not None else _CUSTOMARY[channels - 1])
    return _assigned(names, _XIPH_ORDER[channels - 1])


def _assigned(have: Sequence[str], places: Sequence[str]) -> tuple[int, ...]:
    chosen: dict[str, int] = {place: have.index(place) for place in places if place in have}
    for name, near in _NEAR.items():
        if name in places and name not in chosen and near in have and have.index(near) not in chosen.values():
            chosen[name] = have.index(near)
    left = [i for i in range(len(have)) if i not in chosen.values()]
    for place in places:
        if place not in chosen:
            chosen[place] = left.pop(0)
    return tuple(chosen[place] for place in places)


def inverse(order: Sequence[int]) -> tuple[int, ...]:
    """The permutation that takes ``order`` back."""
    return tuple(order.index(i) for i in range(len(order)))
