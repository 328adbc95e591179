"""Spacings by sample rate, and what cannot be a spec."""

from dataclasses import replace
from fractions import Fraction

import pytest

from nfcodec.errors import CorruptError
from nfcodec.lapped.channels import groups_of
from nfcodec.lapped.spec import LappedSpec

SPEECH, MUSIC = LappedSpec(320, 16000), LappedSpec(2048, 48000, sets=2, bands=(0, 64, 500))


@pytest.mark.parametrize(
    ("spec", "rate", "spacing"),
    [
        (SPEECH, 16000, 320), (SPEECH, 8000, 160), (SPEECH, 11025, 160), (SPEECH, 12000, 320), (SPEECH, 22050, 320),
        (SPEECH, 24000, 640), (SPEECH, None, 320), (SPEECH, 1, 80), (MUSIC, 44100, 2048), (MUSIC, 48000, 2048),
        (MUSIC, 32000, 1024), (MUSIC, 96000, 4096), (MUSIC, 192000, 8192), (MUSIC, 10**6, 8192),
        (MUSIC, Fraction(88200), 4096),
    ],
)  # fmt: skip
def test_spacing(spec, rate, spacing):
    assert spec.spacing_at(rate) == spacing


def test_bands_beyond_the_last_bin_are_left_out():
    spec = replace(SPEECH, bands=(0, 24, 100, 220))
    assert spec.bands_of(320) == (0, 24, 100, 220) and spec.bands_of(160) == (0, 24, 100)
    assert spec.bands_of(80) == (0, 24)


def test_json():
    assert LappedSpec.from_dict(MUSIC.to_dict()) == MUSIC


@pytest.mark.parametrize(
    "change",
    [
        {"spacing": 321}, {"block": 7}, {"block": 3}, {"block": 48}, {"frames": 0}, {"frames": 2000}, {"splits": 4},
        {"sets": 3}, {"rate": 0}, {"spacing": 320.0}, {"spacing": 16384}, {"more": 1},
        {"bands": ()}, {"bands": (1, 4)}, {"bands": (0, 4, 4)}, {"bands": (0, 9000)}, {"bands": (0, 4.5)},
        {"bands": tuple(range(33))}, {"bands": 5},
    ],
)  # fmt: skip
def test_impossible_specs(change):
    with pytest.raises(CorruptError):
        LappedSpec.from_dict(SPEECH.to_dict() | change)
    if "more" not in change:
        with pytest.raises(CorruptError):
            replace(SPEECH, **change).validate()


def test_groups_hold_every_channel_once():
    for channels in range(1, 20):
        assert [c for group in groups_of(channels) for c in group] == list(range(channels))
    assert groups_of(6) == ((0, 1), (2,), (3,), (4, 5)) and groups_of(2) == ((0, 1),)
