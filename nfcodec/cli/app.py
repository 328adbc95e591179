"""The entry point of ``nfc``.

Nothing heavy is imported before :func:`main` runs, so Ctrl-C is answered cleanly from the first moment, also
while torch is being imported.
"""

from __future__ import annotations

import signal
import sys
from typing import NoReturn

from nfcodec.cli.session import Session


def main() -> NoReturn:
    """Run the command line of this process and exit with its code."""
    session = Session()
    try:
        _listen(session)
        from nfcodec.cli.run import run

        code = run(sys.argv[1:], session)
    except KeyboardInterrupt:
        code = session.stopped()
    sys.exit(code)


def _listen(session: Session) -> None:
    """Ctrl-C, SIGTERM and SIGHUP unwind the stack; what the caller chose to ignore (nohup) stays ignored."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, session.on_signal)


if __name__ == "__main__":
    main()
