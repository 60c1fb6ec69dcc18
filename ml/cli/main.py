"""Keep a tabular model fresh: the one command of Evergreen.

It finds the running stack by itself, prints tables for people and JSON for programs (``--json``).
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

from ml import command_line
from ml.cli.commands import Command, every
from ml.errors import EvergreenError, SettingsError
from ml.roots import CODE_ROOT, IS_INSTALLED

STACK = "embedded.running"
"""The module that knows the stack of this machine; ``ml`` works without it."""

MARK = Path("ml") / "roots.py"
"""What a checkout holds."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand and return its exit code: 0 done, 1 failed, 2 misuse, 3 refused by data or gate."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        _refuse_other_checkout()
        commands = every()
    except EvergreenError as err:
        sys.stderr.write(f"error: {command_line.worded(str(err))}\n")
        return err.exit_code
    if "_ARGCOMPLETE" in os.environ:
        words = _completed(commands)
    if words and words[0] in commands:
        return _dispatch(commands[words[0]], words[1:])
    _parser(commands).parse_args(words or ["--help"])
    return command_line.MISUSE


def _refuse_other_checkout() -> None:
    """Raise if this command belongs to one checkout and is run in another, whose files nobody would expect it to leave.

    That happens where two checkouts share an environment, which holds the package of one of them.
    """
    here = Path.cwd()
    checkout = next((folder for folder in (here, *here.parents) if (folder / MARK).exists()), None)
    if not IS_INSTALLED and checkout is not None and checkout.resolve() != CODE_ROOT:
        raise SettingsError(
            f"this is the evergreen of {CODE_ROOT}, and would read and write there, but you are in {checkout}: run "
            f"'make setup' here for an environment of its own, set PYTHONPATH={checkout}:{checkout / 'plugins'}, or go "
            f"to {CODE_ROOT}"
        )


def _dispatch(chosen: Command, words: list[str]) -> int:
    try:
        if chosen.needs_stack:
            os.environ.update(_stack_environment())
        run = chosen.load()
    except EvergreenError as err:
        sys.stderr.write(f"error: {command_line.worded(str(err))}\n")
        return err.exit_code
    before, sys.argv[0] = sys.argv[0], f"evergreen {chosen.name}"  # what usage and errors call the program
    try:
        if chosen.name == "run":  # the words belong to another program
            return run(words)
        with command_line.printing("json" if "--json" in words else "table"):
            return run([*chosen.arguments, *(word for word in words if word != "--json")])
    finally:
        sys.argv[0] = before


def _stack_environment() -> Mapping[str, str]:
    """Return what leads a process to the stack that runs on this machine; nothing if none does."""
    try:
        running = import_module(STACK)
    except ModuleNotFoundError:
        return {}
    environment: Mapping[str, str] = running.environment()
    return environment


def _parser(commands: Mapping[str, Command]) -> argparse.ArgumentParser:
    width = max(map(len, commands))
    lines = "\n".join(f"  {name:<{width}}  {chosen.summary}" for name, chosen in commands.items())
    arguments = command_line.Parser(
        prog="evergreen",
        usage="evergreen COMMAND [OPTION ...]",
        description=f"{(__doc__ or '').strip()}\n\ncommands:\n{lines}\n\nevergreen COMMAND --help says more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    arguments.add_argument("--version", action="version", version=f"evergreen {_version()}")
    arguments.add_argument("command", choices=list(commands), metavar="COMMAND", help=argparse.SUPPRESS)
    return arguments


def _version() -> str:
    try:
        return importlib.metadata.version("evergreen")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed: run 'make setup')"


def _completed(commands: Mapping[str, Command]) -> list[str]:
    """Return the words before the cursor; completion begins behind the subcommand, if there is one."""
    words = os.environ.get("COMP_LINE", "")[: int(os.environ.get("COMP_POINT") or 0)].split(" ")[1:]
    if len(words) > 1 and words[0] in commands:
        os.environ["_ARGCOMPLETE"] = "2"
    else:
        words = words[:0]
    return words


if __name__ == "__main__":
    sys.exit(main())
