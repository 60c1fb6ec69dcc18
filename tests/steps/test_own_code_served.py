"""A model of an adopter's own estimator and features, from its training to the day on which the module has changed."""

from __future__ import annotations

import sys
from datetime import date, timedelta

import pandas as pd
import pytest
import yaml

from ml import own_code
from ml.errors import DataRejected, SettingsError
from ml.steps.own_features import OwnFeatures
from ml.steps.retrain import promote, pull
from tests.steps.conftest import REQUEST, World
from tests.steps.test_regression import DAYS, FIRST, NOW, ROWS, orders, table  # noqa: F401  a fixture

pytestmark = pytest.mark.usefixtures("fresh_process")
MODULE = '''"""Ridge regression with a constant on top, and what a shop sold lately."""

import pandas as pd
from sklearn.linear_model import Ridge

ADDED = {added}


class Shifted(Ridge):
    """Predicts as Ridge does, and `ADDED` more."""

    def predict(self, rows):
        return super().predict(rows) + ADDED


def lately(inputs, labelled):
    days = labelled["day"].nunique()
    means = labelled.groupby("shop")["amount"].mean() + ADDED
    return pd.DataFrame({{"shop_mean": inputs["shop"].map(means), "days": days, "rows_today": len(inputs)}})
'''
TOP = "orders_shifted"
PYTHON = {"function": f"{TOP}:lately", "numeric": ["shop_mean", "days", "rows_today"], "days": 5}


def write(world: World, added: float) -> str:
    (world.home / f"{TOP}.py").write_text(MODULE.format(added=added))
    sys.modules.pop(TOP, None)  # each task is a process of its own
    for folder in [folder for folder in own_code._FOLDERS if folder != world.home]:
        own_code._FOLDERS.remove(folder)
    sys.path[:] = [path for path in sys.path if not path.endswith("/home") or path == str(world.home)]
    own_code.use(world.home)
    return own_code.pinned(f"{TOP}.Shifted")


def with_own(world: World, pinned: str) -> World:
    return world.having(
        fit={
            "estimator": f"{TOP}.Shifted", "args": {}, "trusted_types": [pinned],
            "sample_weight": {"half_life_days": 30},
        },
        features={"python": PYTHON},
    )  # fmt: skip


def test_a_version_serves_by_the_module_that_it_was_trained_with(orders: World) -> None:  # noqa: F811
    own = with_own(orders, write(orders, 0.0))
    window, judgement = own.judge()
    assert judgement.verdict.decision == "promote", judgement.verdict.reasons
    assert own.run(promote, window, judgement).version == 1
    run_dir = own.services.workspace(window.workspace)
    assert list(run_dir.read_json("model/lineage.json")["own_code"]) == [TOP]
    train = run_dir.read_table("parts/train.parquet")
    assert set(train.loc[train["day"] > "2024-01-06", "days"]) == {5.0}
    assert set(train["rows_today"]) == {float(ROWS)}

    day = FIRST + timedelta(days=DAYS)
    own.ingest(day, now=NOW)
    before = pd.read_parquet(own.score(day)[1].uri)
    other_batches = own.having(score={"batch_rows": 7, "rows_per_shard": 40})
    assert pd.read_parquet(other_batches.score(day)[1].uri).equals(before)

    changed = write(own, 100.0)
    assert pd.read_parquet(own.score(day)[1].uri).equals(before), "the version keeps its module"
    with pytest.raises(SettingsError, match="was reviewed when the code"):
        own.run(pull, REQUEST)
    again, evaluation = with_own(orders, changed).train()
    assert again.fingerprint != window.fingerprint
    assert evaluation.challenger["rmse"] > 50 > evaluation.champion["rmse"]
    assert not evaluation.is_refresh, "other code is another recipe"


def test_a_day_is_the_same_in_training_and_scoring_and_sees_nothing_that_came_later(
    orders: World,  # noqa: F811
) -> None:
    own = with_own(orders, write(orders, 0.0))
    window = own.run(pull, REQUEST)
    trained = own.services.workspace(window.workspace).read_table("data/own_features.parquet")

    def scored(day: date) -> pd.DataFrame:
        return OwnFeatures(own.settings, own.services, day, day, rev=None).of(day)

    def in_training(day: date) -> pd.DataFrame:
        return trained.loc[trained["day"] == day.isoformat(), PYTHON["numeric"]].reset_index(drop=True)

    day = FIRST + timedelta(days=15)
    before = scored(day)
    for trained_day in (FIRST, FIRST + timedelta(days=3), day):
        pd.testing.assert_frame_equal(in_training(trained_day), scored(trained_day))
    assert in_training(FIRST)["shop_mean"].isna().all(), "no outcome is known on the first day"

    def planted(planted_day: date) -> pd.DataFrame:
        labels = table(planted_day)[["day", "order", "amount"]]
        return labels.assign(amount=1e6)

    later = [day + timedelta(days=number) for number in range(DAYS - 15)]
    own.put({("labels", future): planted(future) for future in later})
    pd.testing.assert_frame_equal(scored(day), before)
    again = own.run(pull, REQUEST)
    trained = own.services.workspace(again.workspace).read_table("data/own_features.parquet")
    pd.testing.assert_frame_equal(in_training(day), before)
    assert in_training(later[1])["shop_mean"].max() > 1e5, "the day after knows it"
    yesterday = day - timedelta(days=1)
    own.put({("labels", yesterday): planted(yesterday)})
    assert scored(day)["shop_mean"].max() > 1e5


def test_a_function_that_fails_names_itself_and_the_day(orders: World) -> None:  # noqa: F811
    pinned = write(orders, 0.0)
    path = orders.home / f"{TOP}.py"
    path.write_text(path.read_text().replace("    days = labelled", '    inputs["nothing"]\n    days = labelled'))
    sys.modules.pop(TOP, None)
    own = with_own(orders, pinned.split("@")[0])
    with pytest.raises(DataRejected, match=rf"{TOP}:lately on 2024-01-01 failed on 120 rows .*KeyError: 'nothing'"):
        own.run(pull, REQUEST)


def test_a_stage_that_would_not_see_the_module_change_is_refused(orders: World) -> None:  # noqa: F811
    from ml.steps.retrain import params

    own = with_own(orders, write(orders, 0.0))
    stages = orders.home / "dvc.yaml"
    deps = {"pull": [f"{TOP}.py"], "tune": [f"{TOP}.py"], "fit": []}
    stages.write_text(yaml.safe_dump({"stages": {name: {"deps": files} for name, files in deps.items()}}))
    with pytest.raises(SettingsError, match=rf"the stage 'fit' of .* does not depend on {TOP}.py: .* Add it"):
        own.run(params, workspace=str(orders.home / "workspace"))
    deps["fit"] = [f"models/orders/{TOP}.py"]
    stages.write_text(yaml.safe_dump({"stages": {name: {"deps": files} for name, files in deps.items()}}))
    assert own.run(params, workspace=str(orders.home / "workspace"))["features"]["python"]["days"] == 5
