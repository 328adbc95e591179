"""Progress of a batch on standard error: one bar, plain lines, or JSON lines."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from nfcodec.cli import batch_text as text
from nfcodec.cli.progress import PLAIN_EVERY, columns, on_terminal
from nfcodec.cli.report import note, strict
from nfcodec.cli.text import label, safe

if TYPE_CHECKING:
    from nfcodec.batch.events import Verdict
    from nfcodec.batch.request import Counts, Listener

WAYS = ("auto", "bar", "plain", "json", "none")
_JSON_EVERY = 0.5  # seconds
_FORMAT = "{percentage:3.0f}%|{bar}| {desc}"

_Line = Callable[[str], None]


@contextlib.contextmanager
def shown(way: str, *, as_json: bool, verbose: bool) -> Iterator[Listener]:
    """What the runner reports to: progress, failures as they come, and with ``as_json`` every file on stdout."""
    if way == "auto":
        way = "bar" if on_terminal() else "plain"
    if sys.stderr is None:
        way = "none"
    with _progress(way) as (advance, line):

        def listener(verdict: Verdict, record: dict[str, Any], counts: Counts) -> None:
            if as_json:
                click.echo(json.dumps(strict(_values(verdict, record))))
            elif verdict == "failed":
                line(f"nfc: {text.failure(record)}")
            elif verdict == "skipped" and verbose:
                line(f"nfc: {label(record['path'])}: skipped: {safe(record['reason'])}")
            advance(counts)

        yield listener


def _values(verdict: Verdict, record: dict[str, Any]) -> dict[str, Any]:
    ok = verdict != "failed"
    return {"ok": ok, **({"skipped": True} if verdict == "skipped" else {}), **record}


@contextlib.contextmanager
def _progress(way: str) -> Iterator[tuple[Callable[[Counts], None], _Line]]:
    """A function that shows how far it is, and one that prints a line without harming that."""
    if way == "bar":
        with _bar() as bar:
            yield bar
    elif way == "none":
        yield (lambda counts: None), note
    else:
        form, every = (_as_json, _JSON_EVERY) if way == "json" else (text.advance, PLAIN_EVERY)
        yield _now_and_then(form, every), note


@contextlib.contextmanager
def _bar() -> Iterator[tuple[Callable[[Counts], None], _Line]]:
    from tqdm import tqdm

    size: dict[str, Any] = {"ncols": columns(), "nrows": 20}
    with tqdm(total=1, bar_format=_FORMAT, file=sys.stderr, leave=False, **size) as bar:

        def advance(counts: Counts) -> None:
            bar.total = counts.total
            bar.set_description_str(text.advance(counts), refresh=False)
            bar.update(counts.over - bar.n)

        def line(words: str) -> None:
            bar.clear()
            note(words)
            bar.refresh()

        yield advance, line


def _as_json(counts: Counts) -> str:
    return json.dumps(strict(asdict(counts)))


def _now_and_then(form: Callable[[Counts], str], every: float) -> Callable[[Counts], None]:
    """A line at most every so many seconds, and one at the end."""
    told = -every

    def tell(counts: Counts) -> None:
        nonlocal told
        now = time.monotonic()
        if now - told >= every or counts.over == counts.total:
            told = now
            note(form(counts))

    return tell
