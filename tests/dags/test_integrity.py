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

from embedded.airflow_api import OF_SETTINGS
from ml import yaml_file
from tests.dags.airflow_home import PROJECT
from tests.dags.world import MODEL

REPORT = "wrong_settings.py"
FILES = sorted(path for path in (PROJECT / "dags").glob("*.py") if path.name != REPORT)
DEADLINE = "deadline.py"
"""Draws a Dag only for a model whose predictions have a deadline."""
VERBS = ["digest", "exclude", "ingest", "monitor", "note", "retrain", "rollback", "score"]
OF_EACH_MODEL = VERBS[1:]
"""The digest is one an installation."""
MOST_LINES = {"retrain": 180, "monitor": 140}  # sixteen boxes, and ten
ASKS = {("retrain", "approve")}
"""Waits for a person: the time limit is the question's own, and a second try would ask twice."""

HEAVY = {"boto3", "dvc", "evidently", "great_expectations", "matplotlib", "mlflow", "pandas", "pyarrow"}
HEAVY |= {"scipy", "skops", "sklearn", "ml.backtest", "ml.cli", "ml.steps", "ml.views", "ml.wiring"}
"""Settings are read to draw a model's Dags; nothing is that its work needs."""

PARSE = """
import json, sys
import airflow.providers.standard.operators.hitl, airflow.providers.standard.operators.trigger_dagrun, airflow.sdk
from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.encoders import coerce_to_core_timetable
DagBag("/nowhere")
before = set(sys.modules)
bag = DagBag(sys.argv[1])
new = {".".join(name.split(".")[:depth]) for name in set(sys.modules) - before for depth in (1, 2)}
def scheduled(core):
    assets = getattr(core, "asset_condition", None)
    return core.summary + str(assets.as_expression() if assets else "")
drawn = {
    dag.dag_id: {
        "tags": sorted(dag.tags),
        "name": dag.dag_display_name,
        "start": str(dag.start_date),
        "timetable": scheduled(coerce_to_core_timetable(dag.timetable)),
        "outlets": [(asset.name, asset.uri) for task in dag.tasks for asset in task.outlets],
        "work": [dag.tasks[0].owner, dag.tasks[0].retries, dag.tasks[0].pool, dag.tasks[0].priority_weight],
        "triggers": [task.trigger_dag_id for task in dag.tasks if hasattr(task, "trigger_dag_id")],
    }
    for dag in bag.dags.values()
}
print(json.dumps({"dags": sorted(bag.dags), "errors": bag.import_errors, "new": sorted(new), "drawn": drawn}))
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
    drawn = [f"{MODEL}.{file.stem}" for file in FILES if file.name != DEADLINE]
    assert sorted(bag.dags) == drawn == [f"{MODEL}.{verb}" for verb in VERBS]
    for dag_id, dag in bag.dags.items():
        assert f"{MODEL}.{Path(dag.fileloc).stem}" == dag_id


@pytest.mark.parametrize("verb", VERBS)
def test_the_arrow_line_is_the_real_graph(bag: Any, verb: str) -> None:
    dag = bag.dags[f"{MODEL}.{verb}"]
    assert layers({task.task_id: set(task.upstream_task_ids) for task in dag.tasks}) == arrow_line(dag.doc_md)


@pytest.mark.parametrize("verb", VERBS)
def test_the_first_line_is_a_sentence_of_intent(bag: Any, verb: str) -> None:
    first, blank, *_ = bag.dags[f"{MODEL}.{verb}"].doc_md.strip().splitlines()
    assert first.endswith(".")
    assert blank == ""


@pytest.mark.parametrize("verb", VERBS)
def test_every_task_has_owner_retries_limits_and_mail(bag: Any, verb: str) -> None:
    dag = bag.dags[f"{MODEL}.{verb}"]
    assert {"evergreen", MODEL} < set(dag.tags)
    assert dag.dag_display_name.startswith(f"{MODEL}: ")
    assert dag.dagrun_timeout > timedelta()
    assert dag.catchup is False
    for task in dag.tasks:
        assert task.owner == "evergreen"
        assert [callback.__name__ for callback in task.on_failure_callback] == ["alert_failure"]
        if (verb, task.task_id) in ASKS:
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
    assert (params["task"]["timezone"], params["land"]["due_hour"]) == ("America/New_York", 5)
    timetable = core_timetable(bag.dags[f"{MODEL}.ingest"])
    # Noon in New York, in winter and in summer: the newest run is that very day's, since five.
    for noon, due in (
        (pendulum.datetime(2013, 1, 20, 17), pendulum.datetime(2013, 1, 20, 10)),
        (pendulum.datetime(2013, 7, 20, 16), pendulum.datetime(2013, 7, 20, 9)),
    ):
        ran = timetable._align_to_prev(noon)
        assert ran == due
        assert timetable._get_partition_info(ran)[1] == due.date().isoformat()


def test_score_and_monitor_follow_the_inputs_day_by_day(bag: Any) -> None:
    for verb in ("score", "monitor"):
        assert f"{MODEL}.inputs" in str(core_timetable(bag.dags[f"{MODEL}.{verb}"]).asset_condition.as_expression())


def test_parsing_imports_nothing_heavy_and_fetches_no_secret(tmp_path: Path) -> None:
    parsed = parse(PROJECT / "dags", tmp_path)
    assert parsed["errors"] == {}
    assert parsed["dags"] == [f"{MODEL}.{verb}" for verb in VERBS]
    assert set(parsed["new"]) & HEAVY == set()
    assert "evergreen" in parsed["new"]


@pytest.fixture
def churn(tmp_path: Path) -> Path:
    """Write the settings of two models, and return those of the one that is not at the top."""
    params = yaml_file.parse((PROJECT / "params.yaml").read_text(encoding="utf-8"))
    (tmp_path / "params.yaml").write_text(yaml_file.dump(params), encoding="utf-8")
    params["task"] |= {"name": "churn", "timezone": "Asia/Tokyo"}
    work = {"owner": "growth", "retries": 4, "pool": "heavy", "priority": 7, "timeout_minutes": 90}
    params["schedule"] = work | {"cron": "30 6 * * 1-5"}
    file = tmp_path / "models" / "churn" / "params.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(yaml_file.dump(params), encoding="utf-8")
    return file


def test_each_model_has_dags_of_its_own_drawn_by_its_own_settings(churn: Path, tmp_path: Path) -> None:
    parsed = parse(PROJECT / "dags", tmp_path)
    assert parsed["errors"] == {}
    each, first = ([f"{model}.{verb}" for verb in OF_EACH_MODEL] for model in ("churn", MODEL))
    assert parsed["dags"] == [*each, f"{MODEL}.digest", *first], "the digest is one an installation"
    drawn = parsed["drawn"]
    for model, work in (("churn", ["growth", 4, "heavy", 7]), (MODEL, ["evergreen", 2, "default_pool", 1])):
        for verb in OF_EACH_MODEL:
            dag = drawn[f"{model}.{verb}"]
            assert dag["work"] == work
            assert {"evergreen", model} < set(dag["tags"])
            assert dag["name"].startswith(f"{model}: ")
        assert drawn[f"{model}.ingest"]["outlets"] == [[f"{model}.inputs", f"evergreen://{model}/inputs"]]
        assert drawn[f"{model}.score"]["outlets"] == [[f"{model}.predictions", f"evergreen://{model}/predictions"]]
        assert drawn[f"{model}.monitor"]["triggers"] == [f"{model}.retrain", f"{model}.rollback"]
        for verb in ("score", "monitor"):
            assert f"{model}.inputs" in drawn[f"{model}.{verb}"]["timetable"]
    for model, cron, midnight in (
        ("churn", "30 6 * * 1-5", "1969-12-31 15:00"),
        (MODEL, "0 5 * * *", "1970-01-01 05:00"),
    ):
        assert cron in drawn[f"{model}.ingest"]["timetable"]
        assert drawn[f"{model}.ingest"]["start"].startswith(midnight), "of the model's own time zone"


def test_the_first_model_that_has_a_weekday_carries_the_digest(churn: Path, tmp_path: Path) -> None:
    top = tmp_path / "params.yaml"
    params = yaml_file.parse(top.read_text(encoding="utf-8"))
    params["notify"]["digest"] = None
    top.write_text(yaml_file.dump(params), encoding="utf-8")
    parsed = parse(PROJECT / "dags", tmp_path)
    assert parsed["errors"] == {}
    assert [name for name in parsed["dags"] if name.endswith(".digest")] == ["churn.digest"]
    assert "0 7 * * *" in parsed["drawn"]["churn.digest"]["timetable"]


def test_a_deadline_is_looked_at_in_the_time_of_the_model_that_has_one(churn: Path, tmp_path: Path) -> None:
    params = yaml_file.parse(churn.read_text(encoding="utf-8"))
    params["score"]["due_by"] = "09:45"
    churn.write_text(yaml_file.dump(params), encoding="utf-8")
    parsed = parse(PROJECT / "dags", tmp_path)
    assert parsed["errors"] == {}
    assert [name for name in parsed["dags"] if name.endswith(".deadline")] == ["churn.deadline"]
    assert "45 9 * * *" in parsed["drawn"]["churn.deadline"]["timetable"]
    assert set(parsed["new"]) & HEAVY == set()


def test_wrong_settings_take_the_dags_of_their_own_model_only_and_one_file_reports_them(
    churn: Path, tmp_path: Path
) -> None:
    params = yaml_file.parse(churn.read_text(encoding="utf-8"))
    params["fit"]["seed"] = "none"
    churn.write_text(yaml_file.dump(params), encoding="utf-8")
    (tmp_path / "models" / "empty").mkdir()
    parsed = parse(PROJECT / "dags", tmp_path)
    assert parsed["dags"] == [f"{MODEL}.{verb}" for verb in VERBS]
    ((file, error),) = parsed["errors"].items()
    assert Path(file).name == REPORT, "which draws no Dag: Airflow would let none of that file run"
    for part in ("model churn has no Dags: ", "models/churn/params.yaml", "fit.seed", "model empty has no Dags: "):
        assert part in error
    assert OF_SETTINGS in error


@pytest.mark.parametrize(
    ("line", "seen"),
    [("import sklearn", "sklearn"), ("from airflow.sdk import Variable; Variable.get('x')", "variable x was fetched")],
)
def test_the_traps_of_the_test_before_catch(tmp_path: Path, line: str, seen: str) -> None:
    dags = tmp_path / "dags"
    dags.mkdir()
    (dags / "bad.py").write_text(f"from airflow.sdk import DAG\nimport evergreen.models\n{line}\n")
    assert seen in json.dumps(parse(dags, tmp_path))


def parse(dags: Path, tmp_path: Path) -> dict[str, Any]:
    """Parse a folder of Dags in a process of its own, where fetching a secret is an error."""
    (tmp_path / "trap.py").write_text(SECRETS)
    path = [str(PROJECT / "plugins"), str(PROJECT), str(tmp_path)]
    own = {"EVERGREEN_PARAMS": str(tmp_path / "params.yaml")} if (tmp_path / "params.yaml").exists() else {}
    env = (
        {name: value for name, value in os.environ.items() if not name.startswith("EVERGREEN_")}
        | own
        | {
            "PYTHONPATH": os.pathsep.join(path),
            "AIRFLOW__SECRETS__BACKEND": "trap.Trap",
            "AIRFLOW__WORKERS__SECRETS_BACKEND": "trap.Trap",
        }
    )
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
    """Read ``a → (b, c) → d``, on one line or more; a single task is a line of its own."""
    quoted = doc.split("``")[1::2]
    line = next((drawn for drawn in quoted if "→" in drawn), quoted[0])
    return [{name.strip() for name in part.strip().strip("()").split(",")} for part in line.split("→")]
