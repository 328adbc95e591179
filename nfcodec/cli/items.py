"""One command over several inputs: each is processed, whatever becomes of the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from nfcodec.cli.progress import item_bar
from nfcodec.cli.report import Reporter
from nfcodec.errors import OutputExistsError
from nfcodec.options import Progress

Work = Callable[["Item", Progress | None], Any]
# Exit codes that survive several failures, when all of them agree.
_SHARED = (4, 5)


@dataclass(frozen=True, slots=True)
class Item:
    """One input, and the output's name where it is known beforehand."""

    input: str
    output: str | None = None


def process(
    items: Sequence[Item], work: Work, reporter: Reporter, *, skip_existing: bool = False, bars: bool = False
) -> int:  # fmt: skip
    """Do ``work`` on every item and report it, with a progress bar each if ``bars``; returns the exit code."""
    codes = []
    for number, item in enumerate(items, 1):
        place = f"{number}/{len(items)} " if len(items) > 1 else ""
        codes.append(_one(item, work, reporter, place if bars else None, skip_existing))
    return exit_code(codes)


def exit_code(codes: Sequence[int]) -> int:
    """A single item's own code; for several 1 after any failure, or 4 or 5 when all failures have it."""
    failures = {code for code in codes if code}
    if not failures:
        return 0
    shared = failures.pop() if len(failures) == 1 else 1
    return shared if len(codes) == 1 or shared in _SHARED else 1


def _one(item: Item, work: Work, reporter: Reporter, place: str | None, skip_existing: bool) -> int:
    try:
        with item_bar(f"{place}{item.input}", quiet=place is None or reporter.as_json) as tick:
            result = work(item, tick)
    except Exception as error:
        return _failed(item, error, reporter, skip_existing)
    reporter.result(result)
    return 0


def _failed(item: Item, error: Exception, reporter: Reporter, skip_existing: bool) -> int:
    if reporter.session.signal:
        raise KeyboardInterrupt from error
    if reporter.piped and isinstance(error.__cause__, BrokenPipeError):
        raise error.__cause__
    if skip_existing and isinstance(error, OutputExistsError):
        reporter.skipped(item.input, str(error))
        return 0
    return reporter.failed(item.input, error)
