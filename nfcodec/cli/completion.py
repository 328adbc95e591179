"""``nfc completion``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from nfcodec.cli.root import COMPLETE_VAR, NAME, root

_EPILOG = """\
\b
Put one of these where your shell starts:
  bash  eval "$(nfc completion bash)"         in ~/.bashrc
  zsh   eval "$(nfc completion zsh)"          in ~/.zshrc, after compinit
  fish  nfc completion fish | source          in ~/.config/fish/config.fish
"""


@click.command("completion", epilog=_EPILOG)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> int:
    """Print a completion script for your shell."""
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"click knows no completion for {shell}")
    click.echo(kind(root, {}, NAME, COMPLETE_VAR).source())
    return 0
