"""What is wrong with params.yaml is said once, early, with the file, the key and the next move."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, get_args
from zoneinfo import ZoneInfo

import pytest
import yaml
from pydantic import ValidationError

from ml import settings as module
from ml.adapters.sources.kinds.demo import DemoSource
from ml.adapters.sources.kinds.files import FilesSource
from ml.adapters.sources.kinds.http import HttpSource
from ml.errors import SettingsError
from ml.settings import (
    PROJECT_ROOT,
    Environment,
    HistoryFeature,
    MailKind,
    Settings,
    load,
    parse,
)
from tests.builders import params, settings

NEW_YORK = ZoneInfo("America/New_York")


def said(raw: Any = None, /, **sections: Any) -> str:
    """Give the message with which these settings are refused."""
    with pytest.raises(SettingsError) as caught:
        parse(raw if raw is not None else params(**sections), origin="my/params.yaml")
    return str(caught.value)


class TestProjectFile:
    def test_the_projects_own_params_load(self) -> None:
        found = load(PROJECT_ROOT / "params.yaml")
        assert found.task.name == "flight-delay"
        assert found.source == DemoSource(kind="demo")
        assert found.features.history[0] == HistoryFeature(by=(), days=(1, 7, 28))

    def test_every_section_of_the_settings_is_written_out_in_it(self) -> None:
        raw = yaml.safe_load((PROJECT_ROOT / "params.yaml").read_text())
        assert set(raw) == set(Settings.model_fields)

    def test_settings_survive_a_trip_through_json(self) -> None:
        found = load(PROJECT_ROOT / "params.yaml")
        assert Settings.model_validate(found.model_dump(mode="json")) == found
        assert Settings.model_validate_json(found.model_dump_json()) == found

    def test_the_smallest_params_have_the_defaults(self) -> None:
        found = settings()
        assert (found.split.holdout_days, found.pull.days, found.retrain.max_age_days) == (14, None, 28)


class TestLoad:
    def test_the_file_of_the_environment_is_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        file = tmp_path / "mine.yaml"
        file.write_text(yaml.safe_dump(params(task={"name": "mine"})))
        monkeypatch.setenv("EVERGREEN_PARAMS", str(file))
        assert load().task.name == "mine"

    def test_a_file_that_is_not_there_is_named_with_the_next_move(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match=r"nowhere.yaml: no such file; point EVERGREEN_PARAMS at your"):
            load(tmp_path / "nowhere.yaml")

    def test_a_folder_is_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match=r"cannot be read .*; point EVERGREEN_PARAMS at your params.yaml"):
            load(tmp_path)

    @pytest.mark.parametrize("content", [b"task: [", b"a: b: c", b"\xff\xfe\xfa"])
    def test_what_is_no_yaml_is_named_with_the_next_move(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "params.yaml").write_bytes(content)
        with pytest.raises(SettingsError, match=r"params.yaml: not readable as YAML (.|\n)*; fix the file"):
            load(tmp_path / "params.yaml")

    @pytest.mark.parametrize("content", ["", "[]", "just words"])
    def test_what_is_no_mapping_is_refused(self, tmp_path: Path, content: str) -> None:
        (tmp_path / "params.yaml").write_text(content)
        with pytest.raises(SettingsError, match=r"params.yaml is wrong:\n  \(as a whole\): "):
            load(tmp_path / "params.yaml")


class TestMessage:
    def test_it_names_the_file_every_key_and_the_next_move(self) -> None:
        found = said(land={"due_hour": 24}, gate={"confidence": 2}, zzz=1).splitlines()
        assert found == [
            "my/params.yaml is wrong:",
            "  land.due_hour: Input should be less than or equal to 23",
            "  gate.confidence: Input should be less than 1",
            "  zzz: unknown key; remove it or correct its name",
            "correct what is named here and try again",
        ]

    def test_what_is_missing_is_named(self) -> None:
        raw = params()
        del raw["fit"]
        assert "\n  fit: Field required\n" in said(raw)

    @pytest.mark.parametrize(
        ("sections", "expected"),
        [
            ({"gates": {}}, "gates: unknown key; did you mean 'gate'?"),
            ({"split": {"holdout_day": 3}}, "split.holdout_day: unknown key; did you mean 'holdout_days'?"),
            (
                {"features": {"history": [{"days": [1], "prior_row": 3}]}},
                "features.history.0.prior_row: unknown key; did you mean 'prior_rows'?",
            ),
            (
                {"source": {"kind": "demo", "replai": True}},
                "source.demo.replai: unknown key; did you mean 'replay'?",
            ),
            (
                {"source": {"kind": "http", "inputs": "a", "labels": "b", "retry": 3}},
                "source.http.retry: unknown key; did you mean 'retries'?",
            ),
            ({"split": {"fit": 3}}, "split.fit: unknown key; remove it or correct its name"),
            ({"source": {"kind": "demo", "timeout_second": 1}}, "unknown key; remove it or correct its name"),
        ],
        ids=["section", "key", "in a list", "in a union", "in another kind", "key of another section", "other kind's"],
    )
    def test_a_misspelt_key_is_named_with_what_may_have_been_meant_there(
        self, sections: dict[str, Any], expected: str
    ) -> None:
        assert expected in said(**sections)

    @pytest.mark.parametrize("section", [name for name in Settings.model_fields if name != "source"])
    def test_no_section_takes_a_key_that_it_does_not_know(self, section: str) -> None:
        assert f"\n  {section}.qqqq: unknown key" in said(**{section: {"qqqq": 1}})


class TestSource:
    @pytest.mark.parametrize(
        ("raw", "expected"),
        [
            ({"kind": "demo", "replay": False}, DemoSource(kind="demo", replay=False)),
            ({"kind": "files", "inputs": "a", "labels": "b"}, FilesSource(kind="files", inputs="a", labels="b")),
            ({"kind": "http", "inputs": "a", "labels": "b"}, HttpSource(kind="http", inputs="a", labels="b")),
        ],
    )
    def test_the_kind_says_which_it_is(self, raw: dict[str, Any], expected: object) -> None:
        raw_settings = params() | {"source": raw}
        assert parse(raw_settings).source == expected

    def test_an_unknown_kind_is_told_the_known_ones(self) -> None:
        assert "'demo', 'files', 'http'" in said(params() | {"source": {"kind": "ftp"}})

    def test_a_source_without_kind_is_asked_for_one(self) -> None:
        assert "source: Unable to extract tag using discriminator 'kind'" in said(params() | {"source": {}})

    def test_a_kind_is_asked_for_what_it_needs_and_for_nothing_else(self) -> None:
        found = said(params() | {"source": {"kind": "files", "inputs": "a"}})
        assert "source.files.labels: Field required" in found
        assert "http" not in found


OUT_OF_RANGE: list[tuple[str, str, Any]] = [
    ("task", "name", ""), ("task", "name", "-x"), ("task", "name", "a b"), ("task", "name", "a" * 65),
    ("task", "kind", "clustering"), ("task", "key", []), ("task", "key", ["id"]), ("task", "key", ["day", "late"]),
    ("task", "label_delay_days", -1), ("task", "label_delay_days", 367), ("task", "target", ""),
    ("task", "threshold", -0.01), ("task", "threshold", 1.01),
    ("land", "due_hour", -1), ("land", "due_hour", 24), ("land", "history_days", 0), ("land", "catch_up_days", -1),
    ("screen", "max_quarantined_share", 1.1), ("screen", "max_quarantined_share", float("nan")),
    ("screen", "recent_days", 6), ("screen", "min_recent_days", 0), ("screen", "null_share_margin", -0.1),
    ("screen", "row_count_ratio", [1.0, 2.0]), ("screen", "row_count_ratio", [0.5, 1.0]),
    ("screen", "row_count_ratio", [-0.1, 2.0]), ("screen", "row_count_ratio", [0.5]),
    ("screen", "row_count_ratio", [0.5, float("inf")]),
    ("pull", "days", 1), ("pull", "min_days", 1), ("pull", "last_day", "soon"),
    ("split", "holdout_days", 0), ("split", "holdout_days", 1.5), ("split", "holdout_days", "many"),
    ("features", "min_category_rows", 0), ("features", "numeric", [""]),
    ("features", "history", [{"days": []}]), ("features", "history", [{"days": [0]}]),
    ("features", "history", [{"days": [1], "prior_rows": -1}]),
    ("features", "history", [{"days": [1], "prior_rows": float("inf")}]),
    ("fit", "estimator", ""), ("fit", "encoding", "hash"), ("fit", "seed", -1), ("fit", "seed", 2**32),
    ("fit", "threads", 0),
    ("gate", "metric", "exactness"), ("gate", "approval", "maybe"), ("gate", "approval_hours", 0),
    ("gate", "confidence", 0.5), ("gate", "confidence", 1.0), ("gate", "bootstrap_rounds", 199),
    ("gate", "min_days", 1), ("gate", "min_rows", 0), ("gate", "rules", {"": {"kind": "base_rate"}}),
    ("gate", "rules", {"a": {"kind": "bound", "metric": "roc_auc", "at_least": float("nan")}}),
    ("gate", "rules", {"a": {"kind": "bound", "metric": "roc_auc"}}), ("gate", "rules", {"a": {"kind": "luck"}}),
    ("gate", "rules", {"a": {"kind": "champion"}}),
    ("gate", "rules", {"a": {"kind": "champion", "min_gain": 0, "max_loss": 1}}),
    ("gate", "rules", {"a": {"kind": "champion", "min_gain": -0.1}}),
    ("gate", "rules", {"a": {"kind": "champion", "max_loss": 0}}),
    ("gate", "rules", {"a": {"kind": "champion", "refresh_max_loss": 0.1}}),
    ("gate", "rules", {"a": {"kind": "champion", "max_loss": 0.1, "refresh_max_loss": 0.1}}),
    ("gate", "rules", {"a": {"kind": "champion", "min_gain": 0, "refresh_max_loss": 0}}),
    ("gate", "rules", {"a": {"kind": "slices", "by": [], "max_loss": 1}}),
    ("gate", "rules", {"a": {"kind": "slices", "by": ["@pd.io.common.os.system('true')"], "max_loss": 1}}),
    ("gate", "rules", {"a": {"kind": "slice_gap", "by": "hour + 1", "metric": "brier", "max_gap": 1}}),
    ("gate", "rules", {"a": {"kind": "leakage", "max_single_feature": 1.1}}),
    ("rollback", "watch_days", 4), ("rollback", "confidence", 1.0), ("rollback", "min_days", 1),
    ("retrain", "refit", "sometimes"), ("retrain", "refit_max_difference", 0),
    ("tune", "enabled", True), ("tune", "trials", 0), ("tune", "folds", 1), ("tune", "minutes", 0),
    ("tune", "space", {"C": {}}), ("tune", "space", {"C": {"low": 1, "high": 1}}),
    ("tune", "space", {"C": {"low": 0, "high": 1, "log": True}}), ("tune", "space", {"C": {"choices": []}}),
    ("tune", "space", {"C": {"low": 0, "high": 1, "choices": [1]}}),
    ("score", "batch_rows", 0),
    ("drift", "window_days", 0), ("drift", "min_rows", 0), ("drift", "reference_rows", 99),
    ("score", "adapt", "slope"), ("score", "adapt_days", 0), ("score", "adapt_share", 0), ("score", "adapt_share", 1.1),
    ("score", "adapt_max_shift", 0), ("score", "adapt_max_shift", float("inf")),
    ("drift", "min_distance", 0), ("drift", "min_prediction_distance", 0), ("drift", "methods", {"numeric": "ks"}),
    ("drift", "methods", {"categorical": "wasserstein"}), ("drift", "methods", {"text": "domain_classifier"}),
    ("drift", "false_alarms_per_quarter", 0), ("drift", "false_alarms_per_quarter", 6.1),
    ("drift", "alarm_days", [0, 3]), ("drift", "alarm_days", [3, 2]), ("drift", "alarm_days", [1, 29]),
    ("drift", "alarm_days", [2]), ("drift", "alarm_days", 2),
    ("drift", "min_category_share", 0), ("drift", "min_category_share", 1),
    ("drift", "min_null_jump", 0), ("drift", "min_null_jump", 1.1),
    ("drift", "min_drifted_columns", 0),
    ("performance", "window_days", 1), ("performance", "min_days", 1), ("performance", "min_days", 15),
    ("performance", "confidence", 0.5), ("performance", "confidence", 1.0), ("performance", "max_gap", 0),
    ("performance", "max_lost_skill", -0.01), ("performance", "min_label_coverage", 1.1),
    ("retrain", "max_age_days", 0), ("retrain", "cooldown_days", -1), ("retrain", "min_new_days", 0),
    ("retrain", "max_retrains_per_week", 0), ("retrain", "on_decay", "often"),
    ("notify", "to", [""]), ("notify", "kinds", {"gossip": ["a@example.com"]}), ("notify", "kinds", {"held": [""]}),
]  # fmt: skip

AT_THE_EDGE: list[tuple[str, str, Any]] = [
    ("task", "name", "a" * 64), ("task", "label_delay_days", 0), ("task", "label_delay_days", 366),
    ("task", "threshold", 0.0), ("task", "threshold", 1.0), ("land", "due_hour", 0), ("land", "due_hour", 23),
    ("land", "catch_up_days", 0), ("screen", "recent_days", 7), ("screen", "row_count_ratio", [0.0, 1.01]),
    ("pull", "min_days", 15), ("split", "holdout_days", 34), ("fit", "seed", 2**32 - 1), ("fit", "seed", 0),
    ("gate", "rules", {}), ("gate", "bootstrap_rounds", 200), ("gate", "min_days", 2),
    ("drift", "reference_rows", 100), ("drift", "alarm_days", [1, 1]), ("drift", "alarm_days", [28, 28]),
    ("drift", "false_alarms_per_quarter", 6), ("drift", "min_null_jump", 1), ("score", "adapt_share", 1),
    ("performance", "min_days", 14), ("performance", "max_lost_skill", 0), ("performance", "min_label_coverage", 0),
    ("retrain", "max_age_days", None), ("retrain", "min_new_days", 1), ("retrain", "min_new_days", None),
    ("retrain", "cooldown_days", 0), ("retrain", "max_retrains_per_week", 1), ("notify", "kinds", {"held": []}),
    ("features", "history", [{"days": [1], "prior_rows": 0}]),
    ("pull", "days", 35), ("notify", "to", []),
]  # fmt: skip


class TestRanges:
    @pytest.mark.parametrize(("section", "key", "value"), OUT_OF_RANGE)
    def test_a_value_out_of_range_is_refused_where_it_stands(self, section: str, key: str, value: Any) -> None:
        assert f"\n  {section}" in said(**{section: {key: value}})

    @pytest.mark.parametrize(("section", "key", "value"), AT_THE_EDGE)
    def test_a_value_at_the_edge_is_taken(self, section: str, key: str, value: Any) -> None:
        assert settings(**{section: {key: value}})

    @pytest.mark.parametrize(
        ("key", "value"), [("timeout_seconds", 0), ("retries", -1), ("retries", 21), ("max_megabytes", 0)]
    )
    def test_http_has_ranges_too(self, key: str, value: float) -> None:
        raw = {"kind": "http", "inputs": "a", "labels": "b", key: value}
        assert f"source.http.{key}: " in said(params() | {"source": raw})


class TestTimezone:
    @pytest.mark.parametrize("zone", ["Mars/Olympus", "", "America", "../../etc/passwd", "/etc/localtime"])
    def test_what_is_no_time_zone_is_refused_with_an_example(self, zone: str) -> None:
        assert f"task.timezone: {zone!r} is not an IANA time zone such as America/New_York" in said(
            task={"timezone": zone}
        )


def bound(metric: str) -> dict[str, Any]:
    return {"rules": {"a": {"kind": "bound", "metric": metric, "at_least": 0.6}}}


class TestFitsTogether:
    @pytest.mark.parametrize(
        ("sections", "expected"),
        [
            ({"features": {"numeric": ["late"]}}, "a label can never be a feature"),
            ({"features": {"categorical": ["late"]}}, "a label can never be a feature"),
            ({"features": {"spline": ["late"]}}, "a label can never be a feature"),
            ({"features": {"history": [{"by": ["late"], "days": [1]}]}}, "a label can never be a feature"),
            ({"features": {"categorical": ["number"]}}, "named in two kinds of feature: number"),
            ({"features": {"numeric": ["a", "a"]}}, "named in two kinds of feature: a"),
            ({"features": {"numeric": []}}, "no feature is declared"),
            (
                {"features": {"history": [{"days": [7]}, {"days": [1, 7], "prior_rows": 1}]}},
                "history features declared twice: all over 7 days",
            ),
            ({"features": {"history": [{"by": ["c"], "days": [3, 3]}]}}, "declared twice: c over 3 days"),
            ({"pull": {"min_days": 14}}, "pull.min_days (14) must be more than split.holdout_days (14)"),
            ({"pull": {"days": 34}}, "pull.days (34) is less than pull.min_days (35)"),
            ({"gate": {"metric": "rmse"}}, "does not judge a classification task; use one of ['brier', 'log_loss']"),
            ({"task": {"kind": "regression"}}, "does not judge a regression task; use one of ['mae', 'rmse']"),
            ({"gate": bound("roc_auk")}, "does not measure: roc_auk; use any of log_loss, brier, calibration_error"),
            ({"gate": bound("rmse")}, "does not measure: rmse; use any of"),
            ({"drift": {"structural": ["a"], "environment": ["a"]}}, "named twice under structural and environment: a"),
            ({"drift": {"structural": ["a", "a"]}}, "named twice under structural and environment: a"),
            ({"drift": {"alarm_days": [4, 3]}}, "alarm_days must be [k, n] with 1 <= k <= n <= 28: k of the newest n"),
            ({"performance": {"window_days": 5}}, "min_days (7) is more than window_days (5)"),
            ({"retrain": {"cost": 5.0}}, "give both cost and loss_value, or neither"),
            ({"retrain": {"cost": 5.0, "loss_value": 1.0}}, "cost needs on_gain: true, or shadow_refit.max_wait_days"),
            (
                {"retrain": {"cost": 5.0, "loss_value": 1.0, "shadow_refit": {"every_days": None}}},
                "cost needs shadow_refit.every_days",
            ),
            (
                {"drift": {"structural": ["a", "b"], "min_drifted_columns": 3}},
                "drift could never alarm; lower it to at most 2",
            ),
        ],
    )  # fmt: skip
    def test_what_contradicts_itself_is_refused(self, sections: dict[str, Any], expected: str) -> None:
        assert expected in said(**sections)

    def test_history_alone_is_enough_to_learn_from(self) -> None:
        assert settings(features={"numeric": [], "history": [{"days": [1]}]})

    @pytest.mark.parametrize("metric", ["rmse", "mae"])
    def test_a_regression_task_is_judged_by_its_own_metrics(self, metric: str) -> None:
        bound = {"kind": "bound", "metric": "bias", "at_most": 1}
        assert settings(task={"kind": "regression"}, gate={"metric": metric, "rules": {"bias": bound}})

    def test_a_typing_error_inside_a_rule_is_told_with_what_was_meant(self) -> None:
        rule = {"kind": "bound", "metric": "roc_auc", "at_leest": 0.6}
        assert "at_leest: unknown key; did you mean 'at_least'?" in said(gate={"rules": {"discrimination": rule}})

    def test_a_regression_has_no_calibration_to_bound(self) -> None:
        rules = {"calibration": {"kind": "calibration", "max_error": 0.1, "max_gap": 0.1}}
        wrong = {"metric": "rmse", "rules": rules}
        assert "judges classification and multiclass only" in said(task={"kind": "regression"}, gate=wrong)


class TestRecipients:
    """Who is told of which kind of mail."""

    def test_everybody_is_told_everything_unless_said_otherwise(self) -> None:
        notify = settings(notify={"to": ["team@example.com"]}).notify
        assert {notify.recipients(kind) for kind in get_args(MailKind)} == {("team@example.com",)}

    def test_approvers_are_asked_and_not_told_of_the_rest(self) -> None:
        notify = settings(notify={"to": ["team@example.com"], "approvers": ["boss@example.com"]}).notify
        assert notify.recipients("approval") == ("boss@example.com",)
        assert notify.recipients("promoted") == ("team@example.com",)

    def test_a_kind_may_have_its_own_recipients_or_nobody(self) -> None:
        notify = settings(notify={"kinds": {"held": [], "drift": ["call@example.com"], "approval": []}}).notify
        assert (notify.recipients("held"), notify.recipients("approval")) == ((), ())
        assert notify.recipients("drift") == ("call@example.com",)
        assert notify.recipients("decay") == ("ml-team@example.com",)


class TestFrozen:
    def test_nothing_can_be_set_afterwards(self) -> None:
        found = settings()
        with pytest.raises(ValidationError, match="frozen"):
            found.split = found.split  # type: ignore[misc]
        with pytest.raises(ValidationError, match="frozen"):
            found.split.holdout_days = 3  # type: ignore[misc]

    def test_the_environment_is_frozen_too(self) -> None:
        with pytest.raises(ValidationError, match="frozen"):
            Environment.load({}).storage = "elsewhere"  # type: ignore[misc]


class TestEnvironment:
    def test_every_default_lies_in_the_project(self) -> None:
        var = PROJECT_ROOT / "var"
        assert Environment.load({}) == Environment(
            model="flight-delay",
            home=var,
            params=PROJECT_ROOT / "params.yaml",
            expectations=PROJECT_ROOT / "expectations",
            storage=str(var / "storage"),
            registry=str(var / "registry.git"),
            registry_remote=str(var / "registry-remote"),
            cache=var / "cache",
            tracking=f"sqlite:///{var}/mlflow/mlflow.db",
            starting=var / "starting",
        )

    def test_the_home_moves_all_that_lies_under_it(self, tmp_path: Path) -> None:
        found = Environment.load({"EVERGREEN_HOME": str(tmp_path)})
        under = (found.storage, found.registry, found.registry_remote, str(found.cache))
        assert all(place.startswith(f"{tmp_path}/") for place in under)
        assert found.tracking == f"sqlite:///{tmp_path}/mlflow/mlflow.db"
        assert found.params == PROJECT_ROOT / "params.yaml"

    def test_a_relative_home_is_made_absolute(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        assert Environment.load({"EVERGREEN_HOME": "here"}).home == tmp_path / "here"

    @pytest.mark.parametrize(
        ("variable", "field"),
        [
            ("EVERGREEN_PARAMS", "params"),
            ("EVERGREEN_EXPECTATIONS", "expectations"),
            ("EVERGREEN_STORAGE", "storage"),
            ("EVERGREEN_REGISTRY", "registry"),
            ("EVERGREEN_REGISTRY_REMOTE", "registry_remote"),
            ("EVERGREEN_CACHE", "cache"),
            ("MLFLOW_TRACKING_URI", "tracking"),
        ],
    )
    def test_each_place_has_a_variable_of_its_own(self, variable: str, field: str) -> None:
        found, usual = Environment.load({variable: "/else/where"}), Environment.load({})
        assert str(getattr(found, field)) == "/else/where"
        other = {field, "model"} if field == "params" else {field}  # no settings there that say a name
        assert found.model_dump(exclude=other) == usual.model_dump(exclude=other)
        assert Environment.load({variable: ""}) == usual

    def test_it_is_read_when_it_is_asked_for_and_not_at_import(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("EVERGREEN_STORAGE", "s3://later")
        assert module.Environment.load().storage == "s3://later"


class TestDays:
    FOUND = settings(task={"timezone": "America/New_York"}, land={"due_hour": 5})

    @pytest.mark.parametrize(
        ("local", "newest"),
        [
            ("2013-07-04 04:59:59", "2013-07-03"),
            ("2013-07-04 05:00:00", "2013-07-04"),
            ("2013-07-04 23:59:59", "2013-07-04"),
            ("2013-07-05 00:00:00", "2013-07-04"),
            ("2013-03-10 04:59:59", "2013-03-09"),  # clocks went forward at 02:00
            ("2013-03-10 05:00:00", "2013-03-10"),
            ("2013-03-11 04:59:59", "2013-03-10"),
            ("2013-03-11 05:00:00", "2013-03-11"),
            ("2013-11-03 04:59:59", "2013-11-02"),  # clocks went back at 02:00
            ("2013-11-03 05:00:00", "2013-11-03"),
            ("2013-11-04 04:59:59", "2013-11-03"),
            ("2013-11-04 05:00:00", "2013-11-04"),
            ("2013-01-01 04:59:59", "2012-12-31"),
        ],
    )
    def test_a_day_is_due_at_its_hour_by_the_clock_on_the_wall(self, local: str, newest: str) -> None:
        now = datetime.fromisoformat(local).replace(tzinfo=NEW_YORK)
        for zone in (NEW_YORK, UTC, ZoneInfo("Asia/Tokyo")):
            assert self.FOUND.newest_due_day(now.astimezone(zone)) == date.fromisoformat(newest)

    def test_an_hour_that_the_clocks_skip_is_due_as_soon_as_it_is_past(self) -> None:
        found = settings(task={"timezone": "America/New_York"}, land={"due_hour": 2})
        skipped = datetime(2013, 3, 10, 7, tzinfo=UTC)  # 03:00, a moment after 01:59:59
        assert found.newest_due_day(skipped) == date(2013, 3, 10)
        assert found.newest_due_day(skipped.replace(hour=6, minute=59)) == date(2013, 3, 9)

    def test_due_at_midnight_is_today(self) -> None:
        found = settings(task={"timezone": "Asia/Tokyo"}, land={"due_hour": 0})
        now = datetime(2013, 1, 1, 15, 0, tzinfo=UTC)
        assert found.newest_due_day(now) == found.today(now) == date(2013, 1, 2)

    def test_today_is_the_tasks_and_not_utcs(self) -> None:
        assert self.FOUND.today(datetime(2013, 7, 5, 3, 59, tzinfo=UTC)) == date(2013, 7, 4)
        assert self.FOUND.today(datetime(2013, 7, 5, 4, 0, tzinfo=UTC)) == date(2013, 7, 5)
