"""Progress on standard error: one line on a terminal, and nothing (or sparse plain lines) elsewhere."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from nfcodec.cli.report import note
from nfcodec.cli.text import safe
from nfcodec.options import Progress, ProgressEvent

if TYPE_CHECKING:
    from nfcodec.train.running import Report

_FORMAT = "{desc} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"
PLAIN_EVERY = 10.0  # seconds


def on_terminal() -> bool:
    """Whether somebody watches standard error."""
    return sys.stderr is not None and sys.stderr.isatty()


def _bar(name: str) -> Any:
    from tqdm import tqdm

    # Given, because tqdm shows nothing where a terminal tells no size.
    size: dict[str, Any] = {"ncols": columns(), "nrows": 20}
    return tqdm(total=1, desc=safe(name), bar_format=_FORMAT, file=sys.stderr, leave=False, **size)


def columns() -> int:
    """The width of the terminal of standard error."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


@contextlib.contextmanager
def item_bar(name: str, *, quiet: bool) -> Iterator[Progress | None]:
    """A bar for one item; its share and the time left are of this item alone. None when nobody watches."""
    if quiet or not on_terminal():
        yield None
        return
    with _bar(name) as bar:
        yield lambda event: _advance(bar, event)


def _advance(bar: Any, event: ProgressEvent) -> None:
    bar.total = max(event.total, event.done)
    known = [event.stage] if event.stage == "search" else []
    known += [f"{event.psnr:.1f} dB"] if event.psnr is not None else []
    if known:
        bar.set_postfix_str(", ".join(known), refresh=False)
    bar.update(event.done - bar.n)


@contextlib.contextmanager
def training(name: str, *, quiet: bool) -> Iterator[Callable[[Report], None] | None]:
    """What ``nfc train`` reports to: a bar on a terminal, else a plain line about every ten seconds."""
    if quiet or sys.stderr is None:
        yield None
    elif not on_terminal():
        yield _plain()
    else:
        with _bar(name) as bar:
            yield lambda report: _advance_training(bar, report)


def _numbers(report: Report) -> str:
    return f"loss {report.loss:.4g}, {report.psnr:.1f} dB, {report.bits:.3f} bit per sample"


def _left(report: Report) -> str:
    return str(timedelta(seconds=round(report.eta)))


def _advance_training(bar: Any, report: Report) -> None:
    bar.total = report.total
    bar.set_postfix_str(f"{_numbers(report)}, {_left(report)} left", refresh=False)
    bar.update(report.step - bar.n)


def _plain() -> Callable[[Report], None]:
    told = -PLAIN_EVERY

    def tell(report: Report) -> None:
        nonlocal told
        now = time.monotonic()
        if now - told >= PLAIN_EVERY or report.step == report.total:
            told = now
            note(f"step {report.step}/{report.total}: {_numbers(report)}, {_left(report)} left")

    return tell
