"""Print the shell code that lets bash or zsh complete ``evergreen``."""

from __future__ import annotations

import sys

from argcomplete.shell_integration import shellcode

from ml.command_line import parser


def main(argv: list[str] | None = None) -> int:
    """Print the code; ``eval "$(evergreen completion)"`` makes it work in the present shell."""
    parser(__doc__).parse_args(argv)
    sys.stdout.write(shellcode(["evergreen"]))
    return 0
