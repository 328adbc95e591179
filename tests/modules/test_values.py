import dataclasses

import pytest
import torch
from tiny import PICTURE, SPEC, generator

from nfcodec.modules.values import active_outputs, to_outputs, to_values
from nfcodec.rotations import mid_side, opponent_matrix

SOUND = dataclasses.replace(SPEC, axes=1, channels=1, offset=False, tile=(16,))


def random(*shape):
    return torch.rand(shape, generator=generator(3), dtype=torch.float64)


def test_opponent_matrix_is_orthonormal():
    t = opponent_matrix(torch.zeros(1, dtype=torch.float64))
    torch.testing.assert_close(t @ t.T, torch.eye(3, dtype=torch.float64), rtol=0, atol=1e-15)
    torch.testing.assert_close(t[0], torch.full((3,), 3**-0.5, dtype=torch.float64), rtol=0, atol=1e-15)
    assert opponent_matrix(torch.zeros(1)).dtype == torch.float32


@pytest.mark.parametrize(("spec", "channels"), [(PICTURE, 3), (PICTURE, 1), (SPEC, 3), (SOUND, 1)])
def test_values_come_back(spec, channels):
    values = random(5, 7, channels)
    outputs = to_outputs(spec, values)
    assert outputs.shape[-1] == active_outputs(spec, channels)
    torch.testing.assert_close(to_values(spec, outputs, channels), values, rtol=0, atol=1e-14)


def test_rotation_keeps_squared_error():
    a, b = random(9, 3), random(9, 3).flip(0)
    rotated = to_outputs(PICTURE, a) - to_outputs(PICTURE, b)
    torch.testing.assert_close(rotated.square().sum(), (a - b).square().sum(), rtol=1e-14, atol=0)


def test_grey_path_equals_the_colour_path():
    grey = random(11, 1)
    colour = to_outputs(PICTURE, grey.expand(-1, 3))
    torch.testing.assert_close(to_outputs(PICTURE, grey), colour[:, :1], rtol=0, atol=1e-15)
    assert float(colour[:, 1:].abs().max()) < 1e-15  # no chroma in grey
    shown = to_values(PICTURE, torch.cat([colour[:, :1], torch.zeros(11, 2, dtype=torch.float64)], 1), 3)
    torch.testing.assert_close(shown, grey.expand(-1, 3), rtol=0, atol=1e-14)
    torch.testing.assert_close(to_values(PICTURE, colour, 1), grey, rtol=0, atol=1e-14)


def test_active_outputs():
    assert active_outputs(PICTURE, 1) == 1 and active_outputs(PICTURE, 3) == 3
    assert active_outputs(SPEC, 1) == 3  # without a luma axis all outputs are needed


def test_mid_side():
    stereo = random(20, 2)
    rotated = mid_side(stereo)
    torch.testing.assert_close(mid_side(rotated), stereo, rtol=0, atol=1e-15)
    torch.testing.assert_close(rotated.square().sum(-1), stereo.square().sum(-1), rtol=1e-14, atol=0)
    torch.testing.assert_close(rotated[:, 0], stereo.sum(-1) / 2**0.5, rtol=0, atol=1e-15)
    same = torch.stack([stereo[:, 0], stereo[:, 0]], -1)
    assert float(mid_side(same)[:, 1].abs().max()) == 0.0
    for channels in (1, 3, 6):
        other = random(4, channels)
        assert mid_side(other) is other
