from __future__ import annotations

import functools
import io
import resource
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from nfcodec.errors import LimitError, MediaReadError, NfcError, UnsupportedMediaError
from nfcodec.limits import Limits
from nfcodec.media import open_source
from nfcodec.media.metadata import bare_exif
from nfcodec.media.samples import quantize

from .helpers import ffmpeg, load, picture, read, write

XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Model="m"/></x:xmpmeta>'


@functools.cache
def srgb():
    """Made once: the time is in it, to the second."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def exif_bytes(orientation=None):
    exif = Image.Exif()
    exif[0x010F] = "maker"
    if orientation:
        exif[0x0112] = orientation
    return bare_exif(exif.tobytes())


def png_chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def make_png(path, samples, depth, colour, extra=b""):
    """A PNG of any depth: samples (H, W, C) of integers below 2^depth."""
    height, width = samples.shape[:2]
    if depth == 16:
        rows = samples.astype(">u2").tobytes()
    elif depth == 8:
        rows = samples.astype(np.uint8).tobytes()
    else:
        bits = np.unpackbits(samples.astype(np.uint8).reshape(height, -1, 1), axis=-1)[..., -depth:]
        rows = np.packbits(bits.reshape(height, -1), axis=1).tobytes()
    step = len(rows) // height
    data = b"".join(b"\0" + rows[i * step : (i + 1) * step] for i in range(height))
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    body = header + extra + png_chunk(b"IDAT", zlib.compress(data)) + png_chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


MODES = {"L": (1, False), "LA": (1, True), "RGB": (3, False), "RGBA": (3, True)}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("form", ["png", "webp", "tif"])
def test_exact_round_trip(tmp_path, mode, form):
    channels, alpha = MODES[mode]
    pixels = picture(13, 17, channels + alpha)
    Image.fromarray(pixels.squeeze()).save(tmp_path / "a.png")
    got = read(tmp_path / "a.png")
    assert (got.info.channels, got.info.alpha, got.info.sample_type) == (channels, alpha, "u8")
    np.testing.assert_array_equal(got.samples, pixels[..., :channels])
    assert write(tmp_path / f"b.{form}", got.info, got.samples, got.alpha) == []
    back = np.asarray(load(tmp_path / f"b.{form}").convert(mode)).reshape(pixels.shape)
    np.testing.assert_array_equal(back, pixels)
    assert load(tmp_path / f"b.{form}").mode == (mode if form != "webp" else "RGB" + "A" * alpha)


@pytest.mark.parametrize("form", ["png", "tif", "bmp"])
def test_bilevel(tmp_path, form):
    bits = picture(9, 13, 1)[..., 0] > 100
    Image.fromarray(bits).save(tmp_path / "a.png")
    got = read(tmp_path / "a.png")
    assert got.info.sample_type == "u1"
    write(tmp_path / f"b.{form}", got.info, got.samples)
    back = load(tmp_path / f"b.{form}")
    assert back.mode == "1"
    np.testing.assert_array_equal(np.asarray(back), bits)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (2, 3), (64, 1)])
def test_small_pictures(tmp_path, size):
    pixels = picture(*size, 3)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    got = read(tmp_path / "a.png")
    write(tmp_path / "b.png", got.info, got.samples)
    np.testing.assert_array_equal(read(tmp_path / "b.png").samples, pixels)


@pytest.mark.parametrize("form", ["png", "tif"])
def test_16_bit_grey_ramp(tmp_path, form):
    ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    Image.fromarray(ramp).save(tmp_path / "a.png")
    got = read(tmp_path / "a.png", rows=100)
    assert got.info.sample_type == "u16" and not got.warnings
    np.testing.assert_array_equal(got.samples[..., 0], ramp)
    assert write(tmp_path / f"b.{form}", got.info, got.samples) == []
    np.testing.assert_array_equal(np.asarray(load(tmp_path / f"b.{form}")), ramp)


@pytest.mark.parametrize("byte_order", ["<u2", ">u2"])
def test_16_bit_tiff_of_either_order(tmp_path, byte_order):
    ramp = np.arange(0, 65536, 256, dtype=np.uint16).reshape(16, 16)
    Image.fromarray(ramp.astype(byte_order)).save(tmp_path / "a.tif")
    np.testing.assert_array_equal(read(tmp_path / "a.tif").samples[..., 0], ramp)


@pytest.mark.parametrize(("colour", "depth"), [(2, 3), (6, 4), (4, 2)])
def test_16_bit_colour_is_exact(tmp_path, colour, depth):
    ramp = np.arange(256 * 256, dtype=np.uint16).reshape(256, 256, 1)
    samples = np.concatenate([ramp, ramp[::-1], ramp[:, ::-1], 65535 - ramp][:depth], -1)
    make_png(tmp_path / "a.png", samples, 16, colour)
    got = read(tmp_path / "a.png", rows=100)
    channels = 3 if depth > 2 else 1
    assert got.info.sample_type == "u16" and not got.warnings
    np.testing.assert_array_equal(got.samples, samples[..., :channels])
    if got.info.alpha:
        np.testing.assert_array_equal(got.alpha, samples[..., -1])
    assert write(tmp_path / "b.png", got.info, got.samples, got.alpha) == []
    again = read(tmp_path / "b.png")
    np.testing.assert_array_equal(again.samples, got.samples)
    assert again.info == got.info
    if got.info.alpha:
        np.testing.assert_array_equal(again.alpha, got.alpha)


def test_16_bit_colour_tiff_and_ppm(tmp_path):
    ramp = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64, 1) * 16
    samples = np.concatenate([ramp, ramp[::-1], ramp[:, ::-1]], -1)
    make_png(tmp_path / "a.png", samples, 16, 2)
    ffmpeg("-i", str(tmp_path / "a.png"), "-pix_fmt", "rgb48le", str(tmp_path / "a.tif"))
    (tmp_path / "a.ppm").write_bytes(b"P6\n# c\n64 64\n65535\n" + samples.astype(">u2").tobytes())
    for name in ("a.tif", "a.ppm"):
        got = read(tmp_path / name)
        assert got.info.sample_type == "u16", got.warnings
        np.testing.assert_array_equal(got.samples, samples)


def test_16_bit_falls_back_to_8_with_a_warning(tmp_path, monkeypatch):
    samples = np.full((4, 4, 3), 0x1234, np.uint16)
    make_png(tmp_path / "a.png", samples, 16, 2)
    monkeypatch.setattr("nfcodec.media.image.read_deep", lambda *_: None)
    got = read(tmp_path / "a.png")
    assert got.info.sample_type == "u8" and (got.samples == 0x12).all()
    assert any("reduced to 8" in w for w in got.warnings)


@pytest.mark.parametrize("number", range(1, 9))
@pytest.mark.parametrize("form", ["jpg", "png", "webp", "tif"])
def test_orientation_is_applied_once(tmp_path, number, form):
    upright = np.zeros((16, 24, 3), np.uint8)
    upright[:8, :8], upright[8:, 16:], upright[:8, 16:] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    inverse = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_90",
               7: "TRANSVERSE", 8: "ROTATE_270"}  # fmt: skip
    stored = Image.fromarray(upright)
    if number > 1:
        stored = stored.transpose(Image.Transpose[inverse[number]])
    options = {"quality": 100, "subsampling": 0} if form == "jpg" else {"lossless": True} if form == "webp" else {}
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = number, "maker"
    stored.save(tmp_path / f"a.{form}", exif=exif, **options)
    got = read(tmp_path / f"a.{form}", rows=3)
    assert got.info.shape == (16, 24)
    assert np.abs(got.samples.astype(int) - upright).max() <= (3 if form == "jpg" else 0)
    kept = Image.Exif()
    kept.load(got.metadata.exif)
    assert kept.get(0x0112, 1) == 1 and kept[0x010F] == "maker"
    write(tmp_path / "b.png", got.info, got.samples, metadata=got.metadata)
    np.testing.assert_array_equal(read(tmp_path / "b.png").samples, got.samples)


@pytest.mark.parametrize("form", ["png", "jpg", "webp", "avif"])
def test_payloads_survive_byte_for_byte(tmp_path, form):
    exif = exif_bytes(None if form == "avif" else 1)
    options = {"icc_profile": srgb(), "exif": b"Exif\0\0" + exif if form == "jpg" else exif, "xmp": XMP}
    if form == "png":
        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", XMP.decode())
        options |= {"pnginfo": info}
    Image.fromarray(picture(16, 16, 3)).save(tmp_path / f"a.{form}", **options)
    got = read(tmp_path / f"a.{form}")
    assert got.metadata.icc == srgb() and got.metadata.xmp == XMP
    assert got.metadata.exif == exif and not got.warnings
    for out in ("png", "jpg", "webp", "tif", "avif"):
        assert write(tmp_path / f"b.{out}", got.info, got.samples, metadata=got.metadata) == []
        again = read(tmp_path / f"b.{out}").metadata
        assert again.icc == srgb() and again.xmp == XMP
        if out not in ("tif", "avif"):  # these re-arrange the directory
            assert again.exif == exif
        loaded = Image.Exif()
        loaded.load(again.exif)
        assert loaded[0x010F] == "maker"


def test_resolution_survives(tmp_path):
    Image.fromarray(picture(4, 4, 3)).save(tmp_path / "a.jpg", dpi=(300, 300))
    got = read(tmp_path / "a.jpg")
    assert got.metadata.tags == (("dpi", "300,300"),)
    for form in ("png", "jpg", "tif", "bmp"):
        write(tmp_path / f"b.{form}", got.info, got.samples, metadata=got.metadata)
        assert load(tmp_path / f"b.{form}").info["dpi"] == pytest.approx((300, 300), abs=0.1)
    Image.fromarray(picture(4, 4, 3)).save(tmp_path / "c.jpg", dpi=(72, 72))
    assert read(tmp_path / "c.jpg").metadata.tags == ()


def test_what_is_dropped_is_told(tmp_path):
    info = PngImagePlugin.PngInfo()
    info.add_text("Title", "x")
    info.add(b"gAMA", struct.pack(">I", 100000))
    info.add(b"cICP", b"\1\2\3\4")
    Image.fromarray(picture(4, 4, 3)).save(tmp_path / "a.png", pnginfo=info)
    assert read(tmp_path / "a.png").warnings == ["dropped the PNG chunks cICP, gAMA, tEXt"]
    Image.fromarray(picture(4, 4, 3)).save(tmp_path / "a.jpg", comment=b"hello")
    assert read(tmp_path / "a.jpg").warnings == ["dropped the comment"]
    pages = [Image.fromarray(picture(4, 4, 3, seed)) for seed in range(3)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    got = read(tmp_path / "a.tif")
    assert got.warnings == ["dropped 2 further pages"] and got.info.modality == "image"
    np.testing.assert_array_equal(got.samples, picture(4, 4, 3, 0))
    Image.new("CMYK", (4, 4)).save(tmp_path / "b.jpg", icc_profile=b"x" * 200)
    got = read(tmp_path / "b.jpg")
    assert got.metadata.icc == b"" and "ICC profile dropped" in got.warnings[0]


def test_srgb_gamma_is_no_loss(tmp_path):
    info = PngImagePlugin.PngInfo()
    info.add(b"gAMA", struct.pack(">I", 45455))
    info.add(b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000))
    Image.fromarray(picture(4, 4, 3)).save(tmp_path / "a.png", pnginfo=info)
    assert read(tmp_path / "a.png").warnings == []


def test_what_an_output_cannot_hold_is_told(tmp_path):
    Image.fromarray(picture(8, 8, 4)).save(tmp_path / "a.png", icc_profile=srgb(), exif=exif_bytes())
    got = read(tmp_path / "a.png")
    said = write(tmp_path / "b.bmp", got.info, got.samples, got.alpha, metadata=got.metadata)
    assert said == ["alpha dropped: bmp cannot hold it", "ICC dropped: bmp cannot hold it",
                    "EXIF dropped: bmp cannot hold it"]  # fmt: skip
    assert write(tmp_path / "b.jpg", got.info, got.samples, got.alpha) == ["alpha dropped: jpg cannot hold it"]
    said = write(tmp_path / "b.gif", got.info, got.samples, got.alpha)
    assert said == ["gif holds 256 colours: the picture is reduced to them"]
    make_png(tmp_path / "c.png", np.full((4, 4, 3), 0x80FF, np.uint16), 16, 2)
    deep = read(tmp_path / "c.png")
    said = write(tmp_path / "c.tif", deep.info, deep.samples)
    assert "reduced to 8" in said[0] and (np.asarray(load(tmp_path / "c.tif")) == 0x80).all()


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_transparent_grey(tmp_path, depth):
    top = 2**depth - 1
    samples = (np.arange(64).reshape(8, 8, 1) * 977) % (top + 1)
    key = int(samples[3, 3, 0])
    make_png(tmp_path / "a.png", samples, depth, 0, png_chunk(b"tRNS", struct.pack(">H", key)))
    got = read(tmp_path / "a.png")
    full = 65535 if depth == 16 else 255
    assert got.info.alpha and got.info.sample_type == ("u16" if depth == 16 else "u8")
    np.testing.assert_array_equal(got.alpha, np.where(samples[..., 0] == key, 0, full))
    np.testing.assert_array_equal(got.samples, samples * full // top)


@pytest.mark.parametrize("depth", [8, 16])
def test_transparent_colour(tmp_path, depth):
    samples = np.arange(8 * 8 * 3).reshape(8, 8, 3) * (257 if depth == 16 else 1)
    samples[2] = samples[5]
    key = samples[5, 5]
    make_png(tmp_path / "a.png", samples, depth, 2, png_chunk(b"tRNS", struct.pack(">HHH", *key)))
    got = read(tmp_path / "a.png")
    np.testing.assert_array_equal(got.samples, samples)
    assert sorted(zip(*np.nonzero(got.alpha == 0), strict=True)) == [(2, 5), (5, 5)]
    assert set(np.unique(got.alpha)) == {0, 2**depth - 1}


def test_palettes(tmp_path):
    index = (np.arange(64) % 4).astype(np.uint8).reshape(8, 8)
    colours = np.array([[10, 20, 30], [40, 50, 60], [1, 2, 3], [9, 9, 9]], np.uint8)
    image = Image.frombytes("P", (8, 8), index.tobytes())
    image.putpalette(colours.tobytes())
    image.save(tmp_path / "plain.png")
    got = read(tmp_path / "plain.png")
    assert (got.info.channels, got.info.alpha) == (3, False)
    np.testing.assert_array_equal(got.samples, colours[index])
    image.save(tmp_path / "index.png", transparency=2)
    got = read(tmp_path / "index.png")
    np.testing.assert_array_equal(got.alpha, np.where(index == 2, 0, 255))
    image.save(tmp_path / "table.png", transparency=bytes([0, 100, 255]))
    got = read(tmp_path / "table.png")
    np.testing.assert_array_equal(got.alpha, np.array([0, 100, 255, 255])[index])
    np.testing.assert_array_equal(got.samples, colours[index])
    image.putpalette(np.repeat(colours[:, :1], 3, 1).tobytes())
    image.save(tmp_path / "grey.png")
    got = read(tmp_path / "grey.png")
    assert got.info.channels == 1
    np.testing.assert_array_equal(got.samples[..., 0], colours[index, 0])
    image.save(tmp_path / "profile.png", icc_profile=srgb())
    assert read(tmp_path / "profile.png").info.channels == 3


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "LAB"])
def test_other_colour_spaces(tmp_path, mode):
    pixels = Image.fromarray(picture(8, 8, 3))
    image = pixels.convert(mode) if mode != "LAB" else Image.merge("LAB", pixels.split())
    image.save(tmp_path / "a.tif")
    got = read(tmp_path / "a.tif")
    assert got.info.channels == 3 and not got.info.alpha
    np.testing.assert_array_equal(got.samples, np.asarray(load(tmp_path / "a.tif").convert("RGB")))


def test_float_and_32_bit_pixels(tmp_path):
    rng = np.random.default_rng(0)
    values = rng.normal(0, 50, (9, 7)).astype(np.float32)
    Image.fromarray(values).save(tmp_path / "a.tif")
    got = read(tmp_path / "a.tif")
    assert got.info.sample_type == "f32"
    assert got.info.value_range == (float(values.min()), float(values.max()))
    for form in ("tif", "npy"):
        write(tmp_path / f"b.{form}", got.info, got.samples)
    np.testing.assert_allclose(np.asarray(load(tmp_path / "b.tif")), values, atol=1e-4)
    np.testing.assert_allclose(np.load(tmp_path / "b.npy"), values, atol=1e-4)
    whole = np.arange(63, dtype=np.int32).reshape(9, 7) * 1000
    Image.fromarray(whole).save(tmp_path / "i.tif")
    assert read(tmp_path / "i.tif").info.sample_type == "u16"
    np.testing.assert_array_equal(read(tmp_path / "i.tif").samples[..., 0], whole)
    Image.fromarray(whole.astype(np.float32)).save(tmp_path / "f.tif")
    assert read(tmp_path / "f.tif").info.sample_type == "u16"
    Image.fromarray(whole - 5).save(tmp_path / "n.tif")
    assert read(tmp_path / "n.tif").info.value_range == (-5.0, 61995.0)
    values[3, 3] = np.nan
    Image.fromarray(values).save(tmp_path / "nan.tif")
    with pytest.raises(MediaReadError, match="NaN"):
        open_source(tmp_path / "nan.tif")


@pytest.mark.parametrize("form", ["png", "jpg", "webp", "gif", "bmp", "tif", "avif", "jp2", "qoi"])
def test_every_truncation_is_refused(tmp_path, form):
    Image.fromarray(picture(24, 24, 3)).save(tmp_path / f"a.{form}")
    data = (tmp_path / f"a.{form}").read_bytes()
    for keep in (0, 1, 3, 9, 30, len(data) // 3, len(data) // 2):
        (tmp_path / f"b.{form}").write_bytes(data[:keep])
        with pytest.raises(NfcError) as caught:
            open_source(tmp_path / f"b.{form}")
        assert "\n" not in str(caught.value) and f"b.{form}" in str(caught.value)


@pytest.mark.parametrize("form", ["png", "jpg", "webp", "gif", "tif"])
def test_flipped_bits_never_escape(tmp_path, form):
    Image.fromarray(picture(12, 12, 3)).save(tmp_path / f"a.{form}")
    data = (tmp_path / f"a.{form}").read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(60):
        broken = bytearray(data)
        broken[rng.integers(len(data))] ^= 1 << rng.integers(8)
        (tmp_path / f"b.{form}").write_bytes(broken)
        try:
            read(tmp_path / f"b.{form}")
        except NfcError as error:
            assert "\n" not in str(error)  # noqa: PT017


def lying_png(width, height):
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(b"\0" * 100)) + png_chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("size", "word"),
    [
        ((70_000, 10), "max_dimension = 65535"),
        ((65_000, 60_000), "178956970"),
        ((2**31 - 1, 2**31 - 1), "178956970"),
        ((13_000, 13_700), "178956970"),
    ],
)
def test_sizes_are_checked_before_pixels(tmp_path, size, word):
    (tmp_path / "a.png").write_bytes(lying_png(*size))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(LimitError) as caught:
        open_source(tmp_path / "a.png", limits=Limits(max_pixels=178_000_000) if size[1] == 13_700 else Limits())
    assert word.split(" ")[0] in str(caught.value) or "max_pixels" in str(caught.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30_000


def test_own_limits(tmp_path):
    Image.fromarray(picture(10, 20, 3)).save(tmp_path / "a.png")
    for limits, word in ((Limits(max_dimension=19), "max_dimension"), (Limits(max_pixels=199), "max_pixels")):
        with pytest.raises(LimitError, match=word):
            open_source(tmp_path / "a.png", limits=limits)
    open_source(tmp_path / "a.png", limits=Limits(max_pixels=200, max_dimension=20)).close()
    Image.fromarray(picture(4, 4, 3)).save(tmp_path / "b.png", icc_profile=srgb())
    with pytest.raises(LimitError, match="max_metadata"):
        open_source(tmp_path / "b.png", limits=Limits(max_metadata=100))


def test_memory_stays_compact(tmp_path):
    """A big picture is delivered in blocks without ever being expanded to floats as a whole."""
    Image.new("L", (4000, 3000), 7).save(tmp_path / "a.png")
    source = open_source(tmp_path / "a.png")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    total = sum(int(quantize(block.values, source.info).sum(dtype=np.int64)) for block in source.blocks(50))
    source.close()
    assert total == 7 * 12_000_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40_000  # KiB; as floats: 48 MB


def test_raw_profile_in_png_text(tmp_path):
    payload = exif_bytes(6)
    text = f"\nexif\n{len(payload):8d}\n{payload.hex()}\n"
    info = PngImagePlugin.PngInfo()
    info.add_text("Raw profile type exif", text, zip=True)
    Image.fromarray(picture(4, 6, 3)).save(tmp_path / "a.png", pnginfo=info)
    got = read(tmp_path / "a.png")
    assert got.info.shape == (6, 4) and b"maker" in got.metadata.exif and not got.warnings


def test_no_warning_leaks(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    Image.fromarray(picture(12, 12, 3)).save(tmp_path / "a.png")
    assert read(tmp_path / "a.png").warnings == []
    data = io.BytesIO()
    Image.fromarray(picture(30, 30, 3)).save(data, "PNG")
    (tmp_path / "b.png").write_bytes(data.getvalue())
    with pytest.raises(LimitError):
        open_source(tmp_path / "b.png")


def test_camera_raw_is_refused(tmp_path):
    image = Image.fromarray(picture(4, 4, 3))
    image.save(tmp_path / "a.tif", tiffinfo={0xC612: (1, 4, 0, 0)})
    with pytest.raises(UnsupportedMediaError, match="camera raw"):
        open_source(tmp_path / "a.tif")
