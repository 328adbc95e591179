"""Products in pieces are products."""

import numpy as np
import pytest

from nfcodec.entropy.networks import Layer, lined, product


@pytest.mark.parametrize("rows", [1, 98, 128, 129, 160, 192])
@pytest.mark.parametrize(("inputs", "cells"), [(128, 768), (160, 480), (450, 130), (700, 64), (3, 5), (5, 1)])
def test_pieces_make_the_product(rows, inputs, cells):
    rng = np.random.default_rng(rows)
    weight = rng.integers(-99, 100, (rows, inputs)).astype(np.float32)
    x = lined(inputs, cells)
    x[...] = rng.integers(-255, 256, x.shape)
    np.testing.assert_array_equal(product(weight, x), (weight.astype(np.int64) @ x.astype(np.int64)))
    apart = np.ascontiguousarray(x[:, 1:])
    np.testing.assert_array_equal(product(weight, apart), product(weight, x)[:, 1:])


def test_inputs_of_a_stack_and_of_other_types():
    rng = np.random.default_rng(0)
    layer = Layer(rng.integers(-9, 10, (128, 128)).astype(np.float32), np.zeros(128, np.float32), np.full(128, 3))
    x = rng.integers(-255, 256, (2, 128, 768)).astype(np.float32)
    np.testing.assert_array_equal(layer(x)[1], layer(x[1]))
    np.testing.assert_array_equal(layer(x[1].astype(np.float64)), layer(x[1]))
