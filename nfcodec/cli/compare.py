"""``nfc compare``."""

from __future__ import annotations

import click

from nfcodec.cli import text
from nfcodec.cli.items import Item, process
from nfcodec.cli.params import json_option, verbose_option
from nfcodec.cli.report import Reporter
from nfcodec.cli.session import Session
from nfcodec.options import CompareResult, Progress


@click.command("compare", epilog="\b\nExample:\n  nfc compare photo.png photo.nfc")
@click.argument("a", type=click.Path())
@click.argument("b", type=click.Path())
@click.option("--init", metavar="PATH", default=None, help="Init of .nfc files that use one that is not shipped.")
@json_option
@verbose_option
@click.pass_obj
def command(session: Session, /, a: str, b: str, init: str | None, as_json: bool) -> int:
    """Compare two files: media or .nfc, of equal size.

    Prints the PSNR, for sound the SNR, for images MS-SSIM, and the largest error of B against A.
    """

    def work(item: Item, progress: Progress | None) -> CompareResult:
        from nfcodec import api

        return api.compare(a, b, init=init)

    return process([Item(f"{a}, {b}")], work, Reporter(session, text.compared, as_json, data=True))
