"""``nfc encode``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import click
from click.core import ParameterSource

from nfcodec.cli import text
from nfcodec.cli.items import Item, process
from nfcodec.cli.params import (
    BITS,
    BYTES,
    DECIBEL,
    DURATION,
    F,
    inputs_argument,
    json_option,
    output_options,
    parsed,
    threads_option,
    usage_errors,
    verbose_option,
)
from nfcodec.cli.report import Reporter
from nfcodec.cli.session import Session
from nfcodec.cli.targets import Target, plan
from nfcodec.options import (
    FIELD_KINDS,
    METADATA_KINDS,
    TARGETS,
    TUNES,
    EncodeOptions,
    EncodeResult,
    ErrorBound,
    Progress,
)

_DEFAULT = EncodeOptions()
_KINDS = ",".join(METADATA_KINDS)
_EPILOG = """\
\b
Examples:
  nfc encode photo.png                     photo.nfc
  nfc encode -q 60 -e 9 clip.mp4 -o small.nfc
  nfc encode --target-size 50k photo.png   at most 50 000 bytes
  nfc encode *.wav -d encoded --skip-existing
  nfc encode --max-error 0.1% --wrap -1 temperature.npy
  curl -s URL | nfc encode - > photo.nfc
  arecord -f S16_LE -r 16000 -t wav | nfc encode --stream - -o talk.nfc
"""


def _kinds(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> frozenset[str]:
    return frozenset(kind.strip() for part in value for kind in part.split(",") if kind.strip())


def _bound(value: str) -> str:
    ErrorBound.parse(value)
    return value


def _axes(value: str) -> tuple[int, ...]:
    return tuple(int(part) for part in value.split(",") if part.strip())


def one_goal(ctx: click.Context) -> None:
    """Of a quality that was asked for and the targets, one can be kept."""
    given = ["quality"] if ctx.get_parameter_source("quality") != ParameterSource.DEFAULT else []
    given += [name for name in (*TARGETS, "max_error") if ctx.params[name] is not None]
    if len(given) > 1:
        both = " and ".join(f"--{name.replace('_', '-')}" for name in given)
        raise click.UsageError(f"{both} exclude each other", ctx)


def encode_options(function: F) -> F:
    """All options that say how to encode; they become the fields of EncodeOptions, but for --no-verify."""
    for option in reversed((*_how_much(), *_how())):
        function = option(function)
    return function


def _how_much() -> tuple[Callable[[F], F], ...]:
    """Qualities, efforts and what may stand in the place of a quality."""
    return (
        click.option(
            "-q", "--quality", type=int, default=_DEFAULT.quality, show_default=True, metavar="0..100",
            help="More is more bytes and a higher PSNR.",
        ),
        click.option(
            "-e", "--effort", type=int, default=_DEFAULT.effort, show_default=True, metavar="1..9",
            help="More takes more time and finds better files.",
        ),
        click.option(
            "--bpp", callback=BITS, default=_DEFAULT.bpp, metavar="X",
            help="Instead of a quality: at most X bits per pixel or sample.",
        ),
        click.option(
            "--kbps", callback=BITS, default=_DEFAULT.kbps, metavar="X",
            help="Instead of a quality: at most X kbit/s, of sound and video.",
        ),
        click.option(
            "--target-size", callback=BYTES, default=_DEFAULT.target_size, metavar="BYTES",
            help="Instead of a quality: a file of at most so many bytes (50000, 50k, 1.5M).",
        ),
        click.option(
            "--target-psnr", callback=DECIBEL, default=_DEFAULT.target_psnr, metavar="DB",
            help="Instead of a quality: a PSNR of at least DB.",
        ),
        click.option(
            "--target-snr", callback=DECIBEL, default=_DEFAULT.target_snr, metavar="DB",
            help="Instead of a quality: an SNR of at least DB, of sound.",
        ),
    )  # fmt: skip


def _how() -> tuple[Callable[[F], F], ...]:
    """What is minded, what is given away, and with which field."""
    return (
        click.option(
            "--tune", type=click.Choice(TUNES), default=_DEFAULT.tune, show_default=True,
            help="What bits are spent for: eye and ear, or the error of samples (as with --target-psnr).",
        ),
        click.option(
            "--max-error", callback=parsed(_bound, "bound", "0.1% (of the range of values) or 0.5"), metavar="X|P%",
            help="Arrays: no sample may be off by more than X, or P % of the range of values; 0 is lossless.",
        ),
        click.option(
            "--wrap", callback=parsed(_axes, "list of axes", "-1 (the last axis) or 0,1"), metavar="AXES",
            default="", help="Arrays: axes whose ends meet, such as longitude.",
        ),
        click.option(
            "--max-time", callback=DURATION, default=_DEFAULT.max_time, metavar="SECONDS",
            help="Leave out steps that would take longer.",
        ),
        click.option(
            "--field", type=click.Choice(FIELD_KINDS), default=_DEFAULT.field,
            help="Kind of field.  [default: by kind of input]",
        ),
        click.option(
            "--init", metavar="ID|PATH", default=_DEFAULT.init, help="The init to start from.  [default: by kind]"
        ),
        click.option(
            "--strip", multiple=True, metavar="KINDS", callback=_kinds, help=f"Metadata to leave out: {_KINDS}."
        ),
        click.option("--no-verify", is_flag=True, help="Do not read the finished file back."),
    )  # fmt: skip


@click.command("encode", epilog=_EPILOG)
@inputs_argument
@output_options
@encode_options
@click.option(
    "--stream", is_flag=True,
    help="WAV that is still being made, from a pipe or a growing file: the output can be read meanwhile. Ctrl-C ends.",
)
@threads_option
@json_option
@verbose_option
@click.pass_context
def command(
    ctx: click.Context, /, inputs: tuple[str, ...], output: str | None, folder: str | None, force: bool,
    skip_existing: bool, no_verify: bool, stream: bool, as_json: bool, **fields: Any,
) -> int:  # fmt: skip
    """Encode media files to .nfc files.

    Takes images, audio, video, .npy arrays, and folders of numbered frames.
    """
    session: Session = ctx.obj
    one_goal(ctx)
    with usage_errors():
        options = EncodeOptions(**fields, verify=not no_verify)
    target = Target(output, folder, force, skip_existing)
    items = plan(inputs, target, "nfc")
    show = partial(text.encoded, verbose=session.verbose)
    reporter = Reporter(session, show, as_json, piped=target.piped(inputs))

    if stream and len(items) > 1:
        raise click.UsageError("--stream takes one recording at a time")

    def work(item: Item, progress: Progress | None) -> EncodeResult:
        if stream:
            from nfcodec.cli.streaming import encoded

            return encoded(item, options, progress, force=force)
        from nfcodec import api
        from nfcodec.memory import share_memory

        share_memory()
        return api.encode(item.input, item.output, options=options, force=force, progress=progress)

    return process(items, work, reporter, skip_existing=skip_existing, bars=True)
