"""``nfc decode``."""

from __future__ import annotations

from typing import Any

import click

from nfcodec.cli import text
from nfcodec.cli.items import Item, process
from nfcodec.cli.params import (
    CROP,
    SIZE,
    TIME,
    F,
    init_option,
    inputs_argument,
    json_option,
    output_options,
    usage_errors,
    verbose_option,
)
from nfcodec.cli.report import Reporter
from nfcodec.cli.session import Session
from nfcodec.cli.targets import Target, plan
from nfcodec.options import DecodeOptions, DecodeResult, Progress

_DEFAULT = DecodeOptions()
_EPILOG = """\
\b
Examples:
  nfc decode photo.nfc                     photo.png
  nfc decode photo.nfc --size 1920x -o large.webp
  nfc decode clip.nfc --time 1:30-2:00 --crop 0,0,640,360
  nfc decode speech.nfc --rate 48000 --format flac
  nfc decode half.nfc --partial
"""


def _plain(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    return value.lower().lstrip(".") or None if value is not None else None


def decode_options(function: F) -> F:
    """All options that say what to render: the fields of DecodeOptions, ``kind`` and ``init``."""
    options = (
        click.option("--scale", type=float, default=_DEFAULT.scale, metavar="S", help="Render at S times the size."),
        click.option(
            "--size", callback=SIZE, metavar="WxH",
            help="Render at this size; either side may be left out (1920x, x1080).",
        ),
        click.option("--crop", callback=CROP, metavar="X,Y,W,H", help="Only this part, in native pixels."),
        click.option(
            "--time", callback=TIME, metavar="A:B",
            help="Only this time, in seconds (1.5:3, 5:, :10) or as mm:ss (1:30-2:00).",
        ),
        click.option(
            "--rate", type=float, default=_DEFAULT.rate, metavar="HZ", help="Sound: render at this sample rate."
        ),
        click.option("--fps", type=float, default=_DEFAULT.fps, metavar="N", help="Video: render N frames per second."),
        click.option(
            "--partial", is_flag=True, help="Take a truncated file for what is there of it, and say what is missing."
        ),
        click.option(
            "--format", "kind", metavar="SUFFIX", callback=_plain, help="Output format: png, jpg, wav, mp4, npy, …"
        ),
        init_option,
    )  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function


@click.command("decode", epilog=_EPILOG)
@inputs_argument
@output_options
@decode_options
@json_option
@verbose_option
@click.pass_obj
def command(
    session: Session, /, inputs: tuple[str, ...], output: str | None, folder: str | None, force: bool,
    skip_existing: bool, kind: str | None, init: str | None, as_json: bool, **fields: Any,
) -> int:  # fmt: skip
    """Decode .nfc files at any size, rate or part.

    Where a file of the output's name exists, which may be the original, the output is called photo.decoded.png, unless
    -o names it.
    """
    with usage_errors():
        options = DecodeOptions(**fields)
    target = Target(output, folder, force, skip_existing)
    items = plan(inputs, target, None)
    reporter = Reporter(session, text.decoded, as_json, piped=target.piped(inputs))

    def work(item: Item, progress: Progress | None) -> DecodeResult:
        from nfcodec import api

        return api.decode(
            item.input, item.output, options=options, force=force, format=kind, folder=folder, init=init,
            progress=progress, aside=not skip_existing,
        )  # fmt: skip

    return process(items, work, reporter, skip_existing=skip_existing, bars=True)
