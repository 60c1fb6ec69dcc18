"""Start the whole of Evergreen on this machine, tell what happens, and stop all of it at the end.

``evergreen up`` starts each model whose settings are right, stays in the foreground until Ctrl-C, and prints what comes
of each. With ``--until-done`` it ends by itself when one whole loop of each has closed, prints what came of it, and
fails if anything of it is missing.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

from embedded import past_days, running
from embedded.config import Stack
from embedded.guard import guarded
from embedded.launch import Launch
from embedded.models import startable_models
from embedded.prepare import prepare, require_free_ports
from embedded.steps import Steps, say
from embedded.supervise import ChildDied, Supervisor, raise_on_signals, take
from ml.command_line import with_model
from ml.errors import EvergreenError, SettingsError
from ml.settings import LoadedModels


def launch(stack: Stack, loaded: LoadedModels, *, until_done: bool) -> int:
    """Run the stack until interrupted, or until one loop of each model has closed; everything is stopped after.

    Returns
    -------
    int
        Exit code: 0 if stopped by the user or if each loop is whole, 1 if something is missing.
    """
    timeout = _demo_timeout() * len(loaded.models)
    demo_days = past_days.days_wanted(default=0 if until_done else past_days.DAYS)
    stack = replace(stack, serves=stack.serves and not until_done)
    require_free_ports(stack)
    prepare(stack)
    running.record(stack)
    clock = time.monotonic()
    with Supervisor() as supervisor:
        deadline = clock + timeout if until_done else None
        started = Launch(stack, Steps(stack, supervisor, deadline=deadline), loaded, demo_days=demo_days)
        try:
            stack.starting_file.write_text(str(os.getpid()), encoding="utf-8")
            started.start()
            try:
                started.close_loops()
            except ChildDied:
                raise
            except EvergreenError as err:
                if until_done:
                    raise
                stack.starting_file.unlink(missing_ok=True)
                say(f"{err}\n(the servers stay up: fix it and run the Dag again, or stop with Ctrl-C)")
                started.serve()
                started.follow()
            stack.starting_file.unlink(missing_ok=True)
            if not until_done:
                started.serve()
                started.tell_closed(time.monotonic() - clock)
                started.tell_where()
                started.follow()
            if started.alone and not started.closed:
                return 1
            started.parts["all of it"] = time.monotonic() - clock
            lacks = started.summarise()
        except KeyboardInterrupt:
            say("\nstopping everything")
            supervisor.stop()
            say("stopped; nothing is left running")
            return 130 if until_done else 0
    for lack in lacks:
        say(f"MISSING: {lack}")
    say("\nthe loop is whole" if not lacks else "\nthe loop is not whole")
    return 1 if lacks else 0


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line, launch, and turn errors into one message and an exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--until-done", action="store_true", help="end when one whole loop has closed")
    parser.add_argument("--with-parent", action="store_true", help="stop when the parent process is gone")
    with_model(parser, "start this model only; without it that of EVERGREEN_MODEL, or all of them")
    chosen = parser.parse_args(argv)
    raise_on_signals()
    try:
        stack, loaded = Stack.load(), startable_models(chosen.model)
        take(stack)
        return guarded(lambda: launch(stack, loaded, until_done=chosen.until_done), with_parent=chosen.with_parent)
    except EvergreenError as err:
        sys.stderr.write(f"{err}\n")
        return err.exit_code
    except KeyboardInterrupt:
        return 130 if chosen.until_done else 0


def _demo_timeout() -> float:
    value = os.environ.get("EVERGREEN_DEMO_TIMEOUT") or "900"
    try:
        return float(value)
    except ValueError as err:
        raise SettingsError(f"EVERGREEN_DEMO_TIMEOUT={value!r} is not a number of seconds; give one") from err


if __name__ == "__main__":
    sys.exit(main())
