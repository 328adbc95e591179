"""``nfc man``: manual pages, made from the commands themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from nfcodec import __version__
from nfcodec.cli import text
from nfcodec.cli.items import Item, process
from nfcodec.cli.params import verbose_option
from nfcodec.cli.report import Reporter
from nfcodec.cli.root import NAME, VERBS, root
from nfcodec.cli.session import Session
from nfcodec.options import Progress

_EPILOG = """\
\b
Examples:
  nfc man encode | man -l -
  nfc man -o ~/.local/share/man/man1
"""


@dataclass(frozen=True, slots=True)
class Page:
    """A page that was written."""

    input: str
    output: str


@click.command("man", epilog=_EPILOG)
@click.argument("verb", type=click.Choice(VERBS), required=False)
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="Write all pages to this folder; made when missing.",
)
@click.option("-f", "--force", is_flag=True, help="Replace pages that exist.")
@verbose_option
@click.pass_obj
def command(session: Session, /, verb: str | None, output: str | None, force: bool) -> int:
    """Print or write the manual pages."""
    if output is None:
        click.echo(page(verb), nl=False)
        return 0
    if verb is not None or not output:
        raise click.UsageError("-o DIR writes all pages; leave the verb out", click.get_current_context())
    folder = Path(output)

    def work(item: Item, progress: Progress | None) -> Page:
        from nfcodec.media.atomic import atomic_output

        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{item.input}.1"
        with atomic_output(path, force=force) as temporary:
            temporary.write_text(page(item.input.partition("-")[2] or None), encoding="utf-8")
        return Page(item.input, str(path))

    items = [Item(NAME), *(Item(f"{NAME}-{name}") for name in VERBS)]
    return process(items, work, Reporter(session, lambda done: f"{done.input} → {text.label(done.output)}"))


def page(verb: str | None) -> str:
    """The manual page of a verb, or of ``nfc`` itself, in the language of man(7)."""
    with click.Context(root, info_name=NAME, help_option_names=["-h", "--help"]) as ctx:
        shown: click.Command = root
        if verb is not None:
            found = root.get_command(ctx, verb)
            assert found is not None
            shown = found
        name = NAME if verb is None else f"{NAME}-{verb}"
        inner = ctx if verb is None else click.Context(shown, parent=ctx, info_name=verb)
        return "\n".join(_lines(name, shown, inner)) + "\n"


def _lines(name: str, shown: click.Command, ctx: click.Context) -> Iterator[str]:
    summary, *details = _paragraphs(shown.help or "")
    yield f'.TH "{name.upper()}" "1" "" "nfc {__version__}" "nfc manual"'
    yield from (".SH NAME", rf"{_escaped(name)} \- {_escaped(summary.rstrip('.'))}")
    yield from (".SH SYNOPSIS", rf".B {_escaped(ctx.command_path)}")
    yield " ".join(_escaped(piece) for piece in shown.collect_usage_pieces(ctx))
    yield from (".SH DESCRIPTION", _escaped(summary))
    for paragraph in details:
        yield from (".PP", _escaped(paragraph))
    yield ".SH OPTIONS"
    for record in (p.get_help_record(ctx) for p in shown.get_params(ctx) if isinstance(p, click.Option)):
        if record is not None:
            yield from (".TP", rf"\fB{_escaped(record[0])}\fR", _escaped(record[1]))
    if isinstance(shown, click.Group):
        yield from _commands(shown, ctx)
    yield from _epilog(shown.epilog or "")
    if shown is not root:
        yield from (".SH SEE ALSO", rf"\fB{NAME}\fR(1)")


def _commands(group: click.Group, ctx: click.Context) -> Iterator[str]:
    """The verbs of a group; those of ``nfc`` have pages of their own."""
    yield ".SH COMMANDS"
    for verb in group.list_commands(ctx):
        inner = group.get_command(ctx, verb)
        name = rf"\fB{NAME}\-{verb}\fR(1)" if group is root else rf"\fB{_escaped(ctx.command_path)} {verb}\fR"
        yield from (".TP", name, _escaped(inner.get_short_help_str(200) if inner else ""))


def _epilog(epilog: str) -> Iterator[str]:
    """Blocks such as "Examples:" become sections of their own, line by line; a plain sentence becomes notes."""
    for block in filter(None, (b.strip("\n") for b in epilog.split("\b\n"))):
        first, *rest = block.split("\n")
        if rest:
            yield from (f".SH {first.rstrip(':').upper()}", ".nf", *(_escaped(line) for line in rest if line), ".fi")
        else:
            yield from (".SH NOTES", _escaped(first))


def _paragraphs(help_text: str) -> list[str]:
    return [" ".join(part.split()) for part in re.split(r"\n\s*\n", help_text.strip())] or [""]


def _escaped(line: str) -> str:
    """``line`` as man shows it: backslashes, hyphens that people copy, dots that would begin a request, and what is
    not ASCII."""
    plain = line.replace("\\", r"\e").replace("-", r"\-").replace("…", "...")
    plain = "".join(c if c.isascii() else rf"\[u{ord(c):04X}]" for c in plain)
    return rf"\&{plain}" if plain.startswith((".", "'")) else plain
