"""The search for ``fit.args`` on real days: inside the training part, on record, and the same every time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ml.adapters import models
from ml.adapters.tracking import Tracking
from ml.adapters.tracking.decision_tags import PREFIX
from ml.errors import DataRejected, MissingArtifact, SettingsError
from ml.records import Tuned, Window
from ml.settings import PROJECT_ROOT
from ml.steps.retrain import fit, pipelines, pull, split, tune
from ml.steps.retrain.search_result import TUNED, tuned_settings
from tests.steps.conftest import REQUEST, World

POOR = {"C": 1e-6, "max_iter": 500}
SPACE = {"C": {"low": 1e-6, "high": 0.1, "log": True}}


@pytest.fixture
def searching(seeded: World) -> World:
    """A world whose default is so poor that most of the space does better."""
    return seeded.having(
        fit={"args": POOR}, tune={"enabled": True, "trials": 4, "folds": 2, "space": SPACE}, features={"spline": []}
    )


def cut(world: World) -> Window:
    window = world.run(pull, REQUEST)
    world.run(split, window)
    return window


def runs(world: World) -> pd.DataFrame:
    """List all runs of the task's experiment, oldest first, one line each."""
    tracking = world.services.tracking
    client = tracking.client
    experiment = client.get_experiment_by_name(tracking.name)
    found = client.search_runs([experiment.experiment_id]) if experiment else []
    lines = [
        {
            "id": run.info.run_id,
            "name": run.info.run_name,
            "status": run.info.status,
            "parent": run.data.tags.get("mlflow.parentRunId"),
            "message": run.data.tags.get(PREFIX + "message", ""),
            "fingerprint": run.data.tags.get(PREFIX + "fingerprint"),
            "params": run.data.params,
            "metrics": run.data.metrics,
        }
        for run in found
    ]
    return pd.DataFrame(lines).sort_values("name", ignore_index=True) if lines else pd.DataFrame()


def loss_of(world: World, window: Window, args: dict[str, Any]) -> float:
    """Score arguments by hand: the 24 + 10 training days of each fold, mean log loss of all scored rows."""
    from sklearn.metrics import log_loss

    from ml.core.training.features import matrix

    settings = world.having(fit={"args": args}).settings
    train = world.services.workspace(window.workspace).read_table("parts/train.parquet")
    days = sorted(train["day"].unique())
    total = rows = 0.0
    for first, end in ((-20, -10), (-10, None)):
        newer = train["day"].isin(days[first:end])
        fitted = pipelines.fit_pipeline(train.loc[train["day"].isin(days[:first])], settings)
        prediction = fitted.predict_proba(matrix(train.loc[newer], settings.features))[:, 1]
        total += log_loss(train.loc[newer, "late"], prediction) * newer.sum()
        rows += newer.sum()
    return total / rows


def test_a_search_finds_better_arguments_than_the_default_and_each_trial_is_a_nested_run(searching: World) -> None:
    window = cut(searching)
    tuned = searching.run(tune, window)
    assert (tuned.fingerprint, tuned.enabled, tuned.trials) == (window.fingerprint, True, 4)
    assert tuned.best_loss < tuned.default_loss
    assert tuned.args.keys() == POOR.keys() and tuned.args["max_iter"] == 500
    assert tuned.default_loss == pytest.approx(loss_of(searching, window, POOR), abs=1e-12)
    assert tuned.best_loss == pytest.approx(loss_of(searching, window, tuned.args), abs=1e-12)

    listed = runs(searching)
    assert list(listed["name"]) == ["trial-0", "trial-1", "trial-2", "trial-3", f"tune-{window.fingerprint[:12]}"]
    assert set(listed["status"]) == {"FINISHED"}
    assert list(listed["parent"][:4]) == [tuned.run_id] * 4 and listed["id"][4] == tuned.run_id
    losses = [metrics["loss"] for metrics in listed["metrics"][:4]]
    assert (losses[0], min(losses)) == (tuned.default_loss, tuned.best_loss)
    tried = [json.loads(params["C"]) for params in listed["params"][:4]]
    assert tried[0] == POOR["C"] and len(set(tried)) == 4
    assert tried[losses.index(min(losses))] == tuned.args["C"]
    assert json.loads(listed["params"][4]["best.C"]) == tuned.args["C"]
    assert listed["fingerprint"].isna().all(), "a search must not be taken for a training"


def test_a_finished_search_is_used_again_and_a_repeated_one_finds_the_same(searching: World) -> None:
    window = cut(searching)
    tuned = searching.run(tune, window)
    assert searching.run(tune, window) == tuned
    assert len(runs(searching)) == 5

    place = Path(window.workspace)
    (place / TUNED).unlink()
    (place / "parts" / "holdout.parquet").unlink()  # nothing of it is needed
    repeated = searching.run(tune, window)
    assert repeated == tuned.model_copy(update={"run_id": repeated.run_id})
    (place / TUNED).write_text(tuned.model_copy(update={"fingerprint": "another", "args": {}}).model_dump_json())
    assert searching.run(tune, window).args == tuned.args


def test_a_search_that_was_killed_half_way_ends_as_if_it_had_not_been(
    searching: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, window = Tracking.log_trial, cut(searching)

    def killed(self: Tracking, search_id: str, number: int, **facts: Any) -> None:
        if number == 2:
            raise KeyboardInterrupt
        real(self, search_id, number, **facts)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Tracking, "log_trial", killed)
        searching.run(tune, window)
    assert not (Path(window.workspace) / TUNED).exists()
    tuned = searching.run(tune, window)
    listed = runs(searching).set_index("id")
    searches = listed.loc[listed["parent"].isna()]
    assert sorted(searches["status"]) == ["FINISHED", "KILLED"]
    assert searches.loc[tuned.run_id, "status"] == "FINISHED"

    (Path(window.workspace) / TUNED).unlink()
    clean = searching.run(tune, window)
    assert tuned == clean.model_copy(update={"run_id": tuned.run_id})


def test_a_trial_that_fails_is_borne(searching: World) -> None:
    world = searching.having(tune={"trials": 6, "space": {"C": {"choices": [-1.0, 1e-6, 0.01]}}})
    window = cut(world)
    tuned = world.run(tune, window)
    listed = runs(world)
    failed = listed["status"].eq("FAILED")
    assert set(listed.loc[failed, "params"].map(lambda params: json.loads(params["C"]))) == {-1.0}
    assert all(
        "SettingsError: fit.args do not suit" in said and "'C' parameter" in said
        for said in listed.loc[failed, "message"]
    )
    assert (tuned.trials, tuned.args["C"]) == (6, 0.01)
    assert tuned.best_loss < tuned.default_loss


def test_where_every_trial_fails_the_default_stays_and_it_is_said(
    searching: World, caplog: pytest.LogCaptureFixture
) -> None:
    args = {"C": 0.01, "max_iter": 500, "dual": True}  # which only the fit refuses
    world = searching.having(fit={"args": args}, tune={"space": {"C": {"low": 0.001, "high": 1}}})
    tuned = world.run(tune, cut(world))
    assert (tuned.args, tuned.best_loss, tuned.default_loss, tuned.trials) == (args, None, None, 4)
    assert "all 4 trials failed, so fit.args stay as they are" in caplog.text
    assert set(runs(world)["status"]) == {"FAILED"}


def test_a_default_of_a_wrong_value_is_refused_before_any_trial(searching: World) -> None:
    world = searching.having(fit={"args": {"C": -1.0}})
    with pytest.raises(SettingsError, match=r"fit.args do not suit .*The 'C' parameter .* Got -1.0 instead"):
        world.run(tune, cut(searching))
    assert runs(world).empty


def test_an_argument_that_the_estimator_does_not_take_is_refused_before_any_trial(searching: World) -> None:
    world = searching.having(tune={"space": {"depth": {"low": 1, "high": 3}}})
    with pytest.raises(SettingsError, match=r"tune\.space names depth, which .*LogisticRegression does not take"):
        world.run(tune, cut(world))
    with pytest.raises(DataRejected, match=r"lower tune\.folds"):
        many = searching.having(tune={"folds": 40})
        many.run(tune, cut(many))
    assert runs(world).empty


def test_the_fit_uses_what_was_found_and_its_record_says_so(searching: World) -> None:
    window = cut(searching)
    with pytest.raises(MissingArtifact, match="run 'tune' and what follows again"):
        searching.run(fit, window)
    tuned = searching.run(tune, window)
    candidate = searching.run(fit, window)
    place = searching.services.workspace(window.workspace)
    with place.local("model/pipeline.skops") as path:
        assert models.load(path).named_steps["estimator"].C == tuned.args["C"] != POOR["C"]
    trained = runs(searching).set_index("id").loc[candidate.run_id]
    assert {name: trained["params"][f"fit.args.{name}"] for name in tuned.args} == {
        name: str(value) for name, value in tuned.args.items()
    }
    assert trained["status"] == "FINISHED"
    recorded = place.read_json("model/lineage.json")["settings"]
    assert (recorded["fit"]["args"], recorded["tune"]["enabled"]) == (tuned.args, False)

    by_hand = searching.having(**{name: recorded[name] for name in ("fit", "tune")})
    again = pipelines.fit_pipeline(place.read_table("parts/train.parquet"), by_hand.settings)
    with place.local("model/pipeline.skops") as path:
        assert (models.load(path).named_steps["estimator"].coef_ == again.named_steps["estimator"].coef_).all()


def test_turned_off_it_writes_down_the_arguments_and_imports_no_library_for_searching(searching: World) -> None:
    world = searching.having(tune={"enabled": False})
    window = cut(world)
    code = (
        "import sys\n"
        "from ml.steps.retrain import tune\n"
        "assert tune.main(['--workspace', sys.argv[1]]) == 0\n"
        "assert not {'optuna', 'sklearn', 'mlflow'} & set(sys.modules)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, window.workspace],
        cwd=PROJECT_ROOT,
        env={**os.environ, **world.environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    place = world.services.workspace(window.workspace)
    tuned = Tuned.model_validate(place.read_json(TUNED))
    assert tuned == Tuned(fingerprint=tuned.fingerprint, enabled=False, args=POOR)
    assert tuned_settings(place, world.settings) == world.settings
    assert runs(world).empty
    with pytest.raises(MissingArtifact):  # what was written while it was off is no search
        tuned_settings(place, searching.settings)


def test_the_search_counts_in_the_fingerprint_only_while_it_is_on(seeded: World) -> None:
    def name(**sections: Any) -> str:
        return seeded.having(**sections).run(pull, REQUEST).fingerprint

    on = {"enabled": True, "space": SPACE}
    assert name() == name(tune={"trials": 7, "space": SPACE}) == name(gate={"metric": "brier"})
    searched = [
        name(tune=on),
        name(tune={**on, "trials": 7}),
        name(tune={**on, "minutes": 5}),
        name(tune=on, gate={"metric": "brier"}),
    ]
    assert len({name(), *searched}) == 5
    assert name(tune=on) == name(tune=on, gate={"confidence": 0.9})
