"""Replays of a small made-up business: a source in files, contracts of its own, a model that fits in no time."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from ml.backtest import backtest, policies, runs
from ml.backtest.policies import BUILT_IN, Policy
from ml.core.data.days import days_between
from ml.core.metrics import measure, row_loss
from ml.errors import SettingsError
from ml.settings import Environment, parse, read
from ml.wiring import Services

FIRST, BEGIN, LAST = date(2024, 1, 1), date(2024, 2, 5), date(2024, 2, 29)
TURN = date(2024, 1, 29)
PER_DAY = 60
PARAMS: dict[str, Any] = {
    "task": {"name": "small", "kind": "classification", "target": "late", "key": ["day", "id"], "label_delay_days": 1},
    "land": {"history_days": 35, "catch_up_days": 2},
    "screen": {"recent_days": 7},
    "pull": {"min_days": 14, "days": 14},
    "split": {"holdout_days": 4},
    "features": {"categorical": ["shop"], "numeric": ["size"], "history": [{"by": ["shop"], "days": [3]}]},
    "fit": {"estimator": "sklearn.linear_model.LogisticRegression"},
    "gate": {
        "bootstrap_rounds": 200,
        "min_days": 3,
        "min_rows": 100,
        "rules": {"champion": {"kind": "champion", "min_gain": 0.0}},
    },
    "drift": {"window_days": 3, "min_rows": 60, "structural": ["shop"], "environment": ["size"]},
    "performance": {"window_days": 5, "min_days": 3},
    "retrain": {"max_age_days": 6, "cooldown_days": 2},
}
SUITES = {
    "inputs": [
        {
            "type": "expect_column_values_to_not_be_null",
            "kwargs": {"column": "size", "mostly": 0.5},
            "meta": {"level": "table"},
        },
    ],
    "labels": [
        {"type": "expect_column_to_exist", "kwargs": {"column": "late"}, "meta": {"level": "table"}},
    ],
}


def write_business(folder: Path, *, upset: Sequence[date] = ()) -> None:
    """Write a day's inputs and labels; from `TURN` on size works the other way round. ``upset`` labels are turned."""
    chance = np.random.default_rng(7)
    for table in ("inputs", "labels"):
        (folder / table).mkdir(parents=True, exist_ok=True)
    for day in days_between(FIRST, LAST + timedelta(days=1)):
        size = chance.normal(size=PER_DAY)
        inputs = pd.DataFrame(
            {
                "day": day.isoformat(),
                "id": np.arange(PER_DAY),
                "shop": chance.choice(["north", "south"], PER_DAY),
                "size": size,
            }
        )
        lean = 2.0 if day < TURN else -2.0
        late = (chance.random(PER_DAY) < 1 / (1 + np.exp(-lean * size))).astype(float)
        labels = inputs[["day", "id"]].assign(late=1 - late if day in upset else late)
        inputs.to_parquet(folder / "inputs" / f"{day}.parquet")
        labels.to_parquet(folder / "labels" / f"{day}.parquet")


class Shop:
    """The business's folder, and backtests of it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.changed: dict[str, Any] = {}

    @property
    def services(self) -> Services:
        params = {
            **PARAMS,
            **self.changed,
            "source": {
                "kind": "files",
                "inputs": str(self.home / "data" / "inputs" / "{day}.parquet"),
                "labels": str(self.home / "data" / "labels" / "{day}.parquet"),
            },
        }
        (self.home / "params.yaml").write_text(yaml.safe_dump(params))
        environ = {
            "EVERGREEN_HOME": str(self.home),
            "EVERGREEN_PARAMS": str(self.home / "params.yaml"),
            "EVERGREEN_EXPECTATIONS": str(self.home / "expectations"),
        }
        return Services(parse(params), Environment.load(environ))

    def policies(self, *names: str, **own: dict[str, Any]) -> tuple[Policy, ...]:
        base = yaml.safe_load((self.home / "params.yaml").read_text())
        fragments = {name: BUILT_IN[name] for name in names} | own
        return tuple(policies.make(name, part, base, origin=name) for name, part in fragments.items())

    def replay(self, *names: str, number: int = 1, logged: bool = False, **own: Any) -> dict[str, Any]:
        faults = tuple(own.pop("faults", ()))
        asked = backtest.BacktestRequest(BEGIN, LAST, self.policies(*names, **own), faults=faults)
        return backtest.run(asked, services=self.services, folder=self.home / "kept", number=number, logged=logged)

    @property
    def by_day(self) -> pd.DataFrame:
        return pd.read_csv(self.home / "kept" / "report" / "days.csv")


@pytest.fixture(scope="module")
def replayed_once(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The business, and what one backtest of two policies said of it."""
    home = tmp_path_factory.mktemp("shop")
    write_business(home / "data")
    (home / "expectations").mkdir()
    for name, suite in SUITES.items():
        (home / "expectations" / f"{name}.json").write_text(json.dumps({"name": name, "expectations": suite}))
    shop = Shop(home)
    assert shop.services
    return home, shop.replay("never", "evergreen")


@pytest.fixture
def facts(replayed_once: tuple[Path, dict[str, Any]]) -> dict[str, Any]:
    return replayed_once[1]


@pytest.fixture
def shop(replayed_once: tuple[Path, dict[str, Any]], tmp_path: Path) -> Shop:
    """A copy of the business in which all of that backtest is kept."""
    shutil.copytree(replayed_once[0], tmp_path / "home")
    return Shop(tmp_path / "home")


def row(facts: dict[str, Any], policy: str) -> dict[str, Any]:
    return next(each for each in facts["policies"] if each["policy"] == policy)


def course(shop: Shop, policy: str, *, faults: tuple[str, ...] = ()) -> Any:
    """Read back what is kept of a course."""
    base = runs.open_context(shop.services, shop.home / "kept")
    span = runs.Span(FIRST, BEGIN, LAST, "source", faults)
    chosen = shop.policies(policy)[0]
    return runs.read(base, runs.name_of(base, runs.dataset_of(base, span), chosen, span))


# --- the table ----------------------------------------------------------------------------------------


def test_the_table_agrees_with_what_its_rows_come_to_directly(shop: Shop, facts: dict[str, Any]) -> None:
    scored = {name: course(shop, name).scored for name in ("never", "evergreen")}
    for name, rows in scored.items():
        exact = measure(rows["target"], rows["prediction"], "classification")
        said = row(facts, name)["metrics"]
        assert {metric: each["value"] for metric, each in said.items()} == pytest.approx(
            {metric: exact[metric] for metric in ("log_loss", "roc_auc", "brier")}
        )
        assert said["roc_auc"]["low"] < said["roc_auc"]["value"] < said["roc_auc"]["high"]
    losses = [row_loss(rows["target"], rows["prediction"], "log_loss").mean() for rows in scored.values()]
    assert row(facts, "evergreen")["gain"]["value"] == pytest.approx(losses[0] - losses[1])


def test_all_start_from_the_same_model_and_score_the_same_rows(shop: Shop) -> None:
    never, evergreen = (course(shop, name).scored for name in ("never", "evergreen"))
    assert never["row"].equals(evergreen["row"])
    on_first = never["day"] == BEGIN.isoformat()
    assert never.loc[on_first, "prediction"].equals(evergreen.loc[on_first, "prediction"])


def test_whoever_retrains_gains_where_the_world_turned(facts: dict[str, Any]) -> None:
    assert row(facts, "never")["retrains"] == 0
    evergreen = row(facts, "evergreen")
    assert evergreen["promoted"] >= 1
    assert evergreen["gain"]["value"] > 0.1
    assert evergreen["retrains"] == evergreen["promoted"] + evergreen["held"]


def test_every_day_is_in_the_csv_once_for_each_policy(shop: Shop) -> None:
    table = shop.by_day
    assert len(table) == 2 * len(days_between(BEGIN, LAST))
    assert not table.duplicated(["dataset", "policy", "day"]).any()
    promoted = table.loc[table["event"].fillna("").str.startswith("promoted")]
    for policy, day in promoted[["policy", "day"]].itertuples(index=False):
        own = table.loc[table["policy"] == policy].set_index("day")["version"]
        morrow = (date.fromisoformat(day) + timedelta(days=1)).isoformat()
        assert own[morrow] == own[day] + 1  # it serves from the next day on


def test_the_page_needs_nothing_else(shop: Shop) -> None:
    page = (shop.home / "kept" / "report" / "backtest.html").read_text()
    assert "<svg" in page and "evergreen" in page
    assert "http://" not in page.replace("http://www.w3.org", "").replace("http://creativecommons.org", "").replace(
        "http://purl.org", ""
    )
    assert (shop.home / "kept" / "report" / "backtest.png").read_bytes().startswith(b"\x89PNG")


def test_a_schedule_promotes_every_fit_and_nobody_is_alarmed(shop: Shop) -> None:
    weekly = row(shop.replay("weekly"), "weekly")
    assert weekly["retrains"] == weekly["promoted"] == len(days_between(BEGIN, LAST)) // 7
    assert weekly["alarms"] is None


def test_nobody_is_alarmed_without_a_monitor_even_if_a_day_is_refused(shop: Shop) -> None:
    facts = shop.replay("weekly", "never", faults=["size null from 2024-02-12 to 2024-02-12"])
    assert row(facts, "weekly")["days_rejected"] == row(facts, "never")["days_rejected"] == 1
    assert (row(facts, "weekly")["alarms"], row(facts, "weekly")["false_alarms"]) == (None, None)
    assert row(facts, "never")["alarms"] is not None


def test_adapted_scores_are_those_of_never_moved(shop: Shop) -> None:
    shop.replay("never", "adapt")
    table = shop.by_day.pivot(index="day", columns="policy", values=["shift", "mean_prediction", "version"])
    assert (table["version"] == 1).all().all()
    assert (table["shift"]["never"] == 0).all()
    moved = table["shift"]["adapt"] != 0
    assert moved.any()
    up = table["mean_prediction"]["adapt"] > table["mean_prediction"]["never"]
    assert (up[moved] == (table["shift"]["adapt"][moved] > 0)).all()


# --- point in time ------------------------------------------------------------------------------------


def test_labels_of_later_days_change_nothing_before_they_arrive(shop: Shop) -> None:
    changed = date(2024, 2, 20)
    before = {name: course(shop, name) for name in ("never", "evergreen")}
    write_business(shop.home / "data", upset=days_between(changed, LAST))
    shop.replay("never", "evergreen")
    for name, known in before.items():
        after = course(shop, name)
        early = known.scored["day"] <= changed.isoformat()  # its own labels arrive the day after
        pd.testing.assert_series_equal(known.scored.loc[early, "prediction"], after.scored.loc[early, "prediction"])
        told = known.days["day"] <= changed
        pd.testing.assert_frame_equal(
            known.days.loc[told], after.days.loc[told].assign(fit_seconds=known.days["fit_seconds"])
        )
    assert not before["evergreen"].scored["prediction"].equals(course(shop, "evergreen").scored["prediction"])


# --- resuming -----------------------------------------------------------------------------------------


class Killed(Exception):
    pass


@pytest.mark.parametrize("after_days", [3, 12])
def test_killed_half_way_it_goes_on_and_comes_to_the_same(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, after_days: int
) -> None:
    whole = (shop.home / "kept" / "report" / "days.csv").read_bytes()
    for kept in ("courses", "fits", "gates", "references", "report"):
        shutil.rmtree(shop.home / "kept" / kept)
    lived = -len(days_between(FIRST, LAST + timedelta(days=1)))  # these are landed before

    def die(days: int) -> None:
        nonlocal lived
        lived += days
        if lived >= after_days:
            raise Killed

    with monkeypatch.context() as killing:
        killing.setattr(runs, "_count", die)
        with pytest.raises(Killed):
            shop.replay("never", "evergreen")
    assert not (shop.home / "kept" / "report").exists()
    assert any((shop.home / "kept" / "fits").iterdir())
    shop.replay("never", "evergreen")
    assert (shop.home / "kept" / "report" / "days.csv").read_bytes() == whole


def test_what_is_kept_is_not_computed_again(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    from ml.backtest import fits
    from ml.backtest import simulation as courses

    monkeypatch.setattr(fits, "fit_pipeline", lambda *_: pytest.fail("a kept model was fitted again"))
    monkeypatch.setattr(courses.Simulation, "run", lambda *_: pytest.fail("a kept course was lived again"))
    shop.replay("never", "evergreen")


def test_identical_fits_are_shared_between_policies(shop: Shop) -> None:
    known = {path.name for path in (shop.home / "kept" / "fits").iterdir()}
    shop.replay("never", twin={"retrain": BUILT_IN["never"]["retrain"], "performance": {"min_days": 4}})
    assert {path.name for path in (shop.home / "kept" / "fits").iterdir()} == known


def test_two_processes_come_to_the_same_as_one(shop: Shop) -> None:
    whole = (shop.home / "kept" / "report" / "days.csv").read_bytes()
    shutil.rmtree(shop.home / "kept")
    shop.replay("never", "evergreen", number=2)
    assert (shop.home / "kept" / "report" / "days.csv").read_bytes() == whole


# --- faults -------------------------------------------------------------------------------------------


def test_a_fault_in_the_inputs_is_found_and_its_cost_is_told(shop: Shop) -> None:
    fault = "shop north recoded west from 2024-02-12 to 2024-02-16"
    facts = shop.replay("never", faults=[fault])
    found = facts["faults"][0]
    assert (found["fault"], found["policy"], found["by"]) == (fault, "never", "alarm")
    assert found["days_to_find"] == 0  # a new category is told at once
    inside = [course(shop, "never", faults=each).scored for each in ((fault,), ())]
    inside = [rows.loc[rows["day"].between("2024-02-12", "2024-02-16")] for rows in inside]
    losses = [row_loss(rows["target"], rows["prediction"], "log_loss").mean() for rows in inside]
    assert found["cost"]["value"] == pytest.approx(losses[0] - losses[1])
    assert facts["policies"][0]["false_alarms"] is not None


def test_a_day_that_breaks_its_contract_is_not_scored(shop: Shop) -> None:
    facts = shop.replay("never", faults=["size null from 2024-02-12 to 2024-02-13"])
    assert row(facts, "never")["days_rejected"] == 2
    assert (facts["faults"][0]["by"], facts["faults"][0]["found_on"]) == ("contract", "2024-02-12")
    assert facts["faults"][0]["unscored_rows"] == 2 * PER_DAY
    table = shop.by_day
    faulty = table.loc[(table["dataset"] == "with faults") & table["day"].isin(["2024-02-12", "2024-02-13"])]
    assert (faulty["rows"] == 0).all()
    assert faulty["rejected"].str.contains("size").all()
    assert faulty["event"].isna().all()


def test_a_file_that_cannot_be_read_is_refused_and_the_others_go_on(shop: Shop) -> None:
    (shop.home / "data" / "inputs" / "2024-02-12.parquet").write_bytes(b"no table")
    (shop.home / "data" / "labels" / "2024-02-14.parquet").write_bytes(b"no table")
    assert row(shop.replay("never"), "never")["days_rejected"] == 1
    table = shop.by_day.set_index("day")
    assert table["rejected"]["2024-02-12"].startswith("inputs of 2024-02-12: ")
    assert table["rows"]["2024-02-13"] == PER_DAY
    assert pd.isna(table["labelled_rows"]["2024-02-14"]) and table["labelled_rows"]["2024-02-15"] == PER_DAY


def test_a_column_of_another_type_than_before_is_refused(shop: Shop) -> None:
    path = shop.home / "data" / "inputs" / "2024-02-12.parquet"
    frame = pd.read_parquet(path)
    frame.assign(size=frame["size"].map("about {:.1f}".format)).to_parquet(path)
    shop.replay("never")
    rejected = shop.by_day.set_index("day")["rejected"]["2024-02-12"]
    assert (
        "column 'size' is string, but params.yaml asks for a number" in rejected
        or "the data registry holds" in rejected
    )


def test_a_feed_that_is_dead_for_a_month_is_kept_out_of_every_window(shop: Shop) -> None:
    for path in (shop.home / "data" / "labels").glob("2024-02-*.parquet"):
        pd.read_parquet(path).assign(late=1.0).to_parquet(path)
    shop.replay("evergreen")
    assert not shop.by_day["event"].astype(str).str.contains("single class").any()


def test_a_window_of_a_single_class_is_not_judged(shop: Shop) -> None:
    for path in (shop.home / "data" / "labels").glob("2024-02-*.parquet"):
        pd.read_parquet(path).assign(late=1.0).to_parquet(path)
    shop.changed = {"labels": {"judge": False}}
    assert shop.services, "which writes the settings"
    shop.replay("evergreen")
    events = shop.by_day["event"].dropna()
    assert len(events) and events.str.contains("holds a single class of 'late'").any()
    assert not events.str.startswith(("promoted", "held")).any()


# --- what is asked for --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fragment", "named"),
    [
        ({"retrain": {"max_age": 7}}, "retrain.max_age"),
        ({"backtest": {"gates": False}}, "backtest.gates"),
        ({"gate": {"rules": None}}, "gate.rules"),
        ({"tune": {"enabled": True, "space": {"C": {"low": 0.1, "high": 1.0}}}}, "tune.enabled"),
        (["retrain"], "sections"),
    ],
)
def test_a_fragment_that_is_wrong_names_the_key_and_the_file(shop: Shop, fragment: Any, named: str) -> None:
    path = shop.home / "mine.yaml"
    path.write_text(yaml.safe_dump(fragment))
    with pytest.raises(SettingsError, match=named) as err:
        policies.choose(["never"], [path], read(shop.home / "params.yaml"))
    assert "mine.yaml" in str(err.value)


def test_a_fragment_is_laid_over_params_key_by_key(shop: Shop) -> None:
    path = shop.home / "mine.yaml"
    path.write_text("retrain: {max_age_days: 3}\ngate: {rules: {champion: {kind: champion, max_loss: 0.5}}}\n")
    mine = policies.choose([], [path], read(shop.home / "params.yaml"))[0]
    assert mine.name == "mine"
    assert mine.settings.retrain.max_age_days == 3
    assert mine.settings.retrain.cooldown_days == PARAMS["retrain"]["cooldown_days"]
    assert mine.settings.gate.rules["champion"].max_loss == 0.5  # type: ignore[union-attr]


def test_an_unknown_policy_lists_those_there_are(shop: Shop) -> None:
    with pytest.raises(SettingsError, match=r"fortnightly.*never, weekly"):
        policies.choose(["fortnightly"], [], read(shop.home / "params.yaml"))


def test_too_short_a_history_is_refused_before_anything_runs(shop: Shop) -> None:
    asked = backtest.BacktestRequest(FIRST + timedelta(days=3), LAST, shop.policies("never"), history=FIRST)
    with pytest.raises(SettingsError, match="--history-from"):
        backtest.run(asked, services=shop.services, folder=shop.home / "kept", number=1, logged=False)


def test_the_report_is_kept_in_mlflow(shop: Shop) -> None:
    facts = shop.replay("never", "evergreen", logged=True)
    client = shop.services.tracking.client
    run = client.get_run(facts["run_id"])
    assert client.get_experiment(run.info.experiment_id).name == "small-backtest"
    assert run.data.metrics["evergreen.log_loss"] == pytest.approx(
        row(facts, "evergreen")["metrics"]["log_loss"]["value"]
    )
    assert {file.path for file in client.list_artifacts(run.info.run_id, "report")} >= {
        "report/days.csv",
        "report/backtest.html",
        "report/backtest.png",
    }


def test_the_command_prints_the_table_and_exits_with_0(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shop.services
    for name, value in (("HOME", ""), ("PARAMS", "params.yaml"), ("EXPECTATIONS", "expectations")):
        monkeypatch.setenv(f"EVERGREEN_{name}", str(shop.home / value))
    given = ["--from", str(BEGIN), "--to", str(LAST), "--policies", "never,evergreen", "--no-log", "--workers", "1"]
    assert backtest.main([*given, "--folder", str(shop.home / "kept")]) == 0
    out, err = capsys.readouterr()
    assert "evergreen" in out and "log loss" in out
    assert "day/s" not in err  # no bar in a pipe
    assert backtest.main([*given, "--against", "weekly"]) == 2
