"""What another package adds is found by name, and one that is broken stops only what uses it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd
import pytest

from ml.core.gate import Evidence, decide
from ml.core.gate.day_resampling import day_intervals
from ml.core.metric import KINDS, Direction
from ml.core.metrics import direction, label, measure, measured_of, row_loss
from ml.core.monitoring.day_blocks import DailyCounts, daily_counts, variability
from ml.core.monitoring.drift import distance, find_method
from ml.errors import SettingsError
from ml.settings import DRIFT_METHODS, METRICS, RULES, SOURCES, Environment, Methods, parse
from ml.wiring import Services
from tests.builders import params, settings
from tests.installed import install

STEADY = '''
from typing import Literal

from ml.core.gate.rule import GateRule


class Steady(GateRule):
    """No day's loss is above a bound."""

    advice = "Look at the worst day."

    kind: Literal["steady"]
    most: float

    def judge(self, name, gate, evidence):
        return self.ruling(name, evidence.holdout_days < self.most, "so many days", {"max_gap": self.most, "gain": 1.0})
'''
RULE = {"mine": {"kind": "steady", "most": 20}}


@pytest.fixture
def steady(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, code={"steady": STEADY}, entry_points="[evergreen.rules]\nsteady = steady:Steady\n")
    monkeypatch.delitem(sys.modules, "steady", raising=False)


@pytest.mark.usefixtures("steady")
class TestInstalled:
    def test_a_rule_of_another_package_is_listed_without_being_imported(self) -> None:
        assert RULES.names()[-1] == "steady"
        assert RULES.installed() == ("steady",)
        assert "steady" not in sys.modules

    def test_it_judges_like_our_own(self) -> None:
        evidence = Evidence(challenger={}, base_rate={}, holdout_days=14, holdout_rows=9000, against_champion=False)
        found = decide(settings(gate={"rules": RULE}).gate, evidence)
        assert found.decision == "promote"
        assert (found.rulings[0].kind, found.rulings[0].rule) == ("steady", "mine")
        assert found.rulings[0].comparison is found.rulings[0].slices is None

    def test_settings_with_it_survive_a_trip_through_json(self) -> None:
        chosen = settings(gate={"rules": RULE})
        assert parse(chosen.model_dump(mode="json")) == chosen
        assert chosen.model_dump(mode="json")["gate"]["rules"] == RULE

    def test_its_own_settings_are_checked_where_they_stand(self) -> None:
        wrong = params() | {"gate": {"rules": {"mine": {"kind": "steady", "moste": 20}}}}
        with pytest.raises(SettingsError) as refused:
            parse(wrong)
        assert "gate.rules.mine.steady.most: Field required" in str(refused.value)
        assert "gate.rules.mine.steady.moste: unknown key; did you mean 'most'?" in str(refused.value)


def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, points: str, code: str = "") -> None:
    install(tmp_path, monkeypatch, code={"broken_rules": code}, entry_points=f"[evergreen.rules]\n{points}\n")
    monkeypatch.delitem(sys.modules, "broken_rules", raising=False)


@pytest.mark.parametrize(
    ("points", "code", "expected"),
    [
        ("luck = nowhere_at_all:Luck", "", "No module named 'nowhere_at_all'"),
        ("luck = broken_rules:Luck", "raise RuntimeError('no licence')", "RuntimeError: no licence"),
        ("luck = broken_rules:Luck", "", "has no attribute 'Luck'"),
        ("luck = broken_rules:Luck", "Luck = 3", "is not a ml.core.gate.rule.GateRule"),
    ],
    ids=["no module", "fails", "no attribute", "no rule"],
)
def test_a_broken_package_is_named_and_stops_only_what_uses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, points: str, code: str, expected: str
) -> None:
    broken(tmp_path, monkeypatch, points, code)
    assert settings(gate={"rules": {"rate": {"kind": "base_rate"}}})
    assert "luck" in RULES.names()
    with pytest.raises(SettingsError) as refused:
        settings(gate={"rules": {"a": {"kind": "luck"}}})
    assert expected in str(refused.value)
    assert "gate.rules.a: the kind of gate rule 'luck' of the package my-extensions" in str(refused.value)


def test_a_name_that_is_taken_stops_only_what_uses_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken(tmp_path, monkeypatch, "bound = nowhere_at_all:Bound")
    assert settings(gate={"rules": {"rate": {"kind": "base_rate"}}})
    with pytest.raises(SettingsError, match="'bound' is announced by my-extensions, and Evergreen has one"):
        RULES.load("bound")


COSTS = """
import numpy as np

from ml.core.metric import Mean, Metric, Whole

COST = Metric(
    "cost", "cost of a wrong answer", "lower", ("classification",), Mean(lambda y, p: (1 + 4 * y) * abs(y - p))
)
MEDIAN = Metric(
    "median_error", "median error", "lower", ("classification", "regression"), Whole(),
    lambda y, p: float(np.median(abs(y - p))),
)
FAILS = Metric("fails", "fails", "lower", ("classification",), Whole(), lambda y, p: 1 / 0)
"""
POINTS = """
[evergreen.metrics]
cost = costs:COST
median_error = costs:MEDIAN
fails = costs:FAILS
absent = costs:ABSENT
"""


class TestMetrics:
    @pytest.fixture(autouse=True)
    def costs(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        install(tmp_path, monkeypatch, code={"costs": COSTS}, entry_points=POINTS)
        monkeypatch.delitem(sys.modules, "costs", raising=False)

    def test_a_metric_of_another_package_is_measured_beside_our_own(self, caplog: pytest.LogCaptureFixture) -> None:
        found = measure([0.0, 1.0, 1.0], [0.5, 0.5, 0.2], "classification")
        assert found["cost"] == pytest.approx((0.5 + 2.5 + 4.0) / 3)
        assert found["median_error"] == pytest.approx(0.5)
        assert found["log_loss"] > 0
        assert {"fails", "absent"}.isdisjoint(found)
        assert "the metric 'absent' of the package my-extensions cannot be imported" in caplog.text
        assert "metrics: fails could not be computed" in caplog.text
        assert set(measure([0.0, 1.0], [0.5, 0.5], "regression")) == {"rmse", "mae", "bias", "r2", "median_error"}

    def test_it_has_an_interval_a_name_and_a_direction(self) -> None:
        scored = pd.DataFrame({"day": [f"2013-04-0{1 + n % 9}" for n in range(90)], "target": [0.0, 1.0] * 45})
        scored["challenger"] = np.linspace(0.1, 0.8, 90)
        found = day_intervals(scored, "classification", confidence=0.9, seed=0, n_resamples=60)
        exact = measure(scored["target"], scored["challenger"], "classification")
        for name in ("cost", "median_error"):
            assert found[name][0] <= exact[name] <= found[name][1]
        assert (label("cost"), direction("cost")) == ("cost of a wrong answer", "lower")
        assert (label("gone_since"), direction("gone_since")) == ("gone since", "")

    def test_the_gate_can_judge_by_a_mean_of_rows_and_bound_what_is_measured(self) -> None:
        rules = {"a": {"kind": "bound", "metric": "median_error", "at_most": 0.4}}
        chosen = settings(gate={"metric": "cost", "rules": rules})
        assert row_loss([1.0], [0.5], chosen.gate.metric).tolist() == [2.5]
        with pytest.raises(SettingsError, match="'median_error' does not judge a classification task"):
            settings(gate={"metric": "median_error"})

    def test_settings_that_name_a_broken_one_say_whose_it_is(self) -> None:
        for gate in ({"metric": "absent"}, {"rules": {"a": {"kind": "bound", "metric": "absent", "at_most": 1}}}):
            with pytest.raises(SettingsError, match="'absent' of the package my-extensions cannot be imported"):
                settings(gate=gate)


TOTAL_VARIATION = """
import numpy as np

from ml.core.monitoring.drift_method import DriftMethod


def apart(points, p, q):
    return np.abs(p - q).sum(axis=-1) / 2


def range_of(points, p, q):
    return np.abs((points * (p - q)).sum(axis=-1))


TOTAL_VARIATION = DriftMethod("total_variation", ("categorical",), apart)
MEANS = DriftMethod("means", ("numeric",), range_of)
"""
VARIATION_POINTS = (
    "[evergreen.drift_methods]\ntotal_variation = tv:TOTAL_VARIATION\nmeans = tv:MEANS\nabsent = tv:ABSENT\n"
)


class TestDriftMethods:
    @pytest.fixture(autouse=True)
    def variation(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        install(tmp_path, monkeypatch, code={"tv": TOTAL_VARIATION}, entry_points=VARIATION_POINTS)
        monkeypatch.delitem(sys.modules, "tv", raising=False)

    def test_a_method_of_another_package_measures_rows_and_blocks_of_days_alike(self) -> None:
        chosen = settings(drift={"methods": {"numeric": "means", "categorical": "total_variation"}}).drift.methods
        rows = pd.DataFrame({"day": [f"2013-04-{1 + n % 20:02d}" for n in range(400)]})
        rows["carrier"] = ["ABC"[(n * n) % 3] for n in range(400)]
        rows["hour"] = [float((n * 7) % 11) for n in range(400)]
        inside = rows["day"] <= "2013-04-07"
        for column in ("carrier", "hour"):
            exact = distance(rows.loc[~inside, column], rows.loc[inside, column], chosen)
            assert variability(daily_counts(rows[column], rows["day"], chosen), 7)[0] == pytest.approx(exact)
        assert distance(pd.Series(["A", "B"]), pd.Series(["A", "A"]), chosen) == pytest.approx(0.5)
        assert distance(pd.Series([1.0, 3.0]), pd.Series([4.0, 4.0]), chosen) == pytest.approx(2.0)

    @pytest.mark.parametrize(
        ("methods", "expected"),
        [
            (
                {"numeric": "total_variation"},
                "'total_variation' does not compare numeric columns; use one of wasserstein",
            ),
            ({"categorical": "absent"}, "'absent' of the package my-extensions cannot be imported"),
            ({"categorical": "psi"}, "'psi' is not a drift method; use one of wasserstein, jensenshannon, hellinger"),
        ],
    )
    def test_what_cannot_be_used_is_refused_when_settings_are_loaded(
        self, methods: dict[str, str], expected: str
    ) -> None:
        with pytest.raises(SettingsError) as refused:
            settings(drift={"methods": methods})
        assert expected in str(refused.value)


def test_an_unknown_method_is_never_another_one_in_silence() -> None:
    unknown = Methods.model_construct(numeric="psi", categorical="psi")
    for values in (pd.Series(["A", "B"]), pd.Series([1.0, 2.0])):
        with pytest.raises(SettingsError, match="'psi' is not a drift method"):
            distance(values, values, unknown)
        with pytest.raises(SettingsError, match="'psi' is not a drift method"):
            variability(DailyCounts("psi", None, np.array([[1, 2], [3, 4]])), 1)


def test_each_built_in_drift_method_is_nought_between_a_sample_and_itself_from_rows_and_from_counts() -> None:
    samples = {"numeric": pd.Series([1.0, 2.0, 2.0, 5.0]), "categorical": pd.Series(["A", "B", "B", "C"])}
    for name in DRIFT_METHODS.names():
        method = find_method(name)
        assert method.columns
        for kind in method.columns:
            assert method.distance(samples[kind], samples[kind]) == pytest.approx(0.0, abs=1e-9)
            days = pd.Series(["2013-04-01"] * 2 + ["2013-04-02"] * 2)
            same = pd.concat([samples[kind].iloc[:2]] * 2, ignore_index=True)
            chosen = Methods.model_validate({kind: name})
            assert variability(daily_counts(same, days, chosen), 1) == pytest.approx([0.0, 0.0], abs=1e-9)


def test_each_built_in_metric_has_what_it_needs() -> None:
    for metric in METRICS.usable():
        assert METRICS.load(metric.name) is metric
        assert set(metric.kinds) <= set(KINDS)
        assert label(metric.name)
        assert direction(metric.name) in get_args(Direction)
    for kind in KINDS:
        assert any(metric.is_loss for metric in measured_of(kind))
        columns = [metric.backtest_column for metric in measured_of(kind) if metric.backtest_column is not None]
        assert sorted(columns) == list(range(1, len(columns) + 1))


MADE_UP = """
from typing import ClassVar, Literal

from ml.adapters.sources import SourceKind


class MadeUp(SourceKind):
    unit: ClassVar[str] = "customers"
    kind: Literal["made_up"]
    rows: int = 3

    def open(self):
        return self

    def caveats(self):
        return ("Nothing of it is true.",)
"""


def test_a_source_of_another_package_is_opened_as_params_yaml_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(
        tmp_path, monkeypatch, code={"made_up": MADE_UP}, entry_points="[evergreen.sources]\nmade_up = made_up:MadeUp\n"
    )
    monkeypatch.delitem(sys.modules, "made_up", raising=False)
    raw = params() | {"source": {"kind": "made_up", "rows": 7}}
    chosen = parse(raw)
    assert parse(chosen.model_dump(mode="json")) == chosen
    assert Services(chosen, Environment.load({})).source is chosen.source
    assert (chosen.source.unit, chosen.source.caveats()) == ("customers", ("Nothing of it is true.",))
    with pytest.raises(SettingsError, match="source.made_up.row: unknown key; did you mean 'rows'"):
        parse(raw | {"source": {"kind": "made_up", "row": 7}})


def test_each_built_in_source_is_called_like_its_kind() -> None:
    for kind in SOURCES.names():
        assert SOURCES.load(kind).model_fields["kind"].annotation == Literal[kind]


def test_settings_are_read_without_heavy_libraries() -> None:
    code = "import sys, ml.settings; ml.settings.load(); print(*(set(sys.modules) & set(sys.argv[1:])))"
    heavy = ("pandas", "scipy", "sklearn", "pyarrow", "mlflow", "boto3", "requests", "evidently")
    ran = subprocess.run([sys.executable, "-c", code, *heavy], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == ""


def test_what_nobody_has_is_told_what_there_is() -> None:
    with pytest.raises(SettingsError, match=r"'luck' is not a kind of gate rule; use one of base_rate, bound, "):
        RULES.load("luck")


def test_each_built_in_rule_is_called_like_its_kind_and_can_be_judged_without_evidence() -> None:
    nothing = Evidence(challenger={}, base_rate={}, holdout_days=0, holdout_rows=0, against_champion=True)
    needed = {
        "bound": {"metric": "roc_auc", "at_least": 0.5},
        "calibration": {"max_error": 0.1, "max_gap": 0.1},
        "champion": {"min_gain": 0.0},
        "slice_gap": {"by": "carrier", "metric": "brier", "max_gap": 0.1},
        "slices": {"by": ["carrier"], "max_loss": 0.1},
    }
    for kind in RULES.names():
        gate = settings(gate={"rules": {"a": {"kind": kind, **needed.get(kind, {})}}}).gate
        ruling = decide(gate, nothing).rulings[0]
        assert (ruling.rule, ruling.kind, ruling.passed) == ("a", kind, None)
        assert RULES.load(kind).advice
