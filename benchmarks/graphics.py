"""Six pictures of the kind that photo codecs find hard, drawn here with Pillow alone.

    python benchmarks/graphics.py FOLDER
    python benchmarks/rd.py images FOLDER --name graphics

A window with text, a line chart, a bar chart, a logo in flat colours, a page of code in small type and an enlarged
pixel sprite. The drawing is fixed: the same Pillow gives the same pixels. Text uses the font that comes with Pillow.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
from collections.abc import Callable
from pathlib import Path

from machine import BenchmarkError
from PIL import Image, ImageDraw, ImageFont, features
from results import say

SMOOTH = 4  # shapes are drawn this many times larger, then reduced
INK, PAPER, GRID, MUTED = "#1f2430", "#ffffff", "#e3e6ea", "#6b7280"
SERIES = ("#2b6cb0", "#c8102e", "#2f7f6f", "#e98a15")
TEXT = (
    "the field is fitted to the samples and a file holds only what differs from the shared start so every "
    "picture costs a few bytes for each cell while long even areas cost nearly none and edges cost most"
)

Draw = ImageDraw.ImageDraw
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def font(size: float) -> Font:
    """Pillow's own font."""
    return ImageFont.load_default(size)


def canvas(width: int, height: int, colour: str = PAPER) -> tuple[Image.Image, Draw]:
    """A picture and what draws on it."""
    image = Image.new("RGB", (width, height), colour)
    return image, ImageDraw.Draw(image)


def reduced(width: int, height: int, colour: str, paint: Callable[[Draw, int], None]) -> Image.Image:
    """Antialiased shapes: ``paint(draw, factor)`` draws with all lengths times ``factor``."""
    image, draw = canvas(width * SMOOTH, height * SMOOTH, colour)
    paint(draw, SMOOTH)
    return image.resize((width, height), Image.Resampling.BOX)


def word(rng: random.Random) -> str:
    """One of TEXT's."""
    return rng.choice(TEXT.split())


def sentence(rng: random.Random, words: int) -> str:
    """Words for the eye, not for the mind."""
    return " ".join(word(rng) for _ in range(words))


def _buttons(draw: Draw, top: int) -> None:
    for i, label in enumerate(("Open", "Save", "Export…", "Undo", "Redo", "Help")):
        left = 16 + 92 * i
        draw.rounded_rectangle((left, top, left + 82, top + 28), 6, fill="#f4f5f7", outline="#c5cad3")
        draw.text((left + 41, top + 14), label, INK, font(13), anchor="mm")


def _sidebar(draw: Draw, height: int) -> None:
    draw.rectangle((0, 84, 190, height), fill="#eef1f5")
    for i, name in enumerate(("Inbox", "Drafts", "Sent", "Archive", "Photos", "Music", "Clips", "Settings")):
        top = 98 + 34 * i
        if i == 4:
            draw.rounded_rectangle((8, top, 182, top + 28), 6, fill=SERIES[0])
        draw.rounded_rectangle((18, top + 8, 30, top + 20), 3, fill=SERIES[i % 4] if i != 4 else PAPER)
        draw.text((42, top + 14), name, PAPER if i == 4 else INK, font(14), anchor="lm")
        draw.text((172, top + 14), str(7 * i % 11), PAPER if i == 4 else MUTED, font(12), anchor="rm")


def window() -> Image.Image:
    """A program's window: title, buttons, a list at the side, a table with text."""
    image, draw = canvas(768, 512)
    rng = random.Random(1)
    draw.rectangle((0, 0, 768, 36), fill="#2d3340")
    for i, colour in enumerate(("#ff5f57", "#febc2e", "#28c840")):
        draw.ellipse((14 + 22 * i, 11, 27 + 22 * i, 24), fill=colour)
    draw.text((384, 18), "Library: 1,284 items", PAPER, font(14), anchor="mm")
    draw.rectangle((0, 36, 768, 84), fill="#fafbfc")
    _buttons(draw, 46)
    _sidebar(draw, 512)
    for i in range(17):
        top = 84 + 24 * i
        draw.rectangle((191, top, 768, top + 23), fill="#f7f8fa" if i % 2 else PAPER)
        cells = ("Name", "Size", "Kind") if i == 0 else (sentence(rng, 5), f"{rng.randint(3, 900)} KB", word(rng))
        colour = MUTED if i == 0 else INK
        for left, text in zip((204, 590, 680), cells, strict=True):
            draw.text((left, top + 12), text, colour, font(13), anchor="lm")
        draw.line((191, top + 23, 768, top + 23), GRID)
    draw.rectangle((0, 490, 768, 512), fill="#eef1f5")
    draw.text((12, 501), "Ready. 3 of 1,284 selected, 2.6 MB", MUTED, font(12), anchor="lm")
    return image


def _axes(draw: Draw, title: str, labels: list[str], top: float) -> None:
    """A frame of 640×360 at (80, 70) with horizontal lines and a title."""
    draw.text((80, 34), title, INK, font(20), anchor="lm")
    for i in range(6):
        y = 430 - 72 * i
        draw.line((80, y, 720, y), GRID if i else INK, 1 if i else 2)
        draw.text((70, y), f"{top * i / 5:g}", MUTED, font(13), anchor="rm")
    for i, label in enumerate(labels):
        draw.text((80 + 640 * (i + 0.5) / len(labels), 448), label, MUTED, font(13), anchor="mm")


def _legend(draw: Draw, names: tuple[str, ...]) -> None:
    for i, name in enumerate(names):
        draw.rectangle((96 + 150 * i, 482, 110 + 150 * i, 492), fill=SERIES[i])
        draw.text((118 + 150 * i, 487), name, INK, font(13), anchor="lm")


def _walks() -> list[list[tuple[float, float]]]:
    rng = random.Random(2)
    walks = []
    for k in range(4):
        value = 60.0 + 60 * k
        points: list[tuple[float, float]] = []
        for i in range(65):
            value = min(340.0, max(10.0, value + rng.gauss(0, 14)))
            points.append((80 + 10 * i, 430 - value))
        walks.append(points)
    return walks


def line_chart() -> Image.Image:
    """Four thin antialiased curves over a grid."""
    walks = _walks()

    def paint(draw: Draw, factor: int) -> None:
        for points, colour in zip(walks, SERIES, strict=True):
            scaled = [(x * factor, y * factor) for x, y in points]
            draw.line(scaled, colour, 2 * factor, joint="curve")
            for x, y in scaled[::8]:
                draw.ellipse((x - 3 * factor, y - 3 * factor, x + 3 * factor, y + 3 * factor), fill=colour)

    curves = reduced(768, 512, PAPER, paint)
    image, draw = canvas(768, 512)
    _axes(draw, "Requests per second, last 64 minutes", [f"{10 + i}:00" for i in range(8)], 500)
    _legend(draw, ("north", "east", "south", "west"))
    inside = (78, 60, 730, 429)
    mask = curves.convert("L").point(lambda level: 0 if level == 255 else 255)
    image.paste(curves.crop(inside), inside[:2], mask.crop(inside))
    return image


def bar_chart() -> Image.Image:
    """Bars in groups of three, each with its number."""
    image, draw = canvas(768, 512)
    _axes(draw, "Bytes by kind of section, thousands", ["photo", "sketch", "map", "scan", "chart", "icon"], 250)
    rng = random.Random(3)
    for group in range(6):
        for i in range(3):
            value = rng.randint(12, 240)
            left = 80 + 640 * (group + 0.5) / 6 - 42 + 28 * i
            top = 430 - value * 360 / 250
            draw.rectangle((left, top, left + 24, 429), fill=SERIES[i])
            draw.text((left + 12, top - 8), str(value), INK, font(11), anchor="mm")
    _legend(draw, ("means", "luma", "chroma"))
    return image


def logo() -> Image.Image:
    """Overlapping circles and a word, flat colours, antialiased."""

    def paint(draw: Draw, factor: int) -> None:
        for i in range(8):
            x, y = 256 + 110 * math.cos(math.pi * i / 4), 200 + 110 * math.sin(math.pi * i / 4)
            box = tuple(factor * v for v in (x - 62, y - 62, x + 62, y + 62))
            draw.ellipse(box, fill=SERIES[i % 4], outline="#f6efe2", width=5 * factor)
        for radius, colour in ((84, "#f6efe2"), (66, INK), (40, "#e98a15"), (16, "#f6efe2")):
            box = tuple(factor * v for v in (256 - radius, 200 - radius, 256 + radius, 200 + radius))
            draw.ellipse(box, fill=colour)
        draw.text((256 * factor, 430 * factor), "lattice", INK, font(84 * factor), anchor="mm")

    return reduced(512, 512, "#f6efe2", paint)


def _code_line(rng: random.Random, depth: int) -> list[tuple[str, str]]:
    """(text, colour) pieces of a line that looks like code."""
    name, other, number = word(rng), word(rng), str(rng.randint(0, 4096))
    kinds: tuple[list[tuple[str, str]], ...] = (
        [("def ", "#c792ea"), (f"{name}_{other}", "#82aaff"), (f"({word(rng)}, {number}):", "#d6deeb")],
        [(f"{name} = ", "#d6deeb"), (number, "#f78c6c"), (f" + {other}[{depth}]", "#d6deeb")],
        [
            ("return ", "#c792ea"),
            (f"{name}.{other}(", "#82aaff"),
            (f'"{word(rng)}"', "#c3e88d"),
            (")", "#d6deeb"),
        ],
        [(f"# {sentence(rng, 7)}", "#637777")],
        [("for ", "#c792ea"), (f"{name} ", "#d6deeb"), ("in ", "#c792ea"), (f"range({number}):", "#82aaff")],
        [],
    )
    return rng.choice(kinds)


def code() -> Image.Image:
    """An editor's page in small type on a dark ground, with line numbers and a selected line."""
    image, draw = canvas(768, 512, "#011627")
    rng, small, depth = random.Random(4), font(11), 0
    draw.rectangle((0, 0, 44, 512), fill="#01111d")
    for i in range(36):
        y = 4 + 14 * i
        if i == 17:
            draw.rectangle((44, y, 768, y + 13), fill="#1d3b53")
        draw.text((38, y + 7), str(i + 101), "#4b6479", small, anchor="rm")
        depth = max(0, min(4, depth + rng.choice((-1, 0, 0, 1))))
        x: float = 54 + 22 * depth
        for text, colour in _code_line(rng, depth):
            draw.text((x, y + 7), text, colour, small, anchor="lm")
            x += small.getlength(text)
    draw.rectangle((756, 60, 762, 180), fill="#3b5364")
    return image


def sprite() -> Image.Image:
    """A symmetric figure of 32×32 pixels, each enlarged to a square of 16."""
    rng, palette = random.Random(5), ("#1b1b3a", "#693668", "#a74482", "#f84aa7", "#ff3562", "#ffd166", "#06d6a0")
    image, _ = canvas(32, 32, "#10121c")
    for y in range(3, 29):
        half = 12 - abs(y - 15) // 2 - (3 if y in (11, 12, 20) else 0)
        shade = palette[(y // 4 + rng.randint(0, 1)) % len(palette)]
        for x in range(half):
            colour = rng.choice(palette) if rng.random() < 0.25 else shade
            for column in (15 - x, 16 + x):
                image.putpixel((column, y), tuple(int(colour[k : k + 2], 16) for k in (1, 3, 5)))
    return image.resize((512, 512), Image.Resampling.NEAREST)


PICTURES: dict[str, Callable[[], Image.Image]] = {
    "window": window, "line-chart": line_chart, "bar-chart": bar_chart, "logo": logo, "code": code, "sprite": sprite,
}  # fmt: skip


def main() -> int:
    """Draw all pictures into the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    args = parser.parse_args()
    if not features.check("freetype2"):
        raise BenchmarkError("this Pillow draws no text in other sizes; it lacks FreeType")
    args.folder.mkdir(parents=True, exist_ok=True)
    for name, draw in PICTURES.items():
        draw().save(args.folder / f"{name}.png", optimize=True)
    say(f"{len(PICTURES)} pictures in {args.folder.name}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BenchmarkError as error:
        say(f"graphics.py: {error}")
        sys.exit(1)
