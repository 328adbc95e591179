"""``nfc transcode``."""

from __future__ import annotations

from functools import partial

import click

from nfcodec.cli import text
from nfcodec.cli.items import Item, process
from nfcodec.cli.params import json_option, threads_option, usage_errors, verbose_option
from nfcodec.cli.report import Reporter
from nfcodec.cli.session import Session
from nfcodec.cli.targets import Target, plan
from nfcodec.options import EncodeOptions, EncodeResult, Progress

_DEFAULT = EncodeOptions()
_EPILOG = """\
\b
Example:
  nfc transcode photo.nfc -q 30 -o small.nfc
"""


@click.command("transcode", epilog=_EPILOG)
@click.argument("file", type=click.Path(allow_dash=True))
@click.option("-q", "--quality", type=int, required=True, metavar="0..100", help="Quality of the new file.")
@click.option(
    "-o", "--output", type=click.Path(allow_dash=True), required=True, metavar="OUT", help="Output file, or -."
)
@click.option(
    "-e",
    "--effort",
    type=int,
    default=_DEFAULT.effort,
    show_default=True,
    metavar="1..9",
    help="More takes more time and finds better files.",
)
@click.option("-f", "--force", is_flag=True, help="Replace the output when it exists.")
@click.option("--init", metavar="ID|PATH", help="The init of the new file.  [default: by kind]")
@click.option("--from-init", type=click.Path(), metavar="PATH", help="The init of FILE, where it is not a shipped one.")
@threads_option
@json_option
@verbose_option
@click.pass_obj
def command(
    session: Session, /, file: str, quality: int, output: str, effort: int, force: bool, init: str | None,
    from_init: str | None, as_json: bool,
) -> int:  # fmt: skip
    """Make a file of another quality from a file.

    Decodes FILE and encodes what comes out. This loses: errors of both add up, and a higher quality brings nothing
    back. Encode the original where you have it.
    """
    with usage_errors():
        options = EncodeOptions(quality=quality, effort=effort, init=init)
    target = Target(output, None, force, False)
    items = plan([file], target, None)

    def work(item: Item, progress: Progress | None) -> EncodeResult:
        from nfcodec.rewrite import transcode

        return transcode(item.input, output, options=options, init=from_init, force=force, progress=progress)

    show = partial(text.encoded, verbose=session.verbose)
    return process(items, work, Reporter(session, show, as_json, piped=target.piped([file])), bars=True)
