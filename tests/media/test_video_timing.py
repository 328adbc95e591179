"""Every frame is shown when it was: ten ways in which time passes, in and out of every container.

The reference is ffmpeg's own reading (its filter showinfo) for videos, and Pillow's for animations.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from nfcodec.limits import DEFAULT_LIMITS
from nfcodec.media import open_source
from nfcodec.media.packets import read_list
from nfcodec.media.timing import FrameTimes, frame_times, judge, plain_rate
from nfcodec.signal import Metadata, SignalInfo

from .clips import LEVELS, PATTERNS, Shown, length, make_clip, shown
from .helpers import ffmpeg, read, write

# With B-frames, whose packets come in another order than they are shown.
H264 = ("-c:v", "libx264", "-crf", "1", "-bf", "2", "-video_track_timescale", "90000")
INPUTS = {
    "mp4": H264, "mov": ("-c:v", "prores_ks", "-video_track_timescale", "600"), "mkv": ("-c:v", "libx264", "-crf", "1"),
    "ts": H264[:-2],
}  # fmt: skip
# Seconds of a tick of what we write.
TICKS = {"mp4": 1 / 90000, "mkv": 1e-3, "webm": 1e-3, "gif": 1e-2, "png": 1e-3, "webp": 1e-3}
# showinfo tells six digits.
TOLD = 6e-6


def edges_of(got):
    """Starts of the frames, and the end, in seconds, as the tags or the rate say."""
    text = dict(got.metadata.tags).get("durations", "")
    recorded = tuple(map(float, text.split(","))) if text else ()
    return frame_times(got.info, recorded).edges / 1e9


@pytest.mark.parametrize("form", INPUTS)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_frames_are_read_with_their_times(tmp_path, pattern, form):
    path, starts = tmp_path / f"a.{form}", PATTERNS[pattern]
    make_clip(path, starts, *INPUTS[form])
    got, truth = read(path), shown(path)
    assert not got.warnings or "more than 8 bits" in got.warnings[0]
    assert got.info.shape[0] == len(truth.times) == len(starts) - 1
    edges = edges_of(got)
    # Rates are told for even times that were rounded to milliseconds: half of one off.
    np.testing.assert_allclose(edges[:-1], truth.times - truth.times[0], atol=TOLD + (5e-4 if form == "mkv" else 1e-6))
    np.testing.assert_allclose(got.samples.mean((1, 2, 3)), LEVELS[: len(truth.times)], atol=4)
    assert abs(float(got.info.shape[0] / got.info.rate) - edges[-1]) < 1e-6
    if form != "ts":  # which does not say how long the last frame is shown
        assert abs(edges[-1] - starts[-1] / 1000) <= {"mp4": 1e-5, "mkv": 1e-3, "mov": 1 / 600}[form]


def read_animation(path):
    with Image.open(path) as image:
        edges, levels = [0.0], []
        for number in range(image.n_frames):
            image.seek(number)
            levels.append(np.asarray(image.convert("L")).mean())
            edges.append(edges[-1] + image.info["duration"] / 1000)
    return Shown(np.array(edges[:-1]), np.array(levels)), edges[-1]


@pytest.mark.parametrize("form", TICKS)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_frames_are_written_at_their_times(tmp_path, pattern, form):
    starts, path, tick = np.array(PATTERNS[pattern]), tmp_path / f"a.{form}", TICKS[form]
    count = len(starts) - 1
    frames = np.stack([np.full((16, 16, 3), level, np.uint8) for level in LEVELS[:count]])
    info = SignalInfo("video", frames.shape[:3], 3, "u8", rate=Fraction(count * 1000) / Fraction(float(starts[-1])))
    text = FrameTimes(np.rint(starts * 1e6).astype(np.int64)).text()
    said = write(path, info, frames, metadata=Metadata(tags=(("durations", text),)))
    assert said == (["gif holds 256 colours per frame and times in steps of 10 ms"] if form == "gif" else [])
    got, end = read_animation(path) if form in ("gif", "png", "webp") else (shown(path), length(path))
    np.testing.assert_allclose(got.times, starts[:-1] / 1000, atol=tick / 2 + TOLD)
    np.testing.assert_allclose(got.levels, LEVELS[:count], atol=3)
    # Matroska has no duration for the last frame: a reader takes that of the others.
    assert abs(end - starts[-1] / 1000) <= tick * (1 if form in ("mkv", "webm") else 0.5) + 1e-6
    again = edges_of(read(path))
    np.testing.assert_allclose(again[:-1], starts[:-1] / 1000, atol=tick / 2 + (5e-4 if tick == 1e-3 else 1e-6))


def test_frames_without_a_time_of_their_own_are_kept(tmp_path):
    """A frame that is shown for no time takes one tick of the container, and no other frame moves."""
    frames = np.stack([np.full((16, 16, 3), level, np.uint8) for level in LEVELS[:6]])
    info = SignalInfo("video", frames.shape[:3], 3, "u8", rate=Fraction(6000, 1363))
    tags = Metadata(tags=(("durations", "0,10,20,300,1000,33"),))
    for form, tick in (("mp4", 1 / 90000), ("mkv", 1e-3)):
        write(tmp_path / f"a.{form}", info, frames, metadata=tags)
        got = shown(tmp_path / f"a.{form}")
        np.testing.assert_allclose(got.times, [0, tick, 0.01, 0.03, 0.33, 1.33], atol=TOLD)
        assert abs(length(tmp_path / f"a.{form}") - 1.363) < 1e-3


@pytest.mark.parametrize("form", ["mp4", "mkv", "webm"])
def test_one_picture_that_stays(tmp_path, form):
    info = SignalInfo("video", (1, 16, 16), 3, "u8", rate=Fraction(1, 5))
    write(tmp_path / f"a.{form}", info, np.full((1, 16, 16, 3), 99, np.uint8))
    assert length(tmp_path / f"a.{form}") == pytest.approx(5)
    assert read(tmp_path / f"a.{form}").info == info


def test_length_of_animations(tmp_path):
    """The rate is the number of frames by the length, however the delays vary."""
    pictures = [Image.new("RGB", (8, 8), (i * 40, 0, 0)) for i in range(6)]
    for form, options in (("webp", {"lossless": True}), ("png", {}), ("gif", {})):
        path = tmp_path / f"a.{form}"
        times = [10, 10, 20, 300, 1000, 30] if form == "gif" else [0, 10, 20, 300, 1000, 33]
        pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=times, **options)
        source = open_source(path)
        assert source.info.shape[0] / source.info.rate == Fraction(sum(times), 1000)
        source.close()


def test_long_delays_of_an_apng(tmp_path):
    """Above 65 s, what 16 bits of milliseconds hold, by a coarser fraction and not by whole seconds."""
    times = [70_500, 5, 2000, 100_250]
    pictures = [Image.new("RGB", (8, 8), (i * 40, 0, 0)) for i in range(4)]
    pictures[0].save(tmp_path / "a.png", save_all=True, append_images=pictures[1:], duration=[100] * 4)
    got = read(tmp_path / "a.png")
    tags = Metadata(tags=(("durations", ",".join(map(str, times))),))
    write(tmp_path / "b.png", got.info, got.samples, metadata=tags)
    with Image.open(tmp_path / "b.png") as image:
        for number, time in enumerate(times):
            image.seek(number)
            assert abs(image.info["duration"] - time) <= time / 65535 / 2 * 1.01 + 1e-6


@pytest.mark.parametrize(
    ("stamps", "base", "last", "rate"),
    [
        ([0, 33, 67, 100], Fraction(1, 1000), 33, Fraction(30)),
        ([0, 3003, 6006, 9009], Fraction(1, 90000), 3003, Fraction(30000, 1001)),
        # Steps of 33 and of 34 ms are within a tick of each other, and no steady rate.
        ([*range(0, 330, 33), *range(330, 670, 34)], Fraction(1, 1000), 34, None),
        ([0, 40, 80, 120], Fraction(1, 1000), 2000, None),
        ([0, 40, 80, 120], Fraction(1, 1000), 1, Fraction(25)),
        ([5, 5, 5], Fraction(1, 1000), 0, Fraction(30)),
        ([7], Fraction(1, 1000), 5000, Fraction(1, 5)),
        ([], Fraction(0), 0, Fraction(30)),
    ],
)
def test_what_is_steady(stamps, base, last, rate):
    timing = judge(np.array(stamps, np.int64), base, last, Fraction(30))
    assert timing.frames == len(stamps) and (timing.times is None) == (rate is not None)
    if rate is None:
        assert timing.times.seconds == Fraction(stamps[-1] - stamps[0] + last) * base == timing.frames / timing.rate
    else:
        assert timing.rate == rate


def test_rates_fit_into_31_bits():
    slow, fast = Fraction(1, 10**13), Fraction(10**13, 7)
    odd = Fraction(123_456_789_123, 10_000_000_001)
    for rate in (slow, fast, odd, 1 / odd, Fraction(30000, 1001)):
        near = plain_rate(rate)
        assert near > 0 and max(near.numerator, near.denominator) < 2**31
        assert rate in (slow, fast) or abs(near / rate - 1) < 1e-12
    assert plain_rate(Fraction(6000, 1363)) == Fraction(6000, 1363)


def test_cutting_times():
    times = FrameTimes.of_durations((100.0, 900.0, 50.0, 950.0))
    first, stop, part = times.cut(0.5, 1.5)
    assert (first, stop) == (1, 4) and part.text() == "500,50,450"
    assert times.cut(1.0, None)[:2] == (2, 4) and times.cut(0, 0.1)[:2] == (0, 1)
    assert times.shown(np.array([0, 0.0999, 0.1, 1.049, 1.05, 99])).tolist() == [0, 0, 1, 2, 3, 3]


def test_text_of_times_does_not_drift():
    times = FrameTimes.even(1000, Fraction(30000, 1001))
    again = FrameTimes.of_durations(tuple(map(float, times.text().split(","))))
    assert np.abs(again.edges - times.edges).max() <= 1


def test_lists_of_another_form_are_skipped():
    lines = [b"#tb 0: 1/25\n", b"#sar 0: 1/1\n", b"0, 0, -9223372036854775808, 1, 2137, 0x25dd7c66\n", b"words\n",
             b"\n", b"0, 1, 1, 1, 17, 0x3252056f, F=0x0, S=1, Skip Samples, 10, 0x1\n"]  # fmt: skip
    track = read_list(lines, DEFAULT_LIMITS)[0]
    assert len(track.stamps) == 2 and track.start == Fraction(1, 25) and track.end == Fraction(2, 25)


@pytest.mark.parametrize(("form", "codec"), [("avi", "mpeg4"), ("mpg", "mpeg2video")])
def test_packets_without_times(tmp_path, recwarn, capfd, form, codec):
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=1", "-c:v", codec, "-bf", "2", str(tmp_path / f"a.{form}"))
    got = read(tmp_path / f"a.{form}")
    assert got.info.rate == 25 and got.info.shape[0] == 25 and got.warnings == [] and not got.metadata.tags
    assert not recwarn.list and capfd.readouterr() == ("", "")
