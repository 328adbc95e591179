"""FORMAT.md §14 to §17 in plain Python: slow, and without constriction, numpy or nfcodec.lattice.

The tables follow the recipe of the document, with the numbers printed there.
"""

import itertools
import re
from functools import cache
from pathlib import Path

from reference_coder import ReferenceDecoder

import nfcodec.container

TEXT = (Path(nfcodec.container.__file__).parent / "FORMAT.md").read_text(encoding="utf-8")
THETA = [int(n, 16) for n in re.findall(r"0x[0-9A-F]+", re.search(r"```theta64\n(.*?)```", TEXT, re.DOTALL).group(1))]


# -- §17 -------------------------------------------------------------------------------------------------
def power(theta, n):
    x = 2**64
    for _ in range(n):
        x = (x * theta) >> 64
    return x


def upper(s, n):
    x, step = power(THETA[s], n), power(THETA[s], 8)
    while True:
        yield x * 2**64 // (2**64 + x)
        x = (x * step) >> 64


def mixed(s, n, count):
    both = zip(upper(s, n), upper(min(s + 8, 47), n), strict=True)
    return [4095 * u + w for u, w in itertools.islice(both, count)]


@cache
def counts(row):
    """The counts of a row: 0, +1, −1, …, +L, −L, escape."""
    s, f = divmod(row, 5) if row < 130 else (row - 104, 0)
    a, b = mixed(s, 4 - f, 1025), mixed(s, 4 + f, 1025)
    last = 2
    while last < 1023 and a[last] - a[last + 1] >= 2**58:
        last += 1
    out = []
    for k in range(1, last + 1):
        out += [max(1, (side[k - 1] - side[k] + 2**55) >> 56) for side in (a, b)]
    escape = max(4, (a[last] + b[last] + 2**55) >> 56)
    return (2**20 - escape - sum(out), *out, escape)


# -- §16 -------------------------------------------------------------------------------------------------
@cache
def companded(x):
    n = min(abs(x), 255)
    t = min(127, ((n + 1) ** 32).bit_length() >> 1)
    return t if x >= 0 else -t


def quality_features(quality):
    u = (quality * 112 + 50) // 100
    return [max(0, 16 - abs(u - 16 * i)) for i in range(8)]


def network(layers, x):
    """(M, s) of features; ``layers``: three of (weights, biases, shifts)."""
    for number, (weights, biases, shifts) in enumerate(layers):
        x = [
            (sum(w * v for w, v in zip(row, x, strict=True)) + bias + (1 << (shift - 1))) >> shift
            for row, bias, shift in zip(weights, biases, shifts, strict=True)
        ]
        if number < 2:
            x = [min(max(v, 0), 255) for v in x]
    n = len(x) // 2
    return [min(max(v, -126), 126) for v in x[:n]], [min(max(v, 0), 47) for v in x[n:]]


PASSES = [(0, 1, 2), (0, 3, 5), (1, 1, 5), (2, 1, 5), (0, 6, 9), (0, 10, 14), (1, 6, 14), (2, 6, 14), (0, 15, 27),
          (0, 28, 42), (0, 43, 63), (1, 15, 63), (2, 15, 63)]  # fmt: skip
LAYERS = [range(4), range(4, 8), range(8, 13)]
PHASES = [(0, 0), (1, 1), (0, 1), (1, 0)]
NINE = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
EIGHT = [o for o in NINE if o != (0, 0)]
RING = [(dy, dx) for dy in range(-2, 3) for dx in range(-2, 3) if (dy, dx) != (0, 0)]


class Region:
    """What is known of a region: ``q[p][k][y, x]``."""

    def __init__(self, prior, shape, quality, planes):
        self.prior, (self.h, self.w), self.quality, self.planes = prior, shape, quality, planes
        self.q = [[{} for _ in range(64)] for _ in range(3)]
        self.offsets = {}

    def at(self, p, k, y, x):
        return self.q[p][k].get((y, x), 0)

    def differences(self, p, y, x, offsets):
        inside = [0 <= y + dy < self.h and 0 <= x + dx < self.w for dy, dx in offsets]
        around = [self.at(p, 0, y + dy, x + dx) - self.at(p, 0, y, x) for dy, dx in offsets]
        return [companded(d) if there else 0 for d, there in zip(around, inside, strict=True)]

    def features(self, number, phase, y, x):
        p, a, b = PASSES[number]
        others = [o for o in range(3) if o != p]
        out = [companded(self.at(p, k, y + dy, x + dx)) for dy, dx in NINE for k in range(1, a)]
        for dy, dx in EIGHT:
            earlier = PHASES.index(((y + dy) % 2, (x + dx) % 2)) < phase
            out += [companded(self.at(p, k, y + dy, x + dx)) if earlier else 0 for k in range(a, b + 1)]
        out += self.differences(p, y, x, RING)
        for o in others:
            out += self.differences(o, y, x, EIGHT)
        for o in others:
            before = max([last + 1 for plane, _, last in PASSES[:number] if plane == o], default=1)
            out += [companded(self.at(o, k, y, x)) for k in range(1, before)]
        return out + quality_features(self.quality) + [16 * (i == phase) for i in range(4)]

    # -- §14 ---------------------------------------------------------------------------------------------
    def read_offsets(self, decoder, kinds):
        """What a layer corrects: three offsets for each of the ``kinds``, which are named by plane and first symbol."""
        (flag,) = decoder.symbols([40], counts)
        found = iter(decoder.symbols([75] * (3 * len(kinds) * flag), counts) if flag else [0] * (3 * len(kinds)))
        self.offsets = {kind: [next(found) for _ in range(3)] for kind in kinds}
        some = [o for three in self.offsets.values() for o in three]
        assert flag in (0, 1) and any(some) == bool(flag) and all(-4 <= o <= 4 for o in some)

    def read(self, decoder, kind, places, expected):
        """One list: symbols of a kind at ``places`` (p, k, y, x), expected at M with s."""
        rows, how = [], []
        for m, uncorrected in expected:
            b = 0 if uncorrected <= 8 else 1 if uncorrected <= 14 else 2
            s = min(max(uncorrected + self.offsets[kind][b], 0), 47)
            base = (m + 4) >> 3
            f = m - 8 * base
            rows.append(5 * s + abs(f) if s < 26 else 104 + s)
            how.append((base, -1 if f < 0 and s < 26 else 1))
        for place, (base, sign), v in zip(places, how, decoder.symbols(rows, counts), strict=True):
            p, k, y, x = place
            self.q[p][k][y, x] = base + sign * v

    def read_pass(self, decoder, number):
        p, a, b = PASSES[number]
        for phase, (oy, ox) in enumerate(PHASES):
            cells = [(y, x) for y in range(oy, self.h, 2) for x in range(ox, self.w, 2)]
            found = [network(self.prior[f"group.{number}"], self.features(number, phase, y, x)) for y, x in cells]
            places = [(p, k, y, x) for k in range(a, b + 1) for y, x in cells]
            self.read(decoder, (p, a), places, [(m[k - a], s[k - a]) for k in range(a, b + 1) for m, s in found])

    # -- §15 ---------------------------------------------------------------------------------------------
    def mean_steps(self):
        """(edge, t, cells, offsets) of each step."""
        diagonal = [(-1, -1), (-1, 1), (1, -1), (1, 1)]
        diagonal += [(a, b) for a in (-3, -1, 1, 3) for b in (-3, -1, 1, 3) if abs(a) == 3 or abs(b) == 3]
        edge = [(-1, 0), (1, 0), (0, -1), (0, 1)]
        edge += [(a, b) for a in range(-3, 4) for b in range(-3, 4) if abs(a) + abs(b) == 3]
        yield 0, None, [(0, 0)], []
        t = 1
        while t < max(self.h, self.w):
            t *= 2
        while t:
            grid = [(y, x) for y in range(0, self.h, t) for x in range(0, self.w, t)]
            odd = {c: (c[0] // t % 2) + (c[1] // t % 2) for c in grid}
            yield 0, t, [c for c in grid if odd[c] == 2], diagonal
            yield 1, t, [c for c in grid if odd[c] == 1], edge
            t //= 2

    def neighbours(self, y, x, t, offsets):
        out = []
        for a, b in offsets:
            ny = y + a * t if 0 <= y + a * t < self.h else y - a * t
            nx = x + b * t if 0 <= x + b * t < self.w else x - b * t
            out.append((ny, nx) if 0 <= ny < self.h and 0 <= nx < self.w else None)
        return out or [None] * 16

    def read_means(self, decoder):
        for edge, t, cells, offsets in self.mean_steps():
            around = [self.neighbours(y, x, t, offsets) for y, x in cells]
            level = 3 if t is None else min(t.bit_length() - 1, 3)
            for p in range(self.planes if cells else 0):
                expected = []
                for cell, near in zip(cells, around, strict=True):
                    bases = [self.base(o, near) for o in range(p + 1)]
                    x = self.relative(p, bases[p], near)
                    for o in range(p):
                        x += [*self.relative(o, bases[o], near), companded(self.q[o][0][cell] - bases[o])]
                    x += [16 * (i == level) for i in range(4)] + quality_features(self.quality)
                    (m,), (s,) = network(self.prior[f"mean.{2 * p + edge}"], x)
                    expected.append((m + 8 * bases[p], s))
                self.read(decoder, (p, 0), [(p, 0, *cell) for cell in cells], expected)

    def base(self, p, near):
        known = [self.q[p][0][n] for n in near[:4] if n is not None]
        return (2 * sum(known) + len(known)) // (2 * len(known)) if known else 0

    def relative(self, p, base, near):
        return [0 if n is None else companded(self.q[p][0][n] - base) for n in near]


def reference_region(prior, payloads, shape, quality, planes):
    """Symbols q[p][k][y][x] of a region as lists; also checks that each layer is its only spelling.

    ``prior``: for the names of FORMAT.md §16 three layers of (weights, biases, shifts) as lists.
    """
    region = Region(prior, shape, quality, planes)
    for layer, data in enumerate(payloads):
        if data:
            decoder = ReferenceDecoder(b"" if data == b"\0" else data)
            means = [(p, 0) for p in range(planes if layer == 0 else 0)]
            region.read_offsets(decoder, means + [PASSES[i][:2] for i in LAYERS[layer] if PASSES[i][0] < planes])
            if layer == 0:
                region.read_means(decoder)
            for number in LAYERS[layer]:
                if PASSES[number][0] < planes:
                    region.read_pass(decoder, number)
            assert (decoder.only_stream() or b"\0") == data
    h, w = shape
    return [[[[region.at(p, k, y, x) for x in range(w)] for y in range(h)] for k in range(64)] for p in range(3)]
