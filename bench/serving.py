"""Measure predictions on request beside ``mlflow models serve`` of the same champion, and a promotion under load.

One server after the other, on the same machine, asked by ``wrk`` (Debian's package) over connections that stay open:
1 and 16 clients, 1 and 100 rows a request. MLflow's server gets the lagged target means with each row, since it looks
nothing up; ours looks them up and writes its request log. Rounds alternate, and the median round counts. *Ratio* is
ours to MLflow's.

``--promotion`` asks 50 times a second while another version comes to serve, and while it is rolled back: how many
requests are lost, how many answers are those of neither version, and after how many seconds the new version answers.

    python -m bench.serving [--seconds 8] [--rounds 3] [--home DIR] [--promotion] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import requests

from bench.installation import LAST_DAY, Installation, build, machine, show

CLIENTS, ROWS = (1, 16), (1, 100)
PER_SECOND = 50
SCRIPT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = io.open("{body}"):read("*a")
local failed = 0
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("RESULT %d %d %f %f %d\\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), e.connect + e.read + e.write + e.status + e.timeout))
end
"""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def environment(installed: Installation) -> dict[str, str]:
    home = installed.home
    tracking = f"sqlite:///{home / 'mlflow' / 'mlflow.db'}"
    given = {"EVERGREEN_HOME": str(home), "EVERGREEN_PARAMS": str(home / "params.yaml"), "EVERGREEN_DEVELOPMENT": "1"}
    return {**os.environ, **given, "MLFLOW_TRACKING_URI": tracking, "MLFLOW_DISABLE_TELEMETRY": "true",
            "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # fmt: skip


@contextmanager
def running(command: list[str], env: dict[str, str], ready: str, log: Path) -> Iterator[None]:
    """Run a server in a process group of its own until the block ends."""
    with log.open("ab") as out:
        server = subprocess.Popen(command, env=env, stdout=out, stderr=out, start_new_session=True)
    try:
        deadline = time.monotonic() + 180
        while True:
            try:
                if requests.get(ready, timeout=2).ok:
                    break
            except requests.RequestException:
                pass
            if server.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{command[2:4]} did not start:\n{log.read_text()[-3000:]}")
            time.sleep(0.3)
        yield
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


@contextmanager
def ours(installed: Installation, port: int) -> Iterator[None]:
    command = [sys.executable, "-m", "ml.cli.serve", "--no-token", "--port", str(port)]
    with running(command, environment(installed), f"http://127.0.0.1:{port}/ready", installed.home / "ours.log"):
        yield


@contextmanager
def mlflows(installed: Installation, port: int) -> Iterator[None]:
    name = installed.services().identity
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", f"models:/{name}@champion",
               "--env-manager", "local", "--port", str(port), "--workers", "1"]  # fmt: skip
    with running(command, environment(installed), f"http://127.0.0.1:{port}/ping", installed.home / "mlflows.log"):
        yield


def bodies(installed: Installation, count: int, *, day: date = LAST_DAY) -> dict[str, dict[str, Any]]:
    """Return one request for each server, of the same rows."""
    from ml.adapters.rows import batches
    from ml.steps.score import resolve
    from ml.steps.score.scorer import scorer_of

    services = installed.services()
    champion = resolve.run(day, settings=services.settings, services=services)
    scorer = scorer_of(int(champion.version or 0), day, services, rev=champion.data_version)
    source = services.registry.open("inputs", rev=champion.data_version, first_day=day, last_day=day)
    table = next(batches(source[day], count))
    seen, inputs = scorer.matrix(table), pd.read_parquet(source[day]).head(count)
    split = json.loads(seen.to_json(orient="split", double_precision=15))
    split.pop("index")
    return {"ours": {"rows": json.loads(inputs.to_json(orient="records", double_precision=15))},
            "mlflow": {"dataframe_split": split}}  # fmt: skip


def load(url: str, body: dict[str, Any], *, clients: int, seconds: int, folder: Path) -> dict[str, float]:
    """Ask for some seconds; return requests a second, and the median and the 99th percentile in milliseconds."""
    file, script = folder / "body.json", folder / "ask.lua"
    file.write_text(json.dumps(body))
    script.write_text(SCRIPT.format(body=file))
    command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "30s", "-s", str(script), url]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
    asked, micros, p50, p99, failed = map(float, line.split()[1:])
    if failed:
        raise SystemExit(f"{failed:.0f} of {asked:.0f} requests to {url} failed")
    return {"per_second": asked / micros * 1e6, "p50": p50 / 1000, "p99": p99 / 1000}


def compared(installed: Installation, *, seconds: int, rounds: int) -> list[dict[str, Any]]:
    """Measure both servers, round by round; one runs at a time."""
    name, measured = installed.services().identity, dict[tuple[str, int, int], list[dict[str, float]]]()
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds):
            for server, start in (("mlflow", mlflows), ("ours", ours)):
                port = free_port()
                path = "invocations" if server == "mlflow" else f"v1/models/{name}:predict"
                with start(installed, port):
                    for rows in ROWS:
                        body = bodies(installed, rows)[server]
                        for clients in CLIENTS:
                            url = f"http://127.0.0.1:{port}/{path}"
                            ask = partial(load, url, body, clients=clients, folder=Path(folder))
                            ask(seconds=2)  # warm
                            one = ask(seconds=seconds)
                            measured.setdefault((server, clients, rows), []).append(one)
    lines = []
    for clients in CLIENTS:
        for rows in ROWS:
            line: dict[str, Any] = {"clients": clients, "rows": rows}
            for what in ("per_second", "p50", "p99"):
                both = {
                    server: statistics.median(one[what] for one in measured[server, clients, rows])
                    for server in ("ours", "mlflow")
                }
                line |= {f"{server}_{what}": round(value, 2) for server, value in both.items()}
                line[f"ratio_{what}"] = round(both["ours"] / both["mlflow"], 2)
            lines.append(line)
    return lines


def promoted_under_load(installed: Installation) -> dict[str, Any]:
    """Ask all the time while another version comes to serve, and while it is rolled back."""
    from ml.records import RetrainRequest, RollbackRequest
    from ml.steps import rollback
    from ml.steps.ingest import seed
    from ml.steps.retrain import check, evaluate, fit, gate, promote, pull, register, split, validate

    lenient = {"champion": {"kind": "champion", "max_loss": 0.1}}  # it is to serve, good or not
    services, newest = installed.services(gate={"rules": lenient}), LAST_DAY + timedelta(days=10)
    given: dict[str, Any] = {"settings": services.settings, "services": services}
    seed.run(LAST_DAY + timedelta(days=1), newest, **given)  # a refresh needs newer data
    window = pull.run(RetrainRequest(requested_by="a benchmark", reasons=("to measure",)), **given)
    for step in (validate, split, fit):
        step.run(window, **given)
    challenger = register.run(window, evaluate.run(window, meet_champion=True, **given), **given)
    check.run(window, challenger=challenger, **given)
    judgement = gate.run(window, challenger=challenger, **given)
    first = services.tracking.alias("champion")
    body, port = bodies(installed, 1, day=newest)["ours"], free_port()
    url, answers, stop = f"http://127.0.0.1:{port}/v1/models/{services.identity}:predict", [], threading.Event()

    def ask(number: int) -> None:
        session = requests.Session()
        while not stop.is_set():
            started = time.monotonic()
            try:
                answer = session.post(url, json=body, timeout=30)
                facts = answer.json()
                value = facts["predictions"][0]["probability"] if answer.status_code == 200 else None
                answers.append((started, answer.status_code, facts.get("version"), value))
            except requests.RequestException:
                answers.append((started, 0, None, None))  # no answer at all
            stop.wait(max(0.0, 10 / PER_SECOND - (time.monotonic() - started)))

    with ours(installed, port):
        requesters = [threading.Thread(target=ask, args=(number,)) for number in range(10)]
        for requester in requesters:
            requester.start()
        time.sleep(3)
        outcome = promote.run(window, judgement, **given)
        if not outcome.promoted:
            raise SystemExit(f"not promoted: {outcome.reason}")
        promoted_at = time.monotonic()
        time.sleep(12)
        rollback.run(RollbackRequest(to_version=first, requested_by="a benchmark", reason="to measure"), **given)
        back_at = time.monotonic()
        time.sleep(12)
        stop.set()
        for requester in requesters:
            requester.join()
    second = outcome.version
    values: dict[Any, set[Any]] = {}
    for _, status, version, value in answers:
        if status == 200:
            values.setdefault(version, set()).add(value)
    new = min(at for at, _, version, _ in answers if version == second)
    old = min((at for at, _, version, _ in answers if version == first and at > back_at), default=float("nan"))
    return {
        "requests": len(answers),
        "lost": sum(status != 200 for _, status, _, _ in answers),
        "lost_by_status_and_second": [
            (status, round(at - promoted_at, 1)) for at, status, _, _ in answers if status != 200
        ],
        "values_by_version": {version: len(found) for version, found in values.items()},
        "new_version_answers_after_seconds": round(new - promoted_at, 1),
        "old_version_answers_after_seconds": round(old - back_at, 1),
    }


def main() -> int:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    arguments.add_argument("--seconds", type=int, default=8)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--home", type=Path)
    arguments.add_argument("--promotion", action="store_true")
    arguments.add_argument("--json", action="store_true")
    options = arguments.parse_args()
    if shutil.which("wrk") is None and not options.promotion:
        raise SystemExit("wrk is missing: install Debian's package wrk")
    with tempfile.TemporaryDirectory() as folder:
        home = options.home or Path(folder) / "home"
        installed = Installation(home) if (home / "params.yaml").exists() else build(home)
        where = machine()
        if options.promotion:
            print(where, show(promoted_under_load(installed)), sep="\n")
            return 0
        lines = compared(installed, seconds=options.seconds, rounds=options.rounds)
    print(where)
    print(show(lines) if options.json else pd.DataFrame(lines).to_string(index=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
