"""Where results and failures are printed, for people or as JSON lines."""

from __future__ import annotations

import contextlib
import json
import math
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import click

from nfcodec.cli.session import Session
from nfcodec.cli.text import label, safe
from nfcodec.errors import describe


def note(text: str) -> None:
    """Print a line on standard error; that it cannot be read by anybody is no reason to fail."""
    with contextlib.suppress(OSError):
        click.echo(text, err=True)


def fail(name: str, error: Exception, *, verbose: bool) -> int:
    """Print an error about the input ``name`` (or none) on standard error; returns the exit code."""
    message, hint, code = describe(error)
    if verbose and message.startswith("internal error"):
        note("".join(traceback.format_exception(error)).rstrip())
    about = "" if not name or name in message else f"{label(name)}: "
    note(f"nfc: {about}{safe(message)}")
    if hint:
        note(f"  {safe(hint)}")
    return code


@dataclass(frozen=True, slots=True)
class Reporter:
    """Prints each result once, and every failure.

    ``text`` turns a result into text; ``data``: that text is what was asked for, and goes to standard output.
    ``piped``: standard output carries the bytes of an output, so everything else goes to standard error.
    """

    session: Session
    text: Callable[[Any], str]
    as_json: bool = False
    data: bool = False
    piped: bool = False

    def result(self, result: Any) -> None:
        """Report a success: one of the result dataclasses."""
        if self.as_json:
            self._json({"ok": True, **asdict(result)})
            return
        for warning in getattr(result, "warnings", ()):
            note(f"nfc: {label(result.input)}: warning: {safe(warning)}")
        self._print(self.text(result), data=self.data)

    def skipped(self, name: str, reason: str) -> None:
        """Report an input that was left out on purpose."""
        if self.as_json:
            self._json({"ok": True, "skipped": True, "input": name, "message": reason})
        else:
            note(f"nfc: {label(name)}: skipped: {safe(reason)}")

    def failed(self, name: str, error: Exception) -> int:
        """Report a failure; returns its exit code."""
        if not self.as_json:
            return fail(name, error, verbose=self.session.verbose)
        message, hint, code = describe(error)
        failure = {"input": name, "error": type(error).__name__, "message": message, "hint": hint, "exit_code": code}
        self._json({"ok": False, **failure})
        return code

    def _json(self, values: dict[str, Any]) -> None:
        self._print(json.dumps(strict(values), allow_nan=False), data=True)

    def _print(self, line: str, *, data: bool) -> None:
        if data and not self.piped:
            click.echo(line)
        else:
            note(line)


def strict(value: Any) -> Any:
    """``value`` with infinities and NaN, which JSON lacks, replaced by None."""
    if isinstance(value, dict):
        return {key: strict(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [strict(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
