"""Prepare ``var/`` for work without servers: folders, keys, and the history in the data registry."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence

from embedded.config import Stack
from embedded.prepare import prepare
from ml.errors import EvergreenError


def main(argv: Sequence[str] = ()) -> int:
    """Land the history, unless it is there, and print what there is."""
    if argv:
        sys.stderr.write("setup takes no options; land.history_days in params.yaml says how many days are landed\n")
        return 2
    try:
        stack = Stack.load()
        prepare(stack)
    except EvergreenError as err:
        sys.stderr.write(f"{err}\n")
        return err.exit_code
    seed = subprocess.run(
        [sys.executable, "-m", "ml.steps.seed"],
        cwd=stack.project,
        env=stack.environment(),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if seed.returncode != 0:
        return seed.returncode
    landed = json.loads(seed.stdout.strip().splitlines()[-1])
    sys.stdout.write(
        f"ready: {landed['days']} days / {int(landed['rows']):,} rows of history in {stack.home}; "
        "next: make up, make demo or dvc repro\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
