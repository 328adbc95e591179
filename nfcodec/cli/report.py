"""Where results and failures are printed, for people or as JSON lines."""

from __future__ import annotations

import json
import math
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import click

from nfcodec.cli.session import Session
from nfcodec.cli.text import label, safe
from nfcodec.errors import InternalError, NfcError

_BUG_HINT = "this is a bug in nfc: please report it with what the same command prints with -v"
_MEMORY_HINT = "close other programs, or encode a smaller input"


def describe(error: Exception) -> tuple[str, str | None, int]:
    """Message, hint and exit code of any exception."""
    if isinstance(error, InternalError):
        return f"internal error: {error}", error.hint or _BUG_HINT, error.exit_code
    if isinstance(error, NfcError):
        return str(error), error.hint, error.exit_code
    if isinstance(error, MemoryError):
        return "not enough memory", _MEMORY_HINT, 1
    return f"internal error: {type(error).__name__}: {error}", _BUG_HINT, 1


def fail(name: str, error: Exception, *, verbose: bool) -> int:
    """Print an error about the input ``name`` (or none) on standard error; returns the exit code."""
    message, hint, code = describe(error)
    if verbose and message.startswith("internal error"):
        click.echo("".join(traceback.format_exception(error)), err=True, nl=False)
    about = "" if not name or name in message else f"{label(name)}: "
    click.echo(f"nfc: {about}{safe(message)}", err=True)
    if hint:
        click.echo(f"  {safe(hint)}", err=True)
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
            click.echo(f"nfc: {label(result.input)}: warning: {safe(warning)}", err=True)
        click.echo(self.text(result), err=self.piped or not self.data)

    def skipped(self, name: str, reason: str) -> None:
        """Report an input that was left out on purpose."""
        if self.as_json:
            self._json({"ok": True, "skipped": True, "input": name, "message": reason})
        else:
            click.echo(f"nfc: {label(name)}: skipped: {safe(reason)}", err=True)

    def failed(self, name: str, error: Exception) -> int:
        """Report a failure; returns its exit code."""
        if not self.as_json:
            return fail(name, error, verbose=self.session.verbose)
        message, hint, code = describe(error)
        failure = {"input": name, "error": type(error).__name__, "message": message, "hint": hint, "exit_code": code}
        self._json({"ok": False, **failure})
        return code

    def _json(self, values: dict[str, Any]) -> None:
        click.echo(json.dumps(strict(values), allow_nan=False), err=self.piped)


def strict(value: Any) -> Any:
    """``value`` with infinities and NaN, which JSON lacks, replaced by None."""
    if isinstance(value, dict):
        return {key: strict(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [strict(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
