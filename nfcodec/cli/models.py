"""``nfc models``."""

from __future__ import annotations

import click

from nfcodec.cli import text
from nfcodec.cli.params import json_option, verbose_option
from nfcodec.cli.report import Reporter
from nfcodec.cli.session import Session


@click.command("models")
@json_option
@verbose_option
@click.pass_obj
def command(session: Session, /, as_json: bool) -> int:
    """List the shipped inits."""
    from nfcodec import api

    reporter = Reporter(session, text.model, as_json, data=True)
    try:
        found = api.models()
    except Exception as error:
        if session.signal:
            raise KeyboardInterrupt from error
        return reporter.failed("", error)
    for model in found:
        reporter.result(model)
    return 0
