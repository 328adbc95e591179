"""Recordings that are encoded while they are made: chunks are final, files are good at any time."""

import os
import signal
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import helpers
import numpy as np
import pytest
from lapped.small import small_init

from nfcodec import api
from nfcodec.errors import NfcError, OptionError, OutputExistsError, TruncatedError, UnsupportedMediaError
from nfcodec.lapped.fit.growing import with_lookahead
from nfcodec.options import DecodeOptions, EncodeOptions
from nfcodec.signal import Block
from nfcodec.stream import encode_stream
from nfcodec.zoo import write_init

SCRIPT = Path(sys.executable).with_name("nfc")
RATE = 8000


@pytest.fixture(scope="module")
def lapped(tmp_path_factory):
    path = tmp_path_factory.mktemp("init") / "small.safetensors"
    write_init(small_init(), path)
    return str(path)


def samples(count, channels=1, seed=0):
    rng = np.random.default_rng(seed)
    t = np.arange(count)[:, None] / RATE
    tones = np.sin(2 * np.pi * (200 + 300 * np.arange(channels)) * t) * (0.3 + 0.2 * np.sin(20 * t))
    clicks = (rng.random((count, 1)) < 0.002) * 0.5
    return np.rint((tones + clicks + 0.02 * rng.normal(size=(count, channels))).clip(-1, 1) * 32767).astype("<i2")


def head(channels=1, size=0):
    form = struct.pack("<HHIIHH", 1, channels, RATE, RATE * 2 * channels, 2 * channels, 16)
    parts = b"RIFF", struct.pack("<I", 0xFFFFFFFF), b"WAVEfmt ", struct.pack("<I", 16), form, b"data"
    return b"".join(parts) + struct.pack("<I", size)


def wave(path, values, size=0):
    path.write_bytes(head(values.shape[1], size) + values.tobytes())
    return path


def grown(tmp_path, init, values, **options):
    source, out = wave(tmp_path / "tape.wav", values), tmp_path / "tape.nfc"
    options = EncodeOptions(init=init, effort=3, **options)
    return encode_stream(source, out, options=options, patience=0.0, force=True), out


def decoded(path, init):
    return api.decode_array(path, init=init)


@pytest.mark.parametrize("field", ["lapped", "modules"])
@pytest.mark.parametrize("channels", [1, 2])
def test_what_is_there_never_changes(tmp_path, lapped, field, channels):
    """Cut anywhere, the file decodes to the beginning of what the whole one decodes to, bit for bit."""
    init = lapped if field == "lapped" else helpers.init("audio")
    values = samples(20_000, channels)
    result, out = grown(tmp_path, init, values, quality=40)
    whole, data = decoded(out, init), out.read_bytes()
    assert whole.shape == values.shape and not api.info(out).growing
    error = ((whole.astype(float) - values) ** 2).mean()
    assert 10 * np.log10(65535**2 / error) == pytest.approx(result.psnr, abs=0.01)
    lengths = set()
    for size in np.linspace(len(data) // 10, len(data) - 1, 12).astype(int):
        cut = tmp_path / "cut.nfc"
        cut.write_bytes(data[:size])
        try:
            part = decoded(cut, init)
        except TruncatedError:
            assert not lengths
            continue
        assert api.info(cut).growing and api.info(cut).shape == (len(part),)
        np.testing.assert_array_equal(part, whole[: len(part)])
        lengths.add(len(part))
    assert len(lengths) > 1


@pytest.mark.parametrize("length", [1, 15, 16, 512, 513, 527, 528, 529, 1024])
def test_every_length_ends_well(tmp_path, lapped, length):
    values = samples(length)
    result, out = grown(tmp_path, lapped, values, quality=90, tune="psnr")
    options = EncodeOptions(init=lapped, quality=90, tune="psnr")
    plain = api.encode(values_file(tmp_path, values), tmp_path / "b.nfc", options=options)
    assert decoded(out, lapped).shape == (length, 1)
    assert result.psnr > plain.psnr - 1.5 and result.bytes <= plain.bytes * 1.1 + 40


def values_file(tmp_path, values):
    return wave(tmp_path / "plain.wav", values, values.nbytes)


def test_a_reader_meets_the_writer(tmp_path, lapped):
    """While a pipe is open the file has every chunk that went in, and says that it has no end."""
    out, values = tmp_path / "live.nfc", samples(8_000)
    read, write = os.pipe()
    done = []
    options = EncodeOptions(init=lapped, quality=40)
    link = tmp_path / "pipe"
    link.symlink_to(f"/proc/self/fd/{read}")
    worker = threading.Thread(target=lambda: done.append(encode_stream(link, out, options=options)))
    worker.start()
    os.write(write, head() + values[:4000].tobytes())
    waited = time.monotonic() + 30
    while not (out.exists() and api.info(out).shape[0] >= 3500):
        assert time.monotonic() < waited
        time.sleep(0.05)
    first = api.decode(out, tmp_path / "first.wav", init=lapped)
    assert "no end yet" in first.warnings[0] and not done
    os.write(write, values[4000:].tobytes())
    os.close(write)
    worker.join(30)
    os.close(read)
    assert done[0].bytes == out.stat().st_size and api.info(out).shape == (8000,)


def test_a_file_is_followed_until_it_rests(tmp_path, lapped):
    source, values = tmp_path / "tape.wav", samples(6000)
    source.write_bytes(head() + values[:2000].tobytes())

    def record():
        for a in range(2000, 6000, 1000):
            time.sleep(0.15)
            with source.open("ab") as file:
                file.write(values[a : a + 1000].tobytes())

    worker = threading.Thread(target=record)
    worker.start()
    result = encode_stream(source, tmp_path / "tape.nfc", options=EncodeOptions(init=lapped), patience=1.0)
    worker.join()
    assert api.info(result.output).shape == (6000,)


def test_titles_behind_the_samples_are_no_samples(tmp_path, lapped):
    source, values = tmp_path / "tape.wav", samples(2000)
    source.write_bytes(head(size=values.nbytes) + values.tobytes() + b"LIST\x04\0\0\0INFO")
    result = encode_stream(source, tmp_path / "tape.nfc", options=EncodeOptions(init=lapped), patience=0.0)
    assert api.info(result.output).shape == (2000,)


def test_stopping_finishes_the_file(tmp_path, lapped):
    source = wave(tmp_path / "tape.wav", samples(3000))
    seen = []

    def stopped():
        seen.append(1)
        return len(seen) > 3

    result = encode_stream(source, tmp_path / "a.nfc", options=EncodeOptions(init=lapped), stopped=stopped, patience=60)
    assert api.info(result.output).shape == (3000,) and not api.info(result.output).growing


def test_a_good_file_stays_until_there_is_a_better_one(tmp_path, lapped):
    out = tmp_path / "tape.nfc"
    out.write_bytes(b"precious")
    options = EncodeOptions(init=lapped)
    with pytest.raises(OutputExistsError):
        encode_stream(wave(tmp_path / "a.wav", samples(100)), out, options=options)
    for bad in (b"RIFF", b"no sound at all", head()):
        (tmp_path / "bad.wav").write_bytes(bad)
        with pytest.raises(NfcError):
            encode_stream(tmp_path / "bad.wav", out, options=options, force=True, patience=0.0, stopped=lambda: True)
        assert out.read_bytes() == b"precious"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.wav", "bad.wav", "tape.nfc"]


@pytest.mark.parametrize("option", [{"kbps": 8.0}, {"max_time": 1.0}, {"target_size": 1000}])
def test_targets_need_the_whole(tmp_path, option):
    with pytest.raises(OptionError, match="whole recording"):
        encode_stream(tmp_path / "a.wav", tmp_path / "a.nfc", options=EncodeOptions(**option))


def test_only_fields_of_sound_grow(tmp_path):
    source = wave(tmp_path / "a.wav", samples(100))
    with pytest.raises(UnsupportedMediaError, match="lapped"):
        encode_stream(source, tmp_path / "a.nfc", options=EncodeOptions(init="array-dyadic"), patience=0.0)


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_interrupting_the_command_finishes_the_file(tmp_path, lapped):
    out = tmp_path / "talk.nfc"
    command = [str(SCRIPT), "encode", "--stream", "-", "-o", str(out), "--init", lapped]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdin.write(head() + samples(4000).tobytes())
        process.stdin.flush()
        waited = time.monotonic() + 60
        while not out.exists() and time.monotonic() < waited:
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        assert b"stopping" in process.stderr.read()
    assert api.info(out).shape == (4000,) and not api.info(out).growing


def test_lookahead():
    blocks = [Block(np.full((2, 1), i, np.float32)) for i in range(7)] + [Block(np.full((1, 1), 7, np.float32))]
    found = list(with_lookahead(blocks, 4, 2))
    assert [len(a) for a, _ in found] == [4, 4, 4, 3]
    assert [b is None for _, b in found] == [False, False, False, True]
    assert np.concatenate([a for a, _ in found])[:, 0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7]


def test_partial_options_still_work(tmp_path, lapped):
    _, out = grown(tmp_path, lapped, samples(3000))
    part = api.decode_array(out, options=DecodeOptions(time=(0.1, 0.2)), init=lapped)
    np.testing.assert_array_equal(part, decoded(out, lapped)[800:1600])
