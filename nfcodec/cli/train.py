"""``nfc train``."""

from __future__ import annotations

import click

from nfcodec.cli import text
from nfcodec.cli.items import Item, process
from nfcodec.cli.params import json_option, threads_option, verbose_option
from nfcodec.cli.progress import training
from nfcodec.cli.report import Reporter
from nfcodec.cli.session import Session
from nfcodec.options import ModelInfo, Progress

_DEVICE = "cpu"
_EPILOG = """\
\b
Example:
  nfc train photos/ -o photos.safetensors --config photo-siren.toml
  nfc encode --init photos.safetensors photo.png
  nfc train photos/ -o tuned.safetensors --config photo-lattice.toml --from photo-lattice
"""


@click.command("train", epilog=_EPILOG)
@click.argument("data", type=click.Path(), nargs=-1, required=True)
@click.option("-o", "--output", type=click.Path(), required=True, metavar="OUT", help="The init to write.")
@click.option("--config", type=click.Path(), required=True, metavar="FILE", help="Training settings (TOML).")
@click.option(
    "--checkpoint",
    type=click.Path(),
    metavar="PATH",
    help="Saved every 15 seconds; training goes on from it when it exists.  [default: OUT with .ckpt]",
)
@click.option(
    "--from", "begin", metavar="INIT", help="Go on from this init (id or path), of the geometry that the config has."
)
@click.option(
    "--minutes", type=click.FloatRange(min=0, min_open=True), metavar="N",
    help="Stop after N minutes, and write the init as far as it is trained.",
)
@click.option("--device", default=_DEVICE, show_default=True, metavar="cpu|cuda", help="Where to compute.")
@threads_option
@click.option("-f", "--force", is_flag=True, help="Replace the output when it exists.")
@json_option
@verbose_option
@click.pass_obj
def command(
    session: Session, /, data: tuple[str, ...], output: str, config: str, checkpoint: str | None, begin: str | None,
    device: str, minutes: float | None, force: bool, as_json: bool,
) -> int:  # fmt: skip
    """Meta-train an init on the media in the folders DATA."""

    def work(item: Item, progress: Progress | None) -> ModelInfo:
        from nfcodec import api

        with training(output, quiet=as_json) as report:
            return api.train(
                data, output, config=config, checkpoint=checkpoint, device=device, begin=begin, minutes=minutes,
                force=force, report=report,
            )  # fmt: skip

    return process([Item(data[0], output)], work, Reporter(session, text.model, as_json))
