"""What every step's command line shares: logging, exit codes, one JSON record on standard output."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable
from datetime import date
from typing import Any

from pydantic import BaseModel

from ml.errors import EvergreenError

DVC_WORKSPACE = "var/workspace"
FAILED = 1
MISUSE = 2


def parser(doc: str | None) -> argparse.ArgumentParser:
    """Make a parser whose help is the module's first paragraph."""
    return argparse.ArgumentParser(description=(doc or "").split("\n\n")[0])


def iso_day(text: str) -> date:
    """Read ``2013-04-01``; argparse turns the error into exit code 2."""
    try:
        return date.fromisoformat(text)
    except ValueError as err:
        raise argparse.ArgumentTypeError(f"{text!r} is not a day such as 2013-04-01") from err


def execute(work: Callable[[], Any], *, show: Callable[[Any], str] | None = None) -> int:
    """Run a step, print its record, and turn an error into one line and its exit code.

    0 done, 1 failed, 2 misuse, 3 refused (the data or the gate said no).

    Parameters
    ----------
    show
        Lays the record out for people; None prints it as JSON.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    for noisy in ("alembic", "mlflow", "great_expectations", "dvc", "httpx", "botocore"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        record = work()
    except EvergreenError as err:
        sys.stderr.write(f"error: {err}\n")
        return err.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("interrupted: nothing was left half-written; run it again\n")
        return FAILED
    facts = record.model_dump(mode="json") if isinstance(record, BaseModel) else record
    sys.stdout.write((show(facts) if show else json.dumps(facts, sort_keys=True)) + "\n")
    return 0
