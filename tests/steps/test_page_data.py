"""What the overview page shows is gathered from a world that was trained, scored and monitored for real."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from mlflow.tracking._tracking_service import utils as mlflow_memory
from prometheus_client.parser import text_string_to_metric_families

from ml.adapters import layout
from ml.adapters.replayed_days import ReplayLog
from ml.adapters.tracking import Tracking
from ml.cli import champion, history, metrics
from ml.core.monitoring import day_summary
from ml.errors import EvergreenError, MissingArtifact, SettingsError, Unavailable
from ml.records import Decision, DriftReport, Judgement, LivePerformance, ReplayedDay, Window
from ml.settings import PROJECT_ROOT, Environment, load
from ml.steps.monitor import compare_with_previous, decide, measure_drift, measure_performance
from ml.steps.retrain import describe, promote
from ml.steps.score import resolve
from ml.views import page as overview
from ml.views.page import installation
from ml.views.page.cache import MEMORY
from ml.wiring import Services
from tests.dags.postbox import free_port
from tests.steps.conftest import LAST_DAY, NEXT_DAY, World
from tests.steps.test_decide import bring

DAYS = [NEXT_DAY + timedelta(days=n) for n in range(2)]
PAGE = ("now", "timeline", "drift_map", "decisions", "data", "models", "served")


def ask(services: Services, part: str) -> dict[str, Any]:
    """Ask for a part of the page as the page gets it: through JSON without NaN."""
    options = {"today": DAYS[-1]} if part == "now" else {}
    found = getattr(overview, part)(services, **options)
    return dict(json.loads(json.dumps(found, allow_nan=False)))


def charts_of_shape(world: World, shape: int) -> Path:
    folder = world.home / "charts"
    folder.mkdir()
    (folder / "charts.json").write_text(json.dumps({"shape": shape}), encoding="utf-8")
    return folder


def monitor(world: World, day: date) -> tuple[DriftReport, LivePerformance, Decision]:
    champion = world.run(resolve, day)
    drift, performance, comparison = (
        world.run(step, champion) for step in (measure_drift, measure_performance, compare_with_previous)
    )
    return drift, performance, world.run(decide, champion, drift, performance, comparison)


@pytest.fixture(scope="module")
def watched_once(
    judged_once: tuple[World, Window, Judgement], tmp_path_factory: pytest.TempPathFactory
) -> tuple[World, list[Any]]:
    before, window, judgement = judged_once
    world = before.copied_to(tmp_path_factory.mktemp("watched") / "home")
    window = window.model_copy(update={"workspace": window.workspace.replace(str(before.home), str(world.home))})
    assert world.run(promote, window, judgement).promoted
    mlflow_memory._artifact_repos_cache.clear()  # copies of a world share their run ids, not their folders
    world.run(describe, window, judgement)
    bring(world, DAYS[-1])
    measured = []
    for day in DAYS:
        world.score(day)
        measured.append(monitor(world, day))
    return world, measured


@pytest.fixture(autouse=True)
def _remembers_nothing() -> Iterator[None]:
    MEMORY.forget()
    mlflow_memory._artifact_repos_cache.clear()
    yield
    mlflow_memory._artifact_repos_cache.clear()


@pytest.fixture
def services(watched_once: tuple[World, list[Any]]) -> Services:
    """Version 2 replaced version 1, and was monitored on two days."""
    return watched_once[0].services


@pytest.fixture
def world(watched_once: tuple[World, list[Any]], tmp_path: Path) -> World:
    return watched_once[0].copied_to(tmp_path / "home")


@pytest.fixture
def empty(tmp_path: Path) -> Services:
    """Nothing was ever ingested."""
    return Services(load(PROJECT_ROOT / "params.yaml"), Environment.load({"EVERGREEN_HOME": str(tmp_path)}))


class TestNow:
    def test_it_says_who_serves_since_when_and_by_whose_decision(self, services: Services) -> None:
        champion = ask(services, "now")["champion"]
        assert (champion["version"], champion["previous_version"], champion["since"]) == (2, 1, str(NEXT_DAY))
        assert (champion["kind"], champion["requested_by"], champion["approved_by"]) == ("promotion", "a test", None)
        assert champion["window"]["last_day"] < str(NEXT_DAY)
        assert champion["warning"] is None

    def test_it_says_how_the_newest_day_was_judged(
        self, services: Services, watched_once: tuple[World, list[Any]]
    ) -> None:
        found = ask(services, "now")
        decision: Decision = watched_once[1][-1][2]
        assert found["problems"] == []
        unknown = any(reason.startswith("performance unknown") for reason in decision.reasons)
        shown = "watching" if decision.state == "calm" and unknown else decision.state
        assert (found["state"], found["monitor"]["state"]) == (shown, decision.state)
        assert decision.reasons[0] in found["sentence"]
        assert found["performance"]["figures"][0]["name"] == "log_loss"
        assert found["performance"]["figures"][0]["expected"] is not None
        assert (found["score"]["day"], found["score"]["version"]) == (str(DAYS[-1]), 2)
        assert found["score"]["rows"] > 100
        assert found["shadow"]["version"] == 1

    @pytest.mark.parametrize(
        ("hour", "days", "status"),
        [(12, 0, "fresh"), (10, 1, "due"), (12, 1, "late"), (3, 1, "fresh"), (9, 4, "late")],
    )
    def test_data_are_held_against_the_due_hour_in_the_time_zone_of_the_task(
        self, services: Services, hour: int, days: int, status: str
    ) -> None:
        at = datetime(DAYS[-1].year, DAYS[-1].month, DAYS[-1].day, hour, tzinfo=UTC) + timedelta(days=days)
        found = overview.now(services, today=at)
        assert found["data"]["status"] == status
        assert (found["state"] == "calm") <= (status != "late")

    def test_an_alarm_that_nobody_was_mailed_of_is_not_over_when_another_version_serves(self, world: World) -> None:
        nulls = {"kind": "null_share", "severity": "alarm", "message": "temp is null", "column": "temp"}
        days = (
            (DAYS[0], {"state": "alarm", "alarm": True, "version": 2}),
            (DAYS[-1], {"state": "watching", "version": 3}),
        )
        for day, changes in days:
            file = world.home / "storage" / "monitor" / f"day={day}" / "summary.json"
            finding = nulls | {"at_once": day == DAYS[0]}
            file.write_text(json.dumps(json.loads(file.read_text()) | changes | {"findings": [finding]}))
        found = ask(world.services, "now")
        assert (found["state"], found["alarm"]["since"]) == ("alarm", str(DAYS[0]))
        assert f"Alarm since {DAYS[0]}, and not over" in found["sentence"]

    def test_before_the_first_live_figure_it_has_that_of_the_holdout_and_says_when_the_first_one_comes(
        self, world: World
    ) -> None:
        assert ask(world.services, "now")["before_live"] is not None, "two days are too few for a live figure"
        for folder in (world.home / "storage" / "monitor").iterdir():
            shutil.rmtree(folder)
        MEMORY.forget()
        before = json.loads(json.dumps(overview.now(world.services, today=DAYS[-1])))["before_live"]
        judged = overview.model(world.services, overview.now(world.services, today=DAYS[-1])["champion"]["version"])
        figures = {figure["name"]: figure for figure in judged["figures"]}
        seen = before["holdout"]
        assert seen["value"] == pytest.approx(figures["log_loss"]["value"], abs=1e-4)
        assert seen["base_rate"] == pytest.approx(figures["log_loss"]["base_rate"], abs=1e-4)
        assert seen["low"] < seen["value"] < seen["high"]
        assert (seen["days"], seen["rows"]) == (judged["holdout"]["days"], judged["holdout"]["rows"])
        assert date.fromisoformat(before["first_day"]) > DAYS[-1]

    def test_an_alias_that_was_moved_by_hand_is_named(self, world: World) -> None:
        world.services.tracking.move_alias("champion", 1)
        champion = ask(world.services, "now")["champion"]
        assert champion["version"] == 2
        assert "moved" in champion["warning"]

    def test_a_newest_day_that_cannot_be_read_is_not_calm(self, world: World) -> None:
        (world.home / "storage" / "monitor" / f"day={DAYS[-1]}" / "summary.json").write_text("{")
        found = ask(world.services, "now")
        assert found["state"] == "unknown"
        assert str(DAYS[-1]) in found["sentence"]

    def test_what_does_not_answer_is_named_and_the_rest_is_told(self, services: Services) -> None:
        dead = services.environment.model_copy(update={"tracking": f"http://127.0.0.1:{free_port()}"})
        found = ask(Services(services.settings, dead), "now")
        assert (found["state"], found["champion"]) == ("unknown", None)
        assert found["data"]["newest_day"] == str(DAYS[-1])
        assert found["hint"] is None
        assert "is MLflow up?" in found["problems"][0]["message"]
        with pytest.raises(Unavailable, match="is MLflow up"):
            overview.decisions(Services(services.settings, dead))


class TestCourse:
    def test_each_monitored_day_is_on_the_timeline(
        self, services: Services, watched_once: tuple[World, list[Any]]
    ) -> None:
        found = ask(services, "timeline")
        assert [entry["day"] for entry in found["days"]] == [str(day) for day in DAYS]
        live: LivePerformance = watched_once[1][-1][1]
        assert found["days"][-1]["value"] == live.metrics["log_loss"]
        assert {(mark["kind"], mark["version"]) for mark in found["marks"]} >= {("promotion", 1), ("promotion", 2)}
        assert found["champion_tenures"][-1] == {"version": 2, "first_day": str(NEXT_DAY), "last_day": None}

    def test_fewer_days_can_be_asked_for(self, services: Services) -> None:
        assert [entry["day"] for entry in overview.timeline(services, days=1)["days"]] == [str(DAYS[-1])]

    def test_charts_of_performance_draw_what_monitoring_and_trainings_have_kept(
        self, services: Services, watched_once: tuple[World, list[Any]]
    ) -> None:
        facts = ask(services, "performance_charts")
        live: LivePerformance = watched_once[1][-1][1]
        figure = facts["live"]["figures"][0]
        assert (facts["live"]["days"][-1], figure["name"]) == (str(live.labelled_day), "log_loss")
        assert (figure["daily"][-1], figure["value"][-1]) == (live.metrics["log_loss"], live.window["log_loss"].value)
        assert figure["expected"][-1] == live.expected["log_loss"]
        assert (facts["live"]["served_by"][-1], facts["live"]["coverage"][-1]) == (2, live.label_coverage)
        whole = facts["slices"]["slices"][0]
        assert (whole["slice"], whole["rows"][-1]) == ("the whole day", live.window_rows)
        assert {"carrier = UA", "origin = JFK"} <= {one["slice"] for one in facts["slices"]["slices"]}
        assert set(facts["labels"]["first"]) == {services.settings.task.label_delay_days}
        training = facts["trainings"][-1]
        assert (training["version"], training["outcome"]) == (2, "champion") and training["seconds"] > 0
        assert sum(one["versions"] for one in facts["data_versions"]) == len(services.registry.history())

    def test_charts_of_performance_say_what_is_missing(self, world: World, empty: Services) -> None:
        assert overview.performance_charts(empty)["hint"] is not None
        kept = world.home / "storage" / "slice_scores" / "newest.json"
        kept.write_text('{"2013-01-01": ["of another release", {}]}', encoding="utf-8")
        slices = ask(world.services, "performance_charts")["slices"]
        assert slices["slices"] == [] and "another release" in slices["reason"]

    def test_the_map_of_drift_has_every_watched_column_and_its_report(
        self, services: Services, watched_once: tuple[World, list[Any]]
    ) -> None:
        found = ask(services, "drift_map")
        report: DriftReport = watched_once[1][-1][0]
        assert {entry["column"] for entry in found["columns"]} == {column.column for column in report.columns}
        ratios = {entry["column"]: entry["ratio"][-1] for entry in found["columns"]}
        for column in report.columns:
            if column.score is not None and column.limit:
                assert ratios[column.column] == pytest.approx(column.score / column.limit, abs=0.001)
        html = overview.file(services, found["reports"][-1])
        assert html.media_type.startswith("text/html")
        assert b"<html" in html.data[:2000].lower()

    def test_a_column_of_the_map_has_its_distributions(
        self, services: Services, watched_once: tuple[World, list[Any]]
    ) -> None:
        report: DriftReport = watched_once[1][-1][0]
        for column in (one for one in report.columns if one.score is not None):
            facts = overview.drift_column(services, day=str(DAYS[-1]), column=column.column)
            assert json.loads(json.dumps(facts, allow_nan=False)) == facts
            assert facts["message"] is None
            if column.role in ("structural", "environment"):
                assert facts["distribution"]["rows"]["current"] == report.current_rows

    def test_a_day_that_is_monitored_again_is_seen_at_once(self, world: World) -> None:
        services = world.services
        assert ask(services, "timeline")["days"][0]["state"] != "alarm"
        path = world.home / "storage" / "monitor" / f"day={DAYS[0]}" / "summary.json"
        path.write_text(day_summary.text({**day_summary.read(path.read_bytes()), "state": "alarm"}))
        assert ask(services, "timeline")["days"][0]["state"] == "alarm"

    @pytest.mark.parametrize("content", ["", "[]", "null", '{"columns": [1], "findings": [2], "reasons": 3}'])
    def test_a_broken_file_spoils_its_own_day_only(self, world: World, content: str) -> None:
        (world.home / "storage" / "monitor" / f"day={DAYS[0]}" / "summary.json").write_text(content)
        services = world.services
        first, second = ask(services, "timeline")["days"]
        assert "unreadable" in first
        assert second["state"] in ("calm", "watching", "alarm", "unknown")
        assert "unreadable" not in second
        assert ask(services, "now")["monitor"]["day"] == str(DAYS[-1])
        assert ask(services, "drift_map")["columns"]

    def test_a_day_without_a_decision_is_unknown_and_says_what_to_do(self, world: World) -> None:
        folder = world.home / "storage" / "monitor" / f"day={DAYS[0]}"
        for name in ("summary.json", "decision.json"):
            (folder / name).unlink()
        first = ask(world.services, "timeline")["days"][0]
        assert first["state"] == "unknown"
        assert "Monitor" in first["message"]

    def test_while_make_up_is_at_work_its_newest_whole_day_counts_and_none_is_late(self, world: World) -> None:
        folder = world.home / "storage" / "monitor" / f"day={DAYS[-1]}"
        for name in ("summary.json", "decision.json"):
            (folder / name).unlink()
        assert ask(world.services, "now")["state"] == "unknown"
        assert world.services.environment.starting is not None
        world.services.environment.starting.write_text(str(os.getpid()), encoding="utf-8")
        MEMORY.forget()
        now = json.loads(json.dumps(overview.now(world.services, today=DAYS[-1] + timedelta(days=9))))
        assert (now["starting"], now["monitor"]["day"], now["data"]["status"]) == (True, str(DAYS[0]), "due")
        assert now["state"] != "unknown"
        assert [day["day"] for day in ask(world.services, "timeline")["days"]] == [str(DAYS[0])]
        assert ask(world.services, "drift_map")["days"] == [str(DAYS[0])]

    def test_what_a_replay_has_lived_through_says_so_wherever_it_is_shown(self, world: World) -> None:
        services, first = world.services, DAYS[0]
        assert ask(services, "now")["champion"]["replayed"] is False
        assert not any(decision["replayed"] for decision in ask(services, "decisions")["decisions"])
        log = ReplayLog(services.storage_folder(layout.ingest.REPLAYED))
        since, until = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
        log.finish(ReplayedDay(day=first, began_at=since, ended_at=until))
        MEMORY.forget()
        assert ask(services, "drift_map")["replayed"] == [str(first)]
        for part in ("timeline", "data"):
            days = ask(services, part)["days"]
            assert [day["day"] for day in days if day.get("replayed")] == [str(first)], part
        assert all(mark["replayed"] for mark in ask(services, "timeline")["marks"] if mark["decision_id"])
        decisions = ask(services, "decisions")["decisions"]
        assert decisions and all(decision["replayed"] for decision in decisions)
        assert overview.decision(services, decisions[0]["decision_id"])["replayed"] is True
        assert ask(services, "now")["champion"]["replayed"] is True
        of_version = overview.model(services, decisions[0]["version"])["decisions"]
        assert of_version and all(decision["replayed"] for decision in of_version)


class TestDecisions:
    def test_decisions_are_listed_newest_first_and_opened_rule_by_rule(self, services: Services) -> None:
        found = ask(services, "decisions")["decisions"]
        promotions = [entry for entry in found if entry["kind"] == "promotion"]
        assert [entry["version"] for entry in promotions] == [2, 1]
        assert promotions[0]["rules"]["failed"] == 0
        opened = overview.decision(services, promotions[0]["decision_id"])
        assert {ruling["rule"] for ruling in opened["rulings"]} >= set(services.settings.gate.rules)
        assert opened["run_id"]

    def test_a_decision_that_is_not_there_is_missing(self, services: Services) -> None:
        with pytest.raises(MissingArtifact, match="no decision"):
            overview.decision(services, "../1")

    def test_pages_and_kinds_give_the_whole_list(self, services: Services) -> None:
        whole = ask(services, "decisions")["decisions"]
        pages, before = [], None
        for _ in whole:
            page = overview.decisions(services, count=1, before=before)
            pages += page["decisions"]
            before = page["next"]
        assert (pages, before) == (whole, None)
        promotions = overview.decisions(services, kind="promotion")
        assert promotions["decisions"] == [entry for entry in whole if entry["kind"] == "promotion"]
        assert overview.decisions(services, kind="rollback")["hint"] == "There is no decision of this kind."

    def test_no_part_reads_the_whole_log(self, services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
        read = Tracking.decisions

        def some(self: Tracking, *, kinds: tuple[str, ...] = (), fingerprint: str | None = None) -> Any:
            assert kinds or fingerprint, "reads all decisions"
            return read(self, kinds=kinds, fingerprint=fingerprint)

        newest = ask(services, "decisions")["decisions"][0]["decision_id"]
        everything = overview.timeline(services)["marks"]
        monkeypatch.setattr(Tracking, "decisions", some)
        MEMORY.forget()
        for part in set(PAGE) - {"timeline"}:
            assert ask(services, part).get("problems", []) == []
        assert overview.timeline(services, days=90)["marks"] == everything
        assert overview.decision(services, newest)["decision_id"] == newest
        assert overview.model(services, 2)["decisions"]
        assert overview.compare(services, 2, 1)["paired"]
        assert history.run(services=services)["champion"]["version"] == champion.run(services=services)["version"] == 2


class TestModels:
    def test_pages_give_the_whole_list_and_the_first_one_those_with_an_alias(self, services: Services) -> None:
        whole = ask(services, "models")["versions"]
        first = overview.models(services, count=1)
        assert ([one["version"] for one in first["versions"]], first["next"]) == ([2, 1], 2)
        assert first["versions"] == whole
        second = overview.models(services, count=1, before=first["next"])
        assert (second["versions"], second["next"]) == (whole[1:], None)

    def test_versions_have_their_window_outcome_and_metrics(self, services: Services) -> None:
        second, first = ask(services, "models")["versions"]
        assert (second["outcome"], first["outcome"]) == ("champion", "replaced")
        assert ("champion" in second["aliases"], "previous_champion" in first["aliases"]) == (True, True)
        assert second["metrics"]["log_loss"] < first["metrics"]["log_loss"]
        assert second["window"]["last_day"] == str(LAST_DAY - timedelta(days=1))

    def test_a_version_shows_its_card_lineage_slices_and_what_it_leans_on(self, services: Services) -> None:
        found = overview.model(services, 2)
        assert found["problems"] == []
        assert {fact["what"] for fact in found["lineage"]} >= {"data version", "estimator", "code version"}
        assert [rule["rule"] for rule in found["slices"]] == ["slices"]
        assert found["importance"]["features"]
        assert found["figures"][0]["base_rate"] > found["figures"][0]["value"]
        assert found["card"] in [file["file"] for file in found["files"]]
        assert overview.file(services, found["card"]).data.lower().startswith(b"<!doctype html")

    def test_what_an_older_version_did_not_keep_is_named(self, services: Services) -> None:
        found = overview.model(services, 1)
        assert found["importance"] is None
        assert [problem["part"] for problem in found["problems"]] == ["card/importance.json"]
        assert found["card"] is None
        with pytest.raises(MissingArtifact):
            overview.file(services, "version=1/card/model_card.html")

    @pytest.mark.parametrize("pair", [(1, 2), (2, 1)])
    def test_two_versions_stand_side_by_side_with_the_gate_in_which_they_met(
        self, services: Services, pair: tuple[int, int]
    ) -> None:
        found = overview.compare(services, *pair)
        assert found["paired"]["gain"] > 0
        assert (found["paired"]["champion"], found["paired"]["challenger"]) == (1, 2)
        best = {row["name"]: row["best"] for row in found["metrics"]}
        assert best["log_loss"] == ("b" if pair == (1, 2) else "a")
        assert found["same_holdout"] is True
        differing = {fact["what"] for fact in found["facts"] if not fact["same"]}
        assert "estimator" in differing

    def test_the_charts_of_a_version_have_the_figures_of_the_gate_that_judged_it(self, services: Services) -> None:
        facts = overview.version_charts(services, 2)
        assert (facts["champion"], facts["judged_version"], facts["message"]) == (1, 2, None)
        gate = overview.compare(services, 1, 2)["paired"]
        paired = facts["charts"]["paired"]
        assert (paired["gain"], paired["low"], paired["high"]) == (gate["gain"], gate["low"], gate["high"])
        measured = overview.model(services, 2)["metrics"]
        ranking = facts["charts"]["sides"][0]["models"]["challenger"]["roc"]
        assert ranking["area"] == pytest.approx(measured["roc_auc"], abs=1e-5)
        assert facts["importance"]["challenger"]["features"]

    def test_a_version_that_has_no_charts_says_so(self, services: Services) -> None:
        facts = overview.version_charts(services, 1)
        assert facts["charts"] is None
        assert "no charts of version 1" in facts["message"]

    def test_charts_of_another_release_are_not_misread(self, world: World) -> None:
        world.services.tracking.keep_files(
            world.services.tracking.version_tags(2)["run_id"], charts_of_shape(world, 99), "card"
        )
        facts = overview.version_charts(world.services, 2)
        assert facts["charts"] is None
        assert "another release" in facts["message"]

    def test_a_version_that_is_not_there_is_missing(self, services: Services) -> None:
        with pytest.raises(MissingArtifact, match="no version 9"):
            overview.model(services, 9)


class TestData:
    def test_each_day_says_what_its_contract_said(self, services: Services) -> None:
        found = ask(services, "data")
        assert found["newest_day"] == str(DAYS[-1])
        assert found["awaited_labels"] == []
        days = {entry["day"]: entry for entry in found["days"]}
        seeded = days[str(LAST_DAY - timedelta(days=3))]["inputs"]
        assert seeded["rows"] == seeded["accepted"] + seeded["quarantined"]
        assert overview.file(services, seeded["report"]).media_type.startswith("text/html")
        brought = days[str(DAYS[0])]["inputs"]  # committed past every contract
        assert (brought["rows"], brought["report"]) == (None, None)
        assert days[str(DAYS[-1])]["labels"] is None
        assert found["versions"][0]["rev"] == services.registry.head()

    def test_what_was_set_aside_is_listed_with_its_reasons_and_whether_it_came_in_since(self, world: World) -> None:
        storage, day = world.services.storage, DAYS[-1] + timedelta(days=1)
        failures = [{"message": "12 rows, at least 480", "column": "<script>", "unexpected_rows": 0, "examples": ["1"]}]
        result = {"rows": 12, "accepted_rows": 0, "quarantined_rows": 12, "reason": "too few", "failures": failures}
        storage.put_bytes(f"validation/inputs/day={day}/result.json", json.dumps(result).encode())
        for each in (day, DAYS[0]):
            storage.put_bytes(f"quarantine/inputs/day={each}/partition.parquet", b"rows")
        storage.put_bytes(f"validation/inputs/day={LAST_DAY}/result.json", b"{")
        found = ask(world.services, "data")
        rejected, corrected = (next(e for e in found["quarantine"] if e["day"] == str(each)) for each in (day, DAYS[0]))
        assert (rejected["rejected"], rejected["corrected"], rejected["rows"]) == (True, False, 12)
        assert rejected["reasons"][0]["message"] == "12 rows, at least 480"
        assert rejected["report"] == f"quarantine/inputs/day={day}/report.html"
        assert corrected["corrected"] is True
        assert (found["days"][0]["day"], found["days"][0]["held"]) == (str(day), False)
        assert [entry["day"] for entry in found["unreadable"]] == [str(LAST_DAY)]
        late = overview.now(world.services, today=day)["data"]
        assert late["rejected_days"] == [str(day)]


class TestFiles:
    @pytest.mark.parametrize(
        "name",
        [
            "../params.yaml",
            "monitor/../../params.yaml",
            "/etc/passwd",
            "monitor//day=1/x.html",
            "monitor\\x.html",
            "claims/1.json",
            "runs/1/settings.json",
            "version=1/model/model.skops",
            "version=1/card/../../x.html",
            "version=99/card/model_card.html",
            "monitor/day=2013-06-15/x.sh",
            "monitor/day=2013-06-15",
            "outbox/letter.json",
            "",
        ],
    )
    def test_what_no_link_leads_to_is_not_given(self, services: Services, name: str) -> None:
        with pytest.raises(EvergreenError):
            overview.file(services, name)


class TestNothingYet:
    def test_every_part_says_what_to_do_next(self, empty: Services) -> None:
        found = {part: ask(empty, part) for part in PAGE}
        assert all(facts["hint"] for facts in found.values())
        assert found["now"]["hint"]["action"] == "ingest"
        assert found["now"]["state"] == "unknown"
        assert found["now"]["data"]["status"] == "none"
        assert found["now"]["problems"] == []

    def test_while_make_up_brings_it_nothing_is_to_be_done(self, empty: Services) -> None:
        assert empty.environment.starting is not None
        empty.environment.starting.write_text(str(os.getpid()), encoding="utf-8")
        for part in sorted({*PAGE} - {"served"}):
            assert "Evergreen is starting" in json.dumps(ask(empty, part)["hint"]), part

    def test_with_enough_days_the_next_move_is_to_train(self, seeded: World) -> None:
        found = ask(seeded.services, "now")
        assert found["hint"]["action"] == "retrain"
        assert found["champion"] is None


class TestContract:
    """The page's own tests run on a fixture of these facts: it has the keys that are really given."""

    @pytest.fixture
    def fixture(self) -> dict[str, Any]:
        path = PROJECT_ROOT / "tests" / "plugins" / "fixtures" / "overview.json"
        return dict(json.loads(path.read_text(encoding="utf-8")))

    @pytest.mark.parametrize("part", PAGE)
    def test_a_part_has_the_keys_of_the_fixture(self, services: Services, fixture: dict[str, Any], part: str) -> None:
        assert_same_keys(ask(services, part), fixture[part.removesuffix("_map")])

    def test_what_opens_has_the_keys_of_the_fixture(self, services: Services, fixture: dict[str, Any]) -> None:
        newest = ask(services, "decisions")["decisions"][0]["decision_id"]
        assert_same_keys(overview.decision(services, newest), fixture["decision"], free={"facts", "evidence"})
        assert_same_keys(overview.model(services, 2), fixture["model"])
        assert_same_keys(overview.compare(services, 1, 2), fixture["compare"])


FREE = frozenset({"evidence", "facts", "versions", "metrics", "values"})
"""Mappings whose keys are names of things."""


def assert_same_keys(real: Any, told: Any, *, at: str = "", free: frozenset[str] | set[str] = FREE) -> None:
    """Compare the keys of two structures as far as both go; of lists, the first entries."""
    if isinstance(real, dict) and isinstance(told, dict):
        if at.rpartition(".")[2] not in FREE | free:
            assert real.keys() == told.keys(), at
        for key in real.keys() & told.keys():
            assert_same_keys(real[key], told[key], at=f"{at}.{key}", free=free)
    elif isinstance(real, list) and isinstance(told, list) and real and told and not at.endswith((".marks", ".days")):
        assert_same_keys(real[0], told[0], at=at, free=free)


class TestInstallation:
    def test_two_models_are_listed_each_with_its_own_state(
        self, watched_once: tuple[World, list[Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world = watched_once[0]
        other = world.having(task={"name": "other"})
        (tmp_path / "models" / "other").mkdir(parents=True)
        (tmp_path / "models" / "other" / "params.yaml").write_text(yaml.safe_dump(other.params), encoding="utf-8")
        for name, value in {**world.environ, "EVERGREEN_MODELS": str(tmp_path / "models")}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(installation, "PATIENCE_SECONDS", 60.0)
        watched, unserved = overview.list_models(today=DAYS[-1])["models"]
        where = ask(world.services, "now")
        assert (watched["name"], watched["state"], watched["sentence"]) == (
            "flight-delay", where["state"], where["sentence"],
        )  # fmt: skip
        assert (watched["champion"]["version"], watched["champion"]["since"]) == (2, str(NEXT_DAY))
        assert watched["performance"]["expected"] == where["performance"]["figures"][0]["expected"]
        assert watched["data"]["predictions_day"] == watched["data"]["inputs_day"] == str(DAYS[-1])
        assert (unserved["name"], unserved["state"], unserved["champion"]) == ("other", "unknown", None)
        assert unserved["data"]["inputs_day"] is None


class TestMetrics:
    """The exporter's figures are those of the page."""

    def figures(self, services: Services) -> dict[tuple[str, ...], float]:
        at = datetime(DAYS[-1].year, DAYS[-1].month, DAYS[-1].day, 12, tzinfo=UTC)
        read = metrics.figures_of(services, at + timedelta(days=1))
        return {(sample.name, *sorted(set(sample.labels.values()) - {"flight-delay"})): sample.value for sample in read}

    def test_they_agree_with_what_monitoring_left(
        self, services: Services, watched_once: tuple[World, list[Any]]
    ) -> None:
        drift, performance, _ = watched_once[1][-1]
        figures = self.figures(services)
        assert figures["evergreen_model_readable",] == 1
        assert figures["evergreen_champion_version",] == 2
        assert figures["evergreen_newest_day_age_days", "inputs"] == 1
        assert figures["evergreen_newest_day_age_days", "predictions"] == 1
        measured = {c.column: c for c in drift.columns if c.score is not None}
        assert len(measured) > 5
        for column in measured.values():
            assert figures["evergreen_drift_distance", *sorted({column.column, column.role})] == column.score
        assert figures["evergreen_expected_metric", "log_loss"] == performance.expected["log_loss"]
        assert figures["evergreen_alerts_waiting", "email"] == 0

    def test_totals_agree_with_the_registry_the_decisions_and_the_contracts(self, services: Services) -> None:
        figures = self.figures(services)
        files = services.registry.days("inputs").values()
        assert figures["evergreen_registry_days", "inputs"] == len(files)
        assert figures["evergreen_registry_bytes", "inputs"] == sum(file.bytes for file in files) > 10_000
        decisions = services.tracking.decisions()
        for kind in ("promotion", "rejection", "hold", "rollback"):
            assert figures["evergreen_recent_decisions", kind] == sum(entry.kind == kind for entry in decisions)
        assert figures["evergreen_recent_decisions", "promotion"] >= 1
        newest, *_ = versions = services.tracking.versions()
        assert figures["evergreen_model_versions",] == figures["evergreen_recent_retrains",] == len(versions)
        assert figures["evergreen_fit_seconds",] == newest.metrics["fit_seconds"] > 0

    def test_the_share_in_quarantine_is_that_of_the_contracts_results(self, world: World) -> None:
        services, last = world.services, DAYS[-1]
        held_days = [day for day in services.registry.days("inputs") if (last - day).days < 14]
        name = f"{layout.ingest.validation('inputs', last)}/{layout.ingest.RESULT}"
        for day in held_days:
            path = f"{layout.ingest.validation('inputs', day)}/{layout.ingest.RESULT}"
            services.storage.put_bytes(path, json.dumps({"rows": 100, "quarantined_rows": 0}).encode())
        services.storage.put_bytes(name, json.dumps({"rows": 100, "quarantined_rows": 14}).encode())
        assert self.figures(services)["evergreen_quarantined_ratio", "inputs"] == 14 / (100 * len(held_days))

    def test_an_empty_home_stays_empty(self, tmp_path: Path) -> None:
        home = tmp_path / "home"
        services = Services(load(PROJECT_ROOT / "params.yaml"), Environment.load({"EVERGREEN_HOME": str(home)}))
        figures = self.figures(services)
        assert figures == {("evergreen_model_readable",): 1.0, ("evergreen_champion_version",): 0.0}
        assert not home.exists()

    def test_an_alert_that_waits_is_counted(self, world: World) -> None:
        for path in ("outbox/alerts/drift/a.json", "outbox/alerts/drift/b.json", "outbox/delivered/email/drift/a.json"):
            world.services.storage.put_bytes(path, b"{}")
        assert self.figures(world.services)["evergreen_alerts_waiting", "email"] == 1

    def test_what_cannot_be_read_is_no_zero(self, world: World) -> None:
        (Path(world.services.environment.registry) / "refs" / "heads" / "main").write_text("")
        figures = self.figures(world.services)
        assert figures["evergreen_model_readable",] == 0
        assert ("evergreen_alarm",) not in figures

    def test_a_scraper_reads_them_with_its_token_only(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in world.environ.items():
            monkeypatch.setenv(name, value)
        with metrics.server("127.0.0.1", 0, "a-token") as running:
            threading.Thread(target=running.serve_forever, daemon=True).start()
            url = f"http://127.0.0.1:{running.server_port}"
            bearer = {"Authorization": "Bearer a-token"}
            refused = requests.get(f"{url}/metrics", headers={"Authorization": "Bearer no"}, timeout=60)
            elsewhere = requests.get(f"{url}/", headers=bearer, timeout=60)
            alive = requests.get(f"{url}/live", timeout=60)
            answer = requests.get(f"{url}/metrics", headers=bearer, timeout=60)
            running.shutdown()
        assert (refused.status_code, elsewhere.status_code, answer.status_code) == (401, 404, 200)
        assert "evergreen" not in refused.text
        assert (alive.status_code, alive.text) == (200, "ok\n")
        families = {family.name: family for family in text_string_to_metric_families(answer.text)}
        (sample,) = families["evergreen_champion_version"].samples
        assert (sample.labels, sample.value) == ({"model": "flight-delay"}, 2.0)

    def test_another_address_needs_a_token(self) -> None:
        with pytest.raises(SettingsError, match="set EVERGREEN_METRICS_TOKEN"):
            metrics.server("0.0.0.0", 0, "")
