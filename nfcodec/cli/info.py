"""``nfc info``."""

from __future__ import annotations

import click

from nfcodec.cli import text
from nfcodec.cli.items import Item, process
from nfcodec.cli.params import inputs_argument, json_option, verbose_option
from nfcodec.cli.report import Reporter
from nfcodec.cli.session import Session
from nfcodec.options import FileInfo, Progress


@click.command("info")
@inputs_argument
@json_option
@verbose_option
@click.pass_obj
def command(session: Session, /, inputs: tuple[str, ...], as_json: bool) -> int:
    """Show what .nfc files hold, without decoding them."""

    def work(item: Item, progress: Progress | None) -> FileInfo:
        from nfcodec import api

        return api.info(item.input)

    return process([Item(name) for name in inputs], work, Reporter(session, text.information, as_json, data=True))
