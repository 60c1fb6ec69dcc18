"""Several models in one installation: each has its own data, storage, versions and decisions, and no other's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from embedded.environment import ONE_THREAD
from ml.cli import doctor, rename
from ml.cli import models as model_list
from ml.errors import SettingsError
from ml.settings import PROJECT_ROOT, Environment, load_model
from ml.wiring import Services, open_services
from tests.builders_models import FIRST, NEXT, SmallModel

LIFE = f"""
import importlib, json, os, sys, traceback
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from evergreen.warm import HEAVY_MODULES
from ml.adapters import package
from ml.records import RetrainRequest
from ml.steps.ingest import commit, land, screen, seed
from ml.steps.monitor import decide, measure_drift, measure_performance
from ml.steps.retrain import check, evaluate, fit, gate, promote, pull, register, split, validate
from ml.steps.score import plan, predict, publish, resolve
from ml.wiring import open_services
from tests.package_check import start_here

day = date.fromisoformat("{NEXT}")
def run(step, *records, **options):
    services = open_services()
    return step.run(*records, settings=services.settings, services=services, **options)

def live():
    run(seed, date.fromisoformat("{FIRST}"), day - timedelta(days=1))
    window = run(pull, RetrainRequest(requested_by="a test", reasons=("to see",)))
    for step in (validate, split, fit):
        run(step, window)
    challenger = run(register, window, run(evaluate, window, meet_champion=True))
    run(check, window, challenger=challenger)
    judgement = run(gate, window, challenger=challenger)
    promotion = run(promote, window, judgement)
    run(commit, run(screen, run(land, day, now=datetime(2024, 3, 1, tzinfo=UTC))))
    champion = run(resolve, day)
    shards = run(plan, champion)
    scoring = run(publish, shards, [run(predict, shard) for shard in shards.shards])
    drift, performance = run(measure_drift, champion), run(measure_performance, champion)
    decision = run(decide, champion, drift, performance)
    return {{
        "fingerprint": window.fingerprint, "data_version": window.data_version, "promotion": promotion.version,
        "verdict": judgement.verdict.model_dump(mode="json"), "predictions": scoring.sha256, "uri": scoring.uri,
        "drift": drift.model_dump(mode="json", exclude={{"report_uri", "result_uri"}}),
        "decision": decision.model_dump(mode="json"),
    }}

for module in HEAVY_MODULES:
    if not module.startswith("airflow"):
        importlib.import_module(module)
package.start = start_here
installations, order = json.loads(sys.argv[1]), sys.argv[2]
processes = []
for environ, answer in installations:
    if order == "at once" and (process := os.fork()):
        processes.append(process)
        continue
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    os.environ.update(environ)
    try:
        Path(answer).write_text(json.dumps(live()))
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    if order == "at once":
        os._exit(0)
sys.exit(any([os.waitpid(process, 0)[1] for process in processes]))
"""
"""A model's life, from nothing to its first monitored day, with the steps that the Dags call.

Of several installations the lives follow one another in one process, or each has a process of its own and all begin
at once; these are forked from one that has imported what they need, as tasks of Airflow are.
"""

MACHINE = {"package"}
"""Rules whose evidence is a time that was measured."""


def start(homes: Sequence[Mapping[str, str]], folder: Path, *, order: str) -> Callable[[], list[dict[str, Any]]]:
    """Let models live, ``"at once"`` or ``"in turn"``; what is returned waits, and gives what came of each life."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("EVERGREEN_", "MLFLOW_"))}
    path = os.pathsep.join((str(PROJECT_ROOT), str(PROJECT_ROOT / "plugins")))
    folder.mkdir()
    answers = [folder / f"{number}.json" for number in range(len(homes))]
    given = json.dumps([[home, str(answer)] for home, answer in zip(homes, answers, strict=True)])
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", LIFE, given, order], cwd=PROJECT_ROOT, text=True,
        stderr=subprocess.PIPE, env={**kept, "EVERGREEN_DEVELOPMENT": "1", **ONE_THREAD, "PYTHONPATH": path},
    )  # fmt: skip

    def ended() -> list[dict[str, Any]]:
        _, err = process.communicate(timeout=1200)
        assert process.returncode == 0, err
        return [json.loads(answer.read_text()) for answer in answers]

    return ended


def comparable(result: dict[str, Any]) -> dict[str, Any]:
    """Leave out where files are, times that were measured, and the last digits of distances (memory decides them)."""
    rulings = [ruling for ruling in result["verdict"]["rulings"] if ruling["kind"] not in MACHINE]
    drift = json.loads(json.dumps(result["drift"]), parse_float=lambda text: f"{float(text):.9g}")
    verdict = [result["verdict"]["decision"], rulings]
    return {**result, "uri": "", "data_version": "", "verdict": verdict, "drift": drift}


def installation(home: Path, models: list[SmallModel], delivered: Path) -> dict[str, str]:
    """Configure these models in folders, none at the top."""
    for model in models:
        model.configure(home / "settings" / model.name, delivered)
    return {
        "EVERGREEN_HOME": str(home / "var"), "EVERGREEN_MODELS": str(home / "settings"),
        "EVERGREEN_PARAMS": "",
    }  # fmt: skip


def alone(home: Path, model: SmallModel, delivered: Path) -> dict[str, str]:
    """Configure one model at the top of an installation of its own."""
    model.configure(home, delivered)
    return {
        "EVERGREEN_HOME": str(home / "var"), "EVERGREEN_PARAMS": str(home / "params.yaml"),
        "EVERGREEN_EXPECTATIONS": str(home / "expectations"),
    }  # fmt: skip


def compare(number: int, tmp_path: Path) -> None:
    models, delivered = [SmallModel(n) for n in range(number)], tmp_path / "delivered"
    for model in models:
        model.deliver(delivered)
    together = installation(tmp_path / "together", models, delivered)
    homes = [{**together, "EVERGREEN_MODEL": model.name} for model in models]
    lives = start(homes, tmp_path / "lives", order="at once")()
    assert len({life["predictions"] for life in lives}) == number
    homes = [alone(tmp_path / "alone" / model.name, model, delivered) for model in models]
    halves = [start(homes[at::2], tmp_path / f"singles-{at}", order="in turn") for at in range(2)]  # they share nothing
    singles: list[dict[str, Any]] = [{}] * number
    for at, ended in enumerate(halves):
        singles[at::2] = ended()
    pairs = list(zip(models, lives, singles, strict=True))
    for model, life, single in pairs:
        assert life["promotion"] == single["promotion"] == 1
        assert comparable(life) == comparable(single)
        assert Path(life["uri"]).read_bytes() == Path(single["uri"]).read_bytes()
        assert f"/var/models/{model.name}/storage/" in life["uri"]


@pytest.mark.timeout(900)
def test_models_that_run_side_by_side_do_what_each_would_do_alone(tmp_path: Path) -> None:
    compare(2, tmp_path)


@pytest.mark.e2e
@pytest.mark.timeout(1500)
def test_ten_models_of_different_schemas_run_side_by_side_as_ten_single_installations_would(tmp_path: Path) -> None:
    compare(10, tmp_path)


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[SmallModel]:
    models = [SmallModel(0), SmallModel(1)]
    monkeypatch.setattr("ml.settings.models.PROJECT_ROOT", tmp_path)  # a project without a model at the top
    for name, value in installation(tmp_path, models, tmp_path / "delivered").items():
        monkeypatch.setenv(name, value)
    return models


def test_the_storage_of_another_model_is_refused_by_name(
    two: list[SmallModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = open_services(model="model-0")
    taken.storage.put_bytes("a", b"1")
    for name, value in alone(tmp_path / "alone", two[1], tmp_path / "delivered").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("EVERGREEN_STORAGE", taken.environment.storage)
    with pytest.raises(SettingsError, match="belongs to task 'model-0', params.yaml says 'model-1'"):
        _ = open_services(model="model-1").storage


def test_a_model_with_wrong_settings_is_named_and_stops_no_other(two: list[SmallModel], tmp_path: Path) -> None:
    path = tmp_path / "settings" / "model-0" / "params.yaml"
    path.write_text(path.read_text().replace("holdout_days", "holdout_dys"))
    rows = {row["model"]: row for row in model_list.run()}
    assert "split.holdout_dys: unknown key; did you mean 'holdout_days'?" in rows["model-0"]["problem"]
    assert str(path) in rows["model-0"]["problem"]
    assert rows["model-1"]["problem"] == ""
    assert open_services(model="model-1").settings.task.name == "model-1"


def test_several_models_and_none_named_is_an_error_that_lists_them(two: list[SmallModel]) -> None:
    with pytest.raises(SettingsError, match="name one of model-0, model-1 by --model"):
        open_services()
    with pytest.raises(SettingsError, match="there is no model 'model-2'; there are: model-0, model-1"):
        open_services(model="model-2")


def test_an_environment_lays_its_overlay_over_the_settings(
    two: list[SmallModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVERGREEN_ENV", "staging")
    with pytest.raises(SettingsError, match=r"params\.staging\.yaml: no such file, and EVERGREEN_ENV is 'staging'"):
        load_model(Environment.load(model="model-0"))
    (tmp_path / "settings" / "model-0" / "params.staging.yaml").write_text("split: {holdout_days: 9}\n")
    settings = load_model(Environment.load(model="model-0"))
    assert (settings.split.holdout_days, settings.pull.min_days) == (9, 15)


def test_a_champion_of_one_environment_cannot_serve_in_another(
    two: list[SmallModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    production = open_services(model="model-0")
    production.storage.put_bytes("a", b"1")
    monkeypatch.setenv("EVERGREEN_ENV", "staging")
    (tmp_path / "settings" / "model-0" / "params.staging.yaml").write_text("")
    staging = open_services(model="model-0")
    assert (production.identity, staging.identity) == ("model-0", "model-0.staging")
    for opened in ("storage", "tracking"):
        with pytest.raises(
            SettingsError, match=r"belongs to 'model-0', and EVERGREEN_ENV makes this 'model-0\.staging'"
        ):
            getattr(staging, opened)
    with pytest.raises(SettingsError, match="are of different environments"):
        rename.run("model-0", services=staging)
    monkeypatch.setenv("EVERGREEN_HOME", str(tmp_path / "staging"))
    assert open_services(model="model-0").tracking.name == "model-0.staging"


def test_services_of_a_model_keep_everything_below_its_name(two: list[SmallModel], tmp_path: Path) -> None:
    services: Services = open_services(model="model-1")
    environment = services.environment
    places = [environment.storage, environment.registry, environment.registry_remote, str(environment.cache)]
    assert all(place.startswith(str(tmp_path / "var" / "models" / "model-1")) for place in places)
    assert environment.tracking == f"sqlite:///{tmp_path / 'var' / 'mlflow' / 'mlflow.db'}"


def test_the_doctor_examines_each_model_and_wrong_settings_stop_no_other(
    two: list[SmallModel], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for model in two:
        open_services(model=model.name).registry.create()
    assert doctor.main(["--all"]) == 0
    shown = capsys.readouterr()
    assert (shown.out.count("all agrees"), shown.err.count("model model-")) == (2, 2)
    (tmp_path / "settings" / "model-0" / "params.yaml").write_text("task: {}\n")
    assert doctor.main(["--all"]) == 2
    assert capsys.readouterr().out.count("all agrees") == 1
