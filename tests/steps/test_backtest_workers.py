"""The processes of a backtest end with it, whatever ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

PARENT = """
from tests.steps.test_backtest_workers import note_and_sleep
from ml.backtest.runs import workers

if __name__ == "__main__":
    with workers(2) as team:
        team.run([(note_and_sleep, ({folder!r},))] * 2, lambda days: None)
"""


def note_and_sleep(folder: str) -> None:
    """Write down which process this is, and stay busy for longer than the test waits."""
    written = Path(folder) / f"{os.getpid()}.part"
    written.touch()
    written.rename(written.with_suffix(".pid"))
    time.sleep(120)


def test_a_killed_backtest_leaves_no_process_behind(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT.format(folder=str(tmp_path)))
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, f"{root}/plugins"])}
    parent = subprocess.Popen([sys.executable, str(script)], env=environment)
    try:
        pids = _wait(lambda: [int(path.stem) for path in tmp_path.glob("*.pid")], 2)
        children = [psutil.Process(pid) for pid in pids]
        parent.send_signal(signal.SIGKILL)
        parent.wait(30)
        _gone, alive = psutil.wait_procs(children, timeout=30)
        assert not alive
    finally:
        for left in psutil.Process(parent.pid).children(recursive=True) if parent.poll() is None else []:
            left.kill()
        parent.kill()
        parent.wait(30)


def _wait(look, number: int):  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + 60
    while len(seen := look()) < number:
        assert time.monotonic() < deadline, seen
        time.sleep(0.1)
    return seen
