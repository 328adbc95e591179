"""Arrays of every type, shape and kind, drawn from a number."""

import numpy as np

TYPES = ("u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8", "?")


def random_array(seed):
    """An array, and a bound as ``--max-error`` takes it."""
    r = np.random.default_rng(seed)
    dtype = np.dtype(TYPES[seed % len(TYPES)])
    axes = int(r.integers(1, 4))
    most = {1: 700, 2: 40, 3: 14}[axes]
    shape = tuple(int(n) for n in r.integers(1, most + 1, axes))
    array = _typed(r, _numbers(r, shape), dtype)
    if dtype.kind == "f" and r.random() < 0.3:
        for value in (np.nan, np.inf, -np.inf):
            array[r.random(shape) < r.choice([0.0, 0.02, 0.6])] = value
    if r.random() < 0.1 and dtype.kind != "b":
        array[r.random(shape) < 0.3] = array.flat[0] if dtype.kind == "u" else -90
    if r.random() < 0.1:
        array = np.asfortranarray(array)
    if r.random() < 0.1 and dtype.itemsize > 1:
        array = array.astype(dtype.newbyteorder(">"))
    return array, _bound(r, array)


def _numbers(r, shape):
    """Smooth or wild ones, near 0 … 1."""
    wild = r.random(shape)
    kind = r.integers(5)
    if kind == 0:
        return wild
    if kind == 1:
        return np.full(shape, r.random())
    smooth = np.zeros(shape)
    for axis, n in enumerate(shape):
        line = np.cos(r.uniform(0, 12) * np.linspace(0, 1, n) + r.uniform(0, 6))
        smooth = smooth + line.reshape([-1 if i == axis else 1 for i in range(len(shape))])
    smooth = (smooth + 3) / 6
    if kind == 4:
        return np.rint(smooth * 20) / 20
    return np.clip(smooth + r.choice([0.0, 1e-6, 1e-3, 0.1]) * (wild - 0.5), 0, 1)


def _typed(r, numbers, dtype):
    if dtype.kind == "b":
        return numbers > 0.5
    if dtype.kind == "f":
        limit = float(np.finfo(dtype).max)
        span = min(10.0 ** r.uniform(-30, 30), limit / 4) if r.random() < 0.3 else 10.0 ** r.uniform(-2, 3)
        middle = r.choice([0.0, 1.0, 300.0]) * r.choice([1.0, span])
        with np.errstate(over="ignore"):
            array = np.nan_to_num(numbers * span + middle, posinf=limit, neginf=-limit)
        array = np.clip(array, -limit, limit)
        if r.random() < 0.05 and array.size > 1:
            array.flat[0], array.flat[-1] = -limit, limit
        return array.astype(dtype)
    limits = np.iinfo(dtype)
    if r.random() < 0.5:  # all of the type
        low, span = limits.min, limits.max - limits.min
    else:
        span = int(min(2.0 ** r.uniform(0, 62), limits.max - limits.min))
        low = min(int(limits.min + r.random() * float(limits.max - limits.min - span)), limits.max - span)
    exact = [int(low) + min(span, int(v * span)) for v in numbers.reshape(-1)]
    return np.array(exact, dtype).reshape(numbers.shape)


def _bound(r, array):
    kind = r.random()
    if kind < 0.15:
        return "0"
    if kind < 0.75:
        return f"{100 * 10 ** r.uniform(-7, 0.3):.3g}%"
    there = array[np.isfinite(array)].astype(np.float64) if array.dtype.kind == "f" else array.astype(np.float64)
    with np.errstate(over="ignore"):
        span = float(np.ptp(there)) if there.size else 1.0
    span = span if 0 < span < np.inf else 1.0
    return f"{span * 10 ** r.uniform(-5, 0.3):.4g}"
