"""A file as a function of continuous coordinates."""

from __future__ import annotations

import os

import numpy as np
import pytest
from helpers import encode, init, moving, painting, save, save_frames, save_picture, save_sound, sound

from nfcodec import api
from nfcodec.errors import MediaReadError, ModelNotFoundError, NotNfcError, OptionError, TruncatedError
from nfcodec.limits import Limits
from nfcodec.modules.fit import encode as encoder
from nfcodec.signal import SignalInfo

CLOSE = {"atol": 3e-5}


def array_file(folder, shape, low=-3.0, high=5.0):
    grid = np.stack(np.meshgrid(*(np.linspace(0, 1, n) for n in shape), indexing="ij")).mean(0)
    values = (low + (high - low) * grid).astype(np.float32)
    info = SignalInfo("array", shape, 1, "f32", value_range=(float(values.min()), float(values.max())))
    return save(folder / f"{len(shape)}.npy", info, values[..., None])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fields")
    sources = {
        "wide": (save_picture(folder / "wide.png", painting(24, 40)), "image"),
        "tall": (save_picture(folder / "tall.png", painting(37, 10, channels=1)), "image"),
        "stereo": (save_sound(folder / "stereo.wav", sound(700, 2)), "audio"),
        "clip": (save_frames(folder / "clip.mkv", moving(7, 16, 24)), "video"),
        "line": (array_file(folder, (100,)), "audio"),
        "plane": (array_file(folder, (20, 30)), "image"),
        "cube": (array_file(folder, (6, 9, 11)), "video"),
    }
    for name, (path, kind) in sources.items():
        encode(path, kind, folder / f"{name}.nfc", effort=3)
    return folder, {name: kind for name, (_, kind) in sources.items()}


def field(files, name, **options):
    folder, kinds = files
    return api.open(folder / f"{name}.nfc", init=init(kinds[name]), **options)


def grid(info, scale=1.0, fps=None):
    """Coordinates (N, axes) of a rendering, written from the documentation."""
    temporal = info.modality in ("audio", "video")
    spatial = info.shape[1:] if temporal else info.shape
    longest, axes = max(spatial, default=1), []
    for axis, n in enumerate(info.shape):
        if temporal and axis == 0:
            rate = fps or float(info.rate)
            axes.append((np.arange(round(n / float(info.rate) * rate)) + 0.5) / rate)
        else:
            m = round(n * scale)
            axes.append(((2 * np.arange(m) + 1) / m - 1) * n / longest)
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes))


@pytest.mark.parametrize("name", ["wide", "tall", "stereo", "clip", "line", "plane", "cube"])
def test_sampling_at_the_grid_is_rendering(files, name):
    with field(files, name) as f:
        native = f.render()
        assert native.shape == (*f.info.shape, f.info.channels) and native.dtype == np.float32
        found = f.sample(grid(f.info))
        np.testing.assert_allclose(found.reshape(native.shape), native, **CLOSE)


@pytest.mark.parametrize("name", ["wide", "tall", "plane", "cube", "clip"])
def test_enlarging_is_sampling_in_between(files, name):
    with field(files, name) as f:
        for scale in (2, 3.5):
            big = f.render(scale=scale)
            np.testing.assert_allclose(f.sample(grid(f.info, scale)).reshape(big.shape), big, **CLOSE)


def test_time_is_in_seconds(files):
    with field(files, "stereo") as f:
        fast = f.render(rate=20_000)
        np.testing.assert_allclose(f.sample(grid(f.info, fps=20_000)), fast, **CLOSE)
    with field(files, "clip") as f:
        smooth = f.render(fps=30)
        np.testing.assert_allclose(f.sample(grid(f.info, fps=30)).reshape(smooth.shape), smooth, **CLOSE)


def test_sampling_crosses_chunks(files, tmp_path, monkeypatch):
    folder, _ = files
    monkeypatch.setattr(encoder, "CHUNK_MODULES", 3)
    encode(folder / "wide.png", "image", tmp_path / "a.nfc", effort=3)
    encode(folder / "stereo.wav", "audio", tmp_path / "b.nfc", effort=3)
    for path, name, kind in ((tmp_path / "a.nfc", "wide", "image"), (tmp_path / "b.nfc", "stereo", "audio")):
        with api.open(path, init=init(kind)) as many, field(files, name) as one:
            points = np.random.default_rng(0).uniform(-1, 1, (500, len(one.info.shape)))
            points = (points + 1) * 0.04 if kind == "audio" else points
            np.testing.assert_allclose(many.sample(points), one.sample(points), **CLOSE)


def test_many_points_come_in_batches(files):
    with field(files, "wide") as f:
        points = np.random.default_rng(1).uniform(-1, 1, (40_000, 2))
        found = f.sample(points)
        np.testing.assert_allclose(found[::400], f.sample(points[::400]), **CLOSE)


def test_outside_the_domain(files):
    with field(files, "wide") as f:
        assert np.isfinite(f.sample([[3.0, -7.0], [-1.2, 1.1]])).all()
    with field(files, "stereo") as f:
        assert np.isfinite(f.sample([[-1.0], [1e4]])).all()


def test_shapes_of_points(files):
    with field(files, "wide") as f:
        assert f.sample([0.1, 0.2]).shape == (1, 3)
        assert f.sample(np.zeros((0, 2))).shape == (0, 3)
        assert f.sample(np.zeros((3, 2), np.float16)).shape == (3, 3)
        for wrong in ([[0.0]], [[0.0, 0.0, 0.0]], np.zeros((2, 2, 2)), 0.5):
            with pytest.raises(OptionError, match="coordinates of shape"):
                f.sample(wrong)
        for wrong in (np.nan, np.inf):
            with pytest.raises(OptionError, match="finite"):
                f.sample([[0.0, wrong]])


def test_arrays_are_sampled_in_unit_range(files):
    """Like rendering: [0, 1], to be mapped by ``info.value_range``."""
    with field(files, "plane") as f:
        assert f.info.value_range == (-3.0, 5.0)
        assert f.sample([[-0.6, -0.9]])[0, 0] < 0.3 < 0.7 < f.sample([[0.6, 0.9]])[0, 0]


def test_render_takes_decode_options(files):
    with field(files, "wide") as f:
        np.testing.assert_allclose(f.render(crop=(4, 5, 6, 7)), f.render()[5:12, 4:10], **CLOSE)
        with pytest.raises(OptionError, match="fps"):
            f.render(fps=3)
        with pytest.raises(TypeError):
            f.render(nonsense=1)


def test_metadata_and_info(files):
    with field(files, "clip") as f:
        assert f.info.shape == (7, 16, 24) and f.info.rate == 10
        assert f.metadata.tags == ()


def test_files_are_closed(files, tmp_path):
    f = field(files, "wide")
    f.close()
    f.close()
    with pytest.raises(ValueError, match="closed"):
        f.render()
    with pytest.raises(MediaReadError, match=r"cannot read .*none\.nfc"):
        api.open(tmp_path / "none.nfc")
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    (tmp_path / "text.nfc").write_text("hello")
    (tmp_path / "empty.nfc").write_bytes(b"")
    (tmp_path / "short.nfc").write_bytes((files[0] / "wide.nfc").read_bytes()[:-1])
    for name, error in (("text", NotNfcError), ("empty", NotNfcError), ("short", TruncatedError)):
        with pytest.raises(error):
            api.open(tmp_path / f"{name}.nfc", init=init("image"))
    with pytest.raises(ModelNotFoundError):
        api.open(files[0] / "wide.nfc")
    if before:
        assert len(os.listdir("/proc/self/fd")) == before


def test_limits_are_kept(files):
    from nfcodec.errors import LimitError

    with pytest.raises(LimitError, match="max_dimension"):
        field(files, "wide", limits=Limits(max_dimension=39))
