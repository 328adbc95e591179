"""Encode a clip group by group: it never has to be in memory as a whole.

Every group is decoded as it is made: pictures are predicted from what a decoder has of the others, and each stream was
decoded once more when it was written.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from functools import partial
from itertools import count
from typing import BinaryIO

import numpy as np

from nfcodec.container.layout import SectionType, chunk_payload
from nfcodec.container.reader import Reader
from nfcodec.container.writer import Writer
from nfcodec.encoder.base import Encoded, Encoder
from nfcodec.encoder.threads import torch_map
from nfcodec.entropy.lossless import encode_plane
from nfcodec.errors import InternalError, UnsupportedMediaError
from nfcodec.lattice.fit.adapt import Plan
from nfcodec.lattice.planes import offset_of
from nfcodec.media.samples import dequantize
from nfcodec.moving.fit.painting import is_flat
from nfcodec.moving.fit.picture import Fitted, PictureFit
from nfcodec.moving.fit.search import Shown
from nfcodec.moving.fit.structure import STRIDE, anchors, cuts, reduced
from nfcodec.moving.group import Anchor, Picture, pack_group, pictures
from nfcodec.moving.init import MovingInit
from nfcodec.moving.motion import Past
from nfcodec.moving.picture import Canvas
from nfcodec.moving.prediction import Reference, Whole
from nfcodec.moving.schedule import Schedule
from nfcodec.moving.values import values_of
from nfcodec.options import EncodeOptions, Progress
from nfcodec.signal import Block, Floats, Ints, Source

# By how much the quality falls from pictures of their own to anchors, and to those between them, by depth.
_FALLS = (3, 9, 15, 20)
# By how much the effort is lower for anchors, and for those between them.
_EASIER = (0, 3, 5)
# Frames that are read at once, at most.
_READ = 4


def falling(quality: int, picture: Picture) -> int:
    """The quality of a picture of a clip of ``quality``: what others are predicted from is worth more."""
    return max(0, quality - (0 if picture.alone else _FALLS[min(picture.depth, len(_FALLS) - 1)]))


@dataclass(frozen=True)
class Clip:
    """Frames of a group: ``samples`` (n, H, W, C) as they are written, ``alpha`` (n, H, W), and the places where scenes
    begin. ``flat``: they are painted."""

    number: int
    samples: Ints
    alpha: Ints | None
    scenes: tuple[int, ...] = ()
    flat: bool = False


@dataclass(frozen=True)
class Part:
    """Some frames of a group, as :class:`Clip` has them; ``filled``: with other colours where nobody sees them;
    ``small``: their lumas, reduced."""

    samples: Ints
    filled: Ints
    alpha: Ints | None
    small: list[Floats]
    flat: bool


def slim(fitted: Fitted) -> Fitted:
    """The same with symbols of fewer bytes: those of a whole group are held until it is written."""
    symbols = fitted.frame.symbols
    if symbols is None:
        return fitted
    least = np.result_type(np.min_scalar_type(int(symbols.min())), np.min_scalar_type(int(symbols.max())))
    small = symbols.astype(np.promote_types(least, np.int8))
    return replace(fitted, frame=replace(fitted.frame, symbols=small))


@dataclass(frozen=True)
class Made:
    """A fitted picture, ready to be searched in."""

    fitted: Fitted
    shown: Shown

    def forget(self) -> None:
        """Keep the samples alone."""
        self.shown.forget()


@dataclass(frozen=True, slots=True)
class MovingEncoded(Encoded):
    """As every :class:`Encoded`; ``groups``: SHA-256 of the GROUP payloads, which were decoded when they were made."""

    groups: bytes = b""

    def verify(self, file: BinaryIO, options: EncodeOptions) -> None:
        """Raise :class:`InternalError` unless the groups in the file are those that were written."""
        file.seek(0)
        reader = Reader(file, limits=options.limits)
        total = hashlib.sha256()
        for section in reader.sections():
            total.update(section.payload if section.type == SectionType.GROUP else b"")
        if total.digest() != self.groups:
            raise InternalError("the written file holds other groups than were encoded")


class MovingEncoder(Encoder):
    """Encodes one clip with an init for moving pictures."""

    def __init__(self, source: Source, init: MovingInit, options: EncodeOptions, progress: Progress | None) -> None:
        super().__init__(source, init, options, progress)
        if not init.takes(self.info):
            raise UnsupportedMediaError(
                f"init {init.id} takes {init.modality}, not {self.info.modality} of {self.info.channels} channels"
            )
        self.init = init
        self.canvas = Canvas(init, (self.info.shape[1], self.info.shape[2]), init.planes(self.info.channels))
        self.fit = PictureFit(self.canvas)
        self.frames = init.frames_of(self.canvas.shape)
        self._deadline = None if options.max_time is None else time.monotonic() + options.max_time
        self._groups = hashlib.sha256()
        self._next: Made | None = None

    def run(self, out: BinaryIO) -> Encoded:
        """Encode everything and write the file to ``out``."""
        found = super().run(out)
        rest = {f.name: getattr(found, f.name) for f in fields(found)}
        return MovingEncoded(**rest, groups=self._groups.digest())

    def write_signal(self, writer: Writer) -> int:
        """One GROUP section for every group, and its ALPHA."""
        length, before = 0, None
        for clip in self._clips():
            if before is not None:
                self._group(writer, before, clip)
                length += len(before.samples)
            before = clip
        if before is not None:
            self._group(writer, before, None)
            length += len(before.samples)
        self.rows = min(self.frames, length)
        return length

    def _clips(self) -> Iterator[Clip]:
        last: Floats | None = None
        # Values are four times as large as samples: they are held a few pictures at a time.
        at_once = math.gcd(self.frames, _READ)
        blocks = map(self._part, self.source.blocks(at_once))
        for number in count():
            parts = list(itertools.islice(blocks, self.frames // at_once))
            if not parts:
                return
            small = [s for part in parts for s in part.small]
            scenes = cuts(small) if last is None else [s - 1 for s in cuts([last, *small])]
            last, flat = small[-1], all(part.flat for part in parts)
            samples = np.concatenate([part.samples if flat else part.filled for part in parts])
            alpha = None if parts[0].alpha is None else np.concatenate([p.alpha for p in parts if p.alpha is not None])
            del parts
            yield Clip(number, samples, alpha, tuple(scenes), flat)

    def _part(self, block: Block) -> Part:
        shown, samples = self.shown(block.values, block.alpha), self.written(block.values)
        filled = samples if shown is block.values else self.written(shown)
        return Part(samples, filled, block.alpha, [reduced(f) for f in shown], is_flat(samples, block.alpha))

    def _planes(self, samples: Ints) -> Floats:
        """Planes (P, H, W) of a frame (H, W, C)."""
        if self.constant:
            return np.zeros((self.canvas.planes, *self.canvas.shape), np.float32)
        values = dequantize(samples, self.info.sample_type, self.info.value_range)
        planes = self.init.pictures.planes.to_planes(values, offset_of("video"))
        return np.ascontiguousarray(planes[: self.canvas.planes], np.float32)

    def _plan(self, picture: Picture) -> Plan:
        quality = falling(self.options.quality, picture)
        effort = max(1, self.options.effort - _EASIER[0 if picture.alone else 1 + min(picture.depth, 1)])
        return Plan.of(quality, effort, deadline=self._deadline)

    def _group(self, writer: Writer, clip: Clip, after: Clip | None) -> None:
        length, goes_on = len(clip.samples), after is not None
        scenes = [] if clip.flat else [*clip.scenes, *([length] if after is not None and 0 in after.scenes else [])]
        chosen = anchors(length, scenes, goes_on=goes_on, stride=1 if clip.flat else STRIDE)
        order = pictures(chosen, length, goes_on=goes_on)
        known: dict[int, Made] = {}
        if self._next is not None:
            known[0] = self._next
        self._next = None
        if after is not None:
            self._next = known[length] = self._picture(after, Picture(0, (), 0), [])
        todo = [p for p in order if p.at not in known]
        make = partial(self._picture, clip)
        found = dict(known)
        for picture, made in zip(todo, Schedule(todo, make, known).run(torch_map), strict=True):
            found[picture.at] = made
            self.tick(float(np.prod(self.canvas.shape)))
        self._write(writer, clip, chosen, [found[p.at].fitted for p in order])
        self._measure(clip, {p.at: found[p.at].fitted.planes for p in order})

    def _picture(self, clip: Clip, picture: Picture, references: list[Made]) -> Made:
        heir = next((r for r, at in zip(references, picture.references, strict=True) if at == picture.heir), None)
        past = Past.of(None if heir is None else heir.fitted.past)
        samples = clip.samples[picture.at]
        if clip.flat:
            seen = np.ones(samples.shape[:2], bool) if clip.alpha is None else clip.alpha[picture.at] > 0
            fitted = self.fit.painted(samples, seen, [r.shown for r in references], past)
            return Made(fitted, Shown(Reference(fitted.planes)))
        planes, plan = self._planes(samples), self._plan(picture)
        if picture.alone:
            fitted = self.fit.alone(planes, plan, past)
        else:
            fitted = self.fit.moved(planes, [r.shown for r in references], plan, past, picture.distances)
        return Made(slim(fitted), Shown(Reference(fitted.planes)))

    def _write(self, writer: Writer, clip: Clip, chosen: list[Anchor], fitted: list[Fitted]) -> None:
        payload = chunk_payload(clip.number, pack_group(chosen, [f.payload for f in fitted]))
        writer.add(SectionType.GROUP, payload)
        self._groups.update(payload)
        for one in fitted:
            self.symbols.update(one.frame.numbers().astype("<i4").tobytes())
        if clip.alpha is not None:
            writer.add(SectionType.ALPHA, chunk_payload(clip.number, encode_plane(clip.alpha)))
            self.hash_alpha(clip.alpha)

    def _measure(self, clip: Clip, planes: dict[int, Whole]) -> None:
        for i, samples in enumerate(clip.samples):
            values = values_of(planes[i], len(self.init.pictures.planes.names), self.info.channels)
            alpha = None if clip.alpha is None else clip.alpha[i : i + 1]
            self.error.add_seen(samples[None], self.written(values[None]), alpha)
