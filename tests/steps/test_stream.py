"""A window that memory does not hold: the fit reads all rows from files, and samples stand for them elsewhere."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from ml.adapters.table_parts import write_parts
from ml.cli import rebuild
from ml.errors import DataRejected, SettingsError
from ml.steps.retrain import fit, promote, pull, refit, split, validate
from ml.steps.retrain.streamed_parts import ALL_ROWS
from tests.steps.conftest import LAST_DAY, NEXT_DAY, REQUEST, World
from tests.steps.test_late_labels import PARAMS, Run

TREES = {"estimator": "xgboost.XGBClassifier", "args": {"n_estimators": 40, "max_depth": 4, "learning_rate": 0.1}}
LOOSE = {"ranks": {"kind": "bound", "metric": "roc_auc", "at_least": 0.3}}


def streamed(world: World, sample_rows: int = 1000, **fit: Any) -> World:
    chosen = {**TREES, "encoding": "ordinal", "stream": {"sample_rows": sample_rows}, **fit}
    return world.having(fit=chosen)


def parts_of(world: World) -> dict[str, pd.DataFrame]:
    window = world.run(pull, REQUEST)
    world.run(split, window)
    run_dir = world.services.workspace(window.workspace)
    return {name: run_dir.read_table(name) for name in run_dir.names("parts/") if name.endswith(".parquet")}


@pytest.mark.parametrize("late", [(0,), (0, 1, 2, 5, None, 0, 0)], ids=["labels on time", "late, or never"])
def test_parts_of_a_streamed_window_are_those_of_one_in_memory(
    late: tuple[int | None, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = Run(tmp_path / "home", late).world
    in_memory = parts_of(world)
    monkeypatch.setattr("ml.adapters.window_rows.BATCH_ROWS", 70)
    monkeypatch.setattr("ml.adapters.window_rows.WindowRows.frames.__kwdefaults__", {"rows_at_once": 100})
    of_parts = parts_of(
        World(world.home, PARAMS).having(fit={"estimator": "sklearn.linear_model.SGDRegressor", "stream": {}})
    )
    for name, table in in_memory.items():
        assert len(table) > 100
        assert_frame_equal(of_parts[name], table, check_exact=True)
        part = Path(name).stem
        assert_frame_equal(of_parts[ALL_ROWS[part]], table, check_exact=True)
    assert set(of_parts) == {*in_memory, *ALL_ROWS.values()}


def test_what_is_fitted_on_all_rows_is_judged_promoted_and_serves(seeded: World) -> None:
    world = streamed(seeded).having(
        retrain={"refit": "after_gate", "refit_max_difference": 0.5},
        gate={"min_rows": 200, "rules": LOOSE},
    )
    window, judgement = world.judge()
    run_dir = world.services.workspace(window.workspace)
    parts, every_row = run_dir.read_json("parts/parts.json"), run_dir.read_table(ALL_ROWS["train"])
    sample = run_dir.read_table("parts/train.parquet")
    assert parts["train_rows"] == len(every_row) > 6 * len(sample) == 6 * parts["train_sample_rows"]
    assert 800 < len(sample) < 1200 and set(sample["day"]) == set(every_row["day"])
    assert judgement.verdict.decision == "promote", judgement.verdict.reasons

    refitted = world.run(refit, window, judgement)
    assert refitted.verdict.decision == "promote", refitted.verdict.reasons
    whole = world.services.workspace(run_dir.uri("refit"))
    assert len(whole.read_table(ALL_ROWS["train"])) == parts["train_rows"] + parts["holdout_rows"] == window.rows
    runs = [
        world.services.tracking.client.get_run(world.services.tracking.version_tags(version)["run_id"])
        for version in (judgement.version, refitted.version)
    ]
    assert [run.data.metrics["train_rows"] for run in runs] == [parts["train_rows"], window.rows]

    assert world.run(promote, window, refitted).promoted
    _, scoring = world.score(NEXT_DAY - timedelta(days=1))
    assert (scoring.version, scoring.rows) == (refitted.version, len(world.held("inputs", scoring.day)))


def test_a_champion_s_recipe_learns_from_all_rows_too_when_it_stands_for_the_champion(
    seeded: World,
) -> None:
    world = streamed(seeded).having(gate={"min_rows": 200, "min_days": 3, "rules": LOOSE}, split={"holdout_days": 4})
    assert world.retrain().promoted
    newer = streamed(world, args={**TREES["args"], "n_estimators": 30}).having(
        split={"holdout_days": 10}, gate={"min_days": 6}
    )
    _, evaluation = newer.train(REQUEST)
    assert (evaluation.compared, evaluation.champion_problem) == ("recipe", None)
    window, _ = newer.train(REQUEST)
    run_dir = newer.services.workspace(window.workspace)
    (name,) = [name for name in run_dir.names("evaluation/") if "recipe-" in name]
    assert run_dir.read_table(name)["prediction"].std() > 0.01
    assert evaluation.champion is not None
    assert abs(evaluation.champion["log_loss"] - evaluation.challenger["log_loss"]) < 0.02


def test_the_same_window_gives_the_same_bytes_again(seeded: World) -> None:
    results = []
    for number in range(2):
        world = streamed(World(seeded.home, seeded.params).copied_to(seeded.home.with_name(f"copy{number}")))
        window = world.run(pull, REQUEST)
        world.run(split, window)
        world.run(fit, window)
        run_dir = world.services.workspace(window.workspace)
        files = [run_dir.objects.get_bytes(run_dir.name(name)) for name in ("model/sample.parquet", *ALL_ROWS.values())]
        results.append((window.fingerprint, files))
    assert results[0] == results[1]


def facts_of(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if name != "examples"}


@pytest.mark.parametrize("broken", [False, True])
def test_a_window_of_many_rows_is_validated_in_parts_with_the_same_verdict(seeded: World, broken: bool) -> None:
    window = seeded.run(pull, REQUEST)
    run_dir = seeded.services.workspace(window.workspace)
    if broken:
        rows = run_dir.read_table("data/rows.parquet")
        rows.loc[rows.index[-1], "distance"] = -5.0
        run_dir.write_table("data/rows.parquet", rows)
    results = []
    for rows_at_once in (1_000_000, 1000):
        world = seeded.having(screen={"rows_at_once": rows_at_once})
        if broken:
            with pytest.raises(DataRejected, match="distance"):
                world.run(validate, window)
        else:
            assert world.run(validate, window).rows == window.rows
        results.append(run_dir.read_json("validation/result.json"))
    assert results[0]["reason"] == results[1]["reason"]
    assert [facts_of(entry) for entry in results[0]["expectations"]] == list(map(facts_of, results[1]["expectations"]))


def test_a_reproduction_lays_out_all_rows_for_the_refit(tmp_path: Path) -> None:
    judged = tmp_path / rebuild.WORKSPACE
    (judged / "parts").mkdir(parents=True)
    (judged / "data").mkdir()
    for name in ("version.json", "data/window.json"):
        (judged / name).write_text("{}")
    frame = pd.DataFrame({"day": [f"2024-01-0{number}" for number in range(1, 10)], "x": range(9)})
    for name, rows in (("train", frame.iloc[:6]), ("holdout", frame.iloc[6:])):
        write_parts([rows], judged / ALL_ROWS[name])
        rows.iloc[::2].to_parquet(judged / f"parts/{name}.parquet", index=False)
    (judged / "parts/parts.json").write_text('{"holdout_last_day": "2024-01-09", "train_rows": 6, "holdout_rows": 3}')
    rebuild._lay_out_refit(tmp_path, {"parts": {"refit_of": "abc"}})
    refitted = tmp_path / rebuild.REFIT
    assert_frame_equal(pd.read_parquet(refitted / ALL_ROWS["train"]), frame, check_dtype=False)
    assert len(pd.read_parquet(refitted / "parts/train.parquet")) == 5
    assert rebuild.read_json(refitted / "parts/parts.json")["train_rows"] == 9


def test_a_split_of_too_few_days_is_refused_as_in_memory(seeded: World) -> None:
    world = streamed(seeded).having(pull={"min_days": 11, "days": 11, "last_day": str(LAST_DAY - timedelta(days=2))})
    window = world.run(pull, REQUEST)
    assert len(parts_of(world)["parts/holdout.parquet"])
    few = world.having(split={"holdout_days": 10})
    rows = few.services.workspace(window.workspace)
    facts = rows.read_json("data/window.json")
    rows.write_json("data/window.json", facts | {"days": facts["days"][-10:]})
    with pytest.raises(DataRejected, match="nothing is left to train on"):
        few.run(split, window)


def test_a_window_without_room_in_memory_is_refused_before_it_is_read_again(
    seeded: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pull, "limit_bytes", lambda: 200_000)
    with pytest.raises(SettingsError, match=r"needs all rows of the window at once: [\d,]+ rows.*fit\.stream"):
        seeded.run(pull, REQUEST)
    assert not seeded.services.storage.list("runs/")
    assert streamed(seeded).run(pull, REQUEST).rows > 10_000
    monkeypatch.setattr(pull, "limit_bytes", lambda: 30_000_000)
    assert seeded.run(pull, REQUEST).rows > 10_000
    assert "if it is ended for memory, train on fewer days" in caplog.text
