"""Remove everything that the embedded stack wrote, unless it runs.

Standard library only, and run as a file: it works where ``.venv`` is gone already.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path


def main(argv: Sequence[str] | None = None) -> int:
    """Remove ``var/``; refuse while a stack holds its lock, or if the folder does not look like Evergreen's."""
    arguments = argparse.ArgumentParser(
        description="Remove var/: data, models and Airflow's database, unless Evergreen runs there.",
        epilog="EVERGREEN_HOME names another folder than var/.",
    )
    arguments.parse_args(argv)
    home = Path(os.environ.get("EVERGREEN_HOME") or Path(__file__).resolve().parent.parent / "var").absolute()
    if not home.exists():
        return 0
    lock = home / "stack.lock"
    if os.environ.get("EVERGREEN_HOME") and not (lock.exists() or (home / "airflow" / "keys.json").exists()):
        sys.stderr.write(f"{home} (EVERGREEN_HOME) does not look like Evergreen's: remove it yourself\n")
        return 2
    if lock.exists():
        with lock.open("rb") as held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                sys.stderr.write(f"Evergreen is running in {home}: stop it with Ctrl-C first\n")
                return 2
            shutil.rmtree(home)
    else:
        shutil.rmtree(home)
    sys.stdout.write(f"removed {home}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
