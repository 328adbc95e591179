"""The heads of FORMAT.md §18 in plain Python, block by block; it shares nothing with nfcodec.lattice.heads."""

from reference_coder import ReferenceDecoder


class ReferenceFlags:
    """Flags with learned chances (§23), list by list."""

    def __init__(self, data):
        self.stream = ReferenceDecoder(data)
        self.counts = {}

    def __call__(self, contexts):
        flags = [self.stream.index((65536 - p, p)) for p in map(self.chance, contexts)]
        for context, flag in zip(contexts, flags, strict=True):
            self.counts.setdefault(context, [32, 32])[flag] += 32
        for pair in self.counts.values():
            while sum(pair) > 2**15:
                pair[:] = [(n + 1) >> 1 for n in pair]
        return flags

    def chance(self, context):
        clear, found = self.counts.get(context, (32, 32))
        return min(max((found << 16) // (clear + found), 32), 2**16 - 32)


def reference_heads(data, height, width):
    """The heads of the blocks of a chunk by (y, x); also checks that the payload is the only legal stream of them."""
    flags, heads = ReferenceFlags(data), {}
    for t in range(width + height - 1):
        front(flags, heads, [(y, t - y) for y in range(height) if 0 <= t - y < width])
    assert flags.stream.only_stream() == data
    return heads


def front(flags, heads, blocks):
    left = {(y, x): heads.get((y, x - 1) if x else (y - 1, 0), 0) for y, x in blocks}
    above = {(y, x): heads[y - 1, x] if y else left[y, x] for y, x in blocks}
    alike = flags([2 * (left[b] == above[b]) + (left[b] == 0) for b in blocks])
    others = [b for b, flag in zip(blocks, alike, strict=True) if not flag]
    heads.update(left)
    unlike = [b for b in others if left[b] != above[b]]
    as_above = dict(zip(unlike, flags([4 + (above[b] == 0) for b in unlike]), strict=True))
    heads.update({b: above[b] for b in unlike if as_above[b]})
    spelled = [b for b in others if not as_above.get(b)]
    known = dict.fromkeys(spelled, 1)
    for _ in range(3):
        for b, bit in zip(spelled, flags([6 + known[b] for b in spelled]), strict=True):
            known[b] = 2 * known[b] + bit
    heads.update({b: known[b] - 8 for b in spelled})
