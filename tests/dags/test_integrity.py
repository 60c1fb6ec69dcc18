"""Every Dag file: parses fast and alone, says what it does, and has what every Dag here has."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pendulum
import pytest
import yaml
from evergreen import defaults

from tests.dags.airflow_home import PROJECT

FILES = sorted((PROJECT / "dags").glob("*.py"))
DAG_IDS = ["ingest", "monitor", "retrain", "rollback", "score"]
MOST_LINES = {"retrain": 180, "monitor": 140}  # sixteen boxes, and ten
ASKS = {("retrain", "approve")}
"""Waits for a person: the time limit is the question's own, and a second try would ask twice."""

HEAVY = {"boto3", "dvc", "evidently", "great_expectations", "matplotlib", "ml", "mlflow", "pandas", "pyarrow"}
HEAVY |= {"scipy", "skops", "sklearn"}

PARSE = """
import json, sys
import airflow.providers.standard.operators.hitl, airflow.providers.standard.operators.trigger_dagrun, airflow.sdk
from airflow.dag_processing.dagbag import DagBag
DagBag("/nowhere")
before = set(sys.modules)
bag = DagBag(sys.argv[1])
new = {name.split(".")[0] for name in set(sys.modules) - before}
print(json.dumps({"dags": sorted(bag.dags), "errors": bag.import_errors, "new": sorted(new)}))
"""
SECRETS = """
from airflow.secrets import BaseSecretsBackend

class Trap(BaseSecretsBackend):
    def get_connection(self, conn_id, **_):
        raise SystemExit(f"connection {conn_id} was fetched")
    def get_variable(self, key, **_):
        raise SystemExit(f"variable {key} was fetched")
"""


def test_all_parse_and_bear_their_files_names(bag: Any) -> None:
    assert bag.import_errors == {}
    assert sorted(bag.dags) == [file.stem for file in FILES] == DAG_IDS
    for dag_id, dag in bag.dags.items():
        assert Path(dag.fileloc).stem == dag_id


@pytest.mark.parametrize("dag_id", DAG_IDS)
def test_the_arrow_line_is_the_real_graph(bag: Any, dag_id: str) -> None:
    dag = bag.dags[dag_id]
    assert layers({task.task_id: set(task.upstream_task_ids) for task in dag.tasks}) == arrow_line(dag.doc_md)


@pytest.mark.parametrize("dag_id", DAG_IDS)
def test_the_first_line_is_a_sentence_of_intent(bag: Any, dag_id: str) -> None:
    first, blank, *_ = bag.dags[dag_id].doc_md.strip().splitlines()
    assert first.endswith(".")
    assert blank == ""


@pytest.mark.parametrize("dag_id", DAG_IDS)
def test_every_task_has_owner_retries_limits_and_mail(bag: Any, dag_id: str) -> None:
    dag = bag.dags[dag_id]
    assert {"evergreen"} < set(dag.tags)
    assert dag.dagrun_timeout > timedelta()
    assert dag.catchup is False
    for task in dag.tasks:
        assert task.owner == "evergreen"
        assert [callback.__name__ for callback in task.on_failure_callback] == ["mail_failure"]
        if (dag_id, task.task_id) in ASKS:
            assert task.retries == 0
            assert task.execution_timeout is None
            continue
        assert task.retries >= 1
        assert task.retry_delay >= timedelta(seconds=5)
        assert task.retry_exponential_backoff
        assert task.retry_delay < task.max_retry_delay <= timedelta(hours=1)
        assert timedelta() < task.execution_timeout < dag.dagrun_timeout


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_dag_file_stays_a_drawing(file: Path) -> None:
    assert len(file.read_text(encoding="utf-8").splitlines()) <= MOST_LINES.get(file.stem, 100)


def test_ingest_is_due_when_params_say_so(bag: Any) -> None:
    params = yaml.safe_load((PROJECT / "params.yaml").read_text(encoding="utf-8"))
    assert params["task"]["timezone"] == defaults.TIMEZONE
    assert f"0 {params['land']['due_hour']} * * *" == defaults.INGEST_CRON
    timetable = core_timetable(bag.dags["ingest"])
    # Noon in New York, in winter and in summer: the newest run is that very day's, since five.
    for noon, due in (
        (pendulum.datetime(2013, 1, 20, 17), pendulum.datetime(2013, 1, 20, 10)),
        (pendulum.datetime(2013, 7, 20, 16), pendulum.datetime(2013, 7, 20, 9)),
    ):
        ran = timetable._align_to_prev(noon)
        assert ran == due
        assert timetable._get_partition_info(ran)[1] == due.date().isoformat()


def test_score_and_monitor_follow_the_inputs_day_by_day(bag: Any) -> None:
    for dag_id in ("score", "monitor"):
        assert "evergreen_inputs" in str(core_timetable(bag.dags[dag_id]).asset_condition.as_expression())


def test_parsing_imports_nothing_heavy_and_fetches_no_secret(tmp_path: Path) -> None:
    parsed = parse(PROJECT / "dags", tmp_path)
    assert parsed["errors"] == {}
    assert parsed["dags"] == DAG_IDS
    assert set(parsed["new"]) & HEAVY == set()
    assert "evergreen" in parsed["new"]


@pytest.mark.parametrize(
    ("line", "seen"),
    [("import sklearn", "sklearn"), ("from airflow.sdk import Variable; Variable.get('x')", "variable x was fetched")],
)
def test_the_traps_of_the_test_before_catch(tmp_path: Path, line: str, seen: str) -> None:
    dags = tmp_path / "dags"
    dags.mkdir()
    (dags / "bad.py").write_text(f"from airflow.sdk import DAG\nimport evergreen.defaults\n{line}\n")
    assert seen in json.dumps(parse(dags, tmp_path))


def parse(dags: Path, tmp_path: Path) -> dict[str, Any]:
    """Parse a folder of Dags in a process of its own, where fetching a secret is an error."""
    (tmp_path / "trap.py").write_text(SECRETS)
    path = [str(PROJECT / "plugins"), str(PROJECT), str(tmp_path)]
    env = os.environ | {
        "PYTHONPATH": os.pathsep.join(path),
        "AIRFLOW__SECRETS__BACKEND": "trap.Trap",
        "AIRFLOW__WORKERS__SECRETS_BACKEND": "trap.Trap",
    }
    ended = subprocess.run(
        [sys.executable, "-c", PARSE, str(dags)], env=env, capture_output=True, text=True, timeout=120, check=False
    )
    if ended.returncode != 0:
        return {"errors": ended.stdout + ended.stderr, "dags": [], "new": []}
    return json.loads(ended.stdout.strip().splitlines()[-1])


def core_timetable(dag: Any) -> Any:
    """Give the timetable as the scheduler sees it."""
    from airflow.serialization.encoders import coerce_to_core_timetable

    return coerce_to_core_timetable(dag.timetable)


def layers(upstream: dict[str, set[str]]) -> list[set[str]]:
    """Lay tasks out by the longest way that leads to each."""
    left, found = dict(upstream), []
    while left:
        free = {task for task, before in left.items() if not before & left.keys()}
        found.append(free)
        for task in free:
            del left[task]
    return found


def arrow_line(doc: str) -> list[set[str]]:
    """Read ``a → (b, c) → d``, on one line or more."""
    line = next(drawn for drawn in doc.split("``")[1::2] if "→" in drawn)
    return [{name.strip() for name in part.strip().strip("()").split(",")} for part in line.split("→")]
