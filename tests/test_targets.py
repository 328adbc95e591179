"""Rate control: the search itself on synthetic encoders, then the codec on small pictures."""

from __future__ import annotations

import io
import math
from collections import Counter
from dataclasses import dataclass, field, replace
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import (
    STAND_INS,
    decode,
    encode,
    init,
    memory,
    moving,
    pack,
    painting,
    save_frames,
    save_picture,
    there_and_back,
    with_region,
)

from nfcodec import api, files
from nfcodec.deadline import passed, share
from nfcodec.encoder import choose_init, encode_signal, targets
from nfcodec.encoder.curve import Curve, crossing
from nfcodec.encoder.progress import SearchProgress
from nfcodec.encoder.targets import Attempt, Goal, Trial, find, goal_of
from nfcodec.errors import OptionError
from nfcodec.media import open_source
from nfcodec.options import EncodeOptions, ProgressEvent
from nfcodec.signal import SignalInfo


# -- the search ------------------------------------------------------------------------------------------
@dataclass
class Synthetic:
    """An encoder whose size and PSNR rise with quality and fall with rounding, as they do for pictures.

    ``noise``: the size is off by up to this share, the PSNR by up to 4 dB times it, the same way every time.
    ``gain``: how much a higher effort changes, in units of what is usual.
    """

    seed: int = 0
    noise: float = 0.0
    fine: bool = True
    fixed: int = 0
    clock: list[float] = field(default_factory=lambda: [0.0])
    gain: float = 1.0
    trials: list[Trial] = field(default_factory=list)

    def __post_init__(self):
        rng = np.random.default_rng(self.seed)
        self.start, self.steep, self.flat = math.log(rng.uniform(200, 4000)), rng.uniform(0.025, 0.055), 0.02
        self.pulls = rng.uniform(0.4, 1.5), rng.uniform(3.5, 8.0)
        self.darkest, self.per_step = rng.uniform(22, 32), rng.uniform(0.13, 0.3)

    def __call__(self, trial: Trial) -> Attempt[Trial]:
        self.trials.append(trial)
        self.clock[0] += 1.0
        key = (self.seed, trial.quality, round(trial.rounding * 10_000) + 1000, trial.effort)
        noise = np.random.default_rng(key).uniform(-self.noise, self.noise, 2)
        q, r = trial.quality, trial.rounding if self.fine else 0.0
        more = 0.0 if trial.effort == 1 else self.gain
        size = self.start + self.steep * q - (self.steep - self.flat) * q * q / 200 - 0.03 * more - self.pulls[0] * r
        psnr = self.darkest + self.per_step * q + 0.3 * more - self.pulls[1] * r
        return Attempt(trial, int(math.exp(size) * (1 + noise[0])) + self.fixed, psnr + 4 * noise[1], trial)

    def range(self, effort: int) -> tuple[Attempt[Trial], Attempt[Trial]]:
        """What the ends of the qualities give."""
        quiet = replace(self, noise=0.0, trials=[], clock=[0.0])
        return quiet(Trial(0, 0.0, effort)), quiet(Trial(100, 0.0, effort))


def goals(encoder: Synthetic, effort: int) -> list[Goal]:
    """Targets over the encoder's range."""
    low, high = encoder.range(effort)
    sizes = np.geomspace(low.size * 1.05, high.size * 0.95, 5)
    levels = np.linspace(low.psnr + 0.1, high.psnr - 0.1, 5)
    return [Goal("", int(s), True, encoder.fixed) for s in sizes] + [Goal("", p, False) for p in levels]


def excess(goal: Goal, attempt: Attempt[Trial]) -> float:
    """By how much a goal was not made use of: a share of the size, or dB."""
    return (goal.limit - attempt.size) / goal.limit if goal.sized else attempt.psnr - goal.limit


@pytest.mark.parametrize("effort", [1, 3])
@pytest.mark.parametrize("fixed", [0, 500])
def test_targets_are_met_closely_in_few_attempts(effort, fixed):
    counts = Counter()
    for seed in range(40):
        encoder = Synthetic(seed, fixed=fixed)
        for goal in goals(encoder, effort):
            encoder.trials.clear()
            found = find(encoder, goal, effort=effort)
            assert found.warning is None and goal.meets(found.attempt)
            assert excess(goal, found.attempt) < (0.0101 if goal.sized else 0.045)
            assert len({(t.quality, t.rounding, t.effort) for t in encoder.trials}) == len(encoder.trials)
            counts.update(t.effort for t in encoder.trials)
            assert sum(t.effort == effort for t in encoder.trials) <= 8
    assert counts[effort] / 400 < (4.5 if effort == 1 else 2.8)
    assert counts[1] / 400 < 4.5


def test_only_drafts_are_marked_as_such():
    encoder = Synthetic()
    find(encoder, goals(encoder, 3)[2], effort=3)
    assert {(t.effort, t.draft) for t in encoder.trials} == {(1, True), (3, False)}
    assert [t.effort for t in encoder.trials] == sorted(t.effort for t in encoder.trials)
    encoder.trials.clear()
    find(encoder, goals(encoder, 1)[2], effort=1)
    assert {(t.effort, t.draft) for t in encoder.trials} == {(1, False)}
    encoder.trials.clear()
    find(encoder, goals(encoder, 7)[2], effort=7, draft=3)
    assert {(t.effort, t.draft) for t in encoder.trials} == {(3, True), (7, False)}


@pytest.mark.parametrize("effort", [1, 3])
def test_noise_of_one_percent(effort):
    """The search ends, and what it gives meets the target."""
    far = 0
    for seed in range(40):
        encoder = Synthetic(seed, noise=0.01)
        for goal in goals(encoder, effort)[1:4] + goals(encoder, effort)[6:9]:
            encoder.trials.clear()
            found = find(encoder, goal, effort=effort)
            assert found.warning is None and goal.meets(found.attempt)
            assert len(encoder.trials) <= 18
            assert excess(goal, found.attempt) < (0.05 if goal.sized else 0.3)
            far += excess(goal, found.attempt) > (0.0101 if goal.sized else 0.05)
    assert far < 40 * 6 * 0.1


@pytest.mark.parametrize("effort", [1, 3])
def test_whole_qualities(effort):
    """Without rounding: the highest quality that fits, the lowest that is good enough."""
    for seed in range(30):
        encoder = Synthetic(seed, fine=False)
        for goal in goals(encoder, effort):
            found = find(encoder, goal, effort=effort, fine=False)
            assert goal.meets(found.attempt) and all(t.rounding == 0.0 for t in encoder.trials)
            step = 1 if goal.sized else -1
            other = encoder(Trial(found.attempt.trial.quality + step, 0.0, effort))
            low, high = goal.window
            assert not goal.meets(other) or low <= goal.gap(found.attempt) <= high


@pytest.mark.parametrize("fine", [True, False])
@pytest.mark.parametrize("effort", [1, 3])
def test_targets_out_of_reach(fine, effort):
    for seed in range(20):
        encoder = Synthetic(seed, fine=fine, fixed=60)
        low, _ = encoder.range(effort)
        for goal in (Goal("50 bytes", 50, True, 60), Goal("200 bytes", 100, True, 60)):
            found = find(encoder, goal, effort=effort, fine=fine)
            assert found.attempt.trial.quality == 0 and found.attempt.size <= low.size * 1.04
            assert found.warning.startswith(f"the target of {goal.name} cannot be met: the smallest possible file has")
            assert str(found.attempt.size) in found.warning
        encoder.trials.clear()
        found = find(encoder, Goal("90 dB", 90.0, False), effort=effort, fine=fine)
        assert (found.attempt.trial.quality, found.attempt.trial.effort) == (100, effort)
        assert "the target of 90 dB cannot be met: the best possible file has" in found.warning
        assert len(encoder.trials) < 8
        # More than quality 100 needs, or less than quality 0 gives, is met.
        found = find(encoder, Goal("", 10**9, True, 60), effort=effort, fine=fine)
        assert found.warning is None and found.attempt.trial.quality == 100
        encoder.trials.clear()
        found = find(encoder, Goal("", 1.0, False), effort=effort, fine=fine)
        assert found.warning is None and found.attempt.trial.quality == 0
        assert len(encoder.trials) < 6


@pytest.mark.parametrize("effort", [1, 3])
def test_steps_too_wide_for_the_rounding(effort):
    """What lies between two qualities cannot be met, but the lower one is not missed."""
    for seed in range(20):
        encoder = Synthetic(seed)
        encoder.steep, encoder.flat, encoder.pulls = 0.09, 0.08, (0.2, 1.0)
        for goal in goals(encoder, effort)[:5]:
            found = find(encoder, goal, effort=effort)
            assert found.warning is None and -0.1 < goal.gap(found.attempt) <= 0.0


@pytest.mark.parametrize("effort", [1, 3])
def test_a_search_ends(effort):
    """Whatever the encoder does."""
    for seed in range(30):
        encoder = Synthetic(seed, noise=0.3)
        for goal in goals(encoder, effort):
            encoder.trials.clear()
            find(encoder, goal, effort=effort)
            assert len(encoder.trials) <= 18


def test_an_encoder_that_makes_no_sense(monkeypatch):
    """When all else failed the smallest file that can be is made."""
    monkeypatch.setattr(targets, "_MOST", 2)

    def encoder(trial):
        size = 1030 * math.exp(0.03 * (trial.quality - 50)) if trial.draft else 2000
        return Attempt(trial, 1 if trial.rounding == targets.LAST_ROUNDING else int(size), 30.0, trial)

    found = find(encoder, Goal("", 1000, True), effort=3)
    assert found.warning is None and found.attempt.size == 1


def test_one_size_and_no_error_for_all_qualities():
    """A picture of one colour."""

    def encoder(trial):
        return Attempt(trial, 40, math.inf, trial)

    assert find(encoder, Goal("", 100, True, 30), effort=3).warning is None
    assert find(encoder, Goal("", 40.0, False), effort=3).warning is None
    assert "40 bytes" in find(encoder, Goal("", 39, True, 30), effort=3).warning


# -- time ------------------------------------------------------------------------------------------------
@pytest.fixture
def timed(monkeypatch):
    """A synthetic encoder that takes one second for each attempt, by its own clock."""
    encoder = Synthetic(seed=3)
    monkeypatch.setattr(targets, "time", SimpleNamespace(monotonic=lambda: encoder.clock[0]))
    return encoder


@pytest.mark.parametrize("fine", [True, False])
@pytest.mark.parametrize("effort", [1, 3])
def test_a_deadline_ends_the_search(timed, fine, effort):
    timed.fine = fine
    wanted = goals(timed, effort)[3]
    find(timed, wanted, effort=effort, fine=fine)
    enough = len(timed.trials)
    for seconds in range(1, enough):
        timed.trials.clear()
        found = find(timed, wanted, effort=effort, deadline=timed.clock[0] + seconds - 0.5, fine=fine)
        assert len(timed.trials) == seconds and found.attempt.trial in timed.trials
    assert enough >= 3
    timed.trials.clear()
    found = find(timed, Goal("3 bytes", 3, True), effort=effort, deadline=timed.clock[0] - 1.0, fine=fine)
    assert len(timed.trials) == 1
    assert found.warning.startswith("the target of 3 bytes was not met before the time was up: the file has")


def test_attempts_share_the_time_that_is_left(timed):
    end = timed.clock[0] + 60.0
    find(timed, goals(timed, 3)[3], effort=3, deadline=end)
    drafts = sum(t.draft for t in timed.trials)
    assert [t.deadline for t in timed.trials if t.draft] == [end] * drafts
    left = 60.0 - drafts
    expected = [60.0 - left + i + left / 3.0 for i in range(len(timed.trials) - drafts)]
    assert [t.deadline - end + 60.0 for t in timed.trials if not t.draft] == pytest.approx(expected)
    encoder = Synthetic()
    find(encoder, goals(encoder, 3)[2], effort=3)
    assert {t.deadline for t in encoder.trials} == {None}


def test_fair_shares(monkeypatch):
    monkeypatch.setattr("time.monotonic", lambda: 100.0)
    assert share(None, 4) is None and not passed(None)
    assert passed(99.0) and passed(100.0) and not passed(100.5)
    assert (share(108.0, 4), share(108.0, 1), share(108.0, 0), share(92.0, 4)) == (102.0, 108.0, 108.0, 100.0)


# -- pieces ----------------------------------------------------------------------------------------------
def test_goals_of_options():
    def picture(samples: int) -> SignalInfo:
        return SignalInfo("image", (1, samples), 3, "u8")

    assert goal_of(EncodeOptions(), picture(100)) is None
    goal = goal_of(EncodeOptions(bpp=0.5), picture(1001), 7)
    assert (goal.limit, goal.sized, goal.fixed) == (62, True, 7) and "0.5 bits per sample, 62 bytes" in goal.name
    assert goal_of(EncodeOptions(target_size=5000), picture(9), 7) == Goal("5000 bytes", 5000, True, 7)
    assert goal_of(EncodeOptions(target_psnr=36), picture(9)) == Goal("36 dB", 36, False)
    sound = SignalInfo("audio", (16000,), 2, "i16", rate=Fraction(8000))
    goal = goal_of(EncodeOptions(kbps=12), sound)
    assert (goal.limit, goal.sized) == (3000, True)
    goal = goal_of(EncodeOptions(target_snr=20), sound)
    assert (goal.limit, goal.sized, goal.snr) == (20, False, True)
    for options in (EncodeOptions(kbps=12), EncodeOptions(target_snr=20)):
        with pytest.raises(OptionError):
            goal_of(options, picture(9))


def test_the_file_that_is_written():
    """What meets the target beats what does not; near beats far; then the better or the smaller one wins."""

    def attempt(size, psnr):
        return Attempt(Trial(50, 0.0, 1), size, psnr, None)

    goal = Goal("", 1000, True)
    order = [attempt(1100, 40.0), attempt(1001, 30.0), attempt(900, 32.0), attempt(995, 29.0), attempt(996, 29.1)]
    for worse, better in zip(order, order[1:], strict=False):
        assert goal.better(better, worse) and not goal.better(worse, better)
    goal = Goal("", 30.0, False)
    order = [attempt(10, 28.0), attempt(10, 29.9), attempt(100, 31.0), attempt(200, 30.02), attempt(199, 30.03)]
    for worse, better in zip(order, order[1:], strict=False):
        assert goal.better(better, worse) and not goal.better(worse, better)


def test_curve():
    curve = Curve(0.03)
    curve.add(50, 1.0)
    assert curve.at(60) == pytest.approx(1.3) and curve.where(0.7) == pytest.approx(40.0)
    curve.add(70, 2.0)
    assert [curve.at(q) for q in (50, 60, 70, 80)] == pytest.approx([1.0, 1.5, 2.0, 2.5])
    curve.add(80, 2.1)
    assert 50 in curve and 60 not in curve
    for value in (-0.5, 0.5, 1.0, 1.3, 2.0, 2.05, 2.1, 2.2):
        assert curve.at(curve.where(value)) == pytest.approx(value)
    assert curve.where(-9.0) == 0.0 and curve.where(9.0) == 100.0
    curve.add(60, 2.2)  # noise: what lies between must still rise
    assert curve.at(65) > curve.at(60)


def test_crossings():
    bounds = (0.1, 10.0)
    assert crossing({0.0: 1.0}, 0.5, 2.0, bounds) == (0.25, 2.0)
    where, slope = crossing({0.0: 1.0, 0.2: 0.0}, 0.5, 2.0, bounds)
    assert (where, slope) == (pytest.approx(0.1), pytest.approx(5.0))
    # Safe: never close to a point that is known, but at its side of the other.
    assert crossing({0.0: 1.0, 1.0: 0.0}, 0.001, 2.0, bounds)[0] == pytest.approx(0.9)
    # Beyond both: the slope of the two, within bounds.
    where, slope = crossing({0.0: 1.0, 0.1: 0.8}, 0.6, 9.0, bounds)
    assert (where, slope) == (pytest.approx(0.2), pytest.approx(2.0))
    assert crossing({0.0: 1.0, 0.1: 1.1}, 0.9, 9.0, bounds)[1] == 0.1


def test_progress_of_a_search_only_rises():
    seen: list[ProgressEvent] = []
    progress = SearchProgress(seen.append, 20.0)
    for draft in (True, True, False, False, False, False):
        progress.begin(draft=draft)
        for part, total in ((3.0, 10.0), (10.0, 10.0), (12.0, 12.0)):  # a source may hold more than was announced
            progress(ProgressEvent("encode", part, total))
        progress.psnr = 30.0
    progress.finish()
    done = [e.done for e in seen]
    assert done == sorted(done) and done[-2] < 20.0 == done[-1] and {e.total for e in seen} == {20.0}
    assert {e.stage for e in seen} == {"search"} and seen[0].psnr is None and seen[-1].psnr == 30.0
    silent = SearchProgress(None, 20.0)
    silent.begin(draft=True)
    silent(ProgressEvent("encode", 1.0, 10.0))
    silent.finish()


# -- pictures on a lattice -------------------------------------------------------------------------------
LATTICE = "tiny-lattice"


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    """A picture with alpha: what is beside the cells counts as well."""
    rng = np.random.default_rng(0)
    samples = painting(64, 88)
    noisy = np.clip(samples + rng.normal(0, 8, samples.shape), 0, 255).astype(np.uint8)
    alpha = (np.hypot(*np.mgrid[-32:32, -44:44]) < 30).astype(np.uint8) * 254 + 1  # nothing is hidden
    return save_picture(tmp_path_factory.mktemp("rates") / "a.png", noisy, alpha)


@pytest.mark.parametrize("effort", [1, 3])
@pytest.mark.parametrize("target", [{"bpp": 1.0}, {"bpp": 2.0}, {"target_size": 1000}, {"target_psnr": 30.0}])
def test_pictures_meet_their_targets(picture, tmp_path, effort, target):
    """Within 2 % or 0.1 dB: one symbol of so small a picture can cost 0.3 %."""
    result, _ = there_and_back(picture, LATTICE, tmp_path / "b.png", effort=effort, **target)
    size = (tmp_path / "b.nfc").stat().st_size
    assert result.warnings == () and result.bytes == size
    if "target_psnr" in target:
        assert 30.0 <= result.psnr < 30.1
    else:
        limit = target.get("target_size") or int(target["bpp"] * 64 * 88 / 8)
        assert limit * 0.98 <= size <= limit
    assert api.info(tmp_path / "b.nfc").quality == result.quality


def test_a_higher_target_is_never_worse(picture, tmp_path):
    sizes, levels = [], []
    for bpp in (0.7, 1.2, 2.0):
        result = encode(picture, LATTICE, tmp_path / "b.nfc", effort=1, bpp=bpp)
        sizes.append(result.bytes)
        levels.append(result.psnr)
    assert sizes == sorted(sizes) and levels == sorted(levels)


def test_pictures_that_cannot_meet_their_targets(picture, tmp_path):
    lowest = encode(picture, LATTICE, tmp_path / "b.nfc", effort=1, quality=0)
    result = encode(picture, LATTICE, tmp_path / "b.nfc", effort=1, target_size=100)
    assert result.bytes < lowest.bytes and result.quality == 0
    assert result.warnings == (
        f"the target of 100 bytes cannot be met: the smallest possible file has {result.bytes} bytes",
    )
    highest = encode(picture, LATTICE, tmp_path / "b.nfc", effort=1, quality=100)
    result = encode(picture, LATTICE, tmp_path / "b.nfc", effort=1, target_psnr=80)
    assert (result.bytes, result.quality, len(result.warnings)) == (highest.bytes, 100, 1)


def test_a_picture_of_one_colour_meets_any_target(tmp_path):
    source = save_picture(tmp_path / "a.png", np.full((20, 30, 3), 80, np.uint8))
    for target in ({"bpp": 8.0}, {"target_psnr": 20.0}):
        assert encode(source, LATTICE, effort=1, **target).warnings == ()


def test_rounding_takes_bytes_and_quality(monkeypatch):
    """What rate control sets within one quality: more of it is fewer bytes, with and without further steps."""
    from nfcodec.lattice.fit import encode

    def fixed(rounding):
        def found(attempt, goal, *, effort, **named):
            return targets.Found(attempt(Trial(60, rounding, effort)), None)

        return found

    for effort in (1, 3):
        made = []
        for rounding in (-0.02, 0.0, 0.05, 0.1):
            monkeypatch.setattr(encode, "find", fixed(rounding))
            data, encoded = pack(memory("image", painting(96, 120)), LATTICE, effort=effort, bpp=1.0)
            made.append((len(data), encoded.psnr))
        assert made == sorted(made, reverse=True) and len(set(made)) == 4
        # Further steps do not take back what the rounding took.
        assert made[3][0] < 0.94 * made[1][0]


def test_max_time(picture, tmp_path):
    """Once the time is up no step begins: effort 9 gives what effort 1 gives."""
    quick = encode(picture, LATTICE, tmp_path / "b.nfc", effort=1)
    limited = encode(picture, LATTICE, tmp_path / "c.nfc", effort=9, max_time=1e-6)
    assert (quick.bytes, quick.psnr) == (limited.bytes, limited.psnr)
    result = encode(picture, LATTICE, tmp_path / "d.nfc", effort=9, max_time=1e-6, target_size=300)
    assert "before the time was up" in result.warnings[0]
    # Modules: the quantization-aware steps after the first.
    quick = encode(picture, "image", tmp_path / "b.nfc", effort=1)
    limited = encode(picture, "image", tmp_path / "c.nfc", effort=9, max_time=1e-6)
    assert (quick.bytes, quick.psnr) == (limited.bytes, limited.psnr)


# -- fields of modules -----------------------------------------------------------------------------------
@pytest.mark.parametrize("effort", [1, 6])
def test_modules_meet_targets_by_whole_qualities(tmp_path, effort):
    source = save_picture(tmp_path / "a.png", painting(40, 60))
    by_quality = [encode(source, "image", tmp_path / "b.nfc", quality=q, effort=effort) for q in (30, 31)]
    for wanted in ({"target_size": by_quality[1].bytes}, {"target_psnr": by_quality[0].psnr - 0.01}):
        result, _ = there_and_back(source, "image", tmp_path / "b.png", effort=effort, **wanted)
        assert result.warnings == () and result.quality not in (0, 100)
        if "target_size" in wanted:
            assert 0.9 * by_quality[1].bytes <= result.bytes <= by_quality[1].bytes
        else:
            assert by_quality[0].psnr - 0.01 <= result.psnr < by_quality[0].psnr + 0.5
    result = encode(source, "image", tmp_path / "b.nfc", effort=effort, target_size=10)
    assert result.quality == 0 and "cannot be met" in result.warnings[0]


def test_sources_are_opened_again_for_every_attempt(tmp_path):
    source = save_frames(tmp_path / "v.mkv", moving(5, 16, 24))
    sizes = [encode(source, "video", quality=q, effort=1).bytes for q in (40, 60)]
    events: list[ProgressEvent] = []
    options = EncodeOptions(init=init("video"), effort=1, target_size=sum(sizes) // 2)
    result = api.encode(source, tmp_path / "b.nfc", options=options, progress=events.append)
    assert sizes[0] <= result.bytes <= sum(sizes) // 2 and (tmp_path / "b.nfc").stat().st_size == result.bytes
    shares = [e.done / e.total for e in events]
    assert shares == sorted(shares) and shares[-1] == 1.0 and {e.stage for e in events} == {"search"}
    decode(tmp_path / "b.nfc", "video", tmp_path / "c.mkv")
    with pytest.raises(OptionError, match="opened again"):
        encode_signal(memory("video", moving(5, 16, 24)), io.BytesIO(), options)


def test_sources_of_all_attempts_are_closed(tmp_path, monkeypatch):
    source = save_picture(tmp_path / "a.png", painting(20, 30))
    count = Counter()

    def counted(*args, **named):
        media = open_source(*args, **named)
        count["opened"] += 1
        close = media.close

        def closed():
            count["closed"] += 1
            close()

        monkeypatch.setattr(media, "close", closed)
        return media

    monkeypatch.setattr(files, "open_source", counted)
    encode(source, "image", effort=1, bpp=3.0)
    assert count["opened"] == count["closed"] > 2


def test_the_bar_moves_in_every_attempt(picture, monkeypatch, tmp_path):
    monkeypatch.setitem(STAND_INS, "tiny-lattice", with_region("tiny-lattice", 4, 4))
    seen: list[ProgressEvent] = []
    options = EncodeOptions(init=init(LATTICE), effort=1, target_psnr=30.0)
    api.encode(picture, tmp_path / "b.nfc", options=options, progress=seen.append)
    done = [e.done for e in seen[:-1]]
    assert len(done) % 6 == 0 and len(done) > 6 and all(a < b for a, b in zip(done, done[1:], strict=False))
    assert {e.total for e in seen} == {64 * 88.0}


@pytest.mark.parametrize("kind", [LATTICE, "image"])
def test_an_exception_in_a_search_leaves_no_trace(tmp_path, kind):
    source = save_picture(tmp_path / "a.png", painting(40, 60))

    def stop(event):
        if event.done / event.total > 0.2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        api.encode(source, options=EncodeOptions(init=init(kind), effort=3, bpp=1.0), progress=stop)
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_the_field_must_be_that_of_the_init():
    info = memory("image", painting(9, 9)).info
    for kind, name in (("lattice", LATTICE), ("siren", "image")):
        assert choose_init(info, EncodeOptions(field=kind, init=init(name))).kind == kind
        other = {"lattice": "siren", "siren": "lattice"}[kind]
        with pytest.raises(OptionError, match=f"is of the field {kind}, not {other}"):
            choose_init(info, EncodeOptions(field=other, init=init(name)))
