"""What a video holds beside its colours and times: kept, or named. The reference is what ffmpeg writes and reads."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from nfcodec.errors import MediaReadError
from nfcodec.media import open_source
from nfcodec.media.ffmpeg import run
from nfcodec.media.probe import Container, Stream, alpha_decoder, is_turned, picture_parts, read_summary
from nfcodec.media.video_losses import INTERLACED, field_order, losses

from .helpers import ffmpeg, read, write

# Codec, container, pixel format and how far alpha may be off.
ALPHA = {
    "vp8": (("-c:v", "libvpx", "-auto-alt-ref", "0", "-b:v", "2M"), "webm", "yuva420p", 12),
    "vp9": (("-c:v", "libvpx-vp9", "-lossless", "1"), "webm", "yuva420p", 1),
    "vp9 in mkv": (("-c:v", "libvpx-vp9", "-lossless", "1"), "mkv", "yuva420p", 1),
    # Smooth edges of alpha: its layer is coded like a picture.
    "hevc": (("-c:v", "libx265", "-x265-params", "log-level=none:qp=1"), "mp4", "yuva420p", 12),
    "hevc in mov": (("-c:v", "libx265", "-tag:v", "hvc1", "-x265-params", "log-level=none"), "mov", "yuva420p", 12),
    "hevc in mkv": (("-c:v", "libx265", "-x265-params", "log-level=none:qp=1"), "mkv", "yuva420p", 12),
    "prores": (("-c:v", "prores_ks", "-profile:v", "4444", "-alpha_bits", "16"), "mov", "yuva444p10le", 1),
    "ffv1": (("-c:v", "ffv1"), "mkv", "yuva420p", 1),
    "ffv1 rgb": (("-c:v", "ffv1"), "mkv", "bgra", 0),
    "ffv1 deep": (("-c:v", "ffv1"), "mkv", "gbrap10le", 1),
    "png": (("-c:v", "png"), "mov", "rgba", 0),
    "qtrle": (("-c:v", "qtrle"), "mov", "argb", 0),
    "utvideo": (("-c:v", "utvideo"), "avi", "gbrap", 0),
    "grey": (("-c:v", "png"), "mov", "ya8", 1),
}
COUNT, HEIGHT, WIDTH = 3, 32, 48


def made(folder, alphas):
    """Pictures of one colour with the given alphas (n, H, W)."""
    for number, alpha in enumerate(alphas):
        pixels = np.full((HEIGHT, WIDTH, 4), (200, 60, 40, 0), np.uint8)
        pixels[..., 3] = alpha
        Image.fromarray(pixels).save(folder / f"f{number}.png")
    return ["-framerate", "10", "-i", str(folder / "f%d.png")]


@pytest.fixture
def alphas():
    """A box that moves: half of it half transparent."""
    found = np.zeros((COUNT, HEIGHT, WIDTH), np.uint8)
    for number in range(COUNT):
        found[number, 4:28, 16 + number * 4 : 40] = 255
        found[number, 4:16, 16 + number * 4 : 40] = 128
    return found


@pytest.mark.parametrize("name", ALPHA)
def test_alpha_of_every_codec_is_kept(tmp_path, alphas, name):
    codec, form, pixels, most = ALPHA[name]
    path = tmp_path / f"a.{form}"
    ffmpeg(*made(tmp_path, alphas), *codec, "-pix_fmt", pixels, str(path))
    got = read(path, rows=2)
    assert got.info.alpha and got.info.channels == (1 if name == "grey" else 3)
    assert np.abs(got.alpha.astype(int) - alphas).max() <= most
    decoder = {"vp8": ("-c:v", "libvpx"), "vp9": ("-c:v", "libvpx-vp9")}.get(name[:3], ())
    raw = run([*decoder, "-i", str(path), "-vf", "format=rgba,alphaextract,format=gray", "-f", "rawvideo", "-"]).output
    theirs = np.frombuffer(raw, np.uint8).reshape(alphas.shape).astype(int)
    assert np.abs(got.alpha - theirs).max() <= (1 if "deep" in name or name == "prores" else 0)
    inside = got.samples[alphas == 255].astype(int)
    assert np.abs(inside - (inside.mean() if name == "grey" else (200, 60, 40))).mean() < 4
    assert not any("alpha" in w for w in got.warnings)
    for out, off in (("mkv", 0), ("png", 0), ("webm", 12)):
        assert write(tmp_path / f"b.{out}", got.info, got.samples, got.alpha) == []
        again = read(tmp_path / f"b.{out}")
        assert np.abs(again.alpha.astype(int) - got.alpha).max() <= off


@pytest.mark.parametrize("name", ["vp9", "prores", "qtrle", "ffv1"])
def test_alpha_that_nothing_uses_is_none(tmp_path, name):
    codec, form, pixels, _ = ALPHA[name]
    ffmpeg(*made(tmp_path, np.full((2, HEIGHT, WIDTH), 255)), *codec, "-pix_fmt", pixels, str(tmp_path / f"a.{form}"))
    got = read(tmp_path / f"a.{form}")
    assert not got.info.alpha and got.info.shape == (2, HEIGHT, WIDTH)


def test_a_layer_of_alpha_that_cannot_be_decoded_hides_nothing(tmp_path, alphas):
    codec, _, pixels, _ = ALPHA["hevc"]
    ffmpeg(*made(tmp_path, alphas), *codec, "-pix_fmt", pixels, str(tmp_path / "a.mp4"))
    # This copy lacks the parameters of the second layer; ffmpeg then shows it as transparent everywhere.
    ffmpeg("-i", str(tmp_path / "a.mp4"), "-c", "copy", str(tmp_path / "b.mkv"))
    got = read(tmp_path / "b.mkv")
    assert not got.info.alpha and any("alpha cannot be decoded" in w for w in got.warnings)
    assert got.samples.std() < 200


def test_transparency_that_comes_late_is_seen(tmp_path):
    alphas = np.full((3, HEIGHT, WIDTH), 255)
    alphas[2, 0, 0] = 254
    ffmpeg(*made(tmp_path, alphas), "-c:v", "png", "-pix_fmt", "rgba", str(tmp_path / "a.mov"))
    np.testing.assert_array_equal(read(tmp_path / "a.mov").alpha, alphas)


COLOURS = [
    (("bt2020", "smpte2084", "bt2020nc"), "colours will look different: BT.2020 PQ is not kept"),
    (("bt2020", "arib-std-b67", "bt2020nc"), "colours will look different: BT.2020 HLG is not kept"),
    (("bt2020", "bt2020-10", "bt2020nc"), "colours will look different: BT.2020 is not kept"),
    (("smpte432", "bt709", "bt709"), "colours will look different: Display P3 is not kept"),
    (("bt709", "linear", "bt709"), "colours will look different: linear light is not kept"),
    (("bt709", "bt709", "bt709"), None),
    (("smpte170m", "smpte170m", "smpte170m"), None),
    (("bt470bg", "bt470bg", "bt470bg"), None),
]


@pytest.mark.parametrize("form", ["mp4", "mkv"])
@pytest.mark.parametrize(("colours", "told"), COLOURS)
def test_colour_descriptions_are_named(tmp_path, form, colours, told):
    names = [w for pair in zip(("-color_primaries", "-color_trc", "-colorspace"), colours, strict=True) for w in pair]
    described = f"setparams=color_primaries={colours[0]}:color_trc={colours[1]}:colorspace={colours[2]}"
    ffmpeg("-f", "lavfi", "-i", f"testsrc2=s=32x32:d=0.2,format=yuv420p,{described}", "-c:v", "libx264", *names,
           str(tmp_path / f"a.{form}"))  # fmt: skip
    assert read(tmp_path / f"a.{form}").warnings == ([told] if told else [])


@pytest.mark.parametrize("span", ["tv", "pc"])
@pytest.mark.parametrize("matrix", ["bt709", "smpte170m", "bt2020nc"])
def test_range_and_matrix_are_heeded(tmp_path, span, matrix):
    """Colours come out as they went in, whatever range and matrix they were stored with."""
    pixels = np.full((16, 16, 3), (220, 100, 30), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    stored = f"scale=out_range={span}:out_color_matrix={matrix.replace('nc', '')},format=yuv444p"
    ffmpeg("-i", str(tmp_path / "a.png"), "-vf", stored, "-c:v", "libx264", "-crf", "1", "-color_range", span,
           "-colorspace", matrix, str(tmp_path / "a.mp4"))  # fmt: skip
    assert np.abs(read(tmp_path / "a.mp4").samples.astype(int) - pixels).max() <= 4


@pytest.mark.parametrize("first", ["tff", "bff"])
@pytest.mark.parametrize(
    ("form", "codec"),
    [("mkv", "mpeg2video"), ("mpg", "mpeg2video"), ("ts", "mpeg2video"), ("mp4", "libx264"), ("mov", "prores_ks"),
     ("avi", "dvvideo")],
)  # fmt: skip
def test_interlacing_is_named(tmp_path, form, codec, first):
    """By the header, or as DV does it, by the pictures alone."""
    size, more = ("720x576", ("-pix_fmt", "yuv420p")) if codec == "dvvideo" else ("64x64", ())
    for name, scan in (("a", f",interlace=scan={first}"), ("b", "")):
        ffmpeg("-f", "lavfi", "-i", f"testsrc2=s={size}:r=50:d=0.12{scan}", "-r", "25", "-c:v", codec, *more,
               *(("-flags", "+ildct+ilme") if scan else ()), str(tmp_path / f"{name}.{form}"))  # fmt: skip
    assert INTERLACED in read(tmp_path / f"a.{form}").warnings
    if codec != "dvvideo":
        assert INTERLACED not in read(tmp_path / f"b.{form}").warnings


def test_tags_and_chapters_are_named(tmp_path):
    about = ";FFMETADATA1\ntitle=A film\nartist=Me\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=99\n"
    (tmp_path / "m.txt").write_text(about)
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=32x32:d=0.2", "-i", str(tmp_path / "m.txt"), "-map_metadata", "1",
           "-c:v", "libx264", str(tmp_path / "a.mp4"))  # fmt: skip
    assert {"dropped the tags title, artist", "dropped 1 chapter"} <= set(read(tmp_path / "a.mp4").warnings)


def test_what_other_writers_say_beside():
    """Lines of ffmpeg for what it does not write itself."""
    log = (
        "Input #0, mov, from 'x':\n  Duration: 00:01:02.50, start: 0.0, bitrate: 1 kb/s\n"
        "  Stream #0:0[0x1](und): Video: hevc (Main 10) (hvc1 / 0x31637668), "
        "yuv420p10le(tv, bt2020nc/bt2020/smpte2084, top coded first (swapped)), 64x32 [SAR 4:3 DAR 8:3], 24 fps\n"
        "    Side data:\n      DOVI configuration record: version: 1.0\n      stereo3d: side by side\n"
        "      spherical: equirectangular\n"
        "      displaymatrix: rotation of -90.00 degrees\n    Metadata:\n      alpha_mode      : 1\n"
        "  Stream #0:1: Audio: aac, 48000 Hz\n"
    )
    container = read_summary(log)
    video, sound = container.streams
    assert container.seconds == 62.5 and sound.kind == "audio" and is_turned(video) and alpha_decoder(video) == ()
    assert picture_parts(video) == ("yuv420p10le", ("tv", "bt2020nc/bt2020/smpte2084", "top coded first (swapped)"))
    assert field_order(video) is True
    assert losses(container, video, sound) == [
        "more than 8 bits per colour (yuv420p10le) are reduced to 8",
        "colours will look different: BT.2020 PQ is not kept",
        "Dolby Vision is not kept: the colours of its base layer are taken",
        "the pair of views of a stereo film is not marked: they stay in one picture",
        "the spherical projection is not kept: the pictures stay as they are coded",
    ]
    odd = Stream(0, "video", "vp9, yuv444p(pc, ycgco/bt709/bt709), 16x16")
    assert losses(Container([odd]), odd, None) == ["colours will look different: the matrix YCgCo is not known"]


def test_square_pictures_are_turned_with_their_pixels(tmp_path):
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=32x32:d=0.2,setsar=4/3", "-c:v", "libx264", str(tmp_path / "a.mp4"))
    ffmpeg("-display_rotation", "90", "-i", str(tmp_path / "a.mp4"), "-c", "copy", str(tmp_path / "b.mp4"))
    got = read(tmp_path / "b.mp4")
    assert dict(got.metadata.tags)["sar"] == "3:4"
    for form in ("png", "gif", "webp"):
        said = write(tmp_path / f"c.{form}", got.info, got.samples, metadata=got.metadata)
        assert f"the pictures look squeezed: {form} cannot say that pixels are 3:4" in said


# -- headers that lie ------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Two seconds, in containers whose header comes first."""
    folder = tmp_path_factory.mktemp("film")
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=2", "-f", "lavfi", "-i", "sine=d=2", "-c:v", "libx264",
           "-g", "10", "-c:a", "aac", str(folder / "a.mkv"))  # fmt: skip
    ffmpeg("-i", str(folder / "a.mkv"), "-c", "copy", "-movflags", "+faststart", str(folder / "a.mp4"))
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=2", "-c:v", "mjpeg", str(folder / "a.avi"))
    for form in ("flv", "mov", "ts"):
        ffmpeg("-i", str(folder / "a.mkv"), "-c", "copy", *(["-movflags", "+faststart"] if form == "mov" else []),
               str(folder / f"a.{form}"))  # fmt: skip
    return folder


@pytest.mark.parametrize("form", ["mp4", "mkv", "flv", "mov", "ts", "avi"])
@pytest.mark.parametrize("share", [0.4, 0.7])
def test_as_much_as_is_there_of_a_truncated_film(film, tmp_path, form, share):
    data = (film / f"a.{form}").read_bytes()
    path = tmp_path / f"b.{form}"
    path.write_bytes(data[: int(len(data) * share)])
    got, whole = read(path), read(film / f"a.{form}")
    assert 5 < got.info.shape[0] < 48
    # The last picture may lack its end.
    same = got.samples[: got.info.shape[0] - 3]
    np.testing.assert_array_equal(same, whole.samples[: len(same)])
    assert float(got.info.shape[0] / got.info.rate) < 2
    # A transport stream does not say how long it is, but its bytes do not come out even.
    words = ("is truncated", "are there") if form in ("ts", "avi") else ("may be truncated", "of the 2.")
    assert any(all(word in w for word in words) for w in got.warnings)


def test_a_film_without_its_list_of_frames(tmp_path, film):
    ffmpeg("-i", str(film / "a.mp4"), "-c", "copy", str(tmp_path / "a.mp4"))
    data = (tmp_path / "a.mp4").read_bytes()
    (tmp_path / "a.mp4").write_bytes(data[: len(data) // 2])
    with pytest.raises(MediaReadError, match="moov.* is missing: the file is truncated"):
        open_source(tmp_path / "a.mp4")


def test_a_film_without_frames(tmp_path):
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x48:d=1", "-frames:v", "0", "-c:v", "libx264", str(tmp_path / "a.mp4"))
    with pytest.raises(MediaReadError, match=r"a\.mp4 has no frames"):
        open_source(tmp_path / "a.mp4")


def test_a_length_that_lies(tmp_path, film):
    """A header that announces an hour: what is there counts, for the length and for the last frame."""
    data = bytearray((film / "a.mkv").read_bytes())
    at = data.index(b"\x44\x89\x88") + 3
    data[at : at + 8] = np.array(3.6e6, ">f8").tobytes()
    (tmp_path / "a.mkv").write_bytes(data)
    assert "Duration: 01:00:00" in run(["-i", str(tmp_path / "a.mkv")], level="info").log
    got = read(tmp_path / "a.mkv")
    assert got.info.shape[0] == 50 and got.info.rate == 25 and "of the 3600.00 s" in got.warnings[0]
