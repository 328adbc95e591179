"""All kinds of signals through whole files, in all their odd sizes and types."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from helpers import (
    decode,
    decode_array,
    encode,
    memory,
    moving,
    opened,
    pack,
    painting,
    psnr_of,
    samples_of,
    save_frames,
    save_picture,
    save_sound,
    sound,
    there_and_back,
)
from PIL import Image

from nfcodec import api
from nfcodec.errors import LimitError, OptionError
from nfcodec.media import open_sink, open_source
from nfcodec.media.ffmpeg import run
from nfcodec.media.samples import dequantize
from nfcodec.signal import Block, Metadata, SignalInfo


# -- pictures --------------------------------------------------------------------------------------------
@pytest.fixture(params=["image", "tiny-lattice"])
def kind(request):
    """Both fields for pictures."""
    return request.param


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(1, 1), (1, 37), (37, 1), (23, 31), (8, 8), (9, 7), (7, 5), (2, 64)])
def test_picture_sizes(tmp_path, kind, size, channels):
    source = save_picture(tmp_path / "a.png", painting(*size, channels=channels))
    result, samples = there_and_back(source, kind, tmp_path / "b.png", effort=3)
    assert samples.shape == (*size, channels) and result.psnr > 25


@pytest.mark.parametrize("channels", [1, 3])
def test_deep_pictures(tmp_path, kind, channels):
    y, x = np.mgrid[:30, :41]
    deep = np.stack([(y * 900 + x * 600 + 3000 * c) for c in range(channels)], -1).astype(np.uint16)
    source = save_picture(tmp_path / "a.png", deep)
    result, samples = there_and_back(source, kind, tmp_path / "b.png", quality=100)
    assert samples.dtype == np.uint16 and result.psnr > 40
    assert len(np.unique(samples & 255)) > 50  # the low byte is really used


def test_one_bit_pictures(tmp_path, kind):
    y, x = np.mgrid[:26, :33]
    disc = (np.hypot(y - 12, x - 15) < 9)[..., None]
    source = save_picture(tmp_path / "a.png", disc)
    with Image.open(source) as image:
        assert image.mode == "1"
    result, samples = there_and_back(source, kind, tmp_path / "b.png", quality=90)
    assert set(np.unique(samples)) == {0, 1} and result.psnr > 12
    assert api.info(tmp_path / "b.nfc").sample_type == "u1"
    flat = save_picture(tmp_path / "c.png", np.ones((20, 20, 1), bool))
    assert there_and_back(flat, kind, tmp_path / "d.png")[0].psnr == np.inf


def test_alpha_is_exact_and_cheap_where_constant(tmp_path, kind):
    pixels, rng = painting(40, 50), np.random.default_rng(0)
    planes = {
        "none": None, "opaque": np.full((40, 50), 255, np.uint8), "half": np.full((40, 50), 77, np.uint8),
        "edge": (np.indices((40, 50)).sum(0) > 40).astype(np.uint8) * 255,
        "noise": rng.integers(0, 256, (40, 50)).astype(np.uint8),
    }  # fmt: skip
    sizes = {}
    for name, plane in planes.items():
        source = save_picture(tmp_path / f"{name}.png", pixels, plane)
        result, samples = there_and_back(source, kind, tmp_path / f"{name}_.png", effort=1)
        sizes[name] = result.bytes
        if plane is not None:
            np.testing.assert_array_equal(samples_of(tmp_path / f"{name}_.png", alpha=True), plane)
    assert sizes["none"] < sizes["half"] == sizes["opaque"] <= sizes["none"] + 12
    assert sizes["edge"] < sizes["none"] + 120 < sizes["noise"] < sizes["none"] + 2100


def test_deep_alpha_and_grey_alpha(tmp_path, kind):
    rng = np.random.default_rng(1)
    deep = rng.integers(0, 65536, (11, 13)).astype(np.uint16)
    source = save_picture(tmp_path / "a.png", painting(11, 13).astype(np.uint16) * 257, deep)
    there_and_back(source, kind, tmp_path / "b.png")
    np.testing.assert_array_equal(samples_of(tmp_path / "b.png", alpha=True), deep)
    plane = (deep >> 8).astype(np.uint8)
    source = save_picture(tmp_path / "c.png", painting(11, 13, channels=1), plane)
    there_and_back(source, kind, tmp_path / "d.png")
    np.testing.assert_array_equal(samples_of(tmp_path / "d.png", alpha=True), plane)


def test_metadata_travels_or_is_stripped(tmp_path, kind):
    icc, xmp, exif = b"profile" * 9, b"<x:xmpmeta/>", Image.Exif()
    exif[0x010E] = "a title"
    Image.fromarray(painting(16, 16)).save(tmp_path / "a.webp", lossless=True, icc_profile=icc, xmp=xmp, exif=exif)
    encode(tmp_path / "a.webp", kind)
    assert set(api.info(tmp_path / "a.nfc").metadata) == {"icc", "exif", "xmp"}
    decode(tmp_path / "a.nfc", kind, tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as back:
        assert back.info["icc_profile"] == icc and back.getexif()[0x010E] == "a title"
    encode(tmp_path / "a.webp", kind, strip=frozenset({"icc", "exif"}))
    assert api.info(tmp_path / "a.nfc").metadata == ("xmp",)


# -- sound -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("channels", [1, 2, 5])
@pytest.mark.parametrize("samples", [1, 63, 64, 65, 1000])
def test_sound_lengths(tmp_path, samples, channels):
    source = save_sound(tmp_path / "a.wav", sound(samples, channels))
    result, back = there_and_back(source, "audio", tmp_path / "b.wav", effort=3)
    assert back.shape == (samples, channels) and result.psnr > 30
    assert result.rate == pytest.approx(result.bytes * 8 / 1000 / (samples / 8000)) and result.rate_unit == "kbps"


@pytest.mark.parametrize("kind", ["u8", "i16", "i24", "i32", "f32", "f64"])
def test_sound_types(tmp_path, kind):
    source = save_sound(tmp_path / "a.wav", sound(500, 2), 44_100, kind)
    result, _ = there_and_back(source, "audio", tmp_path / "b.wav", quality=90)
    assert api.info(tmp_path / "b.nfc").sample_type == kind and api.info(tmp_path / "b.nfc").sample_rate == 44_100
    assert result.psnr > 35 and 0 < result.snr < result.psnr


def test_sound_metadata(tmp_path):
    import soundfile

    with soundfile.SoundFile(tmp_path / "a.flac", "w", 8000, 1, "PCM_16") as file:
        file.title = "naïve"
        file.write(sound(300, 1))
    encode(tmp_path / "a.flac", "audio")
    assert api.info(tmp_path / "a.nfc").metadata == ("tags",)
    decode(tmp_path / "a.nfc", "audio", tmp_path / "b.flac")
    with soundfile.SoundFile(tmp_path / "b.flac") as file:
        assert file.title == "naïve"


def test_loudspeakers_travel(tmp_path):
    """5.1 with side speakers, from FLAC (RFC 9639, 9.1.3: back or side; its readers take side) to WAV."""
    save_sound(tmp_path / "a.flac", sound(600, 6))
    encode(tmp_path / "a.flac", "audio")
    decode(tmp_path / "a.nfc", "audio", tmp_path / "b.wav")
    data = (tmp_path / "b.wav").read_bytes()
    assert data[20:22] == b"\xfe\xff" and int.from_bytes(data[40:44], "little") == 0x60F
    told = decode(tmp_path / "a.nfc", "audio", tmp_path / "b.ogg").warnings
    assert any("will be played as FL FR FC LFE BL BR" in warning for warning in told)


def test_stereo_shares_what_its_channels_share():
    both = sound(4000, 1).repeat(2, 1)
    twice = [pack(memory("audio", x), "audio")[1].bytes for x in (both, both[:, :1])]
    assert twice[0] < 1.5 * twice[1]


# -- video -----------------------------------------------------------------------------------------------
def test_video_with_sound(tmp_path):
    pictures = ["-f", "lavfi", "-i", "testsrc=size=48x32:rate=10:duration=1"]
    tone = ["-f", "lavfi", "-i", "sine=440:duration=1:sample_rate=8000"]
    made = run(["-y", *pictures, *tone, "-c:v", "ffv1", "-c:a", "flac", str(tmp_path / "a.mkv")])
    assert made.code == 0, made.log
    result, samples = there_and_back(tmp_path / "a.mkv", "video", tmp_path / "b.mkv", effort=1)
    assert samples.shape == (10, 32, 48, 3) and result.warnings == ()
    first, second = open_source(tmp_path / "a.mkv"), open_source(tmp_path / "b.mkv")
    tracks = [source.sidecar() for source in (first, second)]
    with (tmp_path / "b.nfc").open("rb") as file:
        stored = opened(file.read(), "video").sidecar()
    assert stored == tracks[0] and len(stored) > 500
    assert packets(tmp_path, tracks[0]) == packets(tmp_path, tracks[1])
    for source in (first, second):
        source.close()
    parts = {s.type: s.bytes for s in api.info(tmp_path / "b.nfc").sections}
    assert parts["SOUND"] > len(stored) and result.bytes > parts["SOUND"] + parts["DELTA"]
    encode(tmp_path / "a.mkv", "video", tmp_path / "c.nfc", effort=1, strip=frozenset({"sound"}))
    assert [s.type for s in api.info(tmp_path / "c.nfc").sections] == ["DELTA"]
    cut = decode(tmp_path / "b.nfc", "video", tmp_path / "d.mkv", time=(0.2, 0.5))
    assert cut.shape == (3, 32, 48) and cut.warnings == ()
    part = open_source(tmp_path / "d.mkv")
    lists = [packets(tmp_path, part.sidecar()), packets(tmp_path, stored)]
    assert 0 < sum(int(size) for size, _ in lists[0]) < 0.6 * sum(int(size) for size, _ in lists[1])
    part.close()
    half = decode(tmp_path / "b.nfc", "video", tmp_path / "e.mkv", scale=0.5)
    assert half.shape == (10, 16, 24) and half.warnings == ()
    with_sound = open_source(tmp_path / "e.mkv")
    assert packets(tmp_path, with_sound.sidecar()) == packets(tmp_path, stored)
    with_sound.close()


def packets(folder, track):
    """Size and checksum of every packet of a sound track."""
    (folder / "track.mka").write_bytes(track)
    listed = run(["-i", str(folder / "track.mka"), "-map", "0:a:0", "-c", "copy", "-f", "framecrc", "pipe:1"])
    assert listed.code == 0, listed.log
    return [line.split(b",")[4:6] for line in listed.output.splitlines() if not line.startswith(b"#")]


@pytest.fixture
def uneven(tmp_path):
    """A coded clip of six frames that are shown for 40, 40, 1000, 40, 200 and 80 ms, with sound for all of it."""
    tone = ["-f", "lavfi", "-i", "sine=440:duration=1.4:sample_rate=8000", "-c:a", "flac", str(tmp_path / "s.mka")]
    assert run(["-y", *tone]).code == 0
    samples = moving(6, 16, 24)
    info = SignalInfo("video", samples.shape[:3], 3, "u8", rate=Fraction(6000, 1400))
    tags = Metadata(tags=(("durations", "40,40,1000,40,200,80"),))
    sink = open_sink(tmp_path / "a.mkv", info, tags, sidecar=(tmp_path / "s.mka").read_bytes(), format="mkv")
    sink.write(Block(dequantize(samples, "u8")))
    sink.close()
    encode(tmp_path / "a.mkv", "video", tmp_path / "a.nfc", effort=1)
    return tmp_path / "a.nfc"


def durations_of(path):
    source = open_source(path)
    list(source.blocks(4))
    source.close()
    found = dict(source.metadata.tags).get("durations")
    return found or [str(float(1000 / source.info.rate))] * source.info.shape[0]


def test_uneven_video(uneven, tmp_path):
    about = api.info(uneven)
    assert about.uneven and about.shape[0] / about.sample_rate == pytest.approx(1.4)
    for form in ("mkv", "mp4", "webm", "png", "webp", "gif"):
        decode(uneven, "video", tmp_path / f"b.{form}")
        assert durations_of(tmp_path / f"b.{form}") == "40,40,1000,40,200,80"


@pytest.mark.parametrize(
    ("span", "count", "times"),
    [((0.0, 0.08), 2, ["40.0"] * 2), ((0.5, 1.2), 3, "580,40,80"), ((0.06, None), 5, "20,1000,40,200,80"),
     ((1.35, 9.0), 1, ["50.0"])],
)  # fmt: skip
def test_part_of_an_uneven_video(uneven, tmp_path, span, count, times):
    """Frames that are shown within the range, the first and the last for what lies in it; the sound likewise."""
    result = decode(uneven, "video", tmp_path / "b.mkv", time=span)
    assert result.shape[0] == count and result.warnings == () and durations_of(tmp_path / "b.mkv") == times
    log = run(["-i", str(tmp_path / "b.mkv"), "-map", "0:a", "-f", "framecrc", "-"]).output.decode()
    heard = sum(int(line.split(",")[3]) for line in log.splitlines() if not line.startswith("#")) / 8000
    assert heard == pytest.approx(min(span[1] or 1.4, 1.4) - span[0], abs=2e-3)


def test_uneven_video_at_another_rate(uneven, tmp_path):
    """A frame stays until the next one comes; nothing is mixed across a pause."""
    native, even = (decode_array(uneven, "video", **options) for options in ({}, {"fps": 25}))
    assert len(even) == 35
    held = [0, 1, *[2] * 25, 3, *[4] * 5, *[5] * 2]
    assert np.abs(even.astype(int) - native[held].astype(int)).max() <= 1
    decode(uneven, "video", tmp_path / "b.mkv", fps=25)
    assert durations_of(tmp_path / "b.mkv") == ["40.0"] * 35
    with pytest.raises(LimitError):
        decode(uneven, "video", tmp_path / "c.mkv", fps=1e12)
    with pytest.raises(OptionError, match="starts after the end"):
        decode(uneven, "video", tmp_path / "c.mkv", time=(1.5, 2))


def test_times_outlive_stripped_tags(uneven, tmp_path):
    """They are what the frames are true with."""
    encode(tmp_path / "a.mkv", "video", tmp_path / "c.nfc", effort=1, strip=frozenset({"tags"}))
    assert api.info(tmp_path / "c.nfc").uneven


@pytest.mark.parametrize("size", [(1, 1, 1), (1, 16, 16), (5, 3, 11), (4, 8, 8)])
def test_video_sizes(tmp_path, size):
    source = save_frames(tmp_path / "a.mkv", moving(*size))
    result, samples = there_and_back(source, "video", tmp_path / "b.mkv", effort=3)
    assert samples.shape == (*size, 3) and result.psnr > 22


@pytest.mark.parametrize("form", ["gif", "png"])
def test_animations_keep_alpha_and_times(tmp_path, form):
    frames = []
    for number in range(5):
        alpha = np.zeros((18, 20), np.uint8)
        alpha[2 + number : 12 + number, 3:15] = 255
        frames.append(Image.fromarray(np.concatenate([moving(5, 18, 20)[number], alpha[..., None]], -1)))
    times = [100, 100, 250, 100, 60]
    frames[0].save(tmp_path / f"a.{form}", save_all=True, append_images=frames[1:], duration=times, loop=3, disposal=2)
    result, _ = there_and_back(tmp_path / f"a.{form}", "video", tmp_path / "b.png", effort=1)
    assert api.info(tmp_path / "b.nfc").alpha and result.psnr > 15
    alphas = [samples_of(p, alpha=True) for p in (tmp_path / f"a.{form}", tmp_path / "b.png")]
    np.testing.assert_array_equal(*alphas)
    one, two = (open_source(p) for p in (tmp_path / f"a.{form}", tmp_path / "b.png"))
    assert one.metadata.tags == two.metadata.tags and ("durations", "100,100,250,100,60") in two.metadata.tags
    for source in (one, two):
        source.close()
    assert decode(tmp_path / "b.nfc", "video", tmp_path / "c.png", time=(0, 0.2)).shape[0] == 2
    assert decode(tmp_path / "b.nfc", "video", tmp_path / "c.png", fps=33).shape[1:] == (18, 20)


# -- arrays ----------------------------------------------------------------------------------------------
ARRAY_KINDS = {1: ("audio",), 2: ("image", "tiny-lattice"), 3: ("video",)}
TYPES = [f"{kind}{bits}" for kind in ("int", "uint", "float") for bits in (8, 16, 32, 64)][:-4]
TYPES += ["bool", "float16", "float32", "float64"]


@pytest.mark.parametrize("shape", [(1,), (200,), (19, 23), (1, 30), (5, 9, 10), (1, 1, 1)])
@pytest.mark.parametrize("dtype", ["float32", "uint8", "int16"])
def test_array_shapes(tmp_path, shape, dtype):
    grid = np.stack(np.meshgrid(*(np.linspace(0, 1, n) for n in shape), indexing="ij")).mean(0)
    array = (grid * 90 + 7).astype(dtype)
    np.save(tmp_path / "a.npy", array)
    for kind in ARRAY_KINDS[len(shape)]:
        result = encode(tmp_path / "a.npy", kind, quality=90)
        decode(tmp_path / "a.nfc", kind, tmp_path / "b.npy")
        back = np.load(tmp_path / "b.npy")
        assert back.shape == shape and back.dtype == array.dtype and result.psnr > 25
        assert array.min() <= back.min() and back.max() <= array.max()


@pytest.mark.parametrize("dtype", TYPES)
def test_array_types_keep_their_range(tmp_path, dtype):
    wave = np.sin(np.arange(150) / 9)
    kind = np.dtype(dtype)
    if dtype == "bool":
        array = wave > 0
    elif kind.kind == "f":
        array = (wave * 3e4).astype(dtype)
    else:
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
        array = (wave * (high // 2 - low // 2) * 0.999 + (high // 2 + low // 2)).astype(dtype)
    np.save(tmp_path / "a.npy", array)
    result = encode(tmp_path / "a.npy", "audio", quality=100)
    decode(tmp_path / "a.nfc", "audio", tmp_path / "b.npy")
    back = np.load(tmp_path / "b.npy")
    assert back.dtype == array.dtype and back.min() >= array.min() and back.max() <= array.max()
    peak = float(array.max()) - float(array.min())
    assert result.psnr == pytest.approx(psnr_of(array, back, peak), abs=1e-6) and result.psnr > 18


@pytest.mark.parametrize("value", [0.0, -7.25, 1e300, 2**62])
@pytest.mark.parametrize("shape", [(100,), (40, 50), (6, 20, 20)])
def test_constant_arrays_are_exact_and_cost_a_header(tmp_path, value, shape):
    array = np.full(shape, value)
    np.save(tmp_path / "a.npy", array)
    for kind in ARRAY_KINDS[len(shape)]:
        result = encode(tmp_path / "a.npy", kind)
        decode(tmp_path / "a.nfc", kind, tmp_path / "b.npy")
        np.testing.assert_array_equal(np.load(tmp_path / "b.npy"), array)
        assert result.psnr == np.inf and result.bytes < 50  # of which 16 for the range


def test_scaled_arrays(tmp_path):
    np.save(tmp_path / "a.npy", np.linspace(0, 1, 60).reshape(6, 10).astype(np.float32))
    encode(tmp_path / "a.npy", "image")
    assert decode_array(tmp_path / "a.nfc", "image", scale=2).shape == (12, 20)
    np.save(tmp_path / "a.npy", np.linspace(0, 1, 60))
    encode(tmp_path / "a.npy", "audio")
    assert decode_array(tmp_path / "a.nfc", "audio", scale=0.5).shape == (30,)
