"""FORMAT.md §19 in plain Python, sample by sample; it shares nothing with nfcodec.entropy.ranking."""

from collections import defaultdict

from reference_coder import ReferenceDecoder

NEAR = ((0, -1), (-1, 0), (-1, -1), (-1, 1), (0, -2), (-2, 0), (-2, 1), (-1, -2), (-2, 2), (0, -3), (-2, -1))
ORDERS = (11, 7, 4, 2)


class Pair:
    def __init__(self):
        self.counts = [1, 1]

    def settle(self, flags, step, most):
        for flag in flags:
            self.counts[flag] += step
        if sum(self.counts) > most:
            self.counts = [(n + 1) >> 1 for n in self.counts]


class ReferenceOverlay:
    def __init__(self, data, height, width, channels):
        self.stream = ReferenceDecoder(data)
        self.colours = 64 * self.stream.bits(6) + self.stream.bits(6)
        self.height, self.width = height, width
        self.levels = self.colours.bit_length()
        lists = []
        for _ in range(channels):
            row, total, values = self.stream.bits(6), 0, []
            for difference in self.stream.symbols([row] * self.colours):
                total += difference
                values.append(total)
            lists.append(values)
        g, *others = lists
        self.palette = [
            (g[i],) if channels == 1 else (g[i] + others[0][i], g[i], g[i] + others[1][i]) for i in range(self.colours)
        ]
        self.plane = {}
        self.tables = [{} for _ in ORDERS]
        self.pairs = defaultdict(Pair)
        for t in range(width + 2 * (height - 1)):
            front = [(y, t - 2 * y) for y in range(height) if 0 <= t - 2 * y < width]
            self.front(front)

    def flags(self, keys, step, most):
        """One flag for each key of a pair; all with what was known before."""
        chances = [(self.pairs[k].counts[1] << 16) // sum(self.pairs[k].counts) for k in keys]
        flags = [self.stream.index((65536 - p, p)) for p in chances]
        by_key = defaultdict(list)
        for key, flag in zip(keys, flags, strict=True):
            by_key[key].append(flag)
        for key, seen in by_key.items():
            self.pairs[key].settle(seen, step, most)
        return flags

    def seen(self, cell):
        n = [self.plane.get((cell[0] + dy, cell[1] + dx), 0) for dy, dx in NEAR]
        key, slots = 0, {}
        for j, value in enumerate(n, 1):
            key = (key + value + 1) * 0x9E3779B97F4A7C15 % 2**64
            slots[j] = key >> 44
        entries = [table.get(slots[order], (None, 0)) for table, order in zip(self.tables, ORDERS, strict=True)]
        guesses = [index for index, _ in entries] + [n[0], n[1], n[3]]
        sure = [min(7, certainty) for _, certainty in entries]
        alike = (n[0] == n[1]) + 2 * (n[0] == n[2]) + 4 * (n[1] == n[3])
        agree = 16 * (guesses[1] == guesses[2]) + 8 * (guesses[0] == guesses[1])
        contexts = [32 * s + agree + alike for s in sure] + [8 * sure[0] + alike] * 3
        return guesses, contexts, [slots[order] for order in ORDERS], entries

    def front(self, cells):
        about = {cell: self.seen(cell) for cell in cells}
        found = {}
        for i in range(7):
            asked = [c for c in cells if c not in found]
            asked = [c for c in asked if about[c][0][i] is not None and about[c][0][i] not in about[c][0][:i]]
            for cell, flag in zip(asked, self.flags([(i, about[c][1][i]) for c in asked], 2, 8192), strict=True):
                if flag:
                    found[cell] = about[cell][0][i]
        spelled = {c: "" for c in cells if c not in found}
        for _ in range(self.levels):
            flags = self.flags([(-1, word) for word in spelled.values()], 8, 1024)
            spelled = {c: word + str(flag) for (c, word), flag in zip(spelled.items(), flags, strict=True)}
        found |= {c: int(word, 2) for c, word in spelled.items()}
        self.plane |= found
        for cell in cells:
            _, _, slots, entries = about[cell]
            for table, slot, (index, sure) in zip(self.tables, slots, entries, strict=True):
                if index == found[cell]:
                    table[slot] = index, min(15, sure + 1)
                else:
                    table[slot] = (index, sure >> 1) if sure else (found[cell], 1)
