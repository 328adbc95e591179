"""Every depth and way of counting that files of pictures have, against what the numbers mean by the specification.

Numpy is the judge: v of b bits is worth v / (2^b - 1), and 1 - that where 0 is white. ffmpeg and Pillow agree where
they read a file at all: both 1, 2, 4, 8 and 16 bits, ffmpeg also 12 bits, neither 10 and 14, nor RGB of 10, 12 and 14.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from nfcodec.errors import MediaReadError, UnsupportedMediaError
from nfcodec.media import open_source
from nfcodec.media.tiff import scale_table
from nfcodec.signal import SignalInfo

from .helpers import ffmpeg, load, read, write


def pack(samples, bits, order="<"):
    """Rows of samples (h, n), padded to whole bytes, most significant bits first; whole words in the file's order."""
    if bits in (16, 32):
        return samples.astype(f"{order}u{bits // 8}").tobytes()
    split = (samples[:, :, None] >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(split.astype(np.uint8).reshape(len(samples), -1), axis=1).tobytes()


def tiff(path, parts, shape, bits, photometric, *, order="<", planar=1, tile=None, extra=(), kind=1, compression=1):
    """A TIFF of ``parts``: the bytes of its strips or tiles. ``shape`` (h, w, C)."""
    height, width, count = shape
    entries, blob, start = [], b"", 8
    offsets = [start + sum(map(len, parts[:i])) for i in range(len(parts))]
    blob = b"".join(parts) + b"\0" * (sum(map(len, parts)) % 2)

    def add(tag, type_, values):
        nonlocal blob
        form = {3: "H", 4: "I"}[type_]
        data = struct.pack(f"{order}{len(values)}{form}", *values)
        if len(data) > 4:
            entries.append(struct.pack(f"{order}HHII", tag, type_, len(values), start + len(blob)))
            blob += data + b"\0" * (len(data) % 2)
        else:
            entries.append(struct.pack(f"{order}HHI", tag, type_, len(values)) + data.ljust(4, b"\0"))

    add(256, 4, [width])
    add(257, 4, [height])
    add(258, 3, [bits] * count)
    add(259, 3, [compression])
    add(262, 3, [photometric])
    if tile is None:
        add(273, 4, offsets)
    add(277, 3, [count])
    if tile is None:
        add(278, 4, [-(-height * (count if planar == 2 else 1) // len(parts))])
        add(279, 4, [len(p) for p in parts])
    add(284, 3, [planar])
    if tile is not None:
        for tag, value in ((322, [tile[1]]), (323, [tile[0]]), (324, offsets), (325, [len(p) for p in parts])):
            add(tag, 4, value)
    if extra:
        add(338, 3, list(extra))
    add(339, 3, [kind] * count)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", start + len(blob))
    directory = struct.pack(f"{order}H", len(entries)) + b"".join(entries) + struct.pack(f"{order}I", 0)
    path.write_bytes(head + blob + directory)


def ramp(bits, count, height=12, width=21):
    """Samples (h, w, C) from 0 to the largest; the channels differ."""
    one = np.linspace(0, 2**bits - 1, height * width).round().astype(np.int64).reshape(height, width)
    return np.stack([one, one[::-1], one[:, ::-1]][:count], -1)


def right(samples, bits, photometric):
    """The samples in 16 bits, or in 8 where that is enough."""
    worth = samples / (2**bits - 1)
    worth = 1 - worth if photometric == 0 else worth
    return np.rint(worth * (65535 if bits > 8 else 255)).astype(np.int64)


GREY = [(bits, photometric) for bits in (1, 2, 4, 6, 8, 10, 12, 14, 16) for photometric in (0, 1)]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("bits", "photometric"), GREY)
def test_grey_of_every_depth(tmp_path, bits, photometric, order):
    samples = ramp(bits, 1)
    tiff(tmp_path / "a.tif", [pack(samples[..., 0], bits, order)], samples.shape, bits, photometric, order=order)
    got = read(tmp_path / "a.tif", rows=5)
    expected = right(samples, bits, photometric)
    white = 255 if bits == 1 else 1
    assert got.info.sample_type == ("u1" if bits == 1 else "u8" if bits <= 8 else "u16")
    np.testing.assert_array_equal(got.samples.astype(int) * white, expected)
    assert got.info.value_range is None and not got.warnings
    if bits == 12 and photometric == 1:  # ffmpeg turns the padding around, too: black becomes 240
        ffmpeg("-i", str(tmp_path / "a.tif"), "-pix_fmt", "gray16le", "-f", "rawvideo", str(tmp_path / "raw"))
        other = np.fromfile(tmp_path / "raw", "<u2").reshape(expected.shape[:2])
        assert np.abs(other.astype(int) - expected[..., 0]).max() <= 1  # it repeats bits
    elif bits in (1, 2, 4, 8):
        np.testing.assert_array_equal(np.asarray(load(tmp_path / "a.tif").convert("L")), expected[..., 0])


@pytest.mark.parametrize("planar", [1, 2])
@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_colours_of_every_depth(tmp_path, bits, planar):
    samples = ramp(bits, 3)
    h = len(samples)
    parts = [pack(samples.reshape(h, -1), bits)] if planar == 1 else [pack(samples[..., c], bits) for c in range(3)]
    tiff(tmp_path / "a.tif", parts, samples.shape, bits, 2, planar=planar)
    got = read(tmp_path / "a.tif")
    np.testing.assert_array_equal(got.samples, right(samples, bits, 2))
    write(tmp_path / "b.png", got.info, got.samples)
    np.testing.assert_array_equal(read(tmp_path / "b.png").samples, got.samples)


@pytest.mark.parametrize("compression", [1, 8])
@pytest.mark.parametrize("bits", [10, 12, 14])
def test_tiles_and_deflate(tmp_path, bits, compression):
    samples = ramp(bits, 1)[..., 0]
    wide = np.pad(samples, ((0, 4), (0, 11)))
    tiles = [pack(wide[y : y + 16, x : x + 16], bits) for y in range(0, 16, 16) for x in range(0, 32, 16)]
    tiles = [zlib.compress(t) if compression == 8 else t for t in tiles]
    tiff(tmp_path / "a.tif", tiles, (*samples.shape, 1), bits, 1, tile=(16, 16), compression=compression)
    np.testing.assert_array_equal(read(tmp_path / "a.tif").samples[..., 0], right(samples, bits, 1))


def test_strips_alpha_and_extra_bands(tmp_path):
    samples = np.concatenate([ramp(12, 3), ramp(12, 2)], -1)
    h = len(samples)
    strips = [pack(samples[y : y + 4].reshape(4, -1), 12) for y in range(0, h, 4)]
    tiff(tmp_path / "a.tif", strips, samples.shape, 12, 2, extra=(2, 0))
    got = read(tmp_path / "a.tif")
    np.testing.assert_array_equal(got.samples, right(samples[..., :3], 12, 2))
    np.testing.assert_array_equal(got.alpha, right(samples[..., 3], 12, 1))
    assert got.warnings == ["dropped 1 extra band"]


@pytest.mark.parametrize("top", [256, 1000, 1023, 4095, 16383, 65535])
@pytest.mark.parametrize("count", [1, 3])
def test_pnm_of_every_largest_value(tmp_path, top, count):
    samples = np.linspace(0, top, 12 * 21 * count).round().astype(np.int64).reshape(12, 21, count)
    kind = 5 if count == 1 else 6
    (tmp_path / "a.pnm").write_bytes(f"P{kind}\n21 12\n{top}\n".encode() + samples.astype(">u2").tobytes())
    got = read(tmp_path / "a.pnm")
    assert got.info.sample_type == "u16"
    assert np.abs(got.samples - samples / top * 65535).max() <= 1


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_jpeg_2000_of_every_depth(tmp_path, bits):
    form = "gray16le" if bits == 16 else f"gray{bits}le"
    samples = ramp(bits, 1)[..., 0].astype("<u2")
    (tmp_path / "raw").write_bytes(samples.tobytes())
    ffmpeg("-f", "rawvideo", "-pix_fmt", form, "-s", "21x12", "-i", str(tmp_path / "raw"), "-c:v", "jpeg2000",
           "-pred", "1", str(tmp_path / "a.jp2"))  # fmt: skip
    got = read(tmp_path / "a.jp2").samples[..., 0]
    assert np.abs(got.astype(int) - right(samples, bits, 1)).max() <= 65535 // (2**bits - 1) * 2 + 16


KINDS = {
    "float RGB TIFF (3 × 32 bits)": (32, 3, 2, 3), "signed RGB TIFF (3 × 16 bits)": (16, 3, 2, 2),
    "RGB TIFF (3 × 32 bits)": (32, 3, 2, 1), "camera raw TIFF (12 bits)": (12, 1, 32803, 1),
    "grey TIFF (5 × 16 bits)": (16, 5, 1, 1), "complex grey TIFF (32 bits)": (32, 1, 1, 6),
}  # fmt: skip


@pytest.mark.parametrize("what", KINDS)
def test_valid_kinds_that_are_not_taken_are_named(tmp_path, what):
    bits, count, photometric, kind = KINDS[what]
    samples = np.zeros((12, 21 * count), np.int64)
    tiff(tmp_path / "a.tif", [pack(samples, bits)], (12, 21, count), bits, photometric, kind=kind)
    with pytest.raises(UnsupportedMediaError) as caught:
        open_source(tmp_path / "a.tif")
    assert str(caught.value) == f"{tmp_path / 'a.tif'} is not supported: {what}"


def jpeg_head(kind, bits):
    return b"\xff\xd8\xff" + bytes([kind]) + struct.pack(">HBHHB", 17, bits, 8, 8, 3) + b"\1\x11\0\2\x11\0\3\x11\0"


def psd_head(bits, mode):
    return b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, 8, 8, bits, mode) + bytes(40)


FOREIGN = {
    "a.jpg": (jpeg_head(0xC0, 12), "JPEG of 12 bits"), "b.jpg": (jpeg_head(0xC3, 8), "lossless JPEG of 8 bits"),
    "a.psd": (psd_head(16, 3), "RGB PSD of 16 bits and 3 channels"),
    "b.psd": (psd_head(32, 1), "grey PSD of 32 bits and 3 channels"),
}  # fmt: skip


@pytest.mark.parametrize("name", FOREIGN)
def test_other_containers_name_their_kinds(tmp_path, name):
    data, what = FOREIGN[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UnsupportedMediaError, match=f"is not supported: {what}"):
        open_source(tmp_path / name)


def test_rubbish_and_truncation_are_no_valid_files(tmp_path):
    (tmp_path / "a.tif").write_bytes(b"II*\0" + b"\xff" * 60)
    with pytest.raises(MediaReadError, match="not a valid TIFF file"):
        open_source(tmp_path / "a.tif")
    tiff(tmp_path / "b.tif", [b"\0"], (12, 21, 1), 10, 1)
    with pytest.raises(MediaReadError, match="ends before its data"):
        open_source(tmp_path / "b.tif")


def test_scale_tables():
    for bits in (10, 12, 14, 16):
        up, down = scale_table(bits, inverted=False), scale_table(bits, inverted=True)
        assert (up[0], up[2**bits - 1], down[0], down[2**bits - 1]) == (0, 65535, 65535, 0)
        assert (np.diff(up.astype(int)) >= 0).all() and up[-1] == 65535


# -- the part of the range that is used ------------------------------------------------------------------
@pytest.mark.parametrize(("low", "high", "expected"), [
    (50, 349, (50.0, 349.0)), (1000, 33767, (1000.0, 33767.0)), (1000, 33768, None), (0, 65535, None),
    (7, 7, (7.0, 7.0)),
])  # fmt: skip
@pytest.mark.parametrize("count", [1, 3])
def test_ranges_in_use(tmp_path, low, high, expected, count):
    samples = np.linspace(low, high, 16 * 16 * count).round().astype(np.uint16).reshape(16, 16, count)
    write(tmp_path / "a.png", SignalInfo("image", (16, 16), count, "u16"), samples)
    got = read(tmp_path / "a.png", rows=3)
    assert got.info.value_range == expected
    np.testing.assert_array_equal(got.samples, samples)
    for form in ("png", "npy", *(("tif",) if count == 1 else ())):
        assert write(tmp_path / f"b.{form}", got.info, got.samples) == []
    np.testing.assert_array_equal(read(tmp_path / "b.png").samples, samples)
    np.testing.assert_array_equal(np.load(tmp_path / "b.npy").reshape(samples.shape), samples)
    write(tmp_path / "b.webp", got.info, got.samples)  # in 8 bits it is as dark as it was
    eight = np.asarray(Image.open(tmp_path / "b.webp").convert("RGB"))[..., :count]
    assert np.abs(eight - samples / 257).max() <= 1


def test_what_alpha_hides_has_no_part_in_the_range(tmp_path):
    samples = np.full((8, 8, 1), 65535, np.uint16)
    samples[:4] = np.arange(32).reshape(4, 8, 1)
    alpha = np.zeros((8, 8), np.uint16)
    alpha[:4] = 65535
    write(tmp_path / "a.png", SignalInfo("image", (8, 8), 1, "u16", True), samples, alpha)
    assert read(tmp_path / "a.png").info.value_range == (0.0, 31.0)
