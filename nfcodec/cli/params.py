"""Options that several verbs share, and the parsers of option values. Defaults come from the dataclasses."""

from __future__ import annotations

import contextlib
import logging
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import click

from nfcodec.cli.session import Session
from nfcodec.errors import OptionError

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

STREAM = "-"
MOST_BYTES = 2**63
_URL = re.compile(r"[A-Za-z][\w+.-]+://")


def _be_verbose(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and isinstance(ctx.obj, Session):
        ctx.obj.verbose = True
        ctx.with_resource(_logged())


@contextlib.contextmanager
def _logged() -> Iterator[None]:
    """What the package logs goes to standard error."""
    handler, log = logging.StreamHandler(), logging.getLogger("nfcodec")
    handler.setFormatter(logging.Formatter("%(message)s"))
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


def verbose_option(function: F) -> F:
    """``-v``."""
    text = "Say more; show the traceback of an internal error."
    return click.option(
        "-v", "--verbose", is_flag=True, expose_value=False, is_eager=True, callback=_be_verbose, help=text
    )(function)


def json_option(function: F) -> F:
    """``--json``."""
    text = "Print one JSON object per item on standard output."
    return click.option("--json", "as_json", is_flag=True, help=text)(function)


def threads_option(function: F) -> F:
    """``--threads N``."""
    return click.option(
        "--threads", type=click.IntRange(min=1), metavar="N", callback=_set_threads, expose_value=False,
        help="Number of CPU threads.  [default: all cores]",
    )(function)  # fmt: skip


def _set_threads(ctx: click.Context, param: click.Parameter, value: int | None) -> None:
    if value is not None and not ctx.resilient_parsing:
        from nfcodec.parallel import limited

        ctx.with_resource(limited(value))


def init_option(function: F) -> F:
    """``--init PATH`` of the verbs that read .nfc files."""
    text = "The init that the file was made with, where it is not a shipped one."
    return click.option("--init", type=click.Path(), metavar="PATH", help=text)(function)


def inputs_argument(function: F) -> F:
    """``IN...``: one or more paths, or ``-``."""
    kind = click.Path(allow_dash=True)
    return click.argument("inputs", metavar="IN...", nargs=-1, required=True, type=kind, callback=_checked)(function)


def _checked(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    if "" in value:
        raise click.BadParameter("the name is empty", ctx, param)
    urls = [name for name in value if _URL.match(name)]
    if urls:
        raise click.UsageError(f"{urls[0]} is a URL, and this takes files; nfc batch reads folders by their URL", ctx)
    if value.count(STREAM) > 1:
        raise click.BadParameter("standard input can be read only once", ctx, param)
    if STREAM in value and not ctx.resilient_parsing and (sys.stdin is None or sys.stdin.isatty()):
        raise click.BadParameter("standard input is a terminal; give a file, or a pipe", ctx, param)
    return value


def output_options(function: F) -> F:
    """``-o``, ``-d``, ``-f`` and ``--skip-existing``."""
    options = (
        click.option("-o", "--output", type=click.Path(allow_dash=True), metavar="OUT", help="Output file, or -."),
        click.option(
            "-d", "--folder", type=click.Path(file_okay=False), metavar="DIR",
            help="Folder for outputs named after the inputs; made when missing.  [default: beside the input]",
        ),
        click.option("-f", "--force", is_flag=True, help="Replace outputs that exist."),
        click.option("--skip-existing", is_flag=True, help="Leave out inputs whose output exists."),
    )  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function


@contextlib.contextmanager
def usage_errors() -> Iterator[None]:
    """An impossible option value is wrong usage, whichever layer notices it."""
    try:
        yield
    except OptionError as error:
        raise click.UsageError(str(error), click.get_current_context(silent=True)) from error


def parsed(parse: Callable[[str], T], what: str, example: str) -> Callable[..., T | None]:
    """An option callback that parses the text; a ``ValueError`` becomes a usage error with an example."""

    def callback(ctx: click.Context, param: click.Parameter, value: str | None) -> T | None:
        try:
            return None if value is None else parse(value)
        except ValueError:
            raise click.BadParameter(f"{value!r} is not a {what}; an example is {example}", ctx, param) from None

    return callback


def parse_size(text: str) -> tuple[int, int]:
    """1920x1080 → (1920, 1080); an empty side becomes 0."""
    width, height = text.lower().replace("×", "x").split("x")
    return int(width or 0), int(height or 0)


def parse_crop(text: str) -> tuple[int, int, int, int]:
    """x,y,w,h → four integers."""
    x, y, width, height = (int(part) for part in text.split(","))
    return x, y, width, height


def parse_time(text: str) -> tuple[float, float | None]:
    """``a:b`` → (a, b) in seconds. Both sides are seconds, mm:ss or hh:mm:ss; an empty one is an end of the signal.

    When both sides have colons they must have equally many: 1:30:2:00 is from 1:30 to 2:00. A dash separates
    any two: 90-2:00.
    """
    if "-" in text:
        start, stop = text.split("-")
        return _clock(start) or 0.0, _clock(stop)
    parts = text.split(":")
    if len(parts) < 2 or (parts[0] and parts[-1] and len(parts) % 2):
        raise ValueError(text)
    half = 1 if not parts[0] else len(parts) - 1 if not parts[-1] else len(parts) // 2
    return _clock(":".join(parts[:half])) or 0.0, _clock(":".join(parts[half:]))


def _clock(text: str) -> float | None:
    """Seconds of "90", "1:30" or "0:01:30"; None for an empty text."""
    if not text:
        return None
    parts = text.split(":")
    if len(parts) > 3:
        raise ValueError(text)
    seconds = 0.0
    for part in parts:
        seconds = seconds * 60.0 + float(part)
    if not seconds < float("inf"):
        raise ValueError(text)
    return seconds


def parse_bytes(text: str) -> int:
    """50000, 50k, 50kB, 1.5M → bytes; k, M, G are powers of 1000, Ki, Mi, Gi of 1024."""
    match = re.fullmatch(r"([0-9.]+)(?:([kmg])(i?))?b?", text.strip().lower())
    if match is None:
        raise ValueError(text)
    number, unit, binary = match.groups()
    size = float(number) * (1024 if binary else 1000) ** ("kmg".index(unit) + 1 if unit else 0)
    if not 1 <= size <= MOST_BYTES:
        raise ValueError(text)
    return int(size)


def parse_positive(text: str) -> float:
    """A finite number above 0."""
    value = float(text)
    if not 0.0 < value < float("inf"):
        raise ValueError(text)
    return value


def parse_duration(text: str) -> float:
    """Seconds, or mm:ss, or hh:mm:ss; above 0."""
    return parse_positive(str(_clock(text)))


BITS = parsed(parse_positive, "number of bits per pixel", "0.5")
BYTES = parsed(parse_bytes, "file size", "50000, 50k or 1.5M")
DECIBEL = parsed(parse_positive, "PSNR in dB", "36")
DURATION = parsed(parse_duration, "time", "60 (seconds) or 1:30")
SIZE = parsed(parse_size, "size", "1920x1080, 1920x or x1080")
CROP = parsed(parse_crop, "crop", "0,0,512,256 (x,y,width,height)")
TIME = parsed(parse_time, "time range", "1.5:3, :10, 5: or 1:30-2:00")
