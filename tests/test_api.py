"""The public functions over files."""

from __future__ import annotations

import io
import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import (
    STAND_INS,
    decode,
    decode_array,
    encode,
    init,
    moving,
    painting,
    samples_of,
    save_frames,
    save_picture,
    save_sound,
    sound,
    with_region,
)
from PIL import Image, ImageCms

import nfcodec
from nfcodec import api, zoo
from nfcodec.container.reader import Reader
from nfcodec.decoder import Decoder
from nfcodec.errors import (
    InternalError,
    MediaReadError,
    NfcError,
    NotNfcError,
    OptionError,
    OutputError,
    OutputExistsError,
    TruncatedError,
    UnsupportedMediaError,
)
from nfcodec.lattice import space
from nfcodec.lattice.fit import coded
from nfcodec.media import video_sink
from nfcodec.options import EncodeOptions

IMAGE = EncodeOptions(init=init("image"), effort=1)


@pytest.fixture
def picture(tmp_path):
    return save_picture(tmp_path / "photo.png", painting(20, 30))


def names(folder):
    return sorted(p.name for p in folder.iterdir())


# -- names -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("path", "suffix", "folder", "expected"),
    [
        ("a/photo.png", "nfc", None, "a/photo.nfc"), ("photo", "nfc", None, "photo.nfc"),
        ("a.b.c", "png", None, "a.b.png"), ("🐾.nfc", "npy", None, "🐾.npy"),
        (".hidden", "nfc", None, ".hidden.nfc"), ("x.nfc", "wav", "out", "out/x.wav"),
        ("frames/", "nfc", None, "frames.nfc"), ("-a b.png", "nfc", None, "-a b.nfc"),
    ],
)  # fmt: skip
def test_derived_names(path, suffix, folder, expected):
    assert str(api.output_name(path, suffix, folder)) == expected


def test_files_land_beside_the_input(picture, tmp_path):
    result = api.encode(picture, options=IMAGE)
    assert result.output == str(tmp_path / "photo.nfc") and result.input == str(picture)
    assert result.bytes == (tmp_path / "photo.nfc").stat().st_size and result.input_bytes == picture.stat().st_size
    assert (result.init, result.quality, result.effort, result.rate_unit) == ("test-image", 75, 1, "bpp")
    assert result.rate == result.bytes * 8 / 600 and result.seconds > 0 and result.snr is None
    (tmp_path / "out").mkdir()
    decoded = api.decode(tmp_path / "photo.nfc", folder=tmp_path / "out", init=init("image"))
    assert decoded.output == str(tmp_path / "out" / "photo.png") and decoded.shape == (20, 30)
    assert decoded.bytes == (tmp_path / "out" / "photo.png").stat().st_size
    assert names(tmp_path) == ["out", "photo.nfc", "photo.png"]


def test_format_decides_where_the_name_does_not(picture, tmp_path):
    api.encode(picture, options=IMAGE)
    source = tmp_path / "photo.nfc"
    for output, given, magic in (("a.png", None, b"\x89PNG"), ("b.webp", None, b"RIFF"), ("c", None, b"\x89PNG"),
                                 ("d.png", "JPG", b"\xff\xd8"), ("e.xyz", "bmp", b"BM")):  # fmt: skip
        api.decode(source, tmp_path / output, format=given, init=init("image"))
        assert (tmp_path / output).read_bytes().startswith(magic)
    assert api.decode(source, format="tif", init=init("image")).output == str(tmp_path / "photo.tif")
    for bad in ("wav", "xyz"):
        with pytest.raises(UnsupportedMediaError, match=bad):
            api.decode(source, tmp_path / f"f.{bad}", init=init("image"))
    assert not (tmp_path / "f.wav").exists()


def test_kinds_have_their_own_default_formats(tmp_path):
    save_sound(tmp_path / "s.flac", sound(300, 2))
    save_frames(tmp_path / "v.mkv", moving(3, 16, 24))
    np.save(tmp_path / "n.npy", np.arange(50.0))
    for name, kind, made in (("s.flac", "audio", "s.wav"), ("v.mkv", "video", "v.mp4"), ("n.npy", "audio", "n.npy")):
        encode(tmp_path / name, kind)
        source = (tmp_path / name).with_suffix(".nfc")
        (tmp_path / made).unlink(missing_ok=True)
        assert api.decode(source, init=init(kind)).output == str(tmp_path / made)


def test_the_package_shows_its_names():
    code = "import nfcodec; print(set(nfcodec.__all__) <= set(dir(nfcodec)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "True\n"  # noqa: PLW1510


def test_the_package_offers_the_functions():
    for name in ("encode", "decode", "decode_array", "info", "verify", "compare", "open"):
        assert getattr(nfcodec, name) is getattr(api, name)


# -- streams ---------------------------------------------------------------------------------------------
class Standard:
    """Standard input and output as bytes."""

    def __init__(self, monkeypatch, data=b""):
        self.out = io.BytesIO()
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))
        monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=self.out))


def test_streams(picture, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        streams = Standard(patch, picture.read_bytes())
        result = api.encode("-", options=IMAGE)
        packed = streams.out.getvalue()
    assert (result.input, result.output, result.bytes) == ("-", "-", len(packed))
    assert result.input_bytes == picture.stat().st_size
    api.encode(picture, options=IMAGE)
    assert packed == (tmp_path / "photo.nfc").read_bytes()
    with monkeypatch.context() as patch:
        streams = Standard(patch, packed)
        api.decode("-", init=init("image"))
        assert streams.out.getvalue().startswith(b"\x89PNG")
    with monkeypatch.context() as patch:
        Standard(patch, packed)
        assert api.info("-").shape == (20, 30)
    with monkeypatch.context() as patch:
        Standard(patch, packed)
        assert api.verify("-", init=init("image")).bytes == len(packed)
    with monkeypatch.context() as patch:
        streams = Standard(patch)
        api.decode(tmp_path / "photo.nfc", "-", format="bmp", init=init("image"))
        assert streams.out.getvalue().startswith(b"BM")


def test_bad_streams(picture, monkeypatch):
    with monkeypatch.context() as patch:
        streams = Standard(patch, b"no picture")
        with pytest.raises(NfcError, match="standard input"):
            api.encode("-", options=IMAGE)
        with pytest.raises(NotNfcError):
            api.verify("-")
        assert streams.out.getvalue() == b""

    class Full(io.BytesIO):
        def write(self, data):
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", SimpleNamespace(buffer=Full()))
        with pytest.raises(OutputError, match="standard output: No space"):
            api.encode(picture, "-", options=IMAGE)


# -- nothing is lost -------------------------------------------------------------------------------------
def test_existing_files_are_kept(picture, tmp_path):
    target = tmp_path / "photo.nfc"
    target.write_text("precious")
    with pytest.raises(OutputExistsError, match="exists already"):
        api.encode(picture, options=IMAGE)
    assert target.read_text() == "precious"
    api.encode(picture, options=IMAGE, force=True)
    before = picture.read_bytes()
    with pytest.raises(OutputExistsError):
        api.decode(target, picture, init=init("image"))
    with pytest.raises(OutputExistsError):
        api.decode(target, init=init("image"), aside=False)
    assert picture.read_bytes() == before
    api.decode(target, picture, init=init("image"), force=True)
    assert picture.read_bytes() != before


@pytest.mark.parametrize("force", [False, True])
def test_a_decoded_file_never_takes_the_place_of_an_original(picture, tmp_path, force):
    api.encode(picture, options=IMAGE)
    before = picture.read_bytes()
    result = api.decode(tmp_path / "photo.nfc", init=init("image"), force=force)
    assert result.output == str(tmp_path / "photo.decoded.png") and picture.read_bytes() == before
    assert result.warnings == (f"{picture} exists already, so the output is {result.output}",)
    assert samples_of(tmp_path / "photo.decoded.png").shape == (20, 30, 3)
    if force:  # the decoded one is nobody's original
        assert api.decode(tmp_path / "photo.nfc", init=init("image"), force=True).output == result.output
    else:
        with pytest.raises(OutputExistsError, match="photo.decoded.png exists already"):
            api.decode(tmp_path / "photo.nfc", init=init("image"))
    folder = tmp_path / "there"
    folder.mkdir()
    assert api.decode(tmp_path / "photo.nfc", init=init("image"), folder=folder).output == str(folder / "photo.png")


# -- arrays ----------------------------------------------------------------------------------------------
ARRAYS = {
    "line": (np.linspace(-2, 7, 40), "audio"), "table": (np.arange(40, dtype=np.int32).reshape(5, 8), "image"),
    "one column": (np.arange(9, dtype=np.uint8).reshape(3, 3, 1), "video"), "colours": (painting(20, 30), "image"),
    "deep colours": (painting(20, 30).astype(np.uint16) * 257, "image"), "volume": (moving(3, 8, 9)[..., 0], "video"),
    "backwards": (np.arange(40, dtype=">u2").reshape(5, 8)[::-1], "image"),
}  # fmt: skip


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_keep_their_shape_and_type(tmp_path, name):
    """From Python and as a .npy file, which is the same; numpy is the judge."""
    array, kind = ARRAYS[name]
    result = nfcodec.encode(array, tmp_path / "a.nfc", options=EncodeOptions(init=init(kind), effort=1))
    assert result.input == f"array {array.shape} of {array.dtype}" and result.input_bytes == array.nbytes
    back = decode_array(tmp_path / "a.nfc", kind)
    assert back.shape == array.shape and back.dtype == array.dtype.newbyteorder("=")
    np.save(tmp_path / "b.npy", array)
    encode(tmp_path / "b.npy", kind, tmp_path / "b.nfc", effort=1)
    assert (tmp_path / "b.nfc").read_bytes() == (tmp_path / "a.nfc").read_bytes()
    api.decode(tmp_path / "b.nfc", init=init(kind))
    np.testing.assert_array_equal(np.load(tmp_path / "b.decoded.npy"), back)


def test_an_array_of_colours_costs_no_more_than_its_picture(tmp_path):
    pixels = painting(40, 60)
    sizes = [
        encode(path, "tiny-lattice", effort=1).bytes
        for path in (save_picture(tmp_path / "a.png", pixels), tmp_path / "b.npy")
        if path.suffix == ".png" or np.save(path, pixels) is None
    ]
    assert sizes[0] <= sizes[1] <= sizes[0] + 30  # what says that it came from an array


def test_arrays_have_no_name(tmp_path):
    with pytest.raises(OptionError, match="give one"):
        nfcodec.encode(np.zeros((3, 3)))
    with pytest.raises(UnsupportedMediaError, match="complex"):
        nfcodec.encode(np.zeros((3, 3), complex), tmp_path / "a.nfc")
    assert names(tmp_path) == []


def test_outputs_that_are_not_smaller_say_so(tmp_path):
    source = tmp_path / "a.pbm"
    source.write_bytes(b"P4 8 8\n" + bytes(8))
    assert api.NOT_SMALLER in encode(source, "image", effort=1).warnings
    np.save(tmp_path / "b.npy", painting(40, 60))
    assert api.NOT_SMALLER not in encode(tmp_path / "b.npy", "image", effort=1).warnings


def test_unreadable_inputs_are_not_told_as_outputs(tmp_path, monkeypatch):
    """Also where the folder of the input cannot be searched."""
    source, stat = save_picture(tmp_path / "p.png", painting(4, 4)), os.stat

    def refusing(path, *args, **named):
        if os.fspath(path) == str(source):
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, *args, **named)

    monkeypatch.setattr(os, "stat", refusing)
    with pytest.raises(MediaReadError, match=r"cannot read .*p\.png: Permission denied"):
        api.encode(source, tmp_path / "a.nfc", options=IMAGE)


def test_empty_inputs_are_told_alike(tmp_path):
    empty = tmp_path / "e.nfc"
    empty.write_bytes(b"")
    for call in (
        lambda: api.encode(empty, tmp_path / "x.nfc"), lambda: api.decode(empty, tmp_path / "x.png"),
        lambda: api.info(empty), lambda: api.verify(empty), lambda: api.compare(empty, empty),
        lambda: nfcodec.decode_array(empty),
    ):  # fmt: skip
        with pytest.raises(NfcError, match=r"^cannot read .*e\.nfc: the file is empty$"):
            call()
    with pytest.raises(NotNfcError, match="the file is empty"):
        nfcodec.open(empty)


class Stop(Exception):
    pass


@pytest.mark.parametrize("error", [KeyboardInterrupt, Stop, SystemExit, MemoryError])
@pytest.mark.parametrize("force", [False, True])
def test_an_exception_from_progress_leaves_no_trace(tmp_path, error, force):
    def stop(event):
        raise error

    source = save_frames(tmp_path / "v.mkv", moving(6, 16, 24))
    good, video = tmp_path / "good.nfc", EncodeOptions(init=init("video"), effort=1)
    api.encode(source, good, options=video)
    for name in ("x.nfc", "y.gif", "y.mp4", "y.png"):
        target = tmp_path / name
        if force:
            target.write_text("precious")
        call = partial(api.encode, source, options=video)
        if name != "x.nfc":
            call = partial(api.decode, good, init=init("video"))
        with pytest.raises(error):
            call(target, force=force, progress=stop)
        assert not target.exists() or target.read_text() == "precious"
        assert target.exists() == force
    expected = {"v.mkv", "good.nfc"} | ({"x.nfc", "y.gif", "y.mp4", "y.png"} if force else set())
    assert set(names(tmp_path)) == expected


def test_failures_keep_the_old_file(picture, tmp_path, monkeypatch):
    target = tmp_path / "photo.nfc"
    target.write_text("precious")
    (tmp_path / "broken.png").write_bytes(picture.read_bytes()[:200])
    for source in (tmp_path / "broken.png", tmp_path / "none.png"):
        with pytest.raises(MediaReadError):
            api.encode(source, target, options=IMAGE, force=True)
    with pytest.raises(UnsupportedMediaError, match="test-audio"):
        api.encode(picture, target, options=EncodeOptions(init=init("audio")), force=True)
    monkeypatch.setattr(Decoder, "digest", lambda self: ("0" * 64, 0))
    with pytest.raises(InternalError, match="other symbols"):
        api.encode(picture, target, options=IMAGE, force=True)
    assert target.read_text() == "precious" and names(tmp_path) == ["broken.png", "photo.nfc", "photo.png"]
    api.encode(picture, target, options=EncodeOptions(init=init("image"), verify=False), force=True)
    assert api.info(target).shape == (20, 30)


def test_a_lattice_is_written_as_it_was_coded(picture, tmp_path, monkeypatch):
    def changed(run, levels):
        return space.pack_run(replace(run, payloads=(*run.payloads[:-1], b"")), levels)

    options = EncodeOptions(init=init("tiny-lattice"), effort=1, quality=100)
    monkeypatch.setattr("nfcodec.lattice.fit.coded.pack_run", changed)
    with pytest.raises(InternalError, match="other symbols"):
        api.encode(picture, tmp_path / "a.nfc", options=options)
    assert names(tmp_path) == ["photo.png"]


def test_places_that_cannot_be_written(picture, tmp_path):
    with pytest.raises(OutputError, match="does not exist"):
        api.encode(picture, tmp_path / "no" / "a.nfc", options=IMAGE)
    with pytest.raises(OutputError, match="it is a folder"):
        api.encode(picture, tmp_path, options=IMAGE, force=True)
    api.encode(picture, options=IMAGE)
    with pytest.raises(MediaReadError, match=r"cannot read .*gone\.nfc"):
        api.decode(tmp_path / "gone.nfc")
    with pytest.raises(NfcError):
        api.encode(tmp_path / "photo.nfc", tmp_path / "again.nfc", options=IMAGE)


def test_errors_name_the_file_that_was_asked_for(tmp_path, monkeypatch):
    """Not the temporary one beside it."""
    source = save_frames(tmp_path / "v.mkv", moving(2, 16, 24))
    encode(source, "video")
    monkeypatch.setitem(video_sink._MUXER, "mp4", "a muxer that ffmpeg lacks")
    with pytest.raises(OutputError) as caught:
        api.decode(tmp_path / "v.nfc", tmp_path / "x.mp4", init=init("video"))
    assert "x.mp4" in str(caught.value) and ".tmp-" not in str(caught.value)


# -- info and verify -------------------------------------------------------------------------------------
def test_info(tmp_path):
    clip = save_frames(tmp_path / "v.mkv", moving(5, 16, 24), rate=10)
    result = encode(clip, "video", quality=33)
    about = api.info(tmp_path / "v.nfc")
    assert about.bytes == result.bytes and about.modality == "video" and about.shape == (5, 16, 24)
    assert about.rate == pytest.approx(result.rate) == pytest.approx(result.bytes * 8 / 1000 / 0.5)
    assert (about.channels, about.alpha, about.sample_type, about.sample_rate) == (3, False, "u8", 10.0)
    assert (about.quality, about.version, about.rate_unit, about.metadata) == (33, 1, "kbps", ())
    assert about.init == zoo.load(init("video")).sha256[:8].hex()
    assert [s.type for s in about.sections] == ["DELTA"]
    assert sum(s.bytes for s in about.sections) < about.bytes < sum(s.bytes for s in about.sections) + 40
    np.save(tmp_path / "n.npy", np.linspace(-2, 7, 40).reshape(5, 8))
    result = encode(tmp_path / "n.npy", "image")
    about = api.info(tmp_path / "n.nfc")
    assert about.value_range == (-2.0, 7.0) and about.rate_unit == "bpe" and about.rate == result.rate


def test_info_needs_no_torch(picture, tmp_path):
    api.encode(picture, options=IMAGE)
    code = (
        "import sys, json, nfcodec\n"
        f"about = nfcodec.info({str(tmp_path / 'photo.nfc')!r})\n"
        "print(json.dumps([about.shape, sorted(m for m in ('torch', 'safetensors', 'PIL') if m in sys.modules)]))"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [[20, 30], []]


def test_verify(picture, tmp_path):
    api.encode(picture, options=IMAGE)
    path = tmp_path / "photo.nfc"
    result = api.verify(path, init=init("image"))
    assert result.bytes == path.stat().st_size and result.symbols == 3 * 4 * len(zoo.load(init("image")).kept(3))
    assert result.path == str(path) and len(result.digest) == 64
    assert api.verify(path, init=init("image")).digest == result.digest
    with pytest.raises(MediaReadError):
        api.verify(tmp_path / "none.nfc")


def test_decode_array(tmp_path):
    rng = np.random.default_rng(0)
    alpha = rng.integers(0, 2, (9, 13)).astype(np.uint8) * 255
    source = save_picture(tmp_path / "a.png", painting(9, 13), alpha)
    encode(source, "image")
    found = decode_array(tmp_path / "a.nfc", "image")
    assert found.shape == (9, 13, 4) and found.dtype == np.uint8
    np.testing.assert_array_equal(found[..., 3], alpha)
    decode(tmp_path / "a.nfc", "image", tmp_path / "b.png")
    np.testing.assert_array_equal(found[..., :3], samples_of(tmp_path / "b.png"))
    assert decode_array(tmp_path / "a.nfc", "image", scale=2).shape == (18, 26, 4)
    wave = save_sound(tmp_path / "s.wav", sound(100, 3), kind="i24")
    encode(wave, "audio")
    assert decode_array(tmp_path / "s.nfc", "audio").dtype == np.int32


def test_paths_may_be_strings(picture, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert api.encode("photo.png", options=IMAGE).output == "photo.nfc"
    assert api.decode("photo.nfc", "x.png", init=init("image")).output == "x.png"
    assert api.compare("x.png", "x.png").psnr == math.inf
    assert os.path.exists("x.png")


def test_models_lists_what_the_index_lists():
    assert [m.id for m in api.models()] == list(zoo.index()["inits"])


# -- truncated files -------------------------------------------------------------------------------------
def cut(source, target, sections):
    """Write the file without what follows after so many sections."""
    entries = Reader(io.BytesIO(source.read_bytes())).index()
    target.write_bytes(source.read_bytes()[: entries[sections].offset])
    return target


def test_truncated_files_are_decoded_only_when_asked(tmp_path):
    rng = np.random.default_rng(0)
    alpha = rng.integers(0, 2, (96, 96)).astype(np.uint8) * 255
    noise = rng.integers(0, 256, (96, 96, 3)).astype(np.uint8)
    encode(save_picture(tmp_path / "a.png", noise, alpha), "tiny-lattice", effort=1, quality=90)
    whole = tmp_path / "a.nfc"
    kinds = [s.type for s in api.info(whole).sections]
    assert kinds == ["CELLS", "ALPHA", "CELLS", "CELLS"]
    levels = []
    for sections, words in enumerate(
        ["0 of 3 layers are there, no alpha", "1 of 3 layers are there, no alpha", "1 of 3 layers are there",
         "2 of 3 layers are there"]
    ):  # fmt: skip
        part = cut(whole, tmp_path / "b.nfc", sections)
        with pytest.raises(TruncatedError):
            api.verify(part, init=init("tiny-lattice"))
        with pytest.raises(TruncatedError):
            decode(part, "tiny-lattice", tmp_path / "c.png")
        with pytest.raises(TruncatedError, match="past the end|early") as caught:
            decode_array(part, "tiny-lattice")
        assert "--partial" in caught.value.hint
        result = decode(part, "tiny-lattice", tmp_path / "c.png", partial=True)
        assert result.warnings == (f"the file is truncated: {words}",)
        found = decode_array(part, "tiny-lattice", partial=True)
        assert np.array_equal(found[..., 3], alpha if sections > 1 else np.full_like(alpha, 255))
        levels.append(float(np.square(found[..., :3].astype(float) - noise)[alpha > 0].mean()))
    assert levels[0] > levels[1] == levels[2] > levels[3]
    assert decode(whole, "tiny-lattice", tmp_path / "c.png", partial=True).warnings == ()


def test_truncated_regions(tmp_path, monkeypatch):
    """Layers are counted over the whole picture, which shows first what all regions have."""
    monkeypatch.setitem(STAND_INS, "tiny-lattice", with_region("tiny-lattice", 4, 4))
    monkeypatch.setattr(coded, "SPLIT_FROM", 0)
    encode(save_picture(tmp_path / "a.png", painting(40, 70)), "tiny-lattice", effort=1)
    order = [s.layers for s in api.info(tmp_path / "a.nfc").sections]
    assert order == [(1,)] * 6 + [(2,)] * 6 + [(3,)] * 6
    for sections, words in (
        (17, "2 of 3 layers are there, and of 5 of 6 regions more"), (12, "2 of 3 layers are there"),
        (7, "1 of 3 layers are there, and of 1 of 6 regions more"),
        (4, "0 of 3 layers are there, and of 4 of 6 regions more"), (0, "0 of 3 layers are there"),
    ):  # fmt: skip
        part = cut(tmp_path / "a.nfc", tmp_path / "b.nfc", sections)
        result = decode(part, "tiny-lattice", tmp_path / "b.png", partial=True)
        assert result.warnings == (f"the file is truncated: {words}",)


def test_truncated_metadata_and_chunks(tmp_path):
    source = save_sound(tmp_path / "s.wav", sound(9000, 2))
    encode(source, "audio", quality=20)
    data = (tmp_path / "s.nfc").read_bytes()
    (tmp_path / "t.nfc").write_bytes(data[:-1])
    result = decode(tmp_path / "t.nfc", "audio", tmp_path / "t.wav", partial=True)
    chunks = len([s for s in api.info(tmp_path / "s.nfc").sections if s.type == "DELTA"])
    assert result.warnings == (f"the file is truncated: {chunks - 1} of {chunks} chunks are there",)
    assert samples_of(tmp_path / "t.wav").shape == (9000, 2)
    picture = save_picture(tmp_path / "a.png", painting(20, 30))
    with Image.open(picture) as image:
        image.save(picture, icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    encode(picture, "tiny-lattice")
    (tmp_path / "b.nfc").write_bytes((tmp_path / "a.nfc").read_bytes()[:-1])
    result = decode(tmp_path / "b.nfc", "tiny-lattice", tmp_path / "b.png", partial=True)
    assert result.warnings == ("the file is truncated: all samples are there, what came after them is lost",)


def test_info_of_a_lattice(tmp_path):
    encode(save_picture(tmp_path / "a.png", painting(20, 30)), "tiny-lattice", effort=1)
    about = api.info(tmp_path / "a.nfc")
    assert about.field == "lattice" and [(s.type, s.layers) for s in about.sections] == [("CELLS", (1, 2, 3))]
    encode(tmp_path / "a.png", "image", effort=1)
    about = api.info(tmp_path / "a.nfc")
    assert about.field == "siren" and [(s.type, s.layers) for s in about.sections] == [("DELTA", ())]


# -- the shipped inits -----------------------------------------------------------------------------------
@pytest.mark.shipped
@pytest.mark.parametrize("kind", ["image", "audio", "video", "array"])
def test_shipped_inits_are_found_without_being_named(tmp_path, kind):
    sources = {
        "image": lambda: save_picture(tmp_path / "a.png", painting(40, 50)),
        "audio": lambda: save_sound(tmp_path / "a.wav", sound(8000, 1), 16_000),
        "video": lambda: save_frames(tmp_path / "a.mkv", moving(8, 32, 48)),
        "array": lambda: (np.save(tmp_path / "a.npy", painting(30, 40)[..., 0]), tmp_path / "a.npy")[1],
    }
    default = "array2" if kind == "array" else {"audio": "speech"}.get(kind, kind)
    if default not in zoo.index()["defaults"]:
        pytest.skip(f"models/index.json names no default for {default} yet")
    source = sources[kind]()
    results = [api.encode(source, tmp_path / f"{q}.nfc", options=EncodeOptions(quality=q)) for q in (10, 50, 90)]
    assert [r.psnr for r in results] == sorted(r.psnr for r in results) and results[-1].psnr > 28
    assert [r.bytes for r in results] == sorted(r.bytes for r in results)
    assert results[0].init == zoo.index()["defaults"][default]
    back = api.decode(tmp_path / "90.nfc", tmp_path / f"b{source.suffix}")
    assert api.compare(source, tmp_path / f"b{source.suffix}").psnr == pytest.approx(results[-1].psnr, abs=1e-6)
    assert back.shape == api.info(tmp_path / "90.nfc").shape
