"""Planes of arrays decoded as FORMAT.md, §22, says it, sample by sample: slow, and written from the document alone.

What §6 and §17 say (the coder, its tables) is taken from the package, which has references of its own for these.
"""

from fractions import Fraction
from math import floor

import numpy as np

from nfcodec.entropy.coder import LAPLACE, LOGISTIC
from nfcodec.entropy.logistic import row_of

FIRST = [(1, 1), (1, -1), (3, 1), (1, 3), (3, -1), (1, -3), (3, 3), (3, -3)]
SECOND = [(0, 1), (1, 0), (0, 3), (3, 0), (1, 2), (1, -2), (2, 1), (2, -1)]
PAIRS = [FIRST, SECOND, [*SECOND, (1, 1), (1, -1)]]
STARTS = [(1, 1), (0, 1), (1, 0)]
SERIES = [
    [256], [256, 232, 208, 184, 160, 144, 128, 112, 96], [256, 208, 160, 128, 112, 96, 96, 64],
    [256, 176, 128, 96, 64, 48, 48, 32],
]  # fmt: skip


def even(x):
    """To the nearest whole number, ties to even."""
    return round(Fraction(x))


def log(x):
    """L of a whole number."""
    e = (x + 1).bit_length() - 1
    i = floor(Fraction(x + 1, 2**e) * 128) - 128
    found = max(k for k in range(8) if (128 + i) ** 8 >= 2**k * 128**8)
    return found + 8 * e


def clip(x, low, high):
    return max(low, min(high, x))


class Place:
    """What is known at a place of the grid: value, base, whether known, activity, q."""

    def __init__(self, y=0, b=0, known=False, a=0, q=0):
        self.y, self.b, self.known, self.a, self.q = y, b, known, a, q


class Planes:
    """Decodes n planes from a stream."""

    def __init__(self, networks, decoder, shape, steps, series, whole, wrap, coded):
        self.networks, self.decoder, self.steps, self.series, self.whole = networks, decoder, steps, series, whole
        self.n, self.h, self.w = shape
        self.wrap, self.coded = wrap, coded

    def decode(self):
        p = [None] * self.n
        groups = [([0], 0)]
        t = 1
        while 2 * t < self.n:
            t *= 2
        while self.n > 1 and t >= 1:
            groups.append((list(range(t, self.n, 2 * t)), t))
            t //= 2
        for planes, t in groups:
            bases = [self.between(p, i, t) if t else None for i in planes]
            found = self.group(planes, bases)
            for i, grid, base in zip(planes, found, bases, strict=True):
                other = base if base is not None else [[128 * self.steps] * self.w for _ in range(self.h)]
                p[i] = [
                    [grid[y, x].y if self.coded[i][y][x] else other[y][x] for x in range(self.w)]
                    for y in range(self.h)
                ]
        return np.array(p, float)

    def between(self, p, i, t):
        def at(y, x):
            b = Fraction(p[i - t][y][x])
            if i + t < self.n:
                b = (b + p[i + t][y][x]) / 2
            if i >= 3 * t and i + 3 * t < self.n:
                b = (18 * b - p[i - 3 * t][y][x] - p[i + 3 * t][y][x]) / 16
            return even(b)

        return [[at(y, x) for x in range(self.w)] for y in range(self.h)]

    def group(self, planes, bases):
        every = [(y, x) for y in range(self.h) for x in range(self.w)]
        grids = [{(y, x): Place(b=base[y][x] if base else 0) for y, x in every} for base in bases]
        first = [(g, (0, 0)) for g, i in zip(grids, planes, strict=True) if self.coded[i][0][0]]
        scale = min(47, 8 + 4 * self.steps.bit_length())
        scale = scale if bases[0] is None else min(scale, 28)
        centre = [256 * self.steps // 2 if bases[0] is None else g[at].b for g, at in first]
        for (g, at), y in zip(first, self.values(centre, [scale] * len(first), 256)[0], strict=True):
            g[at].y, g[at].known = y, True
        t = 1
        while 2 * t < max(self.h, self.w):
            t *= 2
        while max(self.h, self.w) > 1 and t >= 1:
            self.level(planes, grids, bases[0] is not None, t)
            t //= 2
        return grids

    # -- a level -----------------------------------------------------------------------------------------
    def level(self, planes, grids, based, t):
        rows, columns = -(-self.h // t), -(-self.w // t)
        step = 256 if self.whole else SERIES[self.series][min(t.bit_length() - 1, len(SERIES[self.series]) - 1)]
        for number, (sy, sx) in enumerate(STARTS):
            samples = [
                (g, (y, x))
                for g, i in zip(grids, planes, strict=True)
                for y in range(sy, rows, 2)
                for x in range(sx, columns, 2)
                if self.coded[i][y * t][x * t]
            ]
            if samples:
                self.phase(number, samples, based, t, step)
        settled = []
        for g in grids:
            for y in range(0, rows, 2):
                for x in range(0, columns, 2):
                    near = [self.at(g, (y + dy, x + dx), t) for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0))]
                    near = [k for k in near if k.known]
                    if near:
                        means = (sum(k.a for k in near) // len(near), sum(k.q for k in near) // len(near))
                        settled.append((g[y * t, x * t], means))
        for place, (a, q) in settled:
            place.a, place.q = a, q

    def at(self, g, place, t):
        """What is at a place of the grid at spacing t, also beyond its border: first along rows, then columns."""
        (y, x), counts = place, (-(-self.h // t), -(-self.w // t))
        for axis in (1, 0):
            size, m = counts[axis], (counts[axis] - 1) // 2 * 2
            k = place[axis]
            if 0 <= k < size:
                continue

            def moved(to, axis=axis):
                return self.at(g, (to, x) if axis == 0 else (y, to), t)

            if self.wrap[axis] and (self.h, self.w)[axis] % t == 0:
                return moved(k % size)
            if k % 2:
                return Place()
            edge, inner = (0, min(2, m)) if k < 0 else (m, max(0, m - 2))
            a, b = moved(edge), moved(inner)
            far = abs(k - edge) // 2
            return Place(a.y + far * (a.y - b.y), a.b + far * (a.b - b.b), a.known and b.known, a.a, a.q)
        return g[y * t, x * t]

    def phase(self, number, samples, based, t, step):
        looked = [self.look(number, g, at, based, t) for g, at in samples]
        weights, change = self.tuning(len(looked[0]["T"])) if len(samples) >= 1024 else (None, 0)
        centres, scales = [], []
        for one in looked:
            centre, scale = self.expected(number, one, weights, based, t, step)
            centres.append(centre)
            scales.append(clip(scale + change, 0, 47))
        values, symbols = self.values(centres, scales, step)
        for (g, (y, x)), value, symbol in zip(samples, values, symbols, strict=True):
            place = g[y * t, x * t]
            place.y, place.known, place.a, place.q = value, True, abs(symbol) * step, min(8, abs(symbol))

    def look(self, number, g, at, based, t):
        y, x = at
        b = g[y * t, x * t].b if based else 0
        pairs = [[self.at(g, (y + s * dy, x + s * dx), t) for s in (1, -1)] for dy, dx in PAIRS[number]]
        s = [sum(k.y - (k.b if based else 0) for k in pair) for pair in pairs]
        v = [int(pair[0].known and pair[1].known) for pair in pairs]
        near = [*pairs[0], *pairs[1]]
        known = [k for k in near if k.known]
        total = Fraction(sum(k.y - (k.b if based else 0) for k in known), max(1, len(known)))
        found = total if known else (0 if based else 256 * self.steps // 2)
        if number == 0 and all(v):
            found = Fraction(81 * (s[0] + s[1]) - 9 * sum(s[2:6]) + s[6] + s[7], 256)
        elif number == 0 and (v[0] or v[1]):
            found = Fraction(s[0] * v[0] + s[1] * v[1], 2 * (v[0] + v[1]))
        elif number and (v[0] or v[1]):
            lines = [Fraction(9 * s[i] - s[i + 2], 16) if v[i + 2] else Fraction(s[i], 2) for i in (0, 1) if v[i]]
            found = sum(lines) / len(lines)
        p = even(found + b)
        terms = [v[j] * (s[j] - 2 * (p - b)) for j in range(len(s))]
        if based:
            terms += [v[j] * (sum(k.b for k in pairs[j]) - 2 * b) for j in range(len(s))] + [2 * (b - p)]
        return {"P": p, "T": terms, "v": v, "near": near, "b": b, "ring": [k for pair in pairs[4:8] for k in pair]}

    def tuning(self, count):
        kind = int(self.decoder.get_bits(1, 2)[0])
        if kind == 0:
            return None, 0
        change = int(self.decoder.get(np.array([22], np.uint8), LAPLACE)[0])
        if kind == 1:
            return None, change
        return self.decoder.get(np.full(count, 26, np.uint8), LAPLACE).tolist(), change

    def expected(self, number, one, weights, based, t, step):
        p, terms, v, near, b = one["P"], list(one["T"]), one["v"], one["near"], one["b"]
        if weights:
            m = even(Fraction(sum(w * x for w, x in zip(weights, terms, strict=True)), 128))
            p += m
            for j in range(len(v)):
                terms[j] -= 2 * v[j] * m
        own, over = terms[: len(v)], terms[len(v) : 2 * len(v)] if based else [0] * len(v)
        known = [k for k in near if k.known]
        c = len(known)
        activities = [k.a if k.known else 0 for k in near]
        a = sum(activities) // max(c, 1)
        d = (abs(own[0]) + abs(own[1])) // 4
        s = (a + d) // 2 + max(1, step // 32)
        if not c:
            s += step if based else 128 * self.steps // 4
        far = [abs(x) for x in own[2:]]

        def gap(i, j):
            i, j = near[i], near[j]
            return abs((i.y - (i.b if based else 0)) - (j.y - (j.b if based else 0))) if i.known and j.known else 0

        sizes = [a, max(activities), d, sum(far) // len(far), max(far), abs(own[0]), abs(own[1]), gap(0, 1), gap(2, 3)]
        features = [self.share(4 * x, s) for x in own] + [self.share(4 * x, s) for x in over]
        features += [log(x) - log(s) for x in sizes]
        features += [
            self.share(8 * (b - p), s) if based else 0, log(s) - log(step), 16 * sum(k.q for k in near),
            8 * sum(k.q for k in one["ring"]), 8 * min(8, t.bit_length()), 32 * self.series, 64 * based,
            8 * (c + sum(v)), 64 * bool(weights),
        ]  # fmt: skip
        z0, z1 = self.network(number, [clip(f, -127, 127) for f in features])
        centre = p + (clip(z0, -512, 512) * s + 64) // 128
        return centre, (log(s) - log(step) + clip(z1, -127, 127) + 37) // 2

    @staticmethod
    def share(x, s):
        """Quotients are rounded to binary64 first."""
        return even(Fraction(x / s))

    def network(self, number, x):
        layers = self.networks[number].layers
        for i, layer in enumerate(layers):
            weight, bias = layer.weight.astype(int), layer.bias.astype(int)
            z = [
                (sum(int(w) * f for w, f in zip(row, x, strict=True)) + int(b) + 2 ** (int(n) - 1)) >> int(n)
                for row, b, n in zip(weight, bias, layer.shift, strict=True)
            ]
            x = [clip(k, 0, 255) for k in z] if i < len(layers) - 1 else z
        return x

    def values(self, centres, scales, step):
        """Samples and symbols of a list."""
        rows, signs, starts = [], [], []
        for centre, scale in zip(centres, scales, strict=True):
            centre, f = clip(centre, 0, 256 * self.steps), 0
            if self.whole:
                whole = 256 * ((centre + 128) // 256)
                centre, f = whole, (centre - whole) // 32
            row, negative = row_of(scale, f)
            rows.append(row)
            signs.append(-1 if negative else 1)
            starts.append(centre)
        found = self.decoder.get(np.array(rows, np.uint8), LOGISTIC).tolist() if rows else []
        symbols = [s * k for s, k in zip(signs, found, strict=True)]
        return [c + k * step for c, k in zip(starts, symbols, strict=True)], symbols
