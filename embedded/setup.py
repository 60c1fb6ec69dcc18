"""Prepare ``var/`` for work without servers: folders, keys, and the history of each model in its data registry."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence

from embedded.config import Stack
from embedded.environment import stack_environment
from embedded.models import startable_models
from embedded.prepare import prepare
from ml.command_line import with_model
from ml.errors import EvergreenError


def main(argv: Sequence[str] | None = None) -> int:
    """Land the history of each model, unless it is there, and print what there is.

    What goes wrong with one model stops none of the others, and is the exit code.
    """
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n")[0],
        epilog="land.history_days in params.yaml says how many days are landed",
    )
    with_model(parser, "prepare this model only; without it that of EVERGREEN_MODEL, or all of them")
    chosen = parser.parse_args(argv)
    try:
        stack, loaded = Stack.load(), startable_models(chosen.model)
        prepare(stack)
    except EvergreenError as err:
        sys.stderr.write(f"{err}\n")
        return err.exit_code
    for name, problem in loaded.problems.items():
        sys.stderr.write(f"model {name} is left out: {problem}\n")
    alone = len(loaded.models) == 1 and not loaded.problems
    codes = [_seed(model.name, stack, "" if alone else f"{model.name}: ") for model in loaded.models]
    return next((code for code in codes if code), 2 if loaded.problems else 0)


def _seed(model: str, stack: Stack, prefix: str) -> int:
    seed = subprocess.run(
        [sys.executable, "-m", "ml.steps.ingest.seed", "--model", model],
        cwd=stack.project,
        env=stack_environment(stack),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if seed.returncode != 0:
        return seed.returncode
    landed = json.loads(seed.stdout.strip().splitlines()[-1])
    sys.stdout.write(
        f"{prefix}ready: {landed['days']} days / {int(landed['rows']):,} rows of history in {stack.home}; "
        "next: make up, make demo or dvc repro\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
