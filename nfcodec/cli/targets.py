"""Where outputs go: everything that can be refused is refused before any work."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from nfcodec.cli.items import Item
from nfcodec.cli.params import STREAM
from nfcodec.cli.text import label
from nfcodec.errors import OutputError


@dataclass(frozen=True, slots=True)
class Target:
    """The values of -o, -d, -f and --skip-existing."""

    output: str | None
    folder: str | None
    force: bool
    skip_existing: bool

    def piped(self, inputs: Sequence[str]) -> bool:
        """Whether the output goes to standard output."""
        return self.output == STREAM or (self.output is None and STREAM in inputs)


def plan(inputs: Sequence[str], target: Target, suffix: str | None) -> list[Item]:
    """The items of a command, with usage errors for what cannot work; ``suffix`` None: known only later."""
    _check(inputs, target)
    if target.output is not None or target.piped(inputs):
        items = [Item(inputs[0], target.output or STREAM)]
    else:
        items = [_derive(name, target, suffix) for name in inputs]
    for item in items:
        _check_same(item)
    _make_folder(target)
    return items


def _check(inputs: Sequence[str], target: Target) -> None:
    if target.force and target.skip_existing:
        raise click.UsageError("--force and --skip-existing exclude each other")
    if target.output is not None and target.folder is not None:
        raise click.UsageError("-o and -d exclude each other")
    if target.output is not None and len(inputs) > 1:
        raise click.UsageError(f"-o names one output, but there are {len(inputs)} inputs; -d DIR takes them all")
    if STREAM in inputs and (len(inputs) > 1 or target.folder is not None):
        raise click.UsageError("standard input must be the only input, and its output be named with -o")
    if target.output == "" or target.folder == "":
        raise click.UsageError("the output's name is empty")
    if target.output is not None and os.path.isdir(target.output):
        raise click.UsageError(f"{label(target.output)} is a folder; -d writes into a folder")
    if target.piped(inputs) and (sys.stdout is None or sys.stdout.isatty()):
        raise click.UsageError("binary data is not written to a terminal; give -o FILE, or redirect the output")
    _check_distinct(inputs, target)


def _check_distinct(inputs: Sequence[str], target: Target) -> None:
    """No two inputs may claim the same output; the suffix is the same for all or not known yet."""
    from nfcodec.files import output_name

    seen: dict[str, str] = {}
    for name in inputs:
        stem = os.path.realpath(output_name(name, "nfc", target.folder))[: -len(".nfc")]
        if stem in seen:
            both = f"{label(seen[stem])} and {label(name)}"
            raise click.UsageError(f"{both} would both be written to {label(stem)}.*")
        seen[stem] = name


def _derive(name: str, target: Target, suffix: str | None) -> Item:
    from nfcodec.files import output_name

    if Path(name).name in ("", ".."):
        raise click.UsageError(f"no output name can be derived from {label(name)}; give one with -o")
    return Item(name, os.fspath(output_name(name, suffix, target.folder)) if suffix else None)


def _check_same(item: Item) -> None:
    if item.output in (None, STREAM) or item.input == STREAM:
        return
    if os.path.realpath(item.input) == os.path.realpath(str(item.output)):
        raise click.UsageError(f"{label(item.input)} would be replaced by its own output; name another with -o")


def _make_folder(target: Target) -> None:
    if target.folder is None:
        return
    try:
        os.makedirs(target.folder, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {target.folder}: {error.strerror}") from error
