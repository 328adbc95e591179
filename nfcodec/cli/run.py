"""From arguments to an exit code: the one place where errors of the whole run are turned into text."""

from __future__ import annotations

import contextlib
import glob
import os
import sys
from collections.abc import Sequence
from typing import TextIO

import click

from nfcodec.cli.report import fail, note
from nfcodec.cli.root import COMPLETE_VAR, NAME, root
from nfcodec.cli.session import Session
from nfcodec.errors import OutputError


def run(args: Sequence[str], session: Session) -> int:
    """Run ``nfc`` with ``args`` and return its exit code; prints, and raises nothing."""
    _never_fail_on_characters(sys.stdout)
    code = _guarded(args, session)
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        return code or _stdout_failed(error)
    return code


def _guarded(args: Sequence[str], session: Session) -> int:
    try:
        return _invoke(_expanded(args), session)
    except KeyboardInterrupt:
        return session.stopped()
    except click.ClickException as error:
        return _usage(error)
    except Exception as error:
        # An interrupt that arrives inside C code can come out as any exception.
        if session.signal:
            return session.stopped()
        # Items and files have their own handlers, so this comes from printing.
        if isinstance(error, OSError):
            return _stdout_failed(error)
        return fail("", error, verbose=session.verbose)


def _stdout_failed(error: OSError) -> int:
    """Tell of a full disk; a reader that has seen enough (``nfc info … | head``) is no news."""
    _silence_stdout()
    if isinstance(error, BrokenPipeError):
        return 1
    return fail("", OutputError(f"cannot write to standard output: {error.strerror}"), verbose=False)


def _invoke(args: list[str], session: Session) -> int:
    instruction = os.environ.get(COMPLETE_VAR)
    if instruction:
        from click.shell_completion import shell_complete

        return shell_complete(root, {}, NAME, COMPLETE_VAR, instruction)
    try:
        with root.make_context(NAME, args, obj=session) as context:
            return int(root.invoke(context) or 0)
    except click.exceptions.Exit as done:
        return done.exit_code


def _expanded(args: Sequence[str]) -> list[str]:
    """The arguments, with wildcards expanded where the shell leaves that to programs."""
    if os.name != "nt":
        return list(args)
    return [name for arg in args for name in (sorted(glob.glob(arg)) or [arg])]


def _usage(error: click.ClickException) -> int:
    message = error.format_message()
    note(f"nfc: {message[:1].lower()}{message[1:]}")
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else NAME
    note(f"try '{path} --help'")
    return error.exit_code


def _silence_stdout() -> None:
    """Let what is still buffered go nowhere, or Python complains about it while it exits."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _never_fail_on_characters(stream: TextIO | None) -> None:
    """File names may hold characters that the terminal's encoding lacks; those are printed escaped."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")
