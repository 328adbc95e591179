"""Whole recordings: every sample the same in every setting, whatever the channels, the rate and the part."""

import io
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from helpers import MemorySource

from lapped.small import small_init
from nfcodec.decoder import Decoder
from nfcodec.encoder import encode_signal
from nfcodec.errors import ChecksumError, UnsupportedFeatureError, UnsupportedMediaError
from nfcodec.lapped import stored
from nfcodec.media.samples import dequantize
from nfcodec.options import DecodeOptions, EncodeOptions
from nfcodec.parallel import limited
from nfcodec.signal import SignalInfo
from nfcodec.zoo import write_init


@pytest.fixture(scope="module")
def init(tmp_path_factory):
    path = tmp_path_factory.mktemp("init") / "small.safetensors"
    write_init(small_init(), path)
    return str(path)


def recording(samples, channels=1, rate=8000, seed=0):
    rng = np.random.default_rng(seed)
    t = np.arange(samples)[:, None] / 8000
    tones = np.sin(2 * np.pi * (200 + 300 * np.arange(channels)) * t) * (0.3 + 0.2 * np.sin(20 * t))
    values = tones + 0.02 * rng.normal(size=(samples, channels))
    values = dequantize(np.rint(values.clip(-1, 1) * 32767).astype(np.int16), "i16", None, signed=True)
    return MemorySource(SignalInfo("audio", (samples,), channels, "i16", rate=Fraction(rate)), values)


def packed(source, init, **options):
    out = io.BytesIO()
    encoded = encode_signal(source, out, EncodeOptions(init=init, **options))
    encoded.verify(out, EncodeOptions(init=init))
    return out.getvalue(), encoded


def samples(data, init, **options):
    decoder = Decoder(io.BytesIO(data), inits=(init,))
    return np.concatenate([b.values for b in decoder.blocks(DecodeOptions(**options))])


@pytest.mark.parametrize("channels", [1, 2, 3, 6])
@pytest.mark.parametrize("length", [1, 31, 32, 33, 64, 700, 1600])
def test_round_trip(init, channels, length):
    source = recording(length, channels)
    data, encoded = packed(source, init, quality=90, tune="psnr")
    found = samples(data, init)
    assert found.shape == source.values.shape
    error = ((found - source.values) ** 2).mean()
    # PSNR is of the samples as written, whose range is 2.
    assert abs(10 * np.log10(4 / error) - encoded.psnr) < (0.5 if length > 1 else 1.0)
    assert encoded.snr > 20


@pytest.mark.parametrize(("rate", "spacing"), [(8000, 32), (16000, 64), (44100, 128)])
def test_spacing_follows_the_rate(init, rate, spacing):
    data, _ = packed(recording(900, 1, rate), init)
    assert Decoder(io.BytesIO(data), inits=(init,)).field.spacing == spacing


def test_more_quality_is_more(init):
    for tune in ("psnr", "perceptual"):
        found = [packed(recording(1600, 2), init, quality=q, tune=tune) for q in (20, 50, 80)]
        sizes, snrs = [len(d) for d, _ in found], [e.snr for _, e in found]
        assert sizes == sorted(sizes) and snrs == sorted(snrs)


def test_parts_are_those_of_the_whole(init, monkeypatch):
    data, _ = packed(recording(2600, 2), init, quality=80)
    whole = samples(data, init)
    for start, stop in ((0, 0.1), (0.05, 0.2), (0.1, None), (0.3, 0.32)):
        a, b = round(8000 * start), 2600 if stop is None else round(8000 * stop)
        assert np.array_equal(samples(data, init, time=(start, stop)), whole[a:b])
    for ahead in (1, 3):
        monkeypatch.setattr(stored, "AHEAD", ahead)
        for threads in (1, 2):
            with limited(threads):
                assert np.array_equal(samples(data, init), whole)


def test_threads_change_no_byte(init):
    made = []
    for threads in (1, 2, 3):
        with limited(threads):
            made.append(packed(recording(2600, 2), init)[0])
    assert made[0] == made[1] == made[2]


def test_a_part_reads_only_its_chunks(init, monkeypatch):
    data, _ = packed(recording(32 * 16 * 12), init)
    decoder = Decoder(io.BytesIO(data), inits=(init,))
    read = []
    entries = decoder.field.entries
    original = decoder.reader.read
    numbers = {entry: number for number, entry in entries.items()}
    monkeypatch.setattr(decoder.reader, "read", lambda e: read.append(numbers.get(e)) or original(e))
    list(decoder.blocks(DecodeOptions(time=(0.33, 0.37))))  # in chunk 5
    assert {5} <= set(read) <= {4, 5, 6, 7}


def test_silence(init):
    source = recording(3000, 2)
    source.values[800:2300] = 0
    data, _ = packed(source, init)
    assert not samples(data, init)[800:2300].any()
    quiet = replace(source, values=np.zeros((8000, 2), np.float32), info=replace(source.info, shape=(8000,)))
    assert len(packed(quiet, init)[0]) < 120 + 10 * 16


def test_other_rates_are_the_same_curve(init):
    """A tone keeps its place and size at another rate, and ``sample`` says what ``rate`` does."""
    t = np.arange(4000) / 8000
    source = recording(4000)
    source.values[:, 0] = 0.5 * np.sin(2 * np.pi * 1000 * t + 0.3)
    data, _ = packed(source, init, quality=100, tune="psnr")
    native = samples(data, init)[:, 0]
    found = samples(data, init, rate=20000)[:, 0]
    at = (np.arange(len(found)) + 0.5) * 0.4
    tone = 0.5 * np.sin(2 * np.pi * 1000 * (at - 0.5) / 8000 + 0.3)
    inside = slice(300, -300)
    assert np.abs(found - tone)[inside].max() < 3 * np.abs(native - source.values[:, 0]).max() + 1e-3
    field = Decoder(io.BytesIO(data), inits=(init,)).field
    assert np.allclose(field.sample(0, at[inside, None])[:, 0], found[inside], atol=1e-6)
    assert np.array_equal(field.sample(0, np.arange(4000)[:, None] + 0.5)[:, 0], native)
    beyond = field.sample(0, np.array([[-1e6], [1e9]]))[:, 0]
    assert np.allclose(beyond, native[[0, -1]], atol=0.2)


def test_missing_chunks(init):
    data, _ = packed(recording(32 * 16 * 4), init)
    whole = samples(data, init)
    with pytest.raises(ChecksumError):
        Decoder(io.BytesIO(data[:-9] + b"\0" * 9), inits=(init,)).digest()
    cut = Decoder(io.BytesIO(data[: len(data) * 3 // 4]), inits=(init,), partial=True)
    assert "of 4 chunks" in cut.field.lacking()
    found = np.concatenate([b.values for b in cut.blocks(DecodeOptions(partial=True))])
    assert np.array_equal(found[:400], whole[:400]) and not found[-400:].any()


def test_damage_is_told_when_it_is_asked_for(init):
    """Chunks 0, 1–2, 3–6, 7–14 and 15–30 are decoded together, the last two while the ones before are used."""
    data, _ = packed(recording(32 * 16 * 24), init)
    whole = samples(data, init)
    decoder = Decoder(io.BytesIO(data), inits=(init,))
    at = data.index(decoder.reader.read(decoder.field.entries[20]).payload)
    broken = Decoder(io.BytesIO(data[: at + 5] + bytes([data[at + 5] ^ 1]) + data[at + 6 :]), inits=(init,))
    found = []
    with limited(2), pytest.raises(ChecksumError):
        found.extend(b.values for b in broken.blocks(DecodeOptions()))
    assert 12 <= len(found) <= 15
    assert np.array_equal(np.concatenate(found), whole[: 512 * len(found)])


def test_what_it_does_not_take(init):
    picture = MemorySource(SignalInfo("image", (4, 4), 1, "u8"), np.zeros((4, 4, 1), np.float32))
    table = MemorySource(SignalInfo("array", (40,), 1, "f32"), np.zeros((40, 1), np.float32))
    for source in (picture, table):
        with pytest.raises(UnsupportedMediaError):
            packed(source, init)
    data, _ = packed(recording(100), init)
    with pytest.raises(UnsupportedFeatureError):
        Decoder(io.BytesIO(data), inits=(init,)).field.deltas()


def test_tune_is_told(init):
    for tune in ("psnr", "perceptual"):
        data, _ = packed(recording(700), init, tune=tune)
        assert Decoder(io.BytesIO(data), inits=(init,)).field.tune == tune
