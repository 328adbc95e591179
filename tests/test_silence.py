"""Digital silence decodes to silence, costs next to nothing, and the numbers say so."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from helpers import init
from hypothesis import given
from hypothesis import strategies as st

from nfcodec import api
from nfcodec.cli import text
from nfcodec.cli.report import strict
from nfcodec.container.layout import SectionType
from nfcodec.container.reader import Reader
from nfcodec.container.varint import encode_varint
from nfcodec.errors import CorruptError, FormatError
from nfcodec.field_file import FieldFile
from nfcodec.limits import DEFAULT_LIMITS
from nfcodec.options import DecodeOptions, EncodeOptions
from nfcodec.silence import Silence, find_silence, pack_silence, unpack_silence

OPTIONS = EncodeOptions(init=init("audio"), effort=1)
KINDS = [("wav", "PCM_U8"), ("wav", "PCM_16"), ("wav", "PCM_24"), ("wav", "PCM_32"), ("wav", "FLOAT"),
         ("wav", "DOUBLE"), ("flac", "PCM_S8"), ("flac", "PCM_24"), ("aiff", "PCM_16")]  # fmt: skip


def there_and_back(folder, name, field="audio"):
    options = replace(OPTIONS, init=init(field))
    encoded = api.encode(folder / name, folder / "a.nfc", options=options, force=True)
    api.decode(folder / "a.nfc", folder / "b.wav", init=init(field), force=True)
    return encoded, soundfile.read(folder / "b.wav", dtype="int32", always_2d=True)[0]


@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize(("form", "subtype"), KINDS)
def test_silence_of_every_kind(tmp_path, form, subtype, channels):
    soundfile.write(tmp_path / f"a.{form}", np.zeros((5000, channels)), 8000, subtype)
    encoded, samples = there_and_back(tmp_path, f"a.{form}")
    assert not samples.any() and samples.shape == (5000, channels)
    assert encoded.psnr == encoded.snr == math.inf and encoded.bytes < 60 + 8 * channels
    compared = api.compare(tmp_path / f"a.{form}", tmp_path / "b.wav")
    assert (compared.psnr, compared.snr, compared.max_error) == (math.inf, math.inf, 0.0)


def burst(channels):
    """Silence with a tone in the middle of the first channel, and in the last one all along."""
    rng = np.random.default_rng(5)
    values = np.zeros((8000, channels))
    values[3000:4000, 0] = rng.uniform(-0.5, 0.5, 1000)
    if channels > 1:
        values[:, -1] = rng.uniform(-0.5, 0.5, 8000)
    return values


@pytest.mark.parametrize(
    ("channels", "field"), [(1, "audio"), (2, "audio"), (3, "audio"), (1, "lattice-mono"), (2, "lattice-stereo")]
)
def test_silent_stretches_and_channels(tmp_path, channels, field):
    soundfile.write(tmp_path / "a.wav", burst(channels), 8000)
    encoded, samples = there_and_back(tmp_path, "a.wav", field)
    assert not samples[:3000, : max(1, channels - 1)].any() and not samples[4000:, : max(1, channels - 1)].any()
    assert samples[3000:4000, 0].std() > 0
    assert math.isfinite(encoded.snr)
    # The report is of what is written, silence included.
    assert api.compare(tmp_path / "a.wav", tmp_path / "b.wav").psnr == pytest.approx(encoded.psnr)


def test_silence_is_cheap(tmp_path):
    soundfile.write(tmp_path / "a.wav", burst(1)[3000:4000], 8000)
    soundfile.write(tmp_path / "b.wav", burst(1), 8000)
    alone, padded = (api.encode(tmp_path / f"{n}.wav", tmp_path / f"{n}.nfc", options=OPTIONS).bytes for n in "ab")
    assert padded < alone * 1.3 + 40


def test_any_time_and_rate(tmp_path):
    soundfile.write(tmp_path / "a.wav", burst(1), 8000)
    there_and_back(tmp_path, "a.wav")
    late = DecodeOptions(rate=5000.0, time=(0.55, None))
    for options in (DecodeOptions(time=(0.1, 0.3)), late, DecodeOptions(rate=32000.0)):
        api.decode(tmp_path / "a.nfc", tmp_path / "c.wav", options=options, init=init("audio"), force=True)
        samples = soundfile.read(tmp_path / "c.wav")[0]
        assert not samples[: int(0.36 * len(samples)) if options.time is None else None].any()
    with FieldFile(tmp_path / "a.nfc", inits=(init("audio"),)) as field:
        values = field.sample([[0.1], [0.45], [0.9]])[:, 0]
        assert values[0] == values[2] == 0.0 and values[1] != 0.0


def test_sound_without_silence_has_no_section(tmp_path):
    soundfile.write(tmp_path / "a.wav", burst(2)[:, 1], 8000)
    there_and_back(tmp_path, "a.wav")
    with (tmp_path / "a.nfc").open("rb") as file:
        assert SectionType.SILENCE not in [e.type for e in Reader(file, limits=DEFAULT_LIMITS).index()]


# -- the section -----------------------------------------------------------------------------------------
@given(st.lists(st.lists(st.booleans(), min_size=30, max_size=30), min_size=1, max_size=3), st.integers(1, 8))
def test_the_section_holds_what_was_found(columns, shortest):
    silent = np.array(columns).T
    found = find_silence(silent, shortest)
    back = unpack_silence(pack_silence(found), 30, len(columns))
    values = np.ones(silent.shape)
    back.apply(values, np.arange(30) + 0.5)
    assert not (values == 0)[~silent].any()
    for column, value in zip(silent.T, values.T, strict=True):
        runs = np.flatnonzero(np.diff(column, prepend=False, append=False)).reshape(-1, 2).tolist()
        kept = [b - a for a, b in runs if b - a >= shortest or a == 0 or b == 30]
        assert (value == 0).sum() == sum(kept)


@given(st.lists(st.booleans(), min_size=2, max_size=40), st.integers(1, 39))
def test_blocks_join(column, at):
    silent = np.array(column)[:, None]
    at = min(at, len(silent) - 1)
    joined = find_silence(silent[:at], 1).joined(find_silence(silent[at:], 1), at)
    np.testing.assert_array_equal(joined.runs[0], find_silence(silent, 1).runs[0])


BAD = {
    "too many": [200], "no length": [1, 5, 0], "beyond the end": [1, 5, 100], "touching": [2, 0, 5, 0, 5],
    "cut": [1, 5], "more behind": [1, 0, 5, 9], "huge": [1, 2**63, 2**63],
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_section_that_lies(name):
    payload = b"".join(encode_varint(n) for n in BAD[name])
    with pytest.raises(FormatError):
        unpack_silence(payload, 50, 1)


def test_nothing_is_no_silence():
    assert not Silence((np.zeros((0, 2), np.int64),))
    assert issubclass(CorruptError, FormatError)


# -- what is said ----------------------------------------------------------------------------------------
def test_an_error_in_the_place_of_silence_is_told(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(500), 8000)
    soundfile.write(tmp_path / "b.wav", np.full(500, 0.001), 8000)
    result = api.compare(tmp_path / "a.wav", tmp_path / "b.wav")
    assert result.snr == -math.inf and math.isfinite(result.psnr) and result.max_error == 32
    told = text.compared(result)
    assert "SNR        −∞ dB (the original is silent)" in told and "no error" not in told
    found = json.loads(json.dumps(strict({"psnr": result.psnr, "snr": result.snr})))
    assert found["snr"] is None and found["psnr"] is not None
    same = text.compared(api.compare(tmp_path / "a.wav", tmp_path / "a.wav"))
    assert same.count("no error") == 2 and "−∞" not in same
