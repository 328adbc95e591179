import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import PICTURE, SPEC

from nfcodec.modules.partition import cut, is_sound, module_count
from nfcodec.modules.values import to_outputs
from nfcodec.rotations import mid_side

PLAIN = dataclasses.replace(SPEC, tile=(3, 4))
SOUND = dataclasses.replace(SPEC, axes=1, channels=1, offset=False, opponent=False, tile=(5,))
VIDEO = dataclasses.replace(PICTURE, axes=3, tile=(2, 3, 4))


def block(*shape):
    return np.random.default_rng(7).random(shape).astype(np.float32)


@settings(max_examples=40)
@given(st.integers(1, 11), st.integers(1, 11))
def test_picture_tiles_in_row_major_order_with_repeated_border(h, w):
    values = block(h, w, 3)
    targets = cut(PLAIN, values)
    assert targets.shape == (module_count(PLAIN, (h, w), 3), 12, 3)
    columns = -(-w // 4)
    for m, module in enumerate(targets.reshape(-1, 3, 4, 3)):
        for i in range(3):
            for j in range(4):
                y, x = min(m // columns * 3 + i, h - 1), min(m % columns * 4 + j, w - 1)
                assert np.array_equal(module[i, j], values[y, x] - np.float32(0.5))


def test_video_tiles_and_rotation():
    values = block(3, 4, 5, 3)
    targets = cut(VIDEO, values)
    assert targets.shape == (2 * 2 * 2, 24, 3)
    padded = np.pad(values, [(0, 1), (0, 2), (0, 3), (0, 0)], mode="edge")
    expected = to_outputs(VIDEO, padded[2:4, 3:6, 4:8].reshape(-1, 3))
    np.testing.assert_allclose(targets[7], expected, rtol=0, atol=1e-6)


def test_grey_uses_one_output():
    assert cut(dataclasses.replace(PICTURE, tile=(3, 4)), block(5, 5, 1)).shape == (4, 12, 1)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_sound_is_channel_major(channels):
    values = block(12, channels) - np.float32(0.5)
    targets = cut(SOUND, values)
    assert is_sound(SOUND) and not is_sound(PLAIN)
    assert targets.shape == (module_count(SOUND, (12,), channels), 5, 1) == (3 * channels, 5, 1)
    rotated = mid_side(values)
    for c in range(channels):
        row = targets[3 * c : 3 * c + 3, :, 0].reshape(-1)
        np.testing.assert_allclose(row[:12], rotated[:, c], atol=1e-7)
        assert (row[12:] == row[11]).all()
