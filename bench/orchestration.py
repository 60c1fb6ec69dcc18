"""Measure what Airflow adds: a daily cycle and a retrain in it, beside the same steps called in one Python process.

History is landed once and copied. One copy goes through the embedded stack (``embedded.up --until-done``: servers, a
first champion, the day's *Ingest*, *Score* and *Monitor*); in the other the same steps run one after the other in one
process whose imports are done. Times of Airflow are those of its own Dag runs. Before it, how long the Dag files parse.

    python -m bench.orchestration [--parse-only] [--ports 18080 15000 11025]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from bench.installation import apart, machine
from ml.settings import PROJECT_ROOT, Environment, load
from ml.wiring import Services

PARSE = """
import json, logging, sys, time
logging.disable(logging.CRITICAL)
started = time.perf_counter()
from airflow.dag_processing.dagbag import DagBag
imported = time.perf_counter()
bag = DagBag(sys.argv[1])
assert not bag.import_errors, bag.import_errors
found = {stat.file.strip("/"): stat.duration.total_seconds() for stat in bag.dagbag_stats}
print(json.dumps({"airflow": imported - started, "all": time.perf_counter() - imported, "files": found}))
"""


def steps(home: str, *, warm: bool = False) -> dict[str, float]:
    """Return the seconds of each Dag's steps, called one after the other."""
    from ml.adapters import contracts, drift, tracking  # noqa: F401 - imports are not what is measured
    from ml.cli.replayed_day import retrain_steps
    from ml.records import RetrainRequest
    from ml.steps.ingest import commit, land, screen
    from ml.steps.monitor import compare_with_previous, decide, measure_drift, measure_performance
    from ml.steps.retrain import fit
    from ml.steps.score import plan, predict, publish, resolve, shadow

    if warm:
        return {}
    environment = Environment.load({"EVERGREEN_HOME": home, "EVERGREEN_DEVELOPMENT": "1"})
    settings = load()
    took: dict[str, float] = {}

    def call(name: str, run: Callable[..., Any], *records: Any, **options: Any) -> Any:
        started = time.perf_counter()
        found = run(*records, settings=settings, services=Services(settings, environment), **options)
        took[name] = took.get(name, 0.0) + time.perf_counter() - started
        return found

    def call_retrain(run: Callable[..., Any], *records: Any, workspace: str | None = None, **options: Any) -> Any:
        found = call("retrain", run, *records, **options)
        if run is fit.run:
            took["fit"] = found.fit_seconds
        return found

    retrain_steps(RetrainRequest(requested_by="a benchmark", reasons=("to measure",)), call_retrain)
    now = datetime.now(UTC)
    day = settings.newest_due_day(now)
    landing = call("ingest", land.run, day, now=now)
    call("ingest", commit.run, call("ingest", screen.run, landing))
    champion = call("score", resolve.run, day)
    shards = call("score", plan.run, champion)
    call("score", publish.run, shards, [call("score", predict.run, shard) for shard in shards.shards])
    call("score", shadow.run, champion)
    champion = call("monitor", resolve.run, day)
    found = [
        call("monitor", step.run, champion) for step in (measure_drift, measure_performance, compare_with_previous)
    ]
    call("monitor", decide.run, champion, *found)
    return took


def in_airflow(home: Path, ports: list[int]) -> dict[str, float]:
    """Run one whole loop in the embedded stack, and give the seconds of each Dag run from its start to its end."""
    given = dict(
        zip(("EVERGREEN_AIRFLOW_PORT", "EVERGREEN_MLFLOW_PORT", "EVERGREEN_SMTP_PORT"), map(str, ports), strict=True)
    )
    environment = {**os.environ, **given, "EVERGREEN_HOME": str(home)}
    ran = subprocess.run(
        [sys.executable, "-m", "embedded.up", "--until-done", "--with-parent"],
        env=environment, cwd=PROJECT_ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    if ran.returncode:
        raise SystemExit(f"the loop did not close:\n{ran.stdout[-3000:]}")
    (database,) = list((home / "airflow").glob("*.db"))
    with sqlite3.connect(database) as connection:
        runs = pd.read_sql_query("select dag_id, start_date, end_date from dag_run where state = 'success'", connection)
    connection.close()
    runs["start"], runs["end"] = (
        pd.to_datetime(runs[name], utc=True, format="mixed") for name in ("start_date", "end_date")
    )
    runs["verb"] = runs["dag_id"].str.rpartition(".")[2]
    first = runs.sort_values("start").groupby("verb").first()
    found = {str(name): (row["end"] - row["start"]).total_seconds() for name, row in first.iterrows()}
    daily = first.loc[["ingest", "score", "monitor"]]
    found["cycle"] = (daily["end"].max() - first.loc["ingest", "start"]).total_seconds()
    return found


def parse() -> dict[str, Any]:
    """Return the seconds in which the Dag files are parsed, in a new process."""
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "AIRFLOW_HOME": home, "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
                       "PYTHONPATH": os.pathsep.join(map(str, (PROJECT_ROOT, PROJECT_ROOT / "plugins")))}  # fmt: skip
        command = [sys.executable, "-c", PARSE, str(PROJECT_ROOT / "dags")]
        ran = subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(ran.stdout.strip().splitlines()[-1])
    return found


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ports", type=int, nargs=3, default=[18080, 15000, 11025], help="Airflow, MLflow, mail")
    parser.add_argument("--parse-only", action="store_true")
    asked = parser.parse_args(argv)
    print(machine())
    parsed = parse()
    print(f"Dag files: {parsed['all']:.2f} s for all of them, after {parsed['airflow']:.1f} s of Airflow's own imports")
    print("  " + ", ".join(f"{Path(name).stem} {seconds:.2f}" for name, seconds in parsed["files"].items()), flush=True)
    if asked.parse_only:
        return 0
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        one, two = Path(folder) / "one", Path(folder) / "two"
        environment = {**os.environ, "EVERGREEN_HOME": str(one)}
        subprocess.run(
            [sys.executable, "-m", "ml.steps.ingest.seed"],
            env=environment,
            cwd=PROJECT_ROOT,
            check=True,
            capture_output=True,
        )
        shutil.copytree(one, two)
        called = apart(steps, str(two)).result
        called["cycle"] = sum(called[name] for name in ("ingest", "score", "monitor"))
        ran = in_airflow(one, asked.ports)
    table = pd.DataFrame({"in Airflow, s": ran, "in one process, s": called}).dropna()
    table["ratio"] = table.iloc[:, 0] / table.iloc[:, 1]
    table["added, s"] = table.iloc[:, 0] - table.iloc[:, 1]
    print(table.round(2).to_string())
    bare = f"{ran['retrain'] / called['fit']:.0f} times the bare fit of {called['fit']:.2f} s"
    print(f"retrain, from its start to the champion serving: {ran['retrain']:.1f} s, {bare}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
