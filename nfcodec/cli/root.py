"""The group ``nfc``: loads a verb's module when it is used, and finds the verb where none was given."""

from __future__ import annotations

import contextlib
import difflib
import os
import sys
from importlib import import_module
from typing import Any

import click
from click.shell_completion import CompletionItem

from nfcodec import __version__
from nfcodec.cli.params import verbose_option
from nfcodec.cli.report import note
from nfcodec.cli.text import label
from nfcodec.container.layout import SIGNATURE, VERSION

NAME = "nfc"
COMPLETE_VAR = "_NFC_COMPLETE"
VERBS = (
    "encode", "decode", "batch", "info", "verify", "compare", "thumb", "improve", "transcode", "models", "train",
    "completion", "man", "integrate",
)  # fmt: skip

_EPILOG = """\
\b
Examples:
  nfc photo.png                      photo.nfc, at quality 75
  nfc encode -q 60 -e 7 *.png -d out
  nfc decode photo.nfc --scale 2
  nfc info photo.nfc

\b
Exit codes:
  0    all good
  1    an item failed
  2    wrong usage
  3    a batch came to its end, and some of its files failed
  4    damaged, or not an .nfc file
  5    a limit was met
  130  interrupted (143 by SIGTERM)
"""


class Root(click.Group):
    """A click group whose verbs are modules of :mod:`nfcodec.cli`, and where the verb may be left out."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All verbs, in the order of a first acquaintance."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the verb's module."""
        if cmd_name not in VERBS:
            return None
        command: click.Command = import_module(f"nfcodec.cli.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The verb of ``args``; a file in its place is encoded, or decoded when it is an .nfc file."""
        first = args[0]
        if first in VERBS:
            return first, self.get_command(ctx, first), args[1:]
        if not _is_input(first):
            raise click.UsageError(f"no such command {first!r}.{_suggestion(first)}", ctx)
        verb = _verb_for(first, peek=not ctx.resilient_parsing)
        if not ctx.resilient_parsing:
            note(f"nfc: {label(first)}: no verb given, so: {verb}")
        dashed = first.startswith("-") and first != "-"
        return verb, self.get_command(ctx, verb), ["--", *args] if dashed else args

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Verbs and options; files when none of them begins so."""
        return super().shell_complete(ctx, incomplete) or [CompletionItem(incomplete, type="file")]


def _is_input(word: str) -> bool:
    """Whether a word in the verb's place can only be meant as a file."""
    return word == "-" or os.path.exists(word) or "." in word or os.sep in word


def _suggestion(word: str) -> str:
    close = difflib.get_close_matches(word, VERBS, n=1)
    return f" Did you mean {close[0]!r}?" if close else f" The commands are {', '.join(VERBS)}."


def _verb_for(name: str, *, peek: bool) -> str:
    if name.lower().endswith(".nfc"):
        return "decode"
    return "decode" if peek and _first_bytes(name) == SIGNATURE else "encode"


def _first_bytes(name: str) -> bytes:
    """The beginning of a file or of standard input, which keeps all of its bytes; nothing when unreadable."""
    if name == "-":
        reader: Any = getattr(sys.stdin, "buffer", None)
        with contextlib.suppress(OSError):
            return reader.peek(len(SIGNATURE))[: len(SIGNATURE)] if reader is not None else b""
    try:
        with open(name, "rb") as file:
            return file.read(len(SIGNATURE))
    except OSError:
        return b""


@click.group(
    cls=Root, invoke_without_command=True, epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)  # fmt: skip
@click.option("--version", is_flag=True, help="Show the versions of the program and of the format; -v shows more.")
@verbose_option
@click.pass_context
def root(ctx: click.Context, version: bool) -> None:
    """Neural-field codec: images, audio, video and arrays as small .nfc files.

    Without a verb a media file is encoded and an .nfc file is decoded.
    """
    if version:
        _show_version(ctx.obj.verbose)
        ctx.exit(0)
    if ctx.invoked_subcommand is None:
        note(ctx.get_help())
        ctx.exit(2)


def _show_version(verbose: bool) -> None:
    click.echo(f"nfc {__version__} (format {VERSION})")
    if verbose:
        from importlib.metadata import version

        from nfcodec import zoo

        click.echo(f"Python {sys.version.split()[0]}")
        for package in ("torch", "numpy", "pillow", "constriction"):
            click.echo(f"{package} {version(package)}")
        click.echo(f"inits: {', '.join(zoo.index()['inits']) or 'none'}")
