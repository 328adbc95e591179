"""Pillow opens, reduces and saves .nfc files as it does any other format."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import encode, init, memory, moving, pack, painting, psnr_of, sound
from PIL import Image, ImageCms, ImageFile, ImageOps, UnidentifiedImageError

import nfcodec
from nfcodec.errors import NfcError
from nfcodec.plugins import pillow

INITS = (init("image"), init("tiny-lattice"))
LATTICE = {"init": INITS[1], "effort": 1}


@pytest.fixture(autouse=True)
def plugin():
    """The plugin with the test inits, and afterwards as it is for users."""
    nfcodec.register_pillow(inits=INITS)
    yield
    nfcodec.register_pillow()


@pytest.fixture
def photo():
    return Image.fromarray(painting(61, 90))


@pytest.fixture
def file(tmp_path, photo):
    path = tmp_path / "x.nfc"
    photo.save(path, quality=60, **LATTICE)
    return path


def saved(image, **options):
    out = io.BytesIO()
    image.save(out, "NFC", **{**LATTICE, **options})
    return io.BytesIO(out.getvalue())


# -- opening ---------------------------------------------------------------------------------------------
def test_opening_reads_the_header_alone(file):
    """What the header says is there without torch and numpy; the pixels are what nfc decodes."""
    code = (
        "import sys, nfcodec.pillow; from PIL import Image; i = Image.open(sys.argv[1]);"
        "print(i.format, i.mode, i.size, i.get_format_mimetype(), i.info['quality'],"
        "sorted({m.split('.')[0] for m in sys.modules} & {'torch', 'numpy'}))"
    )
    run = subprocess.run([sys.executable, "-c", code, file], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "NFC RGB (90, 61) image/x-nfc 60 []"


def test_pixels_are_those_of_decode(file, photo):
    with Image.open(file) as image:
        found = np.asarray(image)
    assert (found == nfcodec.decode_array(file, init=INITS[1])).all()
    assert psnr_of(found, np.asarray(photo), 255) > 25
    assert (np.asarray(Image.open(io.BytesIO(file.read_bytes()))) == found).all()


@pytest.mark.parametrize(
    ("mode", "opened"),
    [("RGB", "RGB"), ("RGBA", "RGBA"), ("L", "L"), ("LA", "LA"), ("1", "1"), ("P", "RGB"), ("I;16", "I;16"),
     ("F", "F"), ("CMYK", "RGB"), ("YCbCr", "RGB"), ("PA", "RGBA")],
)  # fmt: skip
@pytest.mark.parametrize("kind", INITS)
def test_modes(photo, mode, opened, kind):
    if mode == "I;16":
        image = Image.fromarray(np.asarray(photo.convert("L")).astype(np.uint16) * 250)
    elif mode == "RGBA":
        image = photo.copy()
        image.putalpha(photo.convert("L"))
    else:
        image = photo.convert("P").convert("PA") if mode == "PA" else photo.convert(mode)
    back = Image.open(saved(image, init=kind))
    assert (back.mode, back.size) == (opened, photo.size)
    first, second = (np.asarray(i.convert(opened)).astype(float) for i in (image, back))
    assert psnr_of(first, second, 65535 if mode == "I;16" else 255) > 20 or mode == "1"
    assert back.mode == opened
    if "A" in opened:
        assert (first[..., -1] == second[..., -1]).all()


def test_transparent_colour_of_a_palette(photo):
    image = photo.quantize(8)
    image.info["transparency"] = 0
    back = Image.open(saved(image))
    assert back.mode == "RGBA" and (np.asarray(back)[..., 3] == np.where(np.asarray(image) == 0, 0, 255)).all()


def test_sixteen_bits_of_colour_are_reduced_with_a_warning(tmp_path):
    from helpers import save_picture

    source = save_picture(tmp_path / "deep.png", painting(20, 24).astype(np.uint16) * 257)
    encode(source, "image", effort=1)
    with pytest.warns(UserWarning, match="16 bits"):
        assert Image.open(tmp_path / "deep.nfc").convert("RGB").size == (24, 20)


def test_metadata(photo):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "maker", 6
    back = Image.open(saved(photo, icc_profile=profile, exif=exif, xmp=b"<x/>", dpi=(300, 200)))
    assert back.size == (61, 90)  # turned upright, and the tag says so
    assert (back.info["icc_profile"], back.info["xmp"], back.info["dpi"]) == (profile, b"<x/>", (300.0, 200.0))
    assert (back.getexif()[0x010F], back.getexif()[0x0112]) == ("maker", 1)
    upright = Image.open(saved(ImageOps.exif_transpose(Image.open(saved(photo)))))
    assert upright.size == (90, 61) and "exif" not in upright.info
    jpeg = io.BytesIO()
    back.save(jpeg, "JPEG", exif=back.info["exif"], icc_profile=back.info["icc_profile"])
    assert Image.open(jpeg).getexif()[0x010F] == "maker"
    back.info["icc_profile"] = profile
    assert Image.open(saved(back.copy())).info["icc_profile"] == profile
    assert "icc_profile" not in Image.open(saved(back.copy(), strip={"icc"})).info


# -- drafts ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("size", "step"), [((90, 61), 1), ((46, 31), 1), ((45, 30), 2), ((23, 15), 2), ((22, 15), 4), ((1, 1), 8)]
)
def test_draft_keeps_at_least_the_size(file, size, step):
    image = Image.open(file)
    told = image.draft("L", size)
    assert (told is None) == (step == 1) and image.mode == "RGB"
    assert image.size == (-(-90 // step), -(-61 // step))
    if told:
        assert told == ("RGB", (0, 0, 90 / step, 61 / step)) and image.draft(None, (1, 1)) is None
    full = Image.open(file)
    full.load()
    drafted, exact = np.asarray(image).astype(float), np.asarray(full.reduce(step)).astype(float)
    assert drafted.shape == exact.shape and psnr_of(drafted, exact, 255) > 36
    assert np.abs(drafted - exact).max() <= 1 or step > 2


def test_draft_after_loading_does_nothing(file):
    image = Image.open(file)
    image.load()
    assert image.draft(None, (10, 10)) is None and image.size == (90, 61)


def test_thumbnail_is_that_of_the_whole(file):
    quick, whole = Image.open(file), Image.open(file)
    quick.thumbnail((20, 20))
    whole.load()
    whole.thumbnail((20, 20), reducing_gap=None)
    assert quick.size == whole.size == (20, 14)
    assert psnr_of(np.asarray(quick), np.asarray(whole), 255) > 38


def test_a_thumbnail_decodes_less(file, monkeypatch):
    """Neither the finer layers nor the weight network are touched."""
    from nfcodec.lattice import renderer

    monkeypatch.setattr(renderer, "region_layers", lambda *_: pytest.fail("the weight network was used"))
    image = Image.open(file)
    image.thumbnail((6, 6))
    assert image.size == (6, 4)


# -- files and copies ------------------------------------------------------------------------------------
def test_pickles_and_copies(file):
    image = Image.open(file)
    again = pickle.loads(pickle.dumps(image))
    assert (np.asarray(again) == np.asarray(image)).all() and (np.asarray(image.copy()) == np.asarray(image)).all()


def test_the_file_is_closed_after_loading(file):
    image = Image.open(file)
    handle = image.fp
    image.load()
    assert handle.closed
    stream = io.BytesIO(file.read_bytes())
    Image.open(stream).load()
    assert not stream.closed
    with Image.open(file) as image:
        handle = image.fp
    assert handle.closed


def test_saving_over_the_opened_file(file):
    image = Image.open(file)
    image.save(file, quality=20, **LATTICE)
    with Image.open(file) as again:
        assert again.info["quality"] == 20


def test_options_reach_the_encoder(photo):
    sizes = [len(saved(photo, quality=q).getvalue()) for q in (10, 50, 90)]
    assert sizes == sorted(sizes) and sizes[0] < sizes[2]
    assert len(saved(photo, target_size=900).getvalue()) <= 900
    with pytest.warns(UserWarning, match="cannot be met"):
        saved(photo, target_size=20)
    assert len(saved(photo, optimize=True, progressive=True).getvalue()) > 0  # of other formats


def test_registering_twice_is_harmless():
    before = len(Image.ID)
    nfcodec.register_pillow(inits=INITS)
    nfcodec.register_pillow(inits=INITS)
    assert len(Image.ID) == before and Image.ID.count("NFC") == 1 and Image.EXTENSION[".nfc"] == "NFC"


def test_importing_nfcodec_registers_nothing():
    code = "import nfcodec; from PIL import Image; Image.init(); print('NFC' in Image.OPEN, '.nfc' in Image.EXTENSION)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "False"]


def test_imageio_reads_through_pillow(file, tmp_path):
    """imageio asks Pillow for suffixes that it does not know, so it needs no plugin of its own."""
    imageio = pytest.importorskip("imageio.v3")
    found = imageio.imread(file)
    assert (found == nfcodec.decode_array(file, init=INITS[1])).all()
    imageio.imwrite(tmp_path / "z.nfc", found, **LATTICE)
    assert imageio.immeta(tmp_path / "z.nfc")["quality"] == 75


# -- wrong uses ------------------------------------------------------------------------------------------
def test_truncated_files(file):
    data = file.read_bytes()
    for cut in (len(data) - 1, len(data) // 2):
        with pytest.raises(OSError, match="ends|reaches past"):
            Image.open(io.BytesIO(data[:cut])).load()
    for cut in range(4, 20):
        with pytest.raises(UnidentifiedImageError):
            Image.open(io.BytesIO(data[:cut]))


def test_truncated_files_where_pillow_may_load_them(monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (96, 96, 3)).astype(np.uint8))
    data = saved(noise).getvalue()
    image = Image.open(io.BytesIO(data[: -len(data) // 4]))
    image.load()
    assert image.size == (96, 96)


def test_every_flipped_bit_is_told(file):
    data = bytearray(file.read_bytes())
    told = set()
    for at in [*range(40), *range(40, len(data), 37)]:
        data[at] ^= 4
        with pytest.raises(OSError) as error:
            Image.open(io.BytesIO(bytes(data))).load()
        told.add(type(error.value))
        with pytest.raises(OSError):
            Image.open(io.BytesIO(bytes(data))).verify()
        data[at] ^= 4
    assert told == {OSError, UnidentifiedImageError}
    Image.open(io.BytesIO(bytes(data))).verify()


def test_an_unknown_init_is_named(file):
    nfcodec.register_pillow()
    with Image.open(file) as image, pytest.raises(OSError, match="needs the init"):
        image.load()


@pytest.mark.parametrize(("kind", "samples"), [("audio", sound(600, 1)), ("video", moving(4, 12, 12))])
def test_what_is_no_picture_is_not_identified(kind, samples):
    data = pack(memory(kind, samples), kind, effort=1)[0]
    with pytest.raises(UnidentifiedImageError, match=kind):
        Image.open(io.BytesIO(data))


def test_pillows_bound_on_pixels_holds(file, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(file)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    Image.open(file).load()


@pytest.mark.parametrize(
    "options", [{"quality": 101}, {"quality": "best"}, {"effort": 0}, {"bpp": -1}, {"bpp": 1, "target_size": 9},
                {"field": "jpeg"}]
)  # fmt: skip
def test_impossible_options(photo, tmp_path, options):
    with pytest.raises(ValueError):
        photo.save(tmp_path / "y.nfc", **{"init": INITS[1], **options})
    assert not (tmp_path / "y.nfc").exists()


def test_impossible_images(photo, tmp_path):
    broken = Image.fromarray(np.full((4, 4), np.nan, np.float32))
    with pytest.raises(OSError, match="cannot write mode F as NFC"):
        broken.save(tmp_path / "y.nfc", **LATTICE)
    with pytest.raises(OSError, match="no init called"):
        photo.save(tmp_path / "y.nfc", init="nothing")
    with pytest.raises(OSError, match="0×4"):
        Image.new("RGB", (0, 4)).save(tmp_path / "y.nfc", **LATTICE)
    assert not any(tmp_path.iterdir())


def test_a_file_that_decodes_to_something_else_is_not_written(photo, tmp_path, monkeypatch):
    from nfcodec.decoder import Decoder

    monkeypatch.setattr(Decoder, "digest", lambda self: ("", 0))
    with pytest.raises(OSError, match="other symbols"):
        photo.save(tmp_path / "y.nfc", **LATTICE)
    assert not (tmp_path / "y.nfc").exists()
    photo.save(tmp_path / "y.nfc", verify=False, **LATTICE)


def test_no_error_of_ours_gets_out(file):
    """Pillow's users catch OSError and ValueError."""
    assert not issubclass(NfcError, OSError)
    image = Image.open(file)
    image.close()
    with pytest.raises((OSError, ValueError)):
        image.load()
    assert Path(file).suffix == pillow.SUFFIX
