"""Several models on one machine: which are started, and that what goes wrong with one stops none of the others."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import pytest

from embedded import loop, setup
from embedded.airflow_api import AirflowApi, DagFileError, Run
from embedded.config import DAGS, Stack
from embedded.launch import Launch
from embedded.model_loop import ModelLoop
from embedded.models import pools_of, startable_models
from embedded.steps import Steps, TimeIsOver
from embedded.supervise import Supervisor
from ml import yaml_file
from ml.errors import EvergreenError, SettingsError
from ml.settings import PROJECT_ROOT, LoadedModels

DONE = loop.Done(*(Run(f"churn.{verb}", "r", "success") for verb in ("ingest", "score", "monitor")))


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Describe an installation of three models, one of them with wrong settings."""
    top = yaml_file.parse((PROJECT_ROOT / "params.yaml").read_text(encoding="utf-8"))
    for name, changes in (("churn", {"schedule": {"pool": "heavy"}}), ("broken", {"fit": {"seed": "none"}})):
        folder = tmp_path / "models" / name
        folder.mkdir(parents=True)
        params = top | {"task": top["task"] | {"name": name}} | changes
        (folder / "params.yaml").write_text(yaml_file.dump(params), encoding="utf-8")
    (tmp_path / "params.yaml").write_text(yaml_file.dump(top), encoding="utf-8")
    return {"EVERGREEN_PARAMS": str(tmp_path / "params.yaml"), "EVERGREEN_HOME": str(tmp_path / "var")}


def test_each_model_is_started_whose_settings_are_right_the_one_at_the_top_first(environ: dict[str, str]) -> None:
    loaded = startable_models(environ=environ)
    assert [model.name for model in loaded.models] == ["flight-delay", "churn"]
    assert list(loaded.problems) == ["broken"]
    assert "models/broken/params.yaml" in loaded.problems["broken"]
    assert "fit" in loaded.problems["broken"]
    assert pools_of(loaded.models) == ("heavy",)


def test_one_model_may_be_meant(environ: dict[str, str]) -> None:
    assert [model.name for model in startable_models("churn", environ).models] == ["churn"]
    assert [model.name for model in startable_models(None, environ | {"EVERGREEN_MODEL": "churn"}).models] == ["churn"]
    with pytest.raises(SettingsError, match="models/broken/params.yaml"):
        startable_models("broken", environ)
    with pytest.raises(SettingsError, match="there is no model 'cherry'; there are: flight-delay, broken, churn"):
        startable_models("cherry", environ)


@pytest.fixture
def launch(environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Launch:
    """Make a launch of two models without servers, whose steps do nothing."""
    monkeypatch.setattr(Stack, "password", lambda _: "secret")
    return launch_of(startable_models(environ=environ), environ)


def launch_of(loaded: LoadedModels, environ: dict[str, str]) -> Launch:
    supervisor = mock.create_autospec(Supervisor, instance=True, essential={}, pids={}, exits={})
    steps = mock.create_autospec(Steps, instance=True, supervisor=supervisor)
    steps.patiently.side_effect = lambda ask: ask()
    return Launch(Stack.load(environ), steps, loaded)


def test_a_loop_that_cannot_be_closed_stops_no_other(
    launch: Launch, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    closing = {"flight-delay": EvergreenError("training failed: see there"), "churn": DONE}
    monkeypatch.setattr(ModelLoop, "close", lambda one, _: outcome(closing[one.name]))
    launch.close_loops()
    assert launch.closed == {"churn": DONE}
    assert list(launch.failures) == ["broken", "flight-delay"]
    launch.tell_closed(12)
    said = capsys.readouterr().out
    assert "flight-delay: stopped: training failed: see there" in said
    assert "a whole loop of 1 of 3 models in 12 s" in said


def test_the_only_models_failure_is_the_launchers(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stack, "password", lambda _: "secret")
    launch = launch_of(startable_models("churn", environ), environ)
    monkeypatch.setattr(ModelLoop, "close", lambda *_: outcome(EvergreenError("training failed")))
    with pytest.raises(EvergreenError, match="^training failed$"):
        launch.close_loops()


def test_time_that_is_over_is_over_for_all(launch: Launch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ModelLoop, "close", lambda *_: outcome(TimeIsOver("the time is over")))
    with pytest.raises(TimeIsOver):
        launch.close_loops()


def test_a_pool_that_is_missing_is_made_and_one_that_is_there_stays(launch: Launch) -> None:
    for existing, made in (({"default_pool"}, ["heavy"]), ({"default_pool", "heavy"}, [])):
        launch.api = mock.create_autospec(AirflowApi, instance=True)
        launch.api.pools.return_value = frozenset(existing)
        launch._make_pools()
        assert [call.args[0] for call in launch.api.create_pool.call_args_list] == made


def test_wrong_settings_of_another_model_keep_no_dags_waiting(launch: Launch) -> None:
    one, startup = launch.loops[1], mock.Mock()
    startup.look.return_value = None
    one.api = mock.create_autospec(AirflowApi, instance=True)
    one.api.dags.side_effect = [{}, {f"churn.{verb}": None for verb in DAGS}]
    one.api.runs.return_value = ()
    one.api.import_errors.return_value = (
        DagFileError("wrong_settings.py", "…\nmodel broken has no Dags: fit.seed\nnext line"),
    )
    one._await_dags(startup)
    one.api.dags.side_effect = [{}]
    one.api.import_errors.return_value = (DagFileError("score.py", "Traceback\nSyntaxError: line 3"),)
    with pytest.raises(EvergreenError, match="a Dag file cannot be parsed: score.py: SyntaxError: line 3"):
        one._await_dags(startup)


def outcome(result: loop.Done | Exception) -> loop.Done:
    if isinstance(result, Exception):
        raise result
    return result


def test_setup_lands_the_history_of_each_model_though_one_fails(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seeded: list[tuple[str, str]] = []

    def seed(model: str, stack: Stack, prefix: str) -> int:
        seeded.append((model, prefix))
        return 3 if model == "flight-delay" else 0

    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("EVERGREEN_MODEL", raising=False)
    monkeypatch.setattr(setup, "prepare", lambda _: None)
    monkeypatch.setattr(setup, "_seed", seed)
    assert setup.main([]) == 3
    assert seeded == [("flight-delay", "flight-delay: "), ("churn", "churn: ")]
    assert "model broken is left out: " in capsys.readouterr().err
