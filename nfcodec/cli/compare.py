"""``nfc compare``."""

from __future__ import annotations

import click

from nfcodec.cli import text
from nfcodec.cli.items import Item, process
from nfcodec.cli.params import json_option, verbose_option
from nfcodec.cli.report import Reporter
from nfcodec.cli.session import Session
from nfcodec.options import CompareResult, Progress

_EXAMPLES = "\b\nExample:\n  nfc compare photo.png photo.nfc\n  nfc compare voice.wav voice.nfc --plot voice.png"


@click.command("compare", epilog=_EXAMPLES)
@click.argument("a", type=click.Path())
@click.argument("b", type=click.Path())
@click.option("--init", metavar="PATH", default=None, help="Init of .nfc files that use one that is not shipped.")
@click.option("--plot", metavar="PNG", type=click.Path(), default=None, help="Of sound: write spectrograms here.")
@json_option
@verbose_option
@click.pass_obj
def command(session: Session, /, a: str, b: str, init: str | None, plot: str | None, as_json: bool) -> int:
    """Compare two files: media or .nfc, of equal size.

    Prints the PSNR, for sound the SNR, for images MS-SSIM, and the largest error of B against A. --plot draws the
    spectrograms of two recordings and of what differs between them (needs matplotlib).
    """

    def work(item: Item, progress: Progress | None) -> CompareResult:
        from nfcodec import api

        return api.compare(a, b, init=init, plot=plot)

    return process([Item(f"{a}, {b}")], work, Reporter(session, text.compared, as_json, data=True))
