import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import PICTURE, SPEC

from nfcodec.errors import InputError
from nfcodec.modules.train.tasks import Tasks, load_tasks
from nfcodec.modules.values import to_outputs, to_values
from nfcodec.rotations import mid_side
from nfcodec.train.settings import DataConfig

from .training import pictures, tasks

SOUND = dataclasses.replace(SPEC, axes=1, channels=1, offset=False, tile=(16,))


def test_batch_depends_on_seed_and_step_only():
    first, second = tasks(), tasks()
    expected = first.batch(3, 10, 6)
    for step in (0, 99, 4):
        second.batch(3, step, 5)
    state = np.random.get_state()[1].copy()
    assert torch.equal(second.batch(3, 10, 6), expected)
    assert torch.equal(first.batch(3, 10, 6), expected)
    assert (np.random.get_state()[1] == state).all()  # the global generator is left alone
    assert not torch.equal(first.batch(3, 11, 6), expected)
    assert not torch.equal(first.batch(4, 10, 6), expected)
    assert torch.equal(first.batch(3, 10, 2), expected[:2])


def test_modules_are_windows_of_the_pictures():
    """Pixels that carry their own position: every module is a window, as it is or mirrored left to right."""
    y, x = np.mgrid[0:15, 0:17]
    picture = np.stack([y, x, np.full_like(y, 7)], -1).astype(np.uint8)
    batch = Tasks(PICTURE, [picture]).batch(0, 0, 60)
    values = np.rint(to_values(PICTURE, batch, 3).numpy() * 255).astype(int).reshape(60, 6, 6, 3)
    mirrored = 0
    for v in values:
        assert (v[..., 2] == 7).all()
        assert (v[..., 0] == v[0, 0, 0] + np.arange(6)[:, None]).all()
        step = v[0, 1, 1] - v[0, 0, 1]
        assert step in (1, -1)
        assert (v[..., 1] == v[0, 0, 1] + step * np.arange(6)).all()
        mirrored += step == -1
    assert 10 < mirrored < 50
    assert {int(v[0, 0, 0]) for v in values} == set(range(10))  # the last row can be reached


def test_larger_pictures_are_drawn_more_often():
    small, large = np.zeros((6, 6, 3), np.uint8), np.full((18, 18, 3), 255, np.uint8)
    batch = Tasks(PICTURE, [small, large]).batch(0, 0, 200)
    share = float((batch[:, 0, 0] > 0).float().mean())
    assert 0.8 < share < 0.98


def test_sound_takes_one_channel():
    sound = np.stack([np.linspace(-1, 0, 40), np.linspace(0.5, 1, 40)], -1).astype(np.float32)
    batch = Tasks(SOUND, [sound]).batch(0, 0, 30)
    assert batch.shape == (30, 16, 1) and batch.dtype == torch.float32
    seen = set()
    for module in batch[:, :, 0].numpy():
        channel = 0 if module[0] <= 0 else 1
        starts = np.flatnonzero(sound[:, channel] == module[0])
        assert np.array_equal(sound[starts[0] : starts[0] + 16, channel], module)
        seen.add(channel)
    assert seen == {0, 1}


def test_signals_below_a_module_are_left_out():
    small = np.zeros((5, 60, 3), np.uint8)
    assert len(Tasks(PICTURE, [small, *pictures(1)]).signals) == 1
    with pytest.raises(InputError, match="6, 6"):
        Tasks(PICTURE, [small])


def test_targets_are_the_fields_outputs():
    picture = np.full((6, 6, 3), (255, 0, 51), np.uint8)
    batch = Tasks(PICTURE, [picture]).batch(0, 0, 1)
    expected = to_outputs(PICTURE, torch.tensor([1.0, 0.0, 0.2]))
    torch.testing.assert_close(batch[0], expected.expand(36, 3), rtol=0, atol=1e-6)


def test_load_pictures(tmp_path):
    inside = tmp_path / "b"
    inside.mkdir()
    shown = pictures(3)
    for path, pixels in zip((inside / "z.png", tmp_path / "a.png", tmp_path / "c.png"), shown, strict=True):
        Image.fromarray(pixels).save(path)
    Image.fromarray(shown[0][..., 0]).save(tmp_path / "grey.png")
    Image.fromarray(shown[0]).save(tmp_path / ".hidden.png")
    (tmp_path / "notes.txt").write_text("nothing to see")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    loaded = load_tasks(tmp_path, PICTURE, DataConfig())
    assert len(loaded.signals) == 3
    for got, expected in zip(loaded.signals, (shown[1], shown[0], shown[2]), strict=True):  # by path
        assert np.array_equal(got, expected)
    assert len(load_tasks(tmp_path, PICTURE, DataConfig(keep=2)).signals) == 2


def test_load_sound_as_mid_and_side(tmp_path):
    import soundfile

    stereo = np.random.default_rng(0).uniform(-0.5, 0.5, (64, 2)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", stereo, 8000, subtype="FLOAT")
    loaded = load_tasks(tmp_path, SOUND, DataConfig(modality="audio"))
    np.testing.assert_allclose(loaded.signals[0], mid_side(torch.from_numpy(stereo)).numpy(), atol=1e-6)


@pytest.mark.parametrize("modality", ["image", "audio", "video"])
def test_nothing_to_train_on(tmp_path, modality):
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(InputError, match=modality):
        load_tasks(tmp_path, PICTURE, DataConfig(modality=modality))
