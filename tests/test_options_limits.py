"""Options refuse what cannot work, limits what is too large, both before any work."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import fields

import numpy as np
import pytest
from helpers import init, painting, save_picture

from nfcodec import api
from nfcodec.errors import LimitError, NfcError, OptionError
from nfcodec.limits import DEFAULT_LIMITS, Limits
from nfcodec.options import METADATA_KINDS, DecodeOptions, EncodeOptions


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"quality": -1}, "quality -1"), ({"quality": 101}, "quality 101"), ({"quality": 50.5}, "whole number"),
        ({"quality": "75"}, "quality must be"), ({"quality": None}, "quality must be"), ({"effort": 0}, "effort 0"),
        ({"effort": 10}, "effort 10"), ({"effort": 1.0}, "effort must be"), ({"strip": frozenset({"smell"})}, "smell"),
        ({"quality": math.nan}, "quality must be"), ({"field": "wavelet"}, "'wavelet'; known: lattice, siren"),
        ({"bpp": 0}, "bpp must be positive, got 0"), ({"bpp": -1.0}, "bpp"), ({"bpp": math.nan}, "bpp must be pos"),
        ({"bpp": "1"}, "bpp must be a number, got '1'"), ({"target_psnr": math.inf}, "target_psnr must be positive"),
        ({"target_size": 0}, "target_size must be positive"), ({"target_size": 9.5}, "must be a whole number, got 9.5"),
        ({"target_size": "5k"}, "must be a whole number"), ({"max_time": 0.0}, "max_time must be positive"),
        ({"max_time": "1"}, "max_time must be a number"), ({"bpp": 1, "target_psnr": 30}, "bpp and target_psnr ex"),
        ({"target_size": 1, "target_psnr": 30}, "exclude each other"), ({"bpp": 1, "target_size": 9}, "exclude"),
    ],
)  # fmt: skip
def test_bad_encode_options(options, word):
    with pytest.raises(OptionError, match=word) as caught:
        EncodeOptions(**options)
    assert isinstance(caught.value, ValueError) and caught.value.exit_code == 2


def test_good_encode_options():
    assert EncodeOptions() == EncodeOptions(quality=75, effort=5)
    assert EncodeOptions(quality=np.int64(0), effort=np.uint8(9)).quality == 0
    EncodeOptions(bpp=np.float32(0.5), max_time=1, field="lattice")
    EncodeOptions(target_size=np.int64(5), quality=3, field="siren")
    assert EncodeOptions(strip=frozenset(METADATA_KINDS)).strip == {"icc", "exif", "xmp", "tags", "sound"}
    with pytest.raises(AttributeError):
        EncodeOptions().quality = 3  # type: ignore[misc]


def test_numpy_quality_makes_the_same_file(tmp_path):
    source = save_picture(tmp_path / "a.png", painting(9, 9))
    for name, quality in (("a", 40), ("b", np.int64(40))):
        api.encode(source, tmp_path / f"{name}.nfc", options=EncodeOptions(quality=quality, init=init("image")))
    assert (tmp_path / "a.nfc").read_bytes() == (tmp_path / "b.nfc").read_bytes()


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"scale": 2.0, "size": (3, 3)}, "exclude"), ({"scale": 0}, "scale"), ({"scale": -1}, "scale"),
        ({"scale": math.inf}, "scale"), ({"scale": math.nan}, "scale"), ({"rate": 0.0}, "rate"), ({"fps": -3}, "fps"),
        ({"fps": math.nan}, "fps"), ({"size": (0, 0)}, "size 0x0"), ({"size": (-1, 4)}, "size -1x4"),
        ({"crop": (0, 0, 0, 1)}, "crop 0,0,0,1"), ({"crop": (-1, 0, 1, 1)}, "crop -1"), ({"time": (-1, 2)}, "time"),
        ({"time": (2, 2)}, "time"), ({"time": (3, 2)}, "time"), ({"time": (0, 0)}, "time range 0:0"),
        ({"time": (math.nan, 1)}, "time"), ({"time": (0, math.nan)}, "time"), ({"time": (math.inf, None)}, "time"),
    ],
)  # fmt: skip
def test_bad_decode_options(options, word):
    with pytest.raises(OptionError, match=word):
        DecodeOptions(**options)


def test_good_decode_options():
    for time in ((0, None), (0, math.inf), (0.0, 1e308), (0.5, 0.50001)):
        DecodeOptions(time=time)
    DecodeOptions(size=(0, 9), crop=(0, 0, 1, 1))
    DecodeOptions(scale=1e-9)


def test_options_load_neither_torch_nor_numpy():
    code = "import nfcodec.options, nfcodec, sys; print([m for m in ('torch', 'numpy') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


# -- limits ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", [f.name for f in fields(Limits)])
def test_each_limit_names_itself(name):
    limits = Limits(**{name: 10})
    limits.check(name, 10, "a thing")
    with pytest.raises(LimitError, match=rf"a thing: 11 is over the limit {name} = 10") as caught:
        limits.check(name, 11, "a thing")
    assert caught.value.exit_code == 5 and f"Limits({name}=" in (caught.value.hint or "")
    assert getattr(DEFAULT_LIMITS, name) > 10


@pytest.mark.parametrize(
    ("name", "value"),
    [("max_dimension", 29), ("max_pixels", 599), ("max_symbols", 100), ("max_channels", 2), ("max_section", 20)],
)
def test_limits_apply_to_encoding_and_decoding(tmp_path, name, value):
    source = save_picture(tmp_path / "a.png", painting(20, 30))
    good = EncodeOptions(init=init("image"))
    api.encode(source, options=good)
    tight = Limits(**{name: value})
    with pytest.raises(LimitError, match=name):
        api.decode(tmp_path / "a.nfc", tmp_path / "b.png", options=DecodeOptions(limits=tight), init=init("image"))
    with pytest.raises(LimitError, match=name):
        api.verify(tmp_path / "a.nfc", limits=tight, init=init("image"))
    if name != "max_channels":  # pictures have three at most, which is never too many to read
        with pytest.raises(LimitError, match=name):
            api.encode(source, tmp_path / "c.nfc", options=EncodeOptions(init=init("image"), limits=tight))
    assert {p.name for p in tmp_path.iterdir()} == {"a.png", "a.nfc"}


def test_errors_have_exit_codes():
    from nfcodec import errors

    kinds = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, NfcError)]
    codes = {e.__name__: e.exit_code for e in kinds}
    assert codes["FormatError"] == codes["TruncatedError"] == codes["UnsupportedVersionError"] == 4
    assert codes["OptionError"] == 2 and codes["LimitError"] == 5
    assert codes["InputError"] == codes["OutputError"] == codes["ModelError"] == codes["InternalError"] == 1
