"""``nfc batch``: whole trees of files."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nfcodec.cli import batch_text as text
from nfcodec.cli.batch_progress import WAYS, shown
from nfcodec.cli.decode import decode_options
from nfcodec.cli.encode import encode_options, one_goal
from nfcodec.cli.params import DURATION, F, json_option, parsed, usage_errors, verbose_option
from nfcodec.cli.report import note, strict
from nfcodec.cli.session import Session
from nfcodec.options import DecodeOptions, EncodeOptions

if TYPE_CHECKING:
    from nfcodec.batch.places import Place
    from nfcodec.batch.request import BatchRequest, Listener, RunOptions, Summary

SOME_FAILED = 3
_VERBS = ("encode", "decode", "status", "retry", "report")
ENGINES = ("local", "ray")
_FOLDER = click.Path(file_okay=False, path_type=Path)


class PlaceType(click.Path):
    """A folder, or the URL of one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Check a local folder as ever; a URL when it is used."""
        from nfcodec.batch.places import Url, place_of

        with usage_errors():
            place = place_of(str(value))
        return place if isinstance(place, Url) else super().convert(value, param, ctx)


_PLACE = PlaceType(file_okay=False, path_type=Path)
_EPILOG = """\
\b
Further commands:
  nfc batch decode DIR... -d OUT   the other direction
  nfc batch status OUT             how far a batch is
  nfc batch retry OUT              what failed, once more
  nfc batch report OUT             totals, distributions and the worst files, as HTML and JSON

\b
Examples:
  nfc batch photos -d small -q 60
  nfc batch photos -d small -q 60 --resume        after Ctrl-C, a crash or a power cut
  nfc batch photos -d small --shard 3/8           the third of eight machines
  nfc batch s3://in/photos -d s3://out/small      with nfcodec[remote]

Exit code 3: the batch came to its end, and some files failed.
"""


class BatchGroup(click.Group):
    """``nfc batch DIR`` is short for ``nfc batch encode DIR``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the verb in where it was left out."""
        return super().parse_args(ctx, args if args and args[0] in _VERBS else ["encode", *args])


def _bound(value: str) -> Any:
    from nfcodec.batch.request import MaxFailures

    return MaxFailures.parse(value)


def _shard(value: str) -> Any:
    from nfcodec.batch.plan import parse_shard

    return parse_shard(value)


def _workers(value: str) -> int | None:
    number = None if value == "auto" else int(value)
    if number is not None and number < 1:
        raise ValueError(value)
    return number


def state_option(function: F) -> F:
    """``--state DIR``."""
    text = "With URLs: the folder below which manifests and files on their way are.  [default: in the user's cache]"
    return click.option("--state", type=_FOLDER, metavar="DIR", help=text)(function)


def run_options(function: F) -> F:
    """How to run: shared by all verbs that process files."""
    options = (
        click.option(
            "-j", "--jobs", "workers", metavar="N|auto", default="auto", show_default=True,
            callback=parsed(_workers, "number of workers", "4 or auto"), help="Worker processes; auto is one per core.",
        ),
        click.option(
            "--max-failures", metavar="N|P%", callback=parsed(_bound, "number of failures", "10 or 1%"),
            help="Stop when more files than that have failed.",
        ),
        click.option(
            "--timeout", metavar="SECONDS", callback=DURATION,
            help="Give a file up after this time.  [default: twenty times what its size lets expect]",
        ),
        click.option(
            "--progress", type=click.Choice(WAYS), default=WAYS[0], show_default=True,
            help="Progress on standard error.",
        ),
        json_option,
        verbose_option,
    )  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function


def tree_options(function: F) -> F:
    """Which trees: the options of the verbs that begin a batch."""
    options = (
        click.argument("inputs", metavar="DIR...", nargs=-1, required=True, type=_PLACE),
        click.option("-d", "--folder", required=True, type=_PLACE, metavar="OUT", help="The tree of outputs."),
        state_option,
        click.option("--resume", is_flag=True, help="Go on with the batch that OUT holds."),
        click.option("-f", "--force", is_flag=True, help="Do everything again; replace outputs that exist."),
        click.option("--skip-existing", is_flag=True, help="Leave out inputs whose output exists."),
        click.option(
            "--shard", metavar="I/N", default="1/1", callback=parsed(_shard, "shard", "1/4 (the first of four)"),
            help="Do only the I-th of N parts: by hash of the path, so the same on every machine.",
        ),
        click.option(
            "--engine", type=click.Choice(ENGINES), default=ENGINES[0], show_default=True,
            help="Processes on this machine, or shards on a Ray cluster (RAY_ADDRESS); -j is their number.",
        ),
        click.option(
            "--keep-going", is_flag=True, help="Files that would get one name fail; the others are done, all the same."
        ),
        click.option("--dry-run", is_flag=True, help="Show what would be done, and write nothing."),
    )  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function


@click.group("batch", cls=BatchGroup)
def command() -> None:
    """Encode or decode whole folders."""


@command.command("encode", epilog=_EPILOG)
@tree_options
@encode_options
@click.option("--keep-suffix", is_flag=True, help="photo.png becomes photo.png.nfc, not photo.nfc.")
@run_options
@click.pass_context
def encode(ctx: click.Context, /, no_verify: bool, keep_suffix: bool, **values: Any) -> int:
    """Encode all media files below folders to a tree of .nfc files.

    Files that fail are tried once more, alone, and listed at the end; everything else is left out or done.
    Names that begin with a dot are left out.
    """
    one_goal(ctx)
    names = EncodeOptions.__dataclass_fields__
    with usage_errors():
        options = EncodeOptions(**{n: values.pop(n) for n in names if n in values}, verify=not no_verify)

    def action() -> Any:
        from nfcodec.batch.actions import EncodeAction

        return EncodeAction(options, keep_suffix)

    return _begin(ctx, action, values)


@command.command("decode")
@tree_options
@decode_options
@run_options
@click.pass_context
def decode(ctx: click.Context, /, kind: str | None, init: str | None, **values: Any) -> int:
    """Decode all .nfc files below folders to a tree of pictures, sounds and videos."""
    names = DecodeOptions.__dataclass_fields__
    with usage_errors():
        options = DecodeOptions(**{n: values.pop(n) for n in names if n in values})

    def action() -> Any:
        from nfcodec.batch.actions import DecodeAction

        return DecodeAction(options, kind, init)

    return _begin(ctx, action, values)


@command.command("retry")
@click.argument("output", metavar="OUT", type=_PLACE)
@state_option
@run_options
@click.pass_context
def retry(ctx: click.Context, /, output: Place, state: Path | None, **values: Any) -> int:
    """Do once more what failed in a batch, as it was asked for then."""
    from nfcodec.batch import runner
    from nfcodec.batch.places import with_state

    place = with_state(output, state)
    alone = runner.left_alone(place)
    if alone and not values["as_json"]:
        note(text.left_alone(alone))
    return _run(ctx.obj, values, lambda how, listener: runner.retry(place, how, listener=listener))


@command.command("status")
@click.argument("output", metavar="OUT", type=_PLACE)
@state_option
@json_option
@verbose_option
@click.pass_obj
def status(session: Session, /, output: Place, state: Path | None, as_json: bool) -> None:
    """Say how far a batch is; works while it runs, too."""
    from nfcodec.batch.places import with_state
    from nfcodec.batch.report_content import status_of

    found = status_of(with_state(output, state))
    click.echo(json.dumps(asdict(found)) if as_json else text.status(found, verbose=session.verbose))


@command.command("report")
@click.argument("output", metavar="OUT", type=_PLACE)
@state_option
@click.option("-o", "--folder", type=_PLACE, metavar="DIR", help="Where to write the two files.  [default: OUT]")
@json_option
@verbose_option
def report(output: Place, state: Path | None, folder: Place | None, as_json: bool) -> None:
    """Write nfc-batch-report.html, one file that needs no other, and nfc-batch-report.json."""
    from nfcodec.batch.places import with_state
    from nfcodec.batch.publish import write_report

    content, places = write_report(with_state(output, state), folder or output)
    click.echo(json.dumps(strict(content)) if as_json else text.reported(content, places))


# -- running -------------------------------------------------------------------------------------------------
def _begin(ctx: click.Context, action: Callable[[], Any], values: dict[str, Any]) -> int:
    """Begin or resume a batch, or show its plan."""
    from nfcodec.batch import runner
    from nfcodec.batch.places import with_state
    from nfcodec.batch.request import BatchRequest

    state = values.pop("state")
    inputs = tuple(with_state(place, state) for place in values.pop("inputs"))
    request = BatchRequest(inputs, with_state(values.pop("folder"), state), action(), values.pop("shard"))
    engine = values.pop("engine")
    if values.pop("dry_run"):
        return _preview(request, values["as_json"], keep_going=values["keep_going"])
    if engine == "ray":
        from nfcodec.batch.cluster import run_on_ray

        return _run(ctx.obj, values, lambda how, listener: [run_on_ray(request, how, listener=listener)])
    return _run(ctx.obj, values, lambda how, listener: [runner.run(request, how, listener=listener)])


def _preview(request: BatchRequest, as_json: bool, *, keep_going: bool) -> int:
    from nfcodec.batch.request import RunOptions
    from nfcodec.batch.runner import preview

    for line in text.plan(preview(request, RunOptions(keep_going=keep_going)), as_json=as_json):
        click.echo(line)
    return 0


def _run(
    session: Session, values: dict[str, Any], work: Callable[[RunOptions, Listener], list[Summary]]
) -> int:  # fmt: skip
    """Run a batch with everything that is shown of it; returns the exit code."""
    from nfcodec.batch.request import RunOptions

    progress, as_json = values.pop("progress"), values.pop("as_json")
    with usage_errors():
        how = RunOptions(**values)
    try:
        with shown(progress, as_json=as_json, verbose=session.verbose) as listener:
            summaries = work(how, listener)
    except KeyboardInterrupt:
        change = "" if how.resume else " with --resume" + " instead of -f" * how.force
        note(f"nfc: what is done stays done; the same command{change} goes on")
        raise
    for summary in summaries:
        if as_json:
            click.echo(json.dumps(strict(text.summary_values(summary))))
        else:
            note(text.summary(summary))
    return SOME_FAILED if any(s.counts.failed for s in summaries) else 0
