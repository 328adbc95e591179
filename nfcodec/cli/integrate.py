"""``nfc integrate``."""

from __future__ import annotations

import os
from pathlib import Path

import click

from nfcodec.cli import text
from nfcodec.cli.items import Item, process
from nfcodec.cli.params import verbose_option
from nfcodec.cli.report import Reporter, note
from nfcodec.cli.session import Session
from nfcodec.options import Progress
from nfcodec.plugins.desktop import PIECES, Installed, content, install

_EPILOG = """\
\b
Examples:
  nfc integrate -d ~/.local/share            for you alone
  nfc integrate --print mime > nfcodec.xml   for a package

\b
Afterwards, once:
  update-mime-database ~/.local/share/mime
"""


@click.command("integrate", epilog=_EPILOG)
@click.option("--print", "piece", type=click.Choice(list(PIECES)), help="Print one of the files instead.")
@click.option(
    "-d",
    "--folder",
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="The data folder of a user or of the system.",
)
@click.option("-f", "--force", is_flag=True, help="Replace files that exist and differ.")
@verbose_option
@click.pass_obj
def command(session: Session, /, piece: str | None, folder: str | None, force: bool) -> int:
    """Tell your desktop of .nfc files.

    Writes their media types (shared-mime-info) and an entry for thumbnails (nfc thumb) below DIR.
    """
    if (piece is None) == (not folder):
        raise click.UsageError("give either -d DIR or --print", click.get_current_context())
    if piece is not None:
        click.echo(content(piece), nl=False)
        return 0

    def work(item: Item, progress: Progress | None) -> Installed:
        return install(item.input, Path(str(folder)), force=force)

    code = process([Item(name) for name in PIECES], work, Reporter(session, _written))
    if code == 0:
        note(f"now run: update-mime-database {text.label(os.path.join(str(folder), 'mime'))}")
    return code


def _written(done: Installed) -> str:
    return f"{done.input} → {text.label(done.output)}"
