"""Which loudspeaker each channel is for, and the order that a format keeps its channels in.

Inside nfc channels lie in the order of the bits of a WAVE channel mask (Microsoft, "Multiple channel audio data and
WAVE files", 2001). Ogg Vorbis ("Vorbis I specification", 4.3.9) and Opus in Ogg (RFC 7845, 5.1.1) share another order.
FLAC (RFC 9639, 9.1.3) has the order of WAVE and one layout for each number of channels, unless a comment says which;
where it leaves back or side open, the reference decoder and ffmpeg take side.
"""

from __future__ import annotations

from collections.abc import Sequence

# By bit of the mask.
_NAMES = (
    "FL", "FR", "FC", "LFE", "BL", "BR", "FLC", "FRC", "BC", "SL", "SR", "TC", "TFL", "TFC", "TFR", "TBL", "TBC", "TBR",
)  # fmt: skip
# What a number of channels means in Vorbis and Opus, 1 … 8, and in FLAC.
_CUSTOMARY = (0x4, 0x3, 0x7, 0x33, 0x37, 0x3F, 0x70F, 0x63F)
_FLAC = (0x4, 0x3, 0x7, 0x33, 0x607, 0x60F, 0x70F, 0x63F)
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


def flac_mask(channels: int) -> int | None:
    """The same in FLAC."""
    return _FLAC[channels - 1] if 1 <= channels <= len(_FLAC) else None


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


# Apple's named layouts (CoreAudioBaseTypes.h, "Audio Channel Layout Tags"), by the number in the high half of the tag.
_APPLE = {
    100: "FC", 101: "FL FR", 108: "FL FR SL SR", 109: "FL FR SL SR FC", 111: "FL FR BL BR FC BC",
    113: "FL FR FC", 114: "FC FL FR", 115: "FL FR FC BC", 116: "FC FL FR BC", 117: "FL FR FC SL SR",
    118: "FL FR SL SR FC", 119: "FL FC FR SL SR", 120: "FC FL FR SL SR", 121: "FL FR FC LFE SL SR",
    122: "FL FR SL SR FC LFE", 123: "FL FC FR SL SR LFE", 124: "FC FL FR SL SR LFE", 125: "FL FR FC LFE SL SR BC",
    126: "FL FR FC LFE SL SR FLC FRC", 127: "FC FLC FRC FL FR SL SR LFE", 128: "FL FR FC LFE SL SR BL BR",
    131: "FL FR BC", 132: "FL FR SL SR", 133: "FL FR LFE", 134: "FL FR LFE BC", 135: "FL FR LFE SL SR",
}  # fmt: skip
_DESCRIBED, _BITMAP = 0, 0x10000


def apple_layout(data: bytes) -> tuple[int, tuple[int, ...] | None] | None:
    """Mask, and where each channel lies in WAVE order, of the layout chunk of a CAF or AIFF file; None if unknown."""
    tag, bitmap, count = (int.from_bytes(data[at : at + 4], "big") for at in (0, 4, 8))
    if tag == _BITMAP:
        return bitmap, None
    names = tuple(_APPLE.get(tag >> 16, "").split())
    if tag == _DESCRIBED:
        labels = [int.from_bytes(data[12 + 20 * i : 16 + 20 * i], "big") for i in range(min(count, len(data) // 20))]
        names = tuple(_NAMES[label - 1] if 1 <= label <= len(_NAMES) else "" for label in labels)
    if not names or len(set(names)) != len(names) or "" in names:
        return None
    mask = sum(1 << _NAMES.index(name) for name in names)
    return mask, tuple(names.index(name) for name in speaker_names(mask))
