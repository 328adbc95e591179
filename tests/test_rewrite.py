"""Files improved from their originals, and transcoded from themselves."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from helpers import (
    decode,
    decode_array,
    encode,
    init,
    memory,
    moving,
    pack,
    painting,
    psnr_of,
    samples_of,
    save_frames,
    save_picture,
    save_sound,
    sound,
)
from PIL import Image

import nfcodec
from nfcodec import EncodeOptions, rewrite
from nfcodec.cli.run import run
from nfcodec.cli.session import Session
from nfcodec.decoder import Decoder
from nfcodec.errors import (
    InputError,
    MediaReadError,
    ModelNotFoundError,
    NfcError,
    NotNfcError,
    OptionError,
    OutputExistsError,
)
from nfcodec.rewrite import LOSS, DecodedSource, cost, improve, transcode

KINDS = ("image", "tiny-lattice")


def nfc(*args):
    return run([str(a) for a in args], Session())


@pytest.fixture
def photo(tmp_path):
    return save_picture(tmp_path / "photo.png", painting(61, 90))


def costs(path, kind, original):
    """D/λ + R of a file, from the outside."""
    with path.open("rb") as file:
        decoder = Decoder(file, inits=(init(kind),))
        return cost(decoder, nfcodec.compare(original, path, init=init(kind)).psnr, path.stat().st_size)


# -- improve ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("quality", [20, 80])
def test_more_effort_costs_less(tmp_path, photo, kind, quality):
    file = tmp_path / "photo.nfc"
    encode(photo, kind, file, quality=quality, effort=1)
    before = costs(file, kind, photo)
    done = improve(file, photo, effort=6, init=init(kind))
    assert done.improved and costs(file, kind, photo) < before
    assert done.bytes == file.stat().st_size and math.isclose(
        done.psnr, psnr_of(samples_of(photo), decode_array(file, kind), 255), abs_tol=1e-6
    )
    info = nfcodec.info(file)
    assert (info.quality, info.field) == (quality, "siren" if kind == "image" else "lattice")
    reference = tmp_path / "reference.nfc"
    encode(photo, kind, reference, quality=quality, effort=6)
    assert file.read_bytes() == reference.read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_is_never_made_worse(tmp_path, photo, kind):
    file = tmp_path / "photo.nfc"
    encode(photo, kind, file, effort=6)
    before = file.read_bytes()
    for effort in (1, 6):
        done = improve(file, photo, effort=effort, init=init(kind))
        assert not done.improved and file.read_bytes() == before
        assert (done.bytes, done.old_bytes, done.psnr) == (len(before), len(before), done.old_psnr)


def test_what_is_beside_the_samples_stays(tmp_path):
    """The file's metadata, not the original's: what was stripped stays away."""
    profile = b"profile" * 30
    photo, file = tmp_path / "photo.png", tmp_path / "photo.nfc"
    Image.fromarray(painting(40, 40)).save(photo, icc_profile=profile, dpi=(300, 300))
    encode(photo, "image", file, effort=1, strip=frozenset({"tags"}))
    Image.fromarray(painting(40, 40)).save(photo)
    assert improve(file, photo, effort=5, init=init("image")).improved
    with nfcodec.open(file, init=init("image")) as opened:
        assert (opened.metadata.icc, opened.metadata.tags) == (profile, ())


@pytest.mark.parametrize("kind", ["audio", "video"])
def test_recordings_and_clips(tmp_path, kind):
    if kind == "audio":
        original = save_sound(tmp_path / "s.wav", sound(900, 2))
    else:
        original = save_frames(tmp_path / "v.png", moving(5, 14, 16))
    file = tmp_path / "x.nfc"
    encode(original, kind, file, effort=1)
    before = costs(file, kind, original)
    assert improve(file, original, effort=5, init=init(kind)).improved and costs(file, kind, original) < before


def test_costs_are_those_of_the_encoder(tmp_path):
    """One λ of squared error is worth one bit: of grey three times, of sound on [−1, 1]."""
    for kind, samples in (
        ("tiny-lattice", painting(32, 32)),
        ("tiny-lattice", painting(32, 32, channels=1)),
        ("image", painting(36, 36, channels=1)),
        ("audio", sound(600, 1)),
    ):
        source = memory("audio" if kind == "audio" else "image", samples)
        path = tmp_path / "x.nfc"
        path.write_bytes(pack(source, kind, effort=1)[0])
        with path.open("rb") as file:
            decoder = Decoder(file, inits=(init(kind),))
            trade = (
                3 * decoder.init.trade_off(75)
                if kind == "tiny-lattice"
                else 0.13 * (decoder.init.coarsest * 2 ** (-75 * 23 / 512)) ** 2
            )
            units = {1: 3.0, 3: 1.0}[decoder.info.channels] if kind != "audio" else 4.0
            one_bit = trade / units / (decoder.info.samples * decoder.info.channels)
            assert math.isclose(cost(decoder, -10 * math.log10(one_bit), 100), 801)
            assert cost(decoder, math.inf, 10) == 80


def test_the_cli_improves(tmp_path, photo, capsys):
    file = tmp_path / "photo.nfc"
    encode(photo, "image", file, effort=1)
    args = ("improve", file, "--from", photo, "-e", "5", "--init", init("image"))
    assert nfc(*args) == 0 and " → " in capsys.readouterr().err
    assert nfc(*args) == 0 and "kept" in capsys.readouterr().err
    assert nfc(*args, "--json") == 0 and '"improved": false' in capsys.readouterr().out


@pytest.mark.parametrize("quality", [0, 75])
@pytest.mark.parametrize(
    ("samples", "words"),
    [(painting(61, 90, seed=5), "dB from it"), (painting(61, 91), "91×61"),
     (painting(61, 90, channels=1), "1 channels"), (painting(61, 90).astype(np.uint16), "u16")],
)  # fmt: skip
def test_other_originals_are_refused(tmp_path, photo, samples, words, quality):
    """A wrong original would win every comparison."""
    file, other = tmp_path / "photo.nfc", save_picture(tmp_path / "other.png", samples)
    encode(photo, "tiny-lattice", file, effort=1, quality=quality)
    before = file.read_bytes()
    with pytest.raises(InputError, match=words):
        improve(file, other, effort=2, init=init("tiny-lattice"))
    assert file.read_bytes() == before


def test_other_kinds_of_originals_are_refused(tmp_path):
    file, original = tmp_path / "s.nfc", save_sound(tmp_path / "s.wav", sound(900, 1))
    encode(original, "audio", file, effort=1)
    shorter = save_sound(tmp_path / "t.wav", sound(900, 1)[:800])
    with pytest.raises(InputError, match="not what the file was made from"):
        improve(file, shorter, effort=1, init=init("audio"))
    with pytest.raises(InputError, match="image"):
        improve(file, save_picture(tmp_path / "p.png", painting(9, 9)), effort=1, init=init("audio"))


def test_wrong_uses_of_improve(tmp_path, photo, monkeypatch):
    file = tmp_path / "photo.nfc"
    encode(photo, "image", file, effort=1)
    before = file.read_bytes()
    cases = [
        (MediaReadError, (tmp_path / "gone.nfc", photo), {}), (MediaReadError, (file, tmp_path / "gone.png"), {}),
        (NotNfcError, (photo, photo), {}), (ModelNotFoundError, (file, photo), {"init": None}),
        (OptionError, (file, photo), {"effort": 10}), (OptionError, (file, photo), {"max_time": -1.0}),
        (NfcError, (file, file), {}),
    ]  # fmt: skip
    for error, args, options in cases:
        with pytest.raises(error):
            improve(*args, **{"init": init("image"), "effort": 1, **options})
    monkeypatch.setattr(Decoder, "digest", lambda self: ("", 0))
    with pytest.raises(NfcError, match="other symbols"):
        improve(file, photo, effort=5, init=init("image"))
    assert file.read_bytes() == before and sorted(p.name for p in tmp_path.iterdir()) == ["photo.nfc", "photo.png"]
    monkeypatch.chdir(tmp_path)
    assert nfc("improve", "photo.nfc") == 2 and nfc("improve", "photo.nfc", "--from", "photo.png", "-e", "0") == 2
    assert nfc("improve", "photo.nfc", "--from", "photo.png", "--max-time", "soon") == 2


def test_a_failing_replacement_leaves_the_file(tmp_path, photo, monkeypatch):
    file = tmp_path / "photo.nfc"
    encode(photo, "image", file, effort=1)
    before = file.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(rewrite.shutil, "copyfile", full)
    with pytest.raises(NfcError, match="No space left"):
        improve(file, photo, effort=5, init=init("image"))
    assert file.read_bytes() == before and len(list(tmp_path.iterdir())) == 2


# -- transcode -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("old", KINDS)
@pytest.mark.parametrize("new", KINDS)
def test_transcoding_is_decoding_and_encoding(tmp_path, photo, old, new):
    file, out = tmp_path / "photo.nfc", tmp_path / "out.nfc"
    encode(photo, old, file, effort=1, quality=80)
    done = transcode(file, out, options=EncodeOptions(quality=30, effort=1, init=init(new)), init=init(old))
    by_hand = tmp_path / "by-hand.nfc"
    decode(file, old, tmp_path / "decoded.png")
    encode(tmp_path / "decoded.png", new, by_hand, effort=1, quality=30)
    assert out.read_bytes() == by_hand.read_bytes() and done.warnings[0] == LOSS
    assert done.bytes < file.stat().st_size and done.quality == 30 and done.input_bytes == file.stat().st_size
    decoded = samples_of(tmp_path / "decoded.png")
    assert math.isclose(done.psnr, psnr_of(decoded, decode_array(out, new), 255), abs_tol=1e-6)


@pytest.mark.parametrize("rows", [1, 7, 16, 61, 200])
@pytest.mark.parametrize("kind", KINDS)
def test_blocks_have_as_many_rows_as_asked(kind, rows, tmp_path):
    path = tmp_path / "x.nfc"
    samples, alpha = painting(61, 30), painting(61, 30, seed=1, channels=1)[..., 0]
    encode(save_picture(tmp_path / "x.png", samples, alpha), kind, path, effort=1)
    with path.open("rb") as file:
        decoder = Decoder(file, inits=(init(kind),))
        blocks = list(DecodedSource.of(decoder).blocks(rows))
    assert [len(b.values) for b in blocks] == [rows] * (61 // rows) + [61 % rows] * (61 % rows > 0)
    values = np.concatenate([b.values for b in blocks])
    assert (np.rint(values * 255) == decode_array(path, kind)[..., :3]).all()
    assert (np.concatenate([b.alpha for b in blocks]) == alpha).all()


@pytest.mark.parametrize("kind", ["audio", "video"])
def test_sound_and_video(tmp_path, kind):
    original = (
        save_sound(tmp_path / "x.wav", sound(900, 2))
        if kind == "audio"
        else save_frames(tmp_path / "x.png", moving(5, 14, 16))
    )
    encode(original, kind, tmp_path / "x.nfc", effort=1, quality=90)
    options = EncodeOptions(quality=20, effort=1, init=init(kind))
    transcode(tmp_path / "x.nfc", tmp_path / "y.nfc", options=options, init=init(kind))
    old, new = nfcodec.info(tmp_path / "x.nfc"), nfcodec.info(tmp_path / "y.nfc")
    assert (new.shape, new.sample_rate, new.sample_type) == (old.shape, old.sample_rate, old.sample_type)
    assert new.bytes < old.bytes


def test_targets_and_metadata(tmp_path):
    Image.fromarray(painting(40, 60)).save(tmp_path / "x.png", icc_profile=b"profile")
    encode(tmp_path / "x.png", "image", tmp_path / "x.nfc", effort=1, quality=90)
    options = EncodeOptions(target_size=500, effort=1, init=init("image"))
    done = transcode(tmp_path / "x.nfc", tmp_path / "y.nfc", options=options, init=init("image"))
    assert done.bytes <= 500
    with nfcodec.open(tmp_path / "y.nfc", init=init("image")) as opened:
        assert opened.metadata.icc == b"profile"


def test_the_cli_transcodes(tmp_path, photo, capsys):
    file = tmp_path / "photo.nfc"
    encode(photo, "image", file, effort=1)
    args = (
        "transcode",
        file,
        "-q",
        "20",
        "-e",
        "1",
        "-o",
        tmp_path / "o.nfc",
        "--init",
        init("image"),
        "--from-init",
        init("image"),
    )
    assert nfc(*args) == 0 and "transcoding loses" in capsys.readouterr().err
    assert nfc(*args) == 1 and "exists already" in capsys.readouterr().err
    assert nfc(*args, "-f", "--json") == 0 and '"quality": 20' in capsys.readouterr().out
    assert nfc("transcode", "-h") == 0 and "This loses" in capsys.readouterr().out
    piped = [sys.executable, "-m", "nfcodec", "transcode", "-", "-o", "-", *map(str, args[2:6]), *args[8:]]
    ran = subprocess.run(piped, input=file.read_bytes(), capture_output=True, check=True)
    assert ran.stdout == (tmp_path / "o.nfc").read_bytes()


def test_wrong_uses_of_transcode(tmp_path, photo, monkeypatch, capsys):
    file, out = tmp_path / "photo.nfc", tmp_path / "out.nfc"
    encode(photo, "image", file, effort=1)
    options = EncodeOptions(effort=1, init=init("image"))
    cases = [
        (MediaReadError, (tmp_path / "gone.nfc", out), {}), (NotNfcError, (photo, out), {}),
        (ModelNotFoundError, (file, out), {"init": None}), (OutputExistsError, (file, photo), {}),
        (NfcError, (file, tmp_path / "nowhere" / "x.nfc"), {}),
        (NfcError, (file, out), {"options": EncodeOptions(effort=1, init=init("audio"))}),
    ]  # fmt: skip
    for error, args, more in cases:
        with pytest.raises(error):
            transcode(*args, **{"options": options, "init": init("image"), **more})
    assert not out.exists()
    monkeypatch.chdir(tmp_path)
    for args in ("photo.nfc -o o.nfc", "photo.nfc -q 20", "photo.nfc -q 101 -o o.nfc", "photo.nfc -q 20 -o photo.nfc"):
        assert nfc("transcode", *args.split()) == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["photo.nfc", "photo.png"]
