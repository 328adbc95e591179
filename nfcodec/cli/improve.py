"""``nfc improve``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from nfcodec.cli import text
from nfcodec.cli.items import Item, process
from nfcodec.cli.params import DURATION, init_option, json_option, threads_option, usage_errors, verbose_option
from nfcodec.cli.report import Reporter
from nfcodec.cli.session import Session
from nfcodec.options import EncodeOptions, Progress

if TYPE_CHECKING:
    from nfcodec.rewrite import ImproveResult

_EFFORT = 9
_EPILOG = """\
\b
Example:
  nfc improve photo.nfc --from photo.png
"""


@click.command("improve", epilog=_EPILOG)
@click.argument("file", type=click.Path())
@click.option("--from", "original", type=click.Path(), required=True, metavar="ORIGINAL", help="What it was made from.")
@click.option(
    "-e",
    "--effort",
    type=int,
    default=_EFFORT,
    show_default=True,
    metavar="1..9",
    help="More takes more time and finds better files.",
)
@click.option(
    "--max-time",
    callback=DURATION,
    metavar="SECONDS",
    help="Leave out steps that would take longer.",
)
@init_option
@threads_option
@json_option
@verbose_option
@click.pass_obj
def command(
    session: Session, /, file: str, original: str, effort: int, max_time: float | None, init: str | None, as_json: bool
) -> int:  # fmt: skip
    """Spend more effort on a file.

    Encodes ORIGINAL again with the file's own quality, init and metadata. The file is replaced only when the new one
    is better for its size; otherwise it stays as it is.
    """
    with usage_errors():
        EncodeOptions(effort=effort)

    def work(item: Item, progress: Progress | None) -> ImproveResult:
        from nfcodec.rewrite import improve

        return improve(file, original, effort=effort, max_time=max_time, init=init, progress=progress)

    return process([Item(file)], work, Reporter(session, _told, as_json), bars=True)


def _told(r: ImproveResult) -> str:
    """photo.nfc  21 344 → 20 911 B  36.1 → 36.2 dB  8.2 s."""
    if not r.improved:
        return f"{text.label(r.output)}: kept, nothing better was found  {r.seconds:.1f} s"
    sizes = f"{text.count(r.old_bytes)} → {text.count(r.bytes)} B"
    return f"{text.label(r.output)}  {sizes}  {r.old_psnr:.2f} → {text.decibel(r.psnr)}  {r.seconds:.1f} s"
