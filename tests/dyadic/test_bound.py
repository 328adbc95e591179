"""The bound holds on every sample of whatever array, in its own type, and what is missing comes back."""

import io
from fractions import Fraction

import numpy as np
import pytest

from nfcodec import api
from nfcodec.options import EncodeOptions, ErrorBound

from .random_arrays import random_array

PARTS = 20
ARRAYS = 1000


def there(array):
    return np.isfinite(array) if array.dtype.kind == "f" else np.ones(array.shape, bool)


def largest_error(a, b):
    """Exactly, as a fraction."""
    worst = Fraction(0)
    different = np.flatnonzero(a != b)
    for x, y in zip(a[different].tolist(), b[different].tolist(), strict=True):
        worst = max(worst, abs(Fraction(x) - Fraction(y)))
    return worst


def check(array, bound, tmp_path):
    file = tmp_path / "a.nfc"
    result = api.encode(array, file, options=EncodeOptions(max_error=bound, effort=1 + array.size % 5), force=True)
    back = api.decode_array(file)
    assert back.shape == array.shape
    plain = array.view(np.uint8) if array.dtype == bool else array.astype(array.dtype.newbyteorder("="))
    assert back.dtype == plain.dtype
    known = there(plain)
    np.testing.assert_array_equal(back[~known], plain[~known])
    values = plain[known]
    parsed = ErrorBound.parse(bound)
    limit = Fraction(parsed.value)
    if parsed.relative and values.size:
        limit *= Fraction(values.max().item()) - Fraction(values.min().item())
    assert largest_error(values, back[known]) <= limit, (array.dtype, array.shape, bound)
    assert result.bytes <= array.nbytes + 250


@pytest.mark.parametrize("part", range(PARTS))
def test_random_arrays(part, tmp_path):
    for seed in range(part, ARRAYS, PARTS):
        array, bound = random_array(seed)
        check(array, bound, tmp_path)


def test_what_is_written_is_what_is_decoded(tmp_path):
    """By way of files, as a user goes."""
    array, _ = random_array(9)
    name, file, back = tmp_path / "a.npy", tmp_path / "a.nfc", tmp_path / "b.npy"
    np.save(name, array)
    api.encode(name, file, options=EncodeOptions(max_error="0.1%"))
    api.decode(file, back)
    np.testing.assert_array_equal(np.load(back), api.decode_array(file))


def test_lossless_integers(tmp_path):
    r = np.random.default_rng(0)
    array = (np.cumsum(r.integers(-3, 4, (60, 50)), 1) + 1000).astype(np.int16)
    file = tmp_path / "a.nfc"
    result = api.encode(array, file, options=EncodeOptions(max_error=0))
    np.testing.assert_array_equal(api.decode_array(file), array)
    assert result.max_error == 0
    packed = io.BytesIO()
    np.savez_compressed(packed, array)
    assert result.bytes < len(packed.getvalue())
