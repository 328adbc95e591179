"""Drawn pictures for training: text, flat shapes, lines, tables and enlarged pixels.

Photographs alone teach a lattice nothing about even areas between hard edges. Each drawing is a function of its seed.
"""

from __future__ import annotations

import io
import math

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from nfcodec.types import Bytes

SIDE = 512
_FINE = 3  # smooth shapes are drawn this many times larger
_LETTERS = "etaoinshrdlucmfwypvbgkqjxz ETAOIN 0123456789 .,:;-+=()[]{}<>/|_#"

Random = np.random.Generator
Colour = tuple[int, int, int]


def drawing(seed: int) -> Bytes:
    """(512, 512, 3)."""
    random = np.random.default_rng((seed, 0xD0A))
    kinds = (_text, _shapes, _panels, _curves, _pixels, _plate)
    image = kinds[seed % len(kinds)](random)
    return np.asarray(image.convert("RGB"), np.uint8)


def _colour(random: Random, low: int = 0, high: int = 256) -> Colour:
    r, g, b = (int(c) for c in random.integers(low, high, 3))
    grey = (r + g + b) // 3
    return (grey, grey, grey) if random.random() < 0.4 else (r, g, b)


def _pair(random: Random) -> tuple[Colour, Colour]:
    """Paper and ink, either of them light."""
    light, dark = _colour(random, 200), _colour(random, 0, 100)
    if random.random() < 0.5:
        light = (255, 255, 255)
    return (light, dark) if random.random() < 0.7 else (dark, light)


def _font(random: Random) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(float(random.integers(9, 40)) if random.random() < 0.8 else 80.0)


def _line(random: Random, length: int) -> str:
    return "".join(random.choice(list(_LETTERS), length))


def _write(random: Random, draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], ink: Colour) -> None:
    """Lines of letters in one size from the top of ``box`` on."""
    font = _font(random)
    height = math.ceil(1.3 * getattr(font, "size", 11))
    for y in range(box[1], max(box[1] + 1, box[3] - height), height):
        colour = _colour(random) if random.random() < 0.1 else ink
        indent = height * int(random.integers(0, 4))
        draw.text((box[0] + indent, y), _line(random, int(random.integers(5, 90))), fill=colour, font=font)


def _text(random: Random) -> Image.Image:
    paper, ink = _pair(random)
    image = Image.new("RGB", (SIDE, SIDE), paper)
    _write(random, ImageDraw.Draw(image), (int(random.integers(0, 40)), int(random.integers(0, 20)), SIDE, SIDE), ink)
    return image


def _box(random: Random, side: int) -> tuple[int, int, int, int]:
    x, y = (int(v) for v in random.integers(-side // 8, side, 2))
    w, h = (int(v) for v in random.integers(side // 64, side // 2, 2))
    return x, y, x + w, y + h


def _shapes(random: Random) -> Image.Image:
    """Ellipses, polygons and arcs in flat colours, with smooth edges."""
    side = SIDE * _FINE
    image = Image.new("RGB", (side, side), _colour(random))
    draw = ImageDraw.Draw(image)
    for _ in range(int(random.integers(3, 30))):
        box, colour = _box(random, side), _colour(random)
        kind = random.integers(3)
        if kind == 0:
            draw.ellipse(box, fill=colour)
        elif kind == 1:
            points = random.integers(0, side, (int(random.integers(3, 7)), 2))
            draw.polygon([(int(x), int(y)) for x, y in points], fill=colour)
        else:
            draw.arc(box, 0, float(random.integers(30, 360)), fill=colour, width=int(random.integers(3, 60)))
    return image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def _panels(random: Random) -> Image.Image:
    """Boxes with borders on whole pixels, with text in some: a program's window."""
    paper, ink = _pair(random)
    image = Image.new("RGB", (SIDE, SIDE), paper)
    draw = ImageDraw.Draw(image)
    for _ in range(int(random.integers(4, 25))):
        box = _box(random, SIDE)
        own, letters = _pair(random) if random.random() < 0.5 else (paper, ink)
        draw.rounded_rectangle(box, int(random.integers(0, 9)), fill=own, outline=_colour(random), width=1)
        if random.random() < 0.6:
            _write(random, draw, (box[0] + 6, box[1] + 4, box[2], box[3]), letters)
    return image


def _curves(random: Random) -> Image.Image:
    """Thin lines and bars over a grid."""
    paper, ink = _pair(random)
    side = SIDE * _FINE
    image = Image.new("RGB", (side, side), paper)
    draw = ImageDraw.Draw(image)
    step = _FINE * int(random.integers(16, 80))
    for at in range(0, side, step):
        draw.line([(at, 0), (at, side), (at, at), (side, at), (0, at)], fill=_colour(random, 150), width=_FINE)
    for _ in range(int(random.integers(1, 6))):
        y = side / 2 + np.cumsum(random.normal(0, random.uniform(5, 60), 80))
        points = [(int(i * side / 79), int(v)) for i, v in enumerate(y)]
        draw.line(points, fill=_colour(random), width=int(random.integers(2, 5 * _FINE)))
    image = image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    _write(random, ImageDraw.Draw(image), (20, int(random.integers(0, 400)), SIDE, SIDE), ink)
    return image


def _pixels(random: Random) -> Image.Image:
    """Few colours in squares of 2 to 16 pixels, some of them in runs."""
    size = int(random.integers(2, 17))
    n = -(-SIDE // size)
    colours = np.array([_colour(random) for _ in range(int(random.integers(2, 12)))], np.uint8)
    index = random.integers(0, len(colours), (n, n))
    stays = random.random((n, n)) < random.uniform(0.3, 0.95)
    for i in range(1, n):
        index[:, i] = np.where(stays[:, i], index[:, i - 1], index[:, i])
    large = colours[index].repeat(size, 0).repeat(size, 1)[:SIDE, :SIDE]
    return Image.fromarray(np.ascontiguousarray(large))


def _plate(random: Random) -> Image.Image:
    """Smooth shades with letters on them, as saved once by a careless JPEG in every other case."""
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    ramp = np.clip(random.uniform(-1, 1) * y + random.uniform(-1, 1) * x + random.uniform(0, 1), 0, 1)[..., None]
    first, second = (np.array(_colour(random)) for _ in range(2))
    image = Image.fromarray(np.rint(first * ramp + second * (1 - ramp)).astype(np.uint8))
    _write(random, ImageDraw.Draw(image), (30, int(random.integers(0, 300)), SIDE, SIDE), _pair(random)[1])
    if random.random() < 0.5:
        return image
    kept = io.BytesIO()
    image.save(kept, "JPEG", quality=int(random.integers(60, 96)))
    return Image.open(kept)
