"""The embedded stack leaves nothing behind, however it ends: real processes, real signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from embedded.servers import Server
from embedded.supervise import AlreadyRunning, ChildDied, Hold, Supervisor, tail

PROJECT = Path(__file__).resolve().parents[2]
SLEEPER = "import time; time.sleep(300)"
FAMILY = """
    import os, signal, subprocess, sys, time
    if {stubborn}:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sleep = [sys.executable, "-c", "import time; time.sleep(300)"]
    deaf = [sys.executable, "-c", "import signal, time; signal.signal(15, 1); time.sleep(300)"]
    children = [
        subprocess.Popen(sleep),
        subprocess.Popen(deaf, start_new_session=True),
        subprocess.Popen(sleep, process_group=0),
    ]
    if os.fork() == 0:  # A daemon: its own session, and its parent gone.
        os.setsid()
        daemon = os.fork()
        if daemon == 0:
            open("daemon.pid", "w").write(str(os.getpid()))
            time.sleep(300)
        os._exit(0)
    os.wait()
    time.sleep(0.5)
    open("family.pids", "w").write("\\n".join(str(c.pid) for c in children))
    time.sleep(300)
"""
SLOW = """
    import signal, sys, time
    def leave(*_):
        time.sleep(0.7)
        open(sys.argv[1], "w").write(str(time.monotonic()))
        sys.exit(0)
    signal.signal(signal.SIGTERM, leave)
    open(sys.argv[1] + ".ready", "w")
    time.sleep(300)
"""
LAUNCHER = """
    import sys
    from pathlib import Path
    from embedded.servers import Server
    from embedded.guard import guarded
    from embedded.supervise import Hold, Supervisor, raise_on_signals
    home = Path(sys.argv[1])
    raise_on_signals()
    Hold(home / "stack.lock").take("a test")

    def work():
        try:
            with Supervisor() as supervisor:
                argv = (sys.executable, str(home / "family.py"))
                supervisor.start(Server("family", argv, {}, home / "family.log"), cwd=home)
                while True:
                    supervisor.watch(1.0)
        except KeyboardInterrupt:
            return 0

    sys.exit(guarded(work))
"""


def code(text: str) -> str:
    return textwrap.dedent(text)


def eventually(condition: Callable[[], bool], *, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def server(home: Path, name: str, program: str) -> Server:
    return Server(name, (sys.executable, "-c", code(program)), dict(os.environ), home / f"{name}.log")


@pytest.fixture
def guard(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[bytes]]:
    """Start a guard, its launcher, and their family of awkward children."""
    stubborn = getattr(request, "param", False)
    (tmp_path / "family.py").write_text(code(FAMILY).format(stubborn=stubborn))
    (tmp_path / "launcher.py").write_text(code(LAUNCHER))
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "launcher.py"), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
    )
    eventually((tmp_path / "family.pids").exists)
    yield process
    process.kill()
    process.wait()


def launcher_of(guard: subprocess.Popen[bytes]) -> psutil.Process:
    (launcher,) = psutil.Process(guard.pid).children()
    return launcher


def family(home: Path) -> list[int]:
    pids = [int(line) for line in (home / "family.pids").read_text().split()]
    return [*pids, int((home / "daemon.pid").read_text())]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_everything_and_is_no_failure(
    guard: subprocess.Popen[bytes], tmp_path: Path, number: signal.Signals
) -> None:
    pids = family(tmp_path)
    assert all(map(alive, pids))
    guard.send_signal(number)
    assert guard.wait(30) == 0
    assert not any(map(alive, pids))


def test_a_killed_launcher_leaves_nothing_behind(guard: subprocess.Popen[bytes], tmp_path: Path) -> None:
    pids = family(tmp_path)
    launcher_of(guard).kill()
    assert guard.wait(30) == 128 + signal.SIGKILL
    assert not any(map(alive, pids))


def test_the_lock_is_held_until_the_last_process_is_gone(guard: subprocess.Popen[bytes], tmp_path: Path) -> None:
    with pytest.raises(AlreadyRunning, match=r"a test.*Ctrl-C"):
        Hold(tmp_path / "stack.lock").take("another")
    pids = family(tmp_path)
    launcher_of(guard).kill()

    def taken() -> bool:
        try:
            Hold(tmp_path / "stack.lock").take("another")
        except AlreadyRunning:
            return False
        return True

    eventually(taken)
    assert not any(map(alive, pids))


def test_a_killed_guard_is_noticed_and_its_children_are_stopped(guard: subprocess.Popen[bytes], tmp_path: Path) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("orphans are adopted on Linux only")
    pids = family(tmp_path)
    launcher = launcher_of(guard)
    guard.kill()
    assert guard.wait(30) != 0
    eventually(lambda: not any(map(alive, pids)) and not alive(launcher.pid))


@pytest.mark.parametrize("guard", [True], indirect=True)
def test_who_ignores_sigterm_is_killed_and_a_second_signal_hurries(
    guard: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    pids = family(tmp_path)
    guard.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert any(map(alive, pids)), "it should still be waiting for the one that ignores SIGTERM"
    began = time.monotonic()
    guard.send_signal(signal.SIGINT)
    assert guard.wait(30) == 0
    assert time.monotonic() - began < 4
    assert not any(map(alive, pids))


def test_a_dead_server_is_named_with_the_tail_of_its_log(tmp_path: Path) -> None:
    dies = "import sys, time; print('about to die', flush=True); time.sleep(0.2); sys.exit(3)"
    with Supervisor() as its:
        its.start(server(tmp_path, "steady", SLEEPER), cwd=tmp_path)
        its.wait_until(lambda: "steady" in its.pids, seconds=20, what="its start")
        steady = its.pids["steady"]
        its.start(server(tmp_path, "fragile", dies), cwd=tmp_path)
        with pytest.raises(ChildDied, match=r"(?s)fragile ended with exit code 3.*about to die"):
            its.wait_until(lambda: False, seconds=20, what="nothing")
    assert not alive(steady)


def test_a_program_that_cannot_start_is_an_exit(tmp_path: Path) -> None:
    ghost = Server("ghost", (str(tmp_path / "no-such-program"),), {}, tmp_path / "ghost.log")
    with Supervisor() as its:
        its.start(ghost, cwd=tmp_path)
        with pytest.raises(ChildDied, match="ghost ended with exit code 127"):
            its.wait_until(lambda: False, seconds=20, what="nothing")


def test_a_step_answers_on_its_output_and_talks_in_its_log(tmp_path: Path) -> None:
    program = "import sys; print('{}'); print('progress', file=sys.stderr)"
    with Supervisor() as its:
        out, log = tmp_path / "step.out", tmp_path / "step.log"
        argv = (sys.executable, "-c", program)
        its.run("step", argv, env=os.environ, cwd=tmp_path, log=log, out=out)
        its.wait_until(lambda: "step" in its.exits, seconds=20, what="the step")
    assert its.exits["step"].code == 0
    assert out.read_text() == "{}\n"
    assert log.read_text() == "progress\n"


def test_the_guard_of_a_killed_launcher_keeps_the_order_of_the_waves(tmp_path: Path) -> None:
    program = """
        import os, signal, sys
        from pathlib import Path
        from embedded.servers import Server
        from embedded.guard import guarded
        from embedded.supervise import Supervisor
        home = Path(sys.argv[1])
        def work():
            with Supervisor() as supervisor:
                for name, wave in (("api", 1), ("scheduler", 0)):
                    argv = (sys.executable, str(home / "slow.py"), str(home / name))
                    supervisor.start(Server(name, argv, {}, home / f"{name}.log", wave), cwd=home)
                while not all((home / f"{name}.ready").exists() for name in ("api", "scheduler")):
                    supervisor.watch(0.1)
                os.kill(os.getpid(), signal.SIGKILL)
        sys.exit(guarded(work))
    """
    (tmp_path / "slow.py").write_text(code(SLOW))
    command = [sys.executable, "-c", code(program), str(tmp_path)]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(PROJECT)}, timeout=60, check=False)
    assert done.returncode == 128 + signal.SIGKILL
    stopped = {name: float((tmp_path / name).read_text()) for name in ("scheduler", "api")}
    assert stopped["api"] - stopped["scheduler"] >= 0.6


def test_orphans_that_end_while_the_stack_runs_are_let_go(tmp_path: Path) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("orphans are adopted on Linux only")
    program = """
        import sys
        from pathlib import Path
        import psutil
        from embedded.guard import guarded
        from embedded.supervise import Supervisor
        home = Path(sys.argv[1])
        def work():
            with Supervisor() as supervisor:
                fork = "import os, time; os.fork() or (os.setsid(), time.sleep(0.5))"
                files = {"log": home / "fork.log", "out": home / "fork.out"}
                supervisor.run("fork", (sys.executable, "-c", fork), env={}, cwd=home, **files)
                supervisor.wait_until(lambda: "fork" in supervisor.exits, seconds=30, what="the fork")
                orphans = psutil.Process().children()
                supervisor.wait_until(lambda: not psutil.Process().children(), seconds=10, what="their end")
                print(len(orphans), supervisor.exits["fork"].code, flush=True)
            return 0
        sys.exit(guarded(work))
    """
    command = [sys.executable, "-c", code(program), str(tmp_path)]
    environ = {**os.environ, "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(command, env=environ, timeout=60, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "1 0\n"), done.stderr


def test_the_end_of_the_parent_is_the_end_of_the_launcher_if_asked(tmp_path: Path) -> None:
    program = """
        import subprocess, sys
        from embedded.guard import guarded
        from embedded.supervise import raise_on_signals
        raise_on_signals()
        def work():
            open(sys.argv[1] + "/ready", "w").write("")
            sleep = __import__("time").sleep
            try:
                sleep(300)
            except KeyboardInterrupt:
                sleep(1)  # A second signal would end this: it means that nobody is waited for.
                open(sys.argv[1] + "/stopped", "w").write("")
                return 0
        sys.exit(guarded(work, with_parent=True))
    """
    (tmp_path / "guarded.py").write_text(code(program))
    shell = "import subprocess, sys, time; subprocess.Popen(sys.argv[1:]); time.sleep(300)"
    command = [sys.executable, "-c", shell, sys.executable, str(tmp_path / "guarded.py"), str(tmp_path)]
    parent = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(PROJECT)})
    eventually((tmp_path / "ready").exists)
    parent.kill()
    parent.wait()
    eventually((tmp_path / "stopped").exists)


def test_the_first_wave_is_gone_before_the_second_is_told(tmp_path: Path) -> None:
    with Supervisor() as its:
        for name, wave in (("scheduler", 0), ("api", 1)):
            argv = (sys.executable, "-c", code(SLOW), str(tmp_path / name))
            its.start(Server(name, argv, {}, tmp_path / f"{name}.log", wave), cwd=tmp_path)
        eventually(lambda: all((tmp_path / f"{n}.ready").exists() for n in ("scheduler", "api")))
    stopped = {name: float((tmp_path / name).read_text()) for name in ("scheduler", "api")}
    assert stopped["api"] - stopped["scheduler"] >= 0.6
    assert its.killed == ()


def test_tail_of_a_missing_log_says_so(tmp_path: Path) -> None:
    assert "nothing" in tail(tmp_path / "none.log")
