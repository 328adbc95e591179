"""What a lattice holds under an overlay."""

import numpy as np

from nfcodec.lattice.fit.palette.fill import filled


def test_what_shows_is_not_touched():
    values = np.random.default_rng(0).random((17, 23, 3)).astype(np.float32)
    opaque = np.random.default_rng(1).random((17, 23)) < 0.5
    out = filled(values, opaque)
    assert np.array_equal(out[~opaque], values[~opaque]) and out.dtype == np.float32


def test_holes_in_an_even_picture_disappear():
    values = np.full((20, 20, 1), 0.3, np.float32)
    opaque = np.zeros((20, 20), bool)
    opaque[5:15, 5:15] = True
    values[opaque] = 0.9
    assert np.allclose(filled(values, opaque), 0.3, atol=1e-6)


def test_holes_stay_between_what_is_around():
    values = np.zeros((32, 32, 1), np.float32)
    values[:, 16:] = 1.0
    opaque = np.zeros((32, 32), bool)
    opaque[8:24, 8:24] = True
    out = filled(values, opaque)
    assert out.min() >= 0.0 and out.max() <= 1.0
    assert out[12, 9, 0] < 0.5 < out[12, 22, 0], "each side goes on with its own neighbours"


def test_nothing_known_is_one_half():
    assert (filled(np.ones((4, 6, 3), np.float32), np.ones((4, 6), bool)) == 0.5).all()


def test_nothing_opaque_changes_nothing():
    values = np.random.default_rng(2).random((5, 7, 1)).astype(np.float32)
    assert np.array_equal(filled(values, np.zeros((5, 7), bool)), values)
