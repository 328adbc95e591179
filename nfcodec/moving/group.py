"""The pictures of a group: in which order they are coded, and what each is predicted from.

A group begins with a picture of its own (I). Some of the others are *anchors*: predicted from the anchors before them
(P), or pictures of their own where a scene begins. Those between two anchors are halved again and again: the middle one
is predicted from both ends (B), and so on, each half between its ends. The first picture of the next group is the last
end.
(Hierarchical B pictures: Schwarz, Marpe, Wiegand 2006.)
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from nfcodec.container.varint import ByteReader, encode_varint
from nfcodec.errors import CorruptError


@dataclass(frozen=True, slots=True)
class Anchor:
    """A picture ``at`` a place of its group; ``alone``: predicted from nothing."""

    at: int
    alone: bool


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture of a group: its place, those of its up to two references, and how often the group was halved before
    it (0 for anchors). ``heir``: the reference whose motion its own goes on from, if any."""

    at: int
    references: tuple[int, ...]
    depth: int
    heir: int | None = None

    @property
    def distances(self) -> tuple[int, ...]:
        """How many pictures ahead its references are."""
        return tuple(r - self.at for r in self.references)

    @property
    def alone(self) -> bool:
        """Whether it is predicted from nothing."""
        return not self.references


def pictures(anchors: Sequence[Anchor], length: int, *, goes_on: bool) -> list[Picture]:
    """The pictures of a group of ``length`` in coded order: every anchor comes before what lies before the one in front
    of it, and an end before what lies between. ``goes_on``: another group follows, whose first picture is at
    ``length``.

    :class:`CorruptError` where the anchors leave pictures out.
    """
    places = [a.at for a in anchors]
    ends = [*places, length] if goes_on else places
    rising = all(a < b for a, b in itertools.pairwise(ends))
    if not anchors or places[0] != 0 or not anchors[0].alone or not rising or ends[-1] != length - (not goes_on):
        raise CorruptError(f"anchors {places} in a group of {length}")
    alone = {a.at for a in anchors if a.alone} | {length}
    found, waiting = [], list(_anchored(anchors))
    for a, b in [(0, 0), *itertools.pairwise(ends)]:
        ahead = [p for p in waiting if p.at <= ends[min(ends.index(b) + 1, len(ends) - 1)]]
        found += [*ahead, *_between(a, b, None if b in alone else b)]
        waiting = waiting[len(ahead) :]
    return found


def _between(a: int, b: int, heir: int | None) -> Iterator[Picture]:
    """The pictures between two ends, the middle ones first."""
    spans, depth = [(a, b, heir)], 1
    while spans := [s for s in spans if s[1] - s[0] > 1]:
        middles = [Picture((a + b) // 2, (a, b), depth, heir) for a, b, heir in spans]
        yield from middles
        halves = [((a, m.at, m.at), (m.at, b, m.at)) for (a, b, _), m in zip(spans, middles, strict=True)]
        spans, depth = list(itertools.chain.from_iterable(halves)), depth + 1


def _anchored(anchors: Sequence[Anchor]) -> Iterator[Picture]:
    known: list[int] = []
    for anchor in anchors:
        known = [] if anchor.alone else known
        heir = known[-1] if len(known) > 1 else None
        yield Picture(anchor.at, tuple(known[:-3:-1]), 0, heir)
        known.append(anchor.at)


def pack_group(anchors: Sequence[Anchor], payloads: Sequence[bytes]) -> bytes:
    """The anchors of a group, and the payloads of its pictures in coded order."""
    out, last = bytearray(encode_varint(len(anchors))), -1
    for anchor in anchors:
        out += encode_varint(2 * (anchor.at - last - 1) + anchor.alone)
        last = anchor.at
    for payload in payloads:
        out += encode_varint(len(payload)) + payload
    return bytes(out)


def unpack_group(data: bytes, length: int) -> tuple[list[Anchor], list[bytes]]:
    """Inverse of :func:`pack_group` for a group of ``length`` pictures; raises :class:`~nfcodec.errors.FormatError`."""
    reader = ByteReader(data)
    count, last, anchors = reader.varint("number of anchors"), -1, []
    if count > length:
        raise CorruptError(f"{count} anchors in a group of {length}")
    for _ in range(count):
        skipped, alone = divmod(reader.varint("anchor"), 2)
        last += skipped + 1
        anchors.append(Anchor(last, bool(alone)))
    payloads = [reader.take(reader.varint("length of a picture"), "picture") for _ in range(length)]
    reader.expect_end("group")
    return anchors, payloads
