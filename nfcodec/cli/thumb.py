"""``nfc thumb``."""

from __future__ import annotations

import click

from nfcodec.cli import text
from nfcodec.cli.items import Item, process
from nfcodec.cli.params import init_option, json_option, verbose_option
from nfcodec.cli.report import Reporter
from nfcodec.cli.session import Session
from nfcodec.cli.targets import Target, plan
from nfcodec.options import DecodeResult, Progress

_SIZE = 256
_EPILOG = """\
\b
Examples:
  nfc thumb photo.nfc -o small.png
  nfc thumb photo.nfc -o - --size 128 > small.png
"""


@click.command("thumb", epilog=_EPILOG)
@click.argument("file", type=click.Path(allow_dash=True))
@click.option("-o", "--output", type=click.Path(allow_dash=True), required=True, metavar="OUT", help="PNG file, or -.")
@click.option(
    "--size",
    type=click.IntRange(min=1),
    default=_SIZE,
    show_default=True,
    metavar="N",
    help="Longest side, in pixels.",
)
@click.option("-f", "--force", is_flag=True, help="Replace the output when it exists.")
@init_option
@json_option
@verbose_option
@click.pass_obj
def command(
    session: Session, /, file: str, output: str, size: int, force: bool, init: str | None, as_json: bool
) -> int:  # fmt: skip
    """Write a small PNG of a picture.

    Decodes no more of FILE than a preview needs. A video shows its first frame; nothing is enlarged.
    """
    target = Target(output, None, force, False)
    items = plan([file], target, None)

    def work(item: Item, progress: Progress | None) -> DecodeResult:
        from nfcodec.plugins.thumb import thumbnail

        return thumbnail(item.input, output, size=size, force=force, init=init)

    return process(items, work, Reporter(session, text.decoded, as_json, piped=target.piped([file])))
