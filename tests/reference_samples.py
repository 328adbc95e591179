"""FORMAT.md §18 and the end of §19 in plain Python, cell by cell and sample by sample, without numpy or nfcodec.

``tensors``: those of the init by name, as nested lists of whole numbers.
"""

import struct
from functools import cache

from reference_lattice import companded, quality_features

EIGHT = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]
NINE = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]


def clip(x, n):
    return min(max(x, -n), n)


@cache
def mantissa(i):
    """The M with (2M − 1)^256 ≤ 2^(4352 + i) < (2M + 1)^256, by bisection."""
    low, high = 1, 1 << 18
    while low < high:
        middle = (low + high + 1) // 2
        if (2 * middle - 1) ** 256 <= 2 ** (4352 + i):
            low = middle
        else:
            high = middle - 1
    return low


def layer(tensors, name, x, network="restore"):
    weight, bias, shift = (tensors[f"0/{network}/{name}.{part}"] for part in ("weight", "bias", "shift"))
    rows = zip(weight, bias, shift, strict=True)
    return [(sum(w * v for w, v in zip(row, x, strict=True)) + b + (1 << (s - 1))) >> s for row, b, s in rows]


def active(stream):
    return [clip((128 * max(n, 0) + 13 * min(n, 0) + 256) >> 9, 255) for n in stream]


def corrections(tensors, q, quality):
    """r of every cell of a region of symbols q[p][k][y][x]: lists of 192 by (y, x)."""
    h, w = len(q[0][0]), len(q[0][0][0])

    def inside(y, x):
        return min(max(y, 0), h - 1), min(max(x, 0), w - 1)

    cells = [(y, x) for y in range(h) for x in range(w)]
    streams = {}
    for y, x in cells:
        inputs = [companded(q[p][k][y][x]) for p in range(3) for k in range(1, 64)]
        for dy, dx in EIGHT:
            ny, nx = inside(y + dy, x + dx)
            inputs += [companded(q[p][0][ny][nx] - q[p][0][y][x]) for p in range(3)]
        streams[y, x] = [clip(n, 8191) for n in layer(tensors, "in", inputs + quality_features(quality))]
    number = 0
    while f"0/restore/{number}.weight" in tensors:
        before = {cell: active(stream) for cell, stream in streams.items()}
        for y, x in cells:
            around = [n for dy, dx in NINE for n in before[inside(y + dy, x + dx)]]
            added = layer(tensors, str(number), around)
            streams[y, x] = [clip(a + b, 8191) for a, b in zip(streams[y, x], added, strict=True)]
        number += 1
    return {cell: [clip(n, 2047) for n in layer(tensors, "out", active(s))] for cell, s in streams.items()}


def exponents(tensors, quality):
    """e[p][k]."""
    g, log_step = quality_features(quality), tensors["0/log_step"]
    return [[(sum(g[i] * log_step[i][p][k] for i in range(8)) + 8) >> 4 for k in range(64)] for p in range(3)]


def activity(q, e, y, x):
    """A of a cell, from the means of plane 0."""
    h, w = len(q[0][0]), len(q[0][0][0])
    n = 8 - (e[0][0] >> 8)

    def mean(y, x):
        whole = mantissa(e[0][0] & 255) * 256 * q[0][0][min(max(y, 0), h - 1)][min(max(x, 0), w - 1)]
        return (whole + (1 << (n - 1))) >> n

    total = sum(abs(mean(y + dy, x + dx) - mean(y, x)) for dy, dx in EIGHT)
    return ((8 + min(total >> 10, 8191)) ** 256).bit_length() - 1639


def cell_exponents(tensors, q, quality, y, x):
    """e[p][k] of a cell."""
    e = exponents(tensors, quality)
    if "0/masking" not in tensors:
        return e
    g, gains, a = quality_features(quality), tensors["0/masking"], activity(q, e, y, x)
    out = [[0] * 64 for _ in range(3)]
    for p in range(3):
        for k in range(64):
            gain = (sum(g[i] * gains[i][p][k] for i in range(8)) + 8) >> 4
            out[p][k] = min(max(e[p][k] + ((gain * a + 128) >> 8), -6144), 2047)
    return out


def dithered(tensors, quality, dither):
    """W0 of a file with a dither."""
    offset = [list(own) for own in tensors.get("0/offset", [[0] * 64] * 3)]
    for p, own in enumerate(exponents(tensors, quality)):
        n = 8 - (own[0] >> 8)
        offset[p][0] += (mantissa(own[0] & 255) * 16 * dither[p] + (1 << (n - 1))) >> n
    return offset


def region_weights(tensors, q, quality, dither=None):
    """w[p][k] of every cell of a region, by (y, x)."""
    out = {}
    offset = dithered(tensors, quality, dither or (0, 0, 0))
    for (y, x), r in corrections(tensors, q, quality).items():
        e = cell_exponents(tensors, q, quality, y, x)
        out[y, x] = [[0] * 64 for _ in range(3)]
        for p in range(3):
            for k in range(64):
                n = 8 - (e[p][k] >> 8)
                whole = mantissa(e[p][k] & 255) * (256 * q[p][k][y][x] + r[64 * p + k])
                out[y, x][p][k] = clip(((whole + (1 << (n - 1))) >> n) + offset[p][k], 1 << 23)
    return out


def heard(sample, cells, spacing):
    """The two cells that a sample hears along an axis, and its place in each."""
    half, last = spacing // 2, 2 * spacing - 1
    for c in ((sample + half) // spacing - 1, (sample + half) // spacing):
        place = sample - (spacing * c - half)
        if c < 0:
            yield 0, last - place
        elif c >= cells:
            yield cells - 1, last - place
        else:
            yield c, place


def sample(table, weights, size, y, x, spacing):
    """The three planes at a sample; ``size``: rows and columns of cells of the whole lattice."""
    planes = [0, 0, 0]
    for row, i in heard(y, size[0], spacing):
        for column, j in heard(x, size[1], spacing):
            own = weights[row, column]
            for p in range(3):
                functions = table[64:] if p else table
                planes[p] += sum(w * phi[2 * spacing * i + j] for w, phi in zip(own[p], functions, strict=False))
    return planes


def filtered(tensors, planes, h, w, quality, number, views, heads):
    """What Y makes of planes[y, x], whole numbers in 2^-32; ``number`` of the spacing, ``heads``: by square."""
    if "0/filter/log_unit" not in tensors:
        return planes
    g, unit = quality_features(quality), tensors["0/filter/log_unit"]
    e = (sum(a * b for a, b in zip(g, unit, strict=True)) + 8) >> 4
    rounded = {at: [(n + 2**11) >> 12 for n in o] for at, o in planes.items()}
    told = [32 * n for n in g]
    told += [512 * (i + 1 == number) for i in range(len(tensors["0/filter/0/in.weight"][0]) - 116)]
    networks = sum(name.startswith("0/filter/") and name.endswith("/in.weight") for name in tensors)
    sums = {at: [0, 0, 0] for at in planes}
    for view in range(views):
        places = {(y, x): (h - 1 - y if view & 2 else y, x) for y, x in planes}
        places = {at: (x, y) if view & 1 else (y, x) for at, (y, x) in places.items()}
        seen, size = {places[at]: o for at, o in rounded.items()}, (w // 2, h // 2) if view & 1 else (h // 2, w // 2)
        own = {(y // 2, x // 2): heads[at[0] // 2, at[1] // 2] for at, (y, x) in places.items()}
        found = squares_filtered(tensors, f"filter/{quality * networks // 101}", seen, *size, e, told, own)
        for at, (y, x) in places.items():
            r = found[y // 2, x // 2][2 * (y % 2) + x % 2 :: 4]
            sums[at] = [a + b for a, b in zip(sums[at], r, strict=True)]
    n = 4 + (views.bit_length() - 1) - (e >> 8)
    out = {}
    for (y, x), o in rounded.items():
        r = sums[y, x]
        out[y, x] = [(a + ((mantissa(e & 255) * b + (1 << (n - 1))) >> n)) << 12 for a, b in zip(o, r, strict=True)]
    return out


def squares_filtered(tensors, network, rounded, h, w, e, told, heads):
    """The 12 numbers that a ``network`` of Y gives for each square (y, x), by the head that it uses."""

    def inside(y, x):
        return min(max(y, 0), h - 1), min(max(x, 0), w - 1)

    n = 32 - (-e >> 8)
    squares = [(y, x) for y in range(h) for x in range(w)]
    shown = {
        at: [clip((mantissa(-e & 255) * v + (1 << (n - 1))) >> n, 8191) for v in o] for at, o in rounded.items()
    }  # fmt: skip
    sums = {(y, x): [sum(shown[2 * y + j, 2 * x + i][p] for j in (0, 1) for i in (0, 1)) for p in range(3)]
            for y, x in squares}  # fmt: skip
    inputs = {}
    for y, x in squares:
        own = []
        for p in range(3):
            around = sum(
                (2 - (abs(j) == 2)) * (2 - (abs(i) == 2)) * sums[inside(y + j, x + i)][p]
                for j in range(-2, 3) for i in range(-2, 3)
            )  # fmt: skip
            mean = (around + 128) >> 8
            own += [clip(shown[2 * y + j, 2 * x + i][p] - mean, 1023) for j in (0, 1) for i in (0, 1)]
        inputs[y, x] = own
    streams = {}
    for y, x in squares:
        seen = [v for dy, dx in NINE for v in inputs[inside(y + dy, x + dx)]]
        streams[y, x] = [clip(v, 8191) for v in layer(tensors, "in", seen + told, network)]
    number = 0
    while f"0/{network}/{number}.weight" in tensors:
        before = {square: active(stream) for square, stream in streams.items()}
        for y, x in squares:
            around = [v for dy, dx in NINE for v in before[inside(y + dy, x + dx)]]
            added = layer(tensors, str(number), around, network)
            streams[y, x] = [clip(a + b, 8191) for a, b in zip(streams[y, x], added, strict=True)]
        number += 1
    every = {at: [clip(v, 2047) for v in layer(tensors, "out", active(s), network)] for at, s in streams.items()}
    return {at: found[12 * heads[at] : 12 * heads[at] + 12] for at, found in every.items()}


def binary32(x):
    """x to the nearest binary32; ``struct`` rounds ties to even."""
    return struct.unpack("<f", struct.pack("<f", x))[0]


def turned(factors, turn):
    """The nine factors of a file with a turn."""
    w, (x, y, z) = 64, turn
    r = [
        [w * w + x * x - y * y - z * z, 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), w * w - x * x + y * y - z * z, 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), w * w - x * x - y * y + z * z],
    ]
    norm = w * w + x * x + y * y + z * z
    whole = [[(2**17 * n + norm) // (2 * norm) for n in row] for row in r]
    return [[(sum(b * n for b, n in zip(row, own, strict=True)) + 2**15) >> 16 for own in whole] for row in factors]


def values(planes, channels, turn=None):
    o = [(n + 2**11) >> 12 for n in planes]
    factors = [[37837, 46341, 26755], [37837, 0, -53510], [37837, -46341, 26755]]
    if channels == 1:
        sums = [37837 * o[0]]
    else:
        sums = [sum(f * n for f, n in zip(row, o, strict=True)) for row in (turned(factors, turn) if turn else factors)]
    assert all(abs(n + 2**35) < 2**53 for n in sums)
    return [binary32((n + 2**35) / 2**36) for n in sums]


def written(value, top):
    """The whole sample of a value; the product of two binary32 is exact in binary64."""
    return round(binary32(min(max(value, 0.0), 1.0) * top))


def reference_picture(
    tensors, regions, shape, channels, quality, top, overlay=None, spacing=None, finer=0, number=0,
    dither=None, turn=None, views=1, heads=None,
):  # fmt: skip
    """Samples [y][x][c] of a picture of ``shape``; ``regions``: (first row of cells, first column, q) of each.
    ``spacing``: samples between the cells, None for 8, its ``number`` among the other ones; ``quality``: of the steps,
    which are ``finer`` than that of the picture; ``views``: of Y, ``heads``: those that are not 0, by block.

    ``overlay``: for a picture of one chunk, its palette and its indices by (y, x).
    """
    weights = {}
    for first, left, q in regions:
        for (y, x), w in region_weights(tensors, q, quality, dither).items():
            weights[first + y, left + x] = w
    table = tensors[f"0/table.{spacing}" if spacing else "0/table"]
    spacing = spacing or 8
    size = -(-shape[0] // spacing), -(-shape[1] // spacing)
    height, width = (n * spacing for n in size)
    planes = {
        (y, x): sample(table, weights, size, y, x, spacing) for y in range(height) for x in range(width)
    }  # fmt: skip
    block = 2 * spacing  # squares
    of_squares = {
        (y, x): (heads or {}).get((y // block, x // block), 0) for y in range(height // 2) for x in range(width // 2)
    }  # fmt: skip
    planes = filtered(tensors, planes, height, width, quality - finer, number, views, of_squares)
    out = []
    for y in range(shape[0]):
        row = []
        for x in range(shape[1]):
            if overlay is not None and overlay.plane[y, x]:
                found = [binary32(c / 255) for c in overlay.palette[overlay.plane[y, x] - 1]]
            else:
                found = values(planes[y, x], channels, turn)
            row.append([written(v, top) for v in found])
        out.append(row)
    return out
