"""Fourier features and NeRV through whole files: encoded, decoded, at other sizes and in parts."""

import dataclasses

import numpy as np
import pytest
import tiny
from helpers import moving, painting, samples_of, save_frames, save_picture

import nfcodec
from nfcodec import DecodeOptions, EncodeOptions
from nfcodec.modules.spec import FieldSpec
from nfcodec.zoo import init_bytes

FOURIER = FieldSpec("fourier", 2, 3, 16, 1, 2, 1, True, True, (8, 8))
NERV = FieldSpec("nerv", 3, 3, 32, 2, 3, 1, True, True, (3, 8, 8))


@pytest.fixture(params=["fourier", "nerv"])
def coded(request, tmp_path):
    """(original, its file, its init, what the encoder said, the spec)."""
    spec = FOURIER if request.param == "fourier" else NERV
    rate = 5.0 if spec is FOURIER else 2.0
    init = dataclasses.replace(tiny.make_init(spec, rate=rate), modality="image" if spec is FOURIER else "video")
    path = tmp_path / "tiny.safetensors"
    path.write_bytes(init_bytes(init))
    if spec is FOURIER:
        samples, source = painting(21, 27), tmp_path / "a.png"
        save_picture(source, samples)
    else:
        samples, source = moving(7, 20, 28), tmp_path / "a.mkv"
        save_frames(source, samples)
    target = tmp_path / "a.nfc"
    options = EncodeOptions(quality=80, effort=2, init=str(path))
    result = nfcodec.encode(source, target, options=options)
    return samples_of(source), target, str(path), result, spec


def decoded(coded, **options):
    return nfcodec.decode_array(coded[1], init=coded[2], options=DecodeOptions(**options))


def test_a_file_decodes_to_what_the_encoder_measured(coded):
    values, result = decoded(coded), coded[3]
    error = values.astype(float) - coded[0]
    assert result.psnr == pytest.approx(-10 * np.log10(((error / 255.0) ** 2).mean()), abs=0.02)
    assert result.bytes == coded[1].stat().st_size
    assert (values.max((-3, -2)) > values.min((-3, -2))).any(-1).all()


def test_a_crop_is_a_part_of_the_whole(coded):
    whole, part = decoded(coded), decoded(coded, crop=(5, 3, 11, 9))
    np.testing.assert_allclose(part.astype(float), whole[..., 3:12, 5:16, :], atol=1)  # floats may round apart


def test_other_sizes_are_the_same_field(coded):
    """At three times the size every third sample lies where one of the native ones does."""
    whole, large = decoded(coded), decoded(coded, scale=3.0)
    np.testing.assert_allclose(large[..., 1::3, 1::3, :].astype(float), whole, atol=1)


def test_points_are_samples(coded):
    with nfcodec.open(coded[1], init=coded[2]) as field:
        whole, info = field.render(), field.info
        height, width = info.shape[-2:]
        longest = max(height, width)
        at = [[(2 * y + 1 - height) / longest, (2 * x + 1 - width) / longest] for y, x in ((4, 5), (17, 20))]
        points = at if coded[4] is FOURIER else [[2.5 / float(info.rate), *p] for p in at]
        found = field.sample(points)
    frame = whole if coded[4] is FOURIER else whole[2]
    np.testing.assert_allclose(found, [frame[4, 5], frame[17, 20]], atol=2e-5)


def test_info_names_the_shipped_kinds():
    from nfcodec import zoo

    for name in zoo.index()["inits"]:
        assert zoo.field_of(name) == zoo.load(name).kind
    assert zoo.field_of("nothing") is None
