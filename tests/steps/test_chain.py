"""The whole loop on real days, step by step, and each step twice."""

from __future__ import annotations

import hashlib
import json
import shutil
from datetime import date, timedelta
from pathlib import Path

import pandas as pd
import pytest

from ml.core.training.features import matrix
from ml.errors import DataRejected, MissingArtifact, SettingsError
from ml.records import Evaluation, RetrainRequest
from ml.settings import parse
from ml.steps.ingest import commit, land, screen
from ml.steps.monitor import decide, measure_drift, measure_performance
from ml.steps.retrain import (
    check,
    compared_models,
    evaluate,
    fit,
    gate,
    pipelines,
    promote,
    pull,
    register,
    split,
    validate,
)
from ml.steps.score import plan, predict, publish, resolve
from tests.steps.conftest import BAD_MODEL, FIRST_DAY, LAST_DAY, MUCH_LATER, NEXT_DAY, REQUEST, World

LAST_LABELLED_DAY = LAST_DAY - timedelta(days=1)


def twice(world: World, step, *records, **options):
    """Run a step, run it again, and make sure that nobody can tell."""
    first = world.run(step, *records, **options)
    state = state_of(world)
    again = world.run(step, *records, **options)
    assert again == first
    assert state_of(world) == state
    return first


def state_of(world: World) -> dict[str, object]:
    """What the outside sees: data version, aliases, decisions, served bytes, every name in storage."""
    services = world.services
    storage = world.home / "storage"
    served = sorted((storage / "predictions").rglob("*.parquet")) if storage.exists() else []
    return {
        "data": services.registry.head(),
        "aliases": {name: services.tracking.alias(name) for name in ("champion", "challenger", "previous_champion")},
        "decisions": services.tracking.decisions(),
        "served": {str(path): path.read_bytes() for path in served},
        "names": sorted(str(path) for path in storage.rglob("*") if path.is_file()) if storage.exists() else [],
    }


def test_the_whole_loop_on_real_days_each_step_twice(whole_days: World) -> None:
    world = whole_days
    assert world.run_champion()["version"] is None

    window = twice(world, pull, REQUEST)
    assert (window.first_day, window.last_day) == (FIRST_DAY, LAST_LABELLED_DAY)
    assert (window.days, window.seen_before) == (44, False)
    assert window.data_version == world.services.registry.head()

    report = twice(world, validate, window)
    assert report.rows == window.rows
    parts = twice(world, split, window)
    assert parts.train_last_day + timedelta(days=1) == parts.holdout_first_day
    assert (parts.holdout_last_day - parts.holdout_first_day).days + 1 == world.settings.split.holdout_days
    assert parts.train_rows + parts.holdout_rows == window.rows

    candidate = twice(world, fit, window)
    evaluation = twice(world, evaluate, window, meet_champion=True)
    assert evaluation.run_id == candidate.run_id
    assert evaluation.holdout_rows == parts.holdout_rows
    assert evaluation.champion is None and evaluation.champion_version is None
    assert evaluation.challenger["log_loss"] < evaluation.base_rate["log_loss"]

    challenger = twice(world, register, window, evaluation)
    assert challenger.version == 1
    assert world.services.tracking.alias("challenger") == 1
    packaged = world.run(check, window, challenger=challenger)
    assert (packaged.identical, packaged.refuses_bad_input, packaged.problem) == (True, True, None)
    assert packaged.rows == 1000
    judgement = twice(world, gate, window, challenger=challenger)
    assert judgement.verdict.decision == "promote"
    assert {ruling.rule for ruling in judgement.verdict.rulings} == {
        "discrimination", "base rate", "champion", "slices", "calibration", "leakage", "package", "holdout size",
    }  # fmt: skip
    assert all(ruling.passed for ruling in judgement.verdict.rulings)
    promotion = twice(world, promote, window, judgement)
    assert (promotion.promoted, promotion.version, promotion.previous_version) == (True, 1, None)
    (decision,) = world.services.tracking.decisions()
    assert (decision.kind, decision.effective_day) == ("promotion", NEXT_DAY)
    assert decision.payload["judged_on"] == LAST_DAY.isoformat()
    assert world.services.tracking.alias("challenger") is None

    landing = twice(world, land, NEXT_DAY, now=MUCH_LATER)
    assert (landing.input_days, landing.label_days, landing.missing_label_days) == ((NEXT_DAY,), (LAST_DAY,), ())
    screening = twice(world, screen, landing)
    assert [(r.asset, r.day, r.quarantined_rows) for r in screening.results] == [
        ("inputs", NEXT_DAY, 0),
        ("labels", LAST_DAY, 0),
    ]
    ingested = world.run(commit, screening)
    assert ingested.changed and ingested.rows == len(world.held("inputs", NEXT_DAY))
    again = world.run(commit, screening)
    assert again == ingested.model_copy(update={"changed": False})

    champion = twice(world, resolve, NEXT_DAY)
    assert (champion.version, champion.data_version) == (1, ingested.data_version)
    shards = twice(world, plan, champion)
    (scoring,) = [twice(world, predict, shard) for shard in shards.shards]
    assert scoring.rows == ingested.rows
    published = twice(world, publish, shards, [scoring])
    assert published.published and published.sha256 == scoring.sha256
    assert 0.1 < published.mean_prediction < 0.4

    drift = twice(world, measure_drift, champion)
    assert (drift.status, drift.champion_version) == ("calm", 1)
    assert drift.current_first_day == NEXT_DAY - timedelta(days=6)
    nothing_yet = twice(world, measure_performance, champion)
    decision = twice(world, decide, champion, drift, nothing_yet)
    assert (decision.action, decision.alarm, decision.request) == ("nothing", False, None)
    assert nothing_yet.rows == 0 and f"no predictions were served for {LAST_DAY}" in nothing_yet.reason

    world.ingest(NEXT_DAY + timedelta(days=1))
    tomorrow = world.run(resolve, NEXT_DAY + timedelta(days=1))
    performance = twice(world, measure_performance, tomorrow)
    assert performance.labelled_day == NEXT_DAY
    assert 0 < performance.rows <= scoring.rows
    assert {"log_loss", "roc_auc", "brier"} <= set(performance.metrics)

    serving = world.run_champion()
    assert serving["version"] == 1
    assert serving["metrics"]["log_loss"] == pytest.approx(evaluation.challenger["log_loss"])
    assert serving["window"] == [FIRST_DAY.isoformat(), LAST_LABELLED_DAY.isoformat()]


def test_the_same_training_is_never_done_twice_unless_forced(trained: World) -> None:
    judged = trained.run(pull, REQUEST)
    assert judged.seen_before
    (decision,) = trained.services.tracking.decisions(fingerprint=judged.fingerprint)
    assert decision.kind == "promotion"
    before = (trained.home / "storage").joinpath("runs", judged.fingerprint, "settings.json").read_bytes()
    assert trained.having(gate={"confidence": 0.9}).run(pull, REQUEST).seen_before
    assert (trained.home / "storage").joinpath("runs", judged.fingerprint, "settings.json").read_bytes() == before

    forced = [RetrainRequest(requested_by="a person", reasons=("why not",), force=True, request_id=i) for i in "ab"]
    windows = [trained.run(pull, request) for request in forced]
    assert {window.fingerprint for window in windows} == {judged.fingerprint}
    assert len({judged.workspace, *(window.workspace for window in windows)}) == 3
    assert trained.run(pull, forced[0]) == windows[0]

    promotion = trained.retrain(forced[0])
    assert not promotion.promoted and promotion.version == 2
    assert "gain over the champion +0.0000" in promotion.reason
    assert trained.services.tracking.alias("champion") == 1


def test_other_parameters_other_data_and_another_window_are_another_training(seeded: World) -> None:
    first = seeded.run(pull, REQUEST).fingerprint
    others = [
        seeded.having(fit={"args": {"C": 0.002, "max_iter": 500}}).run(pull, REQUEST),
        seeded.having(fit={"seed": 1}).run(pull, REQUEST),
        seeded.having(split={"holdout_days": 9}).run(pull, REQUEST),
        seeded.run(pull, REQUEST.model_copy(update={"days": 40})),
        seeded.run(pull, REQUEST.model_copy(update={"last_day": date(2013, 6, 10)})),
    ]
    labels = seeded.held("labels", LAST_LABELLED_DAY)
    seeded.put({("labels", LAST_LABELLED_DAY): labels.assign(late=1 - labels["late"])})
    others.append(seeded.run(pull, REQUEST))
    assert len({first, *(window.fingerprint for window in others)}) == 7


def test_asking_for_the_same_days_in_other_words_is_the_same_training(seeded: World) -> None:
    growing = seeded.run(pull, REQUEST)
    counted = seeded.run(pull, REQUEST.model_copy(update={"days": 44}))
    gated = seeded.having(gate={"confidence": 0.9}, notify={"to": ["a@example.com"]}).run(pull, REQUEST)
    assert growing.fingerprint == counted.fingerprint == gated.fingerprint


def test_a_training_that_was_never_judged_takes_the_settings_of_whoever_asks_next(seeded: World) -> None:
    first = seeded.run(pull, REQUEST)
    other = REQUEST.model_copy(update={"requested_by": "somebody else"})
    window = seeded.having(gate={"confidence": 0.9}).run(pull, other)
    assert window == first
    place = seeded.services.workspace(window.workspace)
    assert place.read_json("settings.json")["gate"]["confidence"] == 0.9
    assert place.read_json("request.json")["requested_by"] == "somebody else"


def test_a_pull_that_was_killed_half_way_is_completed(seeded: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from ml.adapters.workspace import Workspace

    real, window = Workspace.write_json, seeded.run(pull, REQUEST)
    clean = {path.name: path.read_bytes() for path in folder(seeded, window.workspace) if path.is_file()}
    for stop in ("version.json", "data/window.json", "settings.json", "request.json"):
        shutil.rmtree(window.workspace)

        def killed(self: Workspace, name: str, facts: object, stop: str = stop) -> str:
            if name == stop:
                raise KeyboardInterrupt
            return real(self, name, facts)

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(Workspace, "write_json", killed)
            seeded.run(pull, REQUEST)
        assert seeded.run(pull, REQUEST) == window
        assert {path.name: path.read_bytes() for path in folder(seeded, window.workspace) if path.is_file()} == clean


def folder(world: World, uri: str):
    return sorted(Path(uri).rglob("*"))


def test_a_challenger_on_more_data_meets_the_champion_on_the_same_rows_and_a_hold_is_one_decision(
    trained: World,
) -> None:
    strict = {**trained.params["gate"]["rules"], "champion": {"kind": "champion", "min_gain": 0.001}}
    trained = trained.having(gate={"rules": strict})
    trained.ingest(NEXT_DAY)
    window, judgement = trained.judge()
    assert window.last_day == LAST_DAY and not window.seen_before
    place = trained.services.workspace(window.workspace)
    evaluation = place.read_json("evaluation/evaluation.json")
    assert evaluation["champion_version"] == judgement.champion_version == 1
    assert evaluation["champion"]["prevalence"] == evaluation["challenger"]["prevalence"]
    holdout = place.read_table("evaluation/holdout.parquet")
    assert not holdout["champion_had_seen"].any()
    assert holdout[["challenger", "champion", "base_rate"]].notna().all(axis=None)
    rules = {ruling.rule: ruling for ruling in judgement.verdict.rulings}
    assert rules["champion"].passed is False
    assert rules["champion"].comparison is not None
    assert {"gain", "low", "high", "days", "rows"} <= set(rules["champion"].comparison.model_dump())

    promotion = trained.run(promote, window, judgement)
    assert not promotion.promoted and promotion.decision_id == judgement.decision_id
    held = trained.services.tracking.decisions(kinds=("hold",))
    assert [entry.decision_id for entry in held] == [judgement.decision_id]
    assert held[0].payload["verdict"]["decision"] == "hold"
    assert held[0].payload["judged_on"] == NEXT_DAY.isoformat()
    assert (held[0].payload["requested_by"], held[0].payload["requested_because"]) == ("a test", ["to see"])
    assert trained.run(pull, REQUEST).seen_before
    assert trained.services.tracking.alias("champion") == 1


def test_the_champion_is_scored_with_its_own_features_and_its_own_history(trained: World) -> None:
    """A challenger without history features must not blind the champion it is compared with."""
    challenger = trained.having(
        features={"history": [], "numeric": ["distance"], "spline": []}, pull={"days": 21}, split={"holdout_days": 10}
    )
    window, _ = challenger.train()
    place = trained.services.workspace(window.workspace)
    scored = place.read_table("evaluation/holdout.parquet")
    own = trained.run(pull, REQUEST).workspace
    known = trained.services.workspace(own).read_table("evaluation/holdout.parquet")
    assert list(scored["day"].unique()) == list(known["day"].unique())
    assert scored["champion"].to_numpy() == pytest.approx(known["challenger"].to_numpy(), abs=1e-12)


def test_days_that_the_champion_was_trained_on_are_judged_by_its_recipe_fitted_up_to_them(trained: World) -> None:
    """A window that ends earlier puts the champion's own training days into the holdout: it would flatter itself."""
    window, judgement = trained.judge(REQUEST.model_copy(update={"last_day": date(2013, 6, 2)}))
    holdout = trained.services.workspace(window.workspace).read_table("evaluation/holdout.parquet")
    assert not holdout["champion_had_seen"].any()
    assert judgement.verdict.decision == "hold"
    (rule,) = [ruling for ruling in judgement.verdict.rulings if ruling.rule == "champion"]
    assert rule.passed is False and "the champion's recipe (fitted again up to the holdout" in rule.reason
    assert rule.comparison is not None and rule.comparison.gain == 0  # the same recipe on the same days is a tie


def test_a_champion_that_cannot_score_the_holdout_is_missing_evidence_and_holds(
    trained: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise DataRejected("columns dest are declared under features but are not in inputs")

    monkeypatch.setattr(compared_models.Contest, "_scores", refuse)
    trained.ingest(NEXT_DAY)
    _, judgement = trained.judge()
    assert judgement.verdict.decision == "hold"
    (rule,) = [ruling for ruling in judgement.verdict.rulings if ruling.rule == "champion"]
    assert rule.passed is None and "could not be compared" in rule.reason
    assert trained.services.tracking.alias("champion") == 1


def test_a_truly_better_challenger_takes_over_and_the_old_champion_is_remembered(contest) -> None:
    world = contest.world
    rules = {ruling.rule: ruling for ruling in contest.judgement.verdict.rulings}
    assert contest.judgement.verdict.decision == "promote"
    assert rules["champion"].comparison.low > 0
    promotion = twice(world, promote, contest.window, contest.judgement)
    assert (promotion.version, promotion.previous_version) == (2, 1)
    tracking = world.services.tracking
    aliases = {name: tracking.alias(name) for name in ("champion", "previous_champion", "challenger")}
    assert aliases == {"champion": 2, "previous_champion": 1, "challenger": None}
    assert [entry.payload["version"] for entry in tracking.decisions()] == [1, 2]


def test_a_gate_without_any_rule_holds(seeded: World) -> None:
    lax = seeded.having(gate={"rules": {}})
    promotion = lax.retrain()
    assert not promotion.promoted and "no rule is declared" in promotion.reason
    assert seeded.services.tracking.alias("champion") is None


def test_a_bad_first_model_does_not_serve_just_because_nothing_else_does(seeded: World) -> None:
    promotion = seeded.having(fit=BAD_MODEL["fit"]).retrain()
    assert not promotion.promoted and "for the base rate" in promotion.reason
    assert seeded.services.tracking.alias("champion") is None
    assert seeded.run(resolve, LAST_DAY).version is None


def test_a_fit_that_is_run_again_in_the_same_workspace_is_the_same_run(seeded: World) -> None:
    window = seeded.run(pull, REQUEST)
    for step in (validate, split):
        seeded.run(step, window)
    first = seeded.run(fit, window)
    assert seeded.run(fit, window).run_id == first.run_id


def test_register_names_a_drift_column_that_the_data_do_not_have(trained: World) -> None:
    world = trained.having(drift={"structural": ["carier"], "environment": []})
    window = world.run(pull, REQUEST)
    place = world.services.workspace(window.workspace)
    evaluation = Evaluation.model_validate(place.read_json("evaluation/evaluation.json"))
    with pytest.raises(SettingsError, match=r"carier.*under drift.*correct params.yaml"):
        world.run(register, window, evaluation)


def test_seeding_again_changes_nothing_and_a_longer_history_adds_only_what_is_missing(seeded: World) -> None:
    from ml.steps.ingest import seed

    services = seeded.services
    head = services.registry.head()
    again = seed.run(date(2013, 6, 10), LAST_DAY, settings=seeded.settings, services=services)
    assert (again["data_version"], again["rows"]) == (head, 0)
    longer = seed.run(date(2013, 6, 13), date(2013, 6, 16), settings=seeded.settings, services=services)
    assert longer["data_version"] != head and longer["days"] == 47
    assert max(services.registry.days("labels")) == date(2013, 6, 15)


def test_seeding_goes_on_past_a_day_that_the_source_does_not_have(
    seeded: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from ml.adapters.sources.demo import DemoSource
    from ml.steps.ingest import seed

    real = DemoSource.inputs

    def gap(self: DemoSource, day: date):
        if day == NEXT_DAY:
            raise MissingArtifact(f"nothing for {day}")
        return real(self, day)

    monkeypatch.setattr(DemoSource, "inputs", gap)
    landed = seed.run(NEXT_DAY, NEXT_DAY + timedelta(days=1), settings=seeded.settings, services=seeded.services)
    assert landed["rejected"] == [f"inputs of {NEXT_DAY}"]
    assert landed["days"] == 46
    assert f"inputs of {NEXT_DAY} left out: nothing for {NEXT_DAY}" in capsys.readouterr().err


def test_a_version_carries_all_that_explains_it_and_can_be_rebuilt(trained: World) -> None:
    from ml.adapters import code

    tracking = trained.services.tracking
    window = trained.run(pull, REQUEST)
    tags = tracking.version_tags(1)
    assert tags["fingerprint"] == window.fingerprint
    assert tags["data_version"] == window.data_version
    assert (tags["code_version"], tags["code_sha256"]) == (code.commit(), code.code_sha256())
    assert tags["lock_sha256"] == code.lock_sha256()
    assert (tags["window_first_day"], tags["window_last_day"]) == ("2013-05-01", "2013-06-13")
    assert tags["train_last_day"] == "2013-06-03"
    assert tags["requested_by"] == "a test"
    recipe = tracking.read_file(1, "lineage/lineage.json", lambda path: json.loads(path.read_text()))
    assert parse(recipe["settings"]).features == trained.settings.features
    manifest = trained.services.registry.days("inputs", window.data_version)
    assert recipe["window"]["files"]["inputs/day=2013-05-01"] == manifest[FIRST_DAY].md5
    assert (
        tags["data_md5s"] == hashlib.sha256(json.dumps(recipe["window"]["files"], sort_keys=True).encode()).hexdigest()
    )

    again = pipelines.fit_pipeline(
        trained.services.workspace(window.workspace).read_table("parts/train.parquet"), trained.settings
    )
    sample = trained.services.workspace(window.workspace).read_table("parts/holdout.parquet").head(50)
    known = tracking.load_model(1)
    features = matrix(sample, trained.settings.features)
    assert (again.predict_proba(features) == known.predict_proba(features)).all()


def test_the_same_training_in_another_home_has_the_same_name_and_the_same_bytes(seeded: World, tmp_path: Path) -> None:
    """Two homes, one data version: equal fingerprints, equal bytes to fit on."""
    other = seeded.copied_to(tmp_path / "other")
    windows = []
    for world in (seeded, other):
        windows.append(world.run(pull, REQUEST))
        for step in (split, fit):
            world.run(step, windows[-1])
    assert windows[0].fingerprint == windows[1].fingerprint
    files = [Path(window.workspace) / "parts" / "train.parquet" for window in windows]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_the_days_of_an_alarm_within_the_training_window_are_kept_from_the_limits(seeded: World) -> None:
    """What was measured and decided counts: nobody has been notified of any of these days."""
    from ml.adapters import layout
    from ml.core.monitoring import day_summary
    from ml.records import Decision, DriftReport, Finding
    from ml.steps.retrain import register

    first = date(2013, 3, 4)
    days = [first + timedelta(days=number) for number in range(3)]
    moved = Finding(kind="drift", severity="alarm", message="distance moved", column="distance")
    for day in days:
        decision = Decision(
            day=day, action="nothing", reasons=("drift",), alarm=day > first, state="alarm", champion_version=1,
            findings=(moved,),
        )  # fmt: skip
        drift = DriftReport(day=day, champion_version=1, status="drift", reason="distance moved")
        stored = seeded.services.storage_folder(layout.monitoring.day_dir(day))
        stored.write_text(layout.monitoring.SUMMARY, day_summary.text(day_summary.summarise(decision, drift, None)))
    damaged = seeded.services.storage_folder(layout.monitoring.day_dir(date(2013, 3, 10)))
    damaged.write_text(layout.monitoring.SUMMARY, "{")
    train = pd.DataFrame({"day": [str(date(2013, 2, 1) + timedelta(days=n)) for n in range(59)]})
    window = {first - timedelta(days=number) for number in range(1, 7)}
    assert register._days_in_alarm(train, seeded.settings, seeded.services) == {*window, *days}
    after = train[train["day"] >= "2013-03-20"]
    assert register._days_in_alarm(after, seeded.settings, seeded.services) == set()
