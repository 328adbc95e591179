"""``nfc verify``."""

from __future__ import annotations

import click

from nfcodec.cli import text
from nfcodec.cli.items import Item, process
from nfcodec.cli.params import init_option, inputs_argument, json_option, verbose_option
from nfcodec.cli.report import Reporter
from nfcodec.cli.session import Session
from nfcodec.options import Progress, VerifyResult


@click.command("verify", epilog="Exit code 4: a file is damaged, or not an .nfc file.")
@inputs_argument
@init_option
@json_option
@verbose_option
@click.pass_obj
def command(session: Session, /, inputs: tuple[str, ...], init: str | None, as_json: bool) -> int:
    """Check that .nfc files are undamaged.

    Checks structure and checksums, and decodes every symbol.
    """

    def work(item: Item, progress: Progress | None) -> VerifyResult:
        from nfcodec import api

        return api.verify(item.input, init=init)

    return process([Item(name) for name in inputs], work, Reporter(session, text.verified, as_json))
