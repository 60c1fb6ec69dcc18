"""What every step's command line shares: logging, exit codes, one JSON record on standard output."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date
from typing import Any, Literal

from pydantic import BaseModel

from ml import disk
from ml.errors import EvergreenError
from ml.next_moves import NextMove, reworded
from ml.settings import configured_models
from ml.urls import redact

DVC_WORKSPACE = "var/workspace"
STAGES = ("params", "pull", "validate", "split", "tune", "fit", "evaluate", "check", "gate")
FAILED = 1
MISUSE = 2


Output = Literal["table", "json"]
_OUTPUT: ContextVar[Output | None] = ContextVar("output", default=None)


class Parser(argparse.ArgumentParser):
    """A parser that answers the shell's request to complete a word."""

    _completing = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse; while the shell asks for completions, print these and exit instead."""
        if "_ARGCOMPLETE" in os.environ and not self._completing:
            import argcomplete

            self._completing = True  # argcomplete parses by this very method
            argcomplete.autocomplete(self)
        return super().parse_known_args(args, namespace)


class _ChooseModel(argparse.Action):
    """Let all that this process opens be of one model."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        os.environ["EVERGREEN_MODEL"] = str(values)
        setattr(namespace, self.dest, values)


ONE_MODEL = "which model; without it that of EVERGREEN_MODEL, the one at the top of the project, or the only one"


def parser(doc: str | None) -> argparse.ArgumentParser:
    """Make a parser whose help is the module's first paragraph, and that knows ``--model``."""
    return with_model(Parser(description=(doc or "").split("\n\n")[0]))


def with_model(arguments: argparse.ArgumentParser, description: str = ONE_MODEL) -> argparse.ArgumentParser:
    """Add the option that chooses a model to a parser, and return it."""
    chosen = arguments.add_argument(
        "--model", metavar="NAME", action=_ChooseModel, help=description
    )  # fmt: skip
    chosen.completer = lambda **_: [model.name for model in configured_models()]  # type: ignore[attr-defined]
    return arguments


@contextmanager
def printing(output: Output) -> Iterator[None]:
    """Let `execute` print a table for people or JSON for programs, whatever the step's own default is."""
    token = _OUTPUT.set(output)
    try:
        yield
    finally:
        _OUTPUT.reset(token)


def iso_day(text: str) -> date:
    """Read ``2013-04-01``; argparse turns the error into exit code 2."""
    try:
        return date.fromisoformat(text)
    except ValueError as err:
        raise argparse.ArgumentTypeError(f"{text!r} is not a day such as 2013-04-01") from err


class _Redacting(logging.Formatter):
    """Cut what is secret from every line, whoever logs it, and from its traceback."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


def configure_logging() -> None:
    """Log to standard error, without secrets, and of others' packages warnings only."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Redacting("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for noisy in ("alembic", "mlflow", "great_expectations", "dvc", "httpx", "botocore"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def execute(work: Callable[[], Any], *, show: Callable[[Any], str] | None = None) -> int:
    """Run a step, print its record, and turn an error into one line and its exit code.

    0 done, 1 failed, 2 misuse, 3 refused (the data or the gate said no).

    Parameters
    ----------
    show
        Lays the record out for people; None prints it as JSON, save where `printing` asks for a table.
    """
    configure_logging()
    try:
        with disk.naming_full_disk(tempfile.gettempdir()):
            record = work()
    except EvergreenError as err:
        sys.stderr.write(f"error: {worded(str(err))}\n")
        return err.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("interrupted: nothing was left half-written; run it again\n")
        return FAILED
    facts = record.model_dump(mode="json") if isinstance(record, BaseModel) else record
    layout = {None: show, "json": None, "table": show or table}[_OUTPUT.get()]
    sys.stdout.write((layout(facts) if layout else json.dumps(facts, sort_keys=True)) + "\n")
    return 0


def worded(text: str) -> str:
    """Return a sentence with its next moves as commands."""
    return reworded(text, words)


def words(move: NextMove) -> str:
    """Return what to type for a next move; one that no command makes is named as it is."""
    if move.kind == "ingest":
        return "run 'evergreen seed" + ("'" if move.past else f" --from-date {move.day} --to-date {move.day}'")
    if move.kind == "roll_back":
        return f"{move} ('evergreen rollback --to N')"
    return f"run 'dvc repro {move.step}'" if move.kind == "rerun" and move.step in STAGES else str(move)


def table(facts: Any) -> str:
    """Lay a record out as lines of a name and a value.

    Examples
    --------
    >>> print(table({"version": 2, "metrics": {"log_loss": 0.51234567}, "window": ["2013-01-01", "2013-03-31"]}))
    version           2
    metrics.log_loss  0.512346
    window            2013-01-01, 2013-03-31
    """
    from tabulate import tabulate

    rows = [(name, _text(value)) for name, value in _flat(facts)]
    return tabulate(rows, tablefmt="plain", disable_numparse=True)


def _flat(facts: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(facts, Mapping) and facts:
        for name, value in facts.items():
            yield from _flat(value, f"{prefix}.{name}" if prefix else str(name))
    else:
        yield prefix, facts


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(_text, value)) or "none"
    return "none" if value is None or value == {} else str(value)
