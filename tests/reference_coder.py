"""FORMAT.md §5 to §7 in plain Python: slow, and without constriction or numpy.

It shares only the count tables with nfcodec.entropy (test_format_document.py checks those), and so proves that
the document describes the bytes.
"""

from bisect import bisect_right
from functools import cache

from nfcodec.entropy.tables import escape_counts, row_counts


@cache
def frequencies(counts):
    """Cumulative 24-bit frequencies, first 0 and last 2^24."""
    total, spare = sum(counts), (1 << 24) - len(counts)
    cumulative, out = 0, [0]
    for i, count in enumerate(counts):
        cumulative += count
        out.append(cumulative * spare // total + i + 1)
    assert out[-1] == 1 << 24
    return out


class ReferenceDecoder:
    def __init__(self, data):
        self.data = data
        self.position = 0
        self.low = 0  # never reduced: X of the document
        self.range = (1 << 64) - 1
        self.point = self.word() << 32 | self.word()

    def word(self):
        word = int.from_bytes(self.data[self.position : self.position + 4].ljust(4, b"\0"), "big")
        self.position += 4
        return word

    def index(self, counts):
        cumulative = frequencies(counts)
        unit = self.range >> 24
        quantile = ((self.point - self.low) % 2**64) // unit
        i = bisect_right(cumulative, quantile) - 1
        self.low += unit * cumulative[i]
        self.range = unit * (cumulative[i + 1] - cumulative[i])
        if self.range < 1 << 32:
            self.low <<= 32
            self.range <<= 32
            self.point = (self.point << 32) % 2**64 | self.word()
        return i

    def only_stream(self):
        """The one legal stream for the symbols that were decoded."""
        size = self.position  # 4 (n + 2) bytes
        for zeros in range(64, -1, -8):
            number = -(-self.low >> zeros) << zeros
            if number < min(self.low + self.range, 1 << 8 * size):
                return number.to_bytes(size, "big").rstrip(b"\0")
        raise AssertionError

    def bits(self, bits):
        return self.index((1,) * (1 << bits))

    def symbols(self, rows, counts_of=row_counts):
        order = sorted(range(len(rows)), key=lambda i: rows[i])
        out = [0] * len(rows)
        escaped = []
        for i in order:
            counts = counts_of(rows[i])
            index = self.index(counts)
            if index == len(counts) - 1:
                escaped.append((i, len(counts) // 2 - 1))
            else:
                out[i] = (index + 1) // 2 if index % 2 else -(index // 2)
        for (i, last), excess in zip(escaped, self.excesses(len(escaped)), strict=True):
            out[i] = last + excess if excess > 0 else -last + excess
        return out

    def excesses(self, count):
        lengths = [self.index(escape_counts()) for _ in range(count)]
        negative = [self.bits(1) for _ in range(count)]
        values = [1 << n for n in lengths]
        for length in sorted(set(lengths)):
            pieces = ([length % 8] if length % 8 else []) + [8] * (length // 8)
            left = length
            for piece in pieces:
                left -= piece
                for i in range(count):
                    if lengths[i] == length:
                        values[i] |= self.bits(piece) << left
        return [-v if n else v for v, n in zip(values, negative, strict=True)]

    def classes(self, modules, width):
        width = min(width, modules) or modules
        height = -(-modules // width)
        found = {(0, 0): self.bits(4)}
        adjust = self.bits(4) if modules > 1 else 0
        t = 1
        while t < max(height, width):
            t *= 2
        while t > 1:
            t //= 2
            for odd in (2, 1):
                self.class_pass(found, modules, width, t, odd, adjust)
        return [found[divmod(m, width)] for m in range(modules)]

    def class_pass(self, found, modules, width, t, odd, adjust):
        diagonal = ((-t, -t), (-t, t), (t, -t), (t, t))
        straight = ((-t, 0), (t, 0), (0, -t), (0, t))
        cells = [divmod(m, width) for m in range(modules)]
        cells = [(y, x) for y, x in cells if y % t == x % t == 0 and y // t % 2 + x // t % 2 == odd]
        means, rows = [], []
        for y, x in cells:
            steps = diagonal if odd == 2 else straight
            around = [found[y + dy, x + dx] for dy, dx in steps if (y + dy, x + dx) in found]
            spread = max(around) - min(around)
            context = (14 if spread == 0 else 18 if spread < 3 else 20 if spread < 6 else 21) if t == 1 else 22
            means.append((2 * sum(around) + len(around)) // (2 * len(around)))
            rows.append(min(max(context + 2 * adjust - 22, 0), 47))
        for cell, mean, difference in zip(cells, means, self.symbols(rows), strict=True):
            found[cell] = mean + difference


def reference_deltas(data, modules, scale, tensor_of, width):
    """Deltas of a payload as lists; also checks that it is the only legal stream."""
    q = [[0] * len(scale) for _ in range(modules)]
    if not data:
        return q
    decoder = ReferenceDecoder(data)
    offsets = decoder.symbols([16] * (max(tensor_of) + 1))
    classes = decoder.classes(modules, width)
    active = [m for m in range(modules) if classes[m]]
    group = max(1, 2**20 // len(scale))
    for start in range(0, len(active), group):
        part = active[start : start + group]
        base = [s + offsets[t] for s, t in zip(scale, tensor_of, strict=True)]
        rows = [min(max(b + 2 * classes[m] - 16, 0), 47) for m in part for b in base]
        values = iter(decoder.symbols(rows))
        for m in part:
            q[m] = [next(values) for _ in scale]
    assert decoder.only_stream() == data
    return q
