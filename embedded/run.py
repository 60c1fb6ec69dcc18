"""Run any command as if it were a part of the embedded stack.

``evergreen run airflow backfill create --dag-id MODEL.ingest --from-date … --to-date …``
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from embedded.config import Stack
from embedded.environment import stack_environment
from ml.errors import EvergreenError

USAGE = "usage: evergreen run COMMAND [ARGUMENT …]\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Become the command; return only if there is none to become."""
    command = list(sys.argv[1:] if argv is None else argv)
    if not command:
        sys.stderr.write(USAGE)
        return 2
    if command in (["--help"], ["-h"]):
        sys.stdout.write(f"{USAGE}\n{(__doc__ or '').strip()}\n")
        return 0
    try:
        env = stack_environment(Stack.load())
    except EvergreenError as err:
        sys.stderr.write(f"{err}\n")
        return err.exit_code
    try:
        os.execvpe(command[0], command, env)
    except OSError as err:
        sys.stderr.write(f"{command[0]}: {err.strerror}\n")
        return 127


if __name__ == "__main__":
    sys.exit(main())
