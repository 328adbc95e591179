"""Kinds of data beside a picture × containers: each is kept, or named in a warning. Pillow's writers are the judge."""

from __future__ import annotations

import io
import struct
import zlib

import pytest
from PIL import Image, ImageCms, PngImagePlugin

from nfcodec.media.colour import colour_name
from nfcodec.media.image_metadata import raw_profile
from nfcodec.media.metadata import bare_exif

from .helpers import picture, read, write

XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a/></x:xmpmeta>'
XMP_HEAD = b"http://ns.adobe.com/xap/1.0/\0"


@pytest.fixture(scope="module")
def srgb():
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def exif_bytes():
    exif = Image.Exif()
    exif[0x010F] = "maker"
    return bare_exif(exif.tobytes())


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(chunks=b"", after=b"", pixels=None):
    """A PNG with chunks before its pixels, and bytes after its end."""
    out = io.BytesIO()
    Image.fromarray(picture(8, 10, 3) if pixels is None else pixels).save(out, "PNG")
    data = out.getvalue()
    return data[:33] + chunks + data[33:] + after


def jpeg(segments=b"", after=b""):
    """A JPEG with segments behind its first marker, and bytes after its end."""
    out = io.BytesIO()
    Image.fromarray(picture(16, 16, 3)).save(out, "JPEG", quality=90)
    data = out.getvalue()
    return data[:2] + segments + data[2:] + after


def app(number, data):
    return b"\xff" + bytes([0xE0 + number]) + struct.pack(">H", len(data) + 2) + data


def webp(extra):
    out = io.BytesIO()
    Image.fromarray(picture(8, 8, 3)).save(out, "WEBP", lossless=True)
    data = out.getvalue() + extra
    return data[:4] + struct.pack("<I", len(data) - 8) + data[8:]


EXTENDED = app(1, b"http://ns.adobe.com/xmp/extension/\0" + b"0" * 32 + struct.pack(">II", 11, 0) + b"depth map!!")
MP4 = struct.pack(">I4s4sI", 16, b"ftyp", b"mp42", 0) + bytes(40)
GAIN = app(1, XMP_HEAD + b'<x hdrgm:Version="1.0"/>')
FILES = {
    "jpeg with extended XMP": ("a.jpg", jpeg(EXTENDED), ["dropped the extended XMP (11 bytes; cameras keep"]),
    "jpeg with a gain map": ("a.jpg", jpeg(GAIN, jpeg()), ["dropped the gain map: on HDR screens"]),
    "jpeg with ISO's gain map": (
        "a.jpg", jpeg(app(2, b"urn:iso:std:iso:ts:21496:-1\0"), jpeg()), ["dropped the gain map: on HDR screens"]),
    "motion photo": ("a.jpg", jpeg(after=MP4), [f"dropped the video of a motion photo ({len(MP4)} bytes)"]),
    "motion photo behind padding": ("a.jpg", jpeg(after=bytes(24) + MP4), ["dropped the video of a motion photo"]),
    "jpeg with a second picture": ("a.jpg", jpeg(after=jpeg()), ["dropped a further picture behind the first one"]),
    "jpeg with a tail": ("a.jpg", jpeg(after=b"secret"), ["dropped 6 bytes after the picture"]),
    "jpeg with padding": ("a.jpg", jpeg(after=bytes(7)), []),
    "jpeg with credentials": ("a.jpg", jpeg(app(11, b"JP\0\1c2pa")), ["dropped the content credentials (JUMBF)"]),
    "png with a tail": ("a.png", png(after=b"x"), ["dropped 1 byte after the picture"]),
    "png with an mp4": ("a.png", png(after=MP4), [f"dropped the video of a motion photo ({len(MP4)} bytes)"]),
    "png of two kinds": (
        "a.png", png(chunk(b"tIME", bytes(7)) + chunk(b"tEXt", b"Title\0x")),
        ["dropped time of change (tIME), text (tEXt)"]),
    "png with a gamma": (
        "a.png", png(chunk(b"gAMA", struct.pack(">I", 100000))),
        ["colours will look different: gamma 1 (gAMA) is not kept"]),
    "png with an unknown chunk": ("a.png", png(chunk(b"prVt", b"x")), ["dropped chunk prVt"]),
    "png with oblong pixels": (
        "a.png", png(chunk(b"pHYs", struct.pack(">IIB", 2, 1, 0))), ["dropped pixel aspect (pHYs)"]),
    "webp with an unknown chunk": ("a.webp", webp(b"ABCD" + struct.pack("<I", 2) + b"xy"), ["chunk 'ABCD'"]),
    "two ppm": ("a.ppm", (b"P6\n# c\n2 2\n255\n" + bytes(12)) * 2, ["dropped 27 bytes after the picture"]),
    "one pgm": ("a.pgm", b"P5 2 2 255\n" + bytes(4), []), "one pbm": ("a.pbm", b"P4 9 2\n" + bytes(4), []),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_lost_in_silence(tmp_path, name):
    file, data, expected = FILES[name]
    (tmp_path / file).write_bytes(data)
    warnings = read(tmp_path / file).warnings
    assert len(warnings) == len(expected), warnings
    for line, part in zip(warnings, expected, strict=True):
        assert part in line


@pytest.mark.parametrize(("count", "what"), [(2, "1 further page"), (4, "3 further pages")])
def test_pages_are_counted(tmp_path, count, what):
    pages = [Image.fromarray(picture(4, 4, 3, n)) for n in range(count)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    assert read(tmp_path / "a.tif").warnings == [f"dropped {what}"]
    pages[0].save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=pages[1:])
    assert read(tmp_path / "a.jpg").warnings == [f"dropped {what.replace('page', 'picture')}"]


def test_icons_and_extra_bands(tmp_path):
    Image.fromarray(picture(64, 64, 4)).save(tmp_path / "a.ico", sizes=[(16, 16), (32, 32), (64, 64)])
    assert read(tmp_path / "a.ico").warnings == ["dropped 2 smaller pictures"]
    tags = {338: 0, 33723: b"iptc", 33550: (1.0, 1.0, 0.0)}
    Image.fromarray(picture(8, 8, 4)).save(tmp_path / "a.tif", tiffinfo=tags)
    got = read(tmp_path / "a.tif")
    assert set(got.warnings) >= {"dropped the IPTC block", "dropped the GeoTIFF tags"}


KINDS = ("icc", "exif", "xmp", "text")
CONTAINERS = ("png", "jpg", "webp", "avif", "tif", "gif", "jp2", "bmp")


@pytest.mark.parametrize("form", CONTAINERS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_in_every_container(tmp_path, srgb, form, kind):
    """What Pillow can write into a file is kept byte for byte or told."""
    payload = {"icc": srgb, "exif": exif_bytes(), "xmp": XMP, "text": b"hello"}[kind]
    given = {"icc": {"icc_profile": payload}, "exif": {"exif": payload}, "xmp": {"xmp": payload},
             "text": {"comment": payload}}[kind]  # fmt: skip
    if form == "png" and kind in ("xmp", "text"):
        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp" if kind == "xmp" else "Title", payload.decode())
        given = {"pnginfo": info}
    if kind == "exif" and form == "jpg":
        given = {"exif": b"Exif\0\0" + payload}
    plain, file = tmp_path / f"a.{form}", tmp_path / f"b.{form}"
    image = Image.fromarray(picture(8, 8, 3))
    image.save(plain)
    image.save(file, **given)
    got = read(file)
    if payload not in file.read_bytes() and form != "png" and (form, kind) != ("tif", "exif"):
        assert len(file.read_bytes()) - len(plain.read_bytes()) < len(payload)  # Pillow did not write it
        return
    kept = {"icc": got.metadata.icc, "exif": got.metadata.exif, "xmp": got.metadata.xmp}.get(kind, b"")
    if form == "tif" and kind == "exif":
        loaded = Image.Exif()
        loaded.load(kept)
        assert loaded[0x010F] == "maker"
    else:
        assert kept == payload or got.warnings, (kind, form)


# -- colours -----------------------------------------------------------------------------------------------
def test_colour_descriptions_are_kept_by_png_and_told_by_others(tmp_path):
    (tmp_path / "a.png").write_bytes(png(chunk(b"cICP", bytes((9, 16, 0, 1)))))
    got = read(tmp_path / "a.png")
    assert got.metadata.tags == (("cicp", "9,16"),) and not got.warnings
    assert write(tmp_path / "b.png", got.info, got.samples, metadata=got.metadata) == []
    assert b"cICP\x09\x10\x00\x01" in (tmp_path / "b.png").read_bytes()
    for form in ("jpg", "webp", "tif", "bmp"):
        said = write(tmp_path / f"b.{form}", got.info, got.samples, metadata=got.metadata)
        assert said == ["colours will look different: BT.2020 PQ is not kept"]
    (tmp_path / "c.png").write_bytes(png(chunk(b"cICP", bytes((1, 13, 0, 1)))))
    assert read(tmp_path / "c.png").metadata.tags == ()


def test_colours_of_avif(tmp_path):
    image = Image.fromarray(picture(8, 8, 3))
    image.save(tmp_path / "a.avif")
    data = (tmp_path / "a.avif").read_bytes()
    at = data.index(b"colrnclx") + 8
    (tmp_path / "b.avif").write_bytes(data[:at] + struct.pack(">HH", 9, 18) + data[at + 4 :])
    assert read(tmp_path / "a.avif").metadata.tags == ()
    assert read(tmp_path / "b.avif").metadata.tags == (("cicp", "9,18"),)


@pytest.mark.parametrize(
    ("codes", "name"), [((9, 16), "BT.2020 PQ"), ((12, 13), "Display P3 sRGB"), ((1, 1), "BT.709"),
                        ((77, 18), "primaries 77 HLG")])  # fmt: skip
def test_colour_names(codes, name):
    assert colour_name(codes) == name


# -- raw profiles ------------------------------------------------------------------------------------------
PAYLOADS = {"exif": exif_bytes(), "xmp": XMP, "APP1": b"Exif\0\0" + exif_bytes(), "icc": b"i" * 200}


@pytest.mark.parametrize("tail", [b"", b"\n\n", b"$\"\x1d\x1a", b"00ff", b"\nexif\n       4\n00000000\n"])
@pytest.mark.parametrize("kind", PAYLOADS)
@pytest.mark.parametrize("name", [b"zTXt", b"tEXt", b"iTXt"])
def test_raw_profiles_end_where_they_say(tmp_path, name, kind, tail):
    payload = PAYLOADS[kind]
    lines = "\n".join(payload.hex()[i : i + 72] for i in range(0, 2 * len(payload), 72))
    text = f"\n{kind}\n{len(payload):8d}\n{lines}\n".encode() + tail
    head = b"Raw profile type " + kind.encode()
    body = {b"zTXt": head + b"\0\0" + zlib.compress(text), b"tEXt": head + b"\0" + text,
            b"iTXt": head + b"\0\0\0\0\0" + text}[name]  # fmt: skip
    (tmp_path / "a.png").write_bytes(png(chunk(name, body)))
    got = read(tmp_path / "a.png")
    found = {"exif": got.metadata.exif, "APP1": got.metadata.exif, "xmp": got.metadata.xmp, "icc": got.metadata.icc}
    assert found[kind] == bare_exif(payload) and not got.warnings


def test_raw_profiles_that_cannot_be_read_are_told(tmp_path):
    (tmp_path / "a.png").write_bytes(png(chunk(b"tEXt", b"Raw profile type exif\0\nexif\n  9\n00\n")))
    assert read(tmp_path / "a.png").warnings == ["dropped the raw profile exif: it cannot be read"]
    assert raw_profile("rubbish") is None and raw_profile("\nexif\n2\nff0") is None
    assert raw_profile("\nexif\n       2\nff\n00zz") == b"\xff\0"
