"""The door to MLflow, on a real SQLite store: runs, versions, aliases, decisions, and what goes wrong."""

from __future__ import annotations

import json
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from mlflow.models.utils import validate_schema
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from ml.adapters import models
from ml.adapters.tracking import Tracking
from ml.adapters.tracking.decision_tags import PREFIX, TAG_CHARACTERS
from ml.errors import EvergreenError, MissingArtifact, SettingsError, Unavailable

FINGERPRINT = "f" * 64
ROWS = pd.DataFrame({"a": np.arange(20.0), "b": np.arange(20.0)[::-1] ** 2})
TARGET = (ROWS["a"] > 9).astype("int64")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One database for all tests; each has a name, and so experiments, of its own."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'new' / 'mlflow.db'}"


@pytest.fixture(autouse=True)
def _leave_the_environment_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow writes its address into the environment: undo that after each test."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "unset")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")


@pytest.fixture
def tracking(store: str, request: pytest.FixtureRequest) -> Tracking:
    return Tracking(store, request.node.name[:60].replace("[", "-").replace("]", ""))


@pytest.fixture
def lineage(tmp_path: Path) -> Path:
    folder = tmp_path / "lineage"
    folder.mkdir()
    (folder / "lineage.json").write_text('{"settings": 1}')
    return folder


def fitted(estimator=None) -> Pipeline:
    return make_pipeline(StandardScaler(), estimator or LogisticRegression()).fit(ROWS, TARGET)


def log(
    tracking: Tracking,
    lineage: Path,
    *,
    pipeline: Pipeline | None = None,
    fingerprint: str = FINGERPRINT,
    rows: pd.DataFrame = ROWS,
) -> str:
    return tracking.log_fit(
        pipeline or fitted(),
        rows,
        fingerprint=fingerprint,
        params={"fit.args": "{}", "long": "x" * 9000, **{f"many.{number}": "1" for number in range(150)}},
        metrics={"train_rows": 20.0},
        tags={"data_version": "abc"},
        dataset=ROWS.assign(target=TARGET),
        dataset_source="registry.git@abc",
        files=lineage,
    )


def register(tracking: Tracking, run_id: str, lineage: Path, *, fingerprint: str = FINGERPRINT) -> int:
    return tracking.register(run_id, fingerprint=fingerprint, tags={"data_version": "abc"}, files=lineage)


def test_a_training_is_one_finished_run_with_all_that_explains_it(tracking: Tracking, lineage: Path) -> None:
    run_id = log(tracking, lineage)
    run = tracking.client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags[PREFIX + "fingerprint"] == FINGERPRINT
    assert run.data.params["fit.args"] == "{}"
    (dataset,) = run.inputs.dataset_inputs
    assert dataset.dataset.digest == FINGERPRINT[:36]
    assert "registry.git@abc" in dataset.dataset.source
    (logged,) = run.outputs.model_outputs
    model = tracking.client.get_logged_model(logged.model_id)
    folder = Path(model.artifact_location.removeprefix("file://"))
    model_file = (folder / "MLmodel").read_text()
    assert "signature:" in model_file and "model.skops" in model_file and "serialization_format: skops" in model_file
    assert (folder / "input_example.json").exists()
    assert not list(folder.rglob("*.pkl"))


def test_a_column_without_any_value_is_signed_as_text(tracking: Tracking, lineage: Path) -> None:
    rows = ROWS.assign(note=pd.Series([None] * len(ROWS), dtype=object))
    encoder = ColumnTransformer([("numbers", "passthrough", ["a", "b"])])
    pipeline = make_pipeline(encoder, LogisticRegression()).fit(rows, TARGET)
    run_id = log(tracking, lineage, pipeline=pipeline, rows=rows)
    with tracking.packaged(run_id) as folder:
        signature = Model.load(str(folder)).signature
    validate_schema(rows, signature.inputs)
    with pytest.raises(MlflowException, match="note"):
        validate_schema(rows.assign(note=1.5), signature.inputs)


def test_what_was_measured_is_added_to_the_run(tracking: Tracking, lineage: Path) -> None:
    run_id = log(tracking, lineage)
    tracking.log_results(run_id, {"log_loss": 0.5}, lineage)
    assert tracking.run_metrics(run_id) == {"train_rows": 20.0, "log_loss": 0.5}


def test_a_version_gives_back_the_model_its_tags_and_its_files(tracking: Tracking, lineage: Path) -> None:
    pipeline = fitted()
    run_id = log(tracking, lineage, pipeline=pipeline)
    version = register(tracking, run_id, lineage)
    assert tracking.alias("challenger") == version
    loaded = tracking.load_model(version)
    assert (loaded.predict_proba(ROWS) == pipeline.predict_proba(ROWS)).all()
    expected = {"fingerprint": FINGERPRINT, "data_version": "abc", "run_id": run_id}
    assert tracking.version_tags(version) == expected
    assert tracking.read_file(version, "lineage/lineage.json", lambda path: json.loads(path.read_text())) == {
        "settings": 1
    }
    assert tracking.read_file(version, "monitoring", lambda path: sorted(p.name for p in path.iterdir())) == [
        "lineage.json"
    ]


def test_a_regression_is_kept_as_one(tracking: Tracking, lineage: Path) -> None:
    pipeline = fitted(LinearRegression())
    version = register(tracking, log(tracking, lineage, pipeline=pipeline), lineage)
    assert (tracking.load_model(version).predict(ROWS) == pipeline.predict(ROWS)).all()


def test_the_same_run_is_registered_once_and_another_run_of_its_fingerprint_again(
    tracking: Tracking, lineage: Path
) -> None:
    first = log(tracking, lineage)
    assert [register(tracking, first, lineage) for _ in range(2)] == [1, 1]
    tracking.drop_alias("challenger")
    forced = log(tracking, lineage)
    assert forced != first
    assert register(tracking, forced, lineage) == 2
    assert register(tracking, first, lineage) == 1


def test_a_training_that_was_killed_does_not_look_alive_when_it_is_done_again(
    tracking: Tracking, lineage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Tracking, "_log_model", killed)
        log(tracking, lineage)
    other = log(tracking, lineage, fingerprint="e" * 64)
    done = log(tracking, lineage)
    runs = tracking._runs(tracking.client, tracking.name, {"fingerprint": FINGERPRINT})
    assert sorted(run.info.status for run in runs) == ["FINISHED", "KILLED"]
    assert tracking.client.get_run(done).info.status == "FINISHED"
    assert tracking.client.get_run(other).info.status == "FINISHED"


# -- aliases ---------------------------------------------------------------------------------------


def test_an_alias_of_a_model_that_does_not_exist_is_none(tracking: Tracking) -> None:
    assert tracking.alias("champion") is None
    tracking.drop_alias("champion")


def test_an_alias_moves_and_is_removed(tracking: Tracking, lineage: Path) -> None:
    version = register(tracking, log(tracking, lineage), lineage)
    assert tracking.alias("champion") is None
    for _ in range(2):
        tracking.move_alias("champion", version)
    assert tracking.alias("champion") == version
    for _ in range(2):
        tracking.drop_alias("champion")
    assert tracking.alias("champion") is None


def test_what_is_not_there_is_a_missing_artifact(tracking: Tracking, lineage: Path) -> None:
    version = register(tracking, log(tracking, lineage), lineage)
    missing = [
        lambda: tracking.version_tags(99),
        lambda: tracking.load_model(99),
        lambda: tracking.run_metrics("0" * 32),
        lambda: tracking.move_alias("champion", 99),
        lambda: tracking.read_file(99, "lineage/lineage.json", Path.read_text),
    ]
    for look in missing:
        with pytest.raises(MissingArtifact, match="MLflow has no such thing"):
            look()
    with pytest.raises(EvergreenError):
        tracking.read_file(version, "lineage/nothing.json", Path.read_text)


def test_a_model_file_that_holds_untrusted_types_is_not_loaded(
    tracking: Tracking, lineage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the registry says is trusted does not count: only the list in code does."""
    version = register(tracking, log(tracking, lineage, pipeline=fitted()), lineage)
    source = tracking.client.get_model_version_download_uri(tracking.name, str(version))
    import skops.io as sio

    evil = make_pipeline(RandomForestClassifier(n_estimators=2)).fit(ROWS, TARGET)
    model = tracking.client.get_logged_model(source.rsplit("/", 1)[-1]) if source.startswith("models:") else None
    folder = Path((model.artifact_location if model else source).removeprefix("file://"))
    sio.dump(evil, folder / "model.skops")
    monkeypatch.setattr(models, "TRUSTED_TYPES", [])
    with pytest.raises(SettingsError, match=r"types that are not trusted: .*name them under fit.trusted_types"):
        tracking.load_model(version)


# -- decisions -------------------------------------------------------------------------------------


def decide(tracking: Tracking, kind: str, key: str, **payload: object):
    return tracking.open_decision(
        kind, key, fingerprint=FINGERPRINT, effective_day=date(2013, 6, 1), payload={"reasons": ["because"], **payload}
    )


def test_a_decision_counts_once_it_is_closed_and_is_written_once(tracking: Tracking) -> None:
    assert tracking.decisions() == []
    opened = decide(tracking, "hold", "hold version 2")
    assert tracking.decisions() == []
    assert decide(tracking, "hold", "hold version 2", other="facts") == opened
    for _ in range(2):
        tracking.close_decision(opened)
    (closed,) = tracking.decisions()
    assert (opened.finished, closed) == (False, opened.model_copy(update={"finished": True}))
    assert tracking.decision(opened.decision_id) == closed
    assert opened.payload == {"reasons": ["because"]}
    assert opened.effective_day == date(2013, 6, 1)


def test_what_callers_at_once_wrote_under_one_key_counts_once(tracking: Tracking) -> None:
    opened = decide(tracking, "hold", "hold version 2")
    found = tracking.client.get_run(opened.decision_id)
    for _ in range(2):
        tracking.client.create_run(found.info.experiment_id, tags=found.data.tags)
    tracking.close_decision(opened)
    assert [entry.decision_id for entry in tracking.decisions()] == [opened.decision_id]
    tracking.drop_other_decisions(opened)
    assert len(tracking._runs(tracking.client, f"{tracking.name}-decisions", {})) == 1


def test_a_decision_never_comes_before_the_one_that_it_follows(tracking: Tracking) -> None:
    """The clock of the machine that decided first may be fast."""
    ahead = datetime.now(UTC) + timedelta(hours=1)
    opened = tracking.open_decision(
        "promotion", "second", fingerprint=None, effective_day=None, payload={}, not_before=ahead
    )
    assert opened.decided_at > ahead - timedelta(milliseconds=1)


def test_a_rollback_half_done_counts_from_the_moment_its_alias_has_moved(tracking: Tracking, lineage: Path) -> None:
    for fingerprint in (FINGERPRINT, "e" * 64):
        version = register(tracking, log(tracking, lineage, fingerprint=fingerprint), lineage, fingerprint=fingerprint)
        before = version - 1 or None
        tracking.close_decision(
            decide(tracking, "promotion", f"promote {version}", version=version, previous_version=before)
        )
        tracking.move_alias("champion", version)
        time.sleep(0.002)
    decide(tracking, "rollback", "back", version=1, previous_version=2)
    assert [entry.kind for entry in tracking.decisions()] == ["promotion", "promotion"]
    tracking.move_alias("champion", 1)
    assert [(entry.kind, entry.finished) for entry in tracking.decisions()] == [
        ("promotion", True),
        ("promotion", True),
        ("rollback", False),
    ]


def test_a_tag_of_a_version_is_set_and_removed(tracking: Tracking, lineage: Path) -> None:
    version = register(tracking, log(tracking, lineage), lineage)
    for value in ("bad", "worse", None, None):
        tracking.tag_version(version, "rolled_back", value)
        assert tracking.version_tags(version).get("rolled_back") == value


def test_two_books_of_decisions_are_never_taken_for_one_another(tracking: Tracking) -> None:
    time.sleep(0.002)
    assert tracking.book() == tracking.book() != Tracking(tracking.uri, f"{tracking.name}-2").book()


def test_decisions_are_found_by_kind_and_fingerprint_oldest_first(tracking: Tracking) -> None:
    for number, kind in enumerate(["hold", "retrain_request", "hold"]):
        tracking.close_decision(decide(tracking, kind, f"decision {number}"))
        time.sleep(0.002)
    assert [entry.kind for entry in tracking.decisions()] == ["hold", "retrain_request", "hold"]
    assert len(tracking.decisions(kinds=("hold",))) == 2
    assert len(tracking.decisions(fingerprint=FINGERPRINT)) == 3
    assert tracking.decisions(fingerprint="0" * 64) == []


def test_reading_some_kinds_gives_what_the_full_read_gives_of_them(tracking: Tracking, lineage: Path) -> None:
    """Of a history with doubles, the unfinished, the deleted and equal instants."""
    random, client = np.random.default_rng(1), tracking.client
    version = register(tracking, log(tracking, lineage), lineage)
    kinds = ["promotion", "rollback", "withdrawal", "hold", "rejection", "retrain_request"]
    start = datetime(2026, 1, 1, tzinfo=UTC)
    for number in range(40):
        kind = kinds[number % len(kinds)]
        facts = {"version": int(random.integers(1, 4)), "previous_version": int(random.integers(1, 4))}
        entry = tracking.open_decision(
            kind,
            f"{kind} {number}",
            fingerprint=f"{number % 5}" * 64,
            effective_day=date(2013, 6, 1),
            payload={**facts, "window_last_day": "2013-05-01"},
            decided_at=start + timedelta(seconds=int(random.integers(0, 12))),
        )
        if number % 7 == 0:
            run = client.get_run(entry.decision_id)
            client.create_run(run.info.experiment_id, start_time=run.info.start_time, tags=run.data.tags)
        if number % 3:
            client.set_terminated(entry.decision_id, "FINISHED")
        if number % 10 == 9:
            client.delete_run(entry.decision_id)
    for alias in (None, version):
        if alias is not None:
            tracking.move_alias("champion", alias)
        whole = tracking.decisions()
        assert {entry.finished for entry in whole} == {True, False}
        for some in (
            ("promotion", "rollback", "withdrawal"),
            ("rollback",),
            ("hold", "rejection"),
            ("hold", "rollback"),
        ):
            assert tracking.decisions(kinds=some) == [entry for entry in whole if entry.kind in some]


def test_a_payload_longer_than_a_tag_comes_back_whole(tracking: Tracking) -> None:
    reasons = [f"drift of column {number} ä" for number in range(2000)]
    tracking.close_decision(decide(tracking, "retrain_request", "a long one", reasons=reasons))
    (entry,) = tracking.decisions()
    assert entry.payload["reasons"] == reasons
    run = tracking.client.get_run(entry.decision_id)
    assert max(len(value) for value in run.data.tags.values()) <= TAG_CHARACTERS


def test_a_decision_that_somebody_else_wrote_by_hand_is_reported_and_breaks_nothing(
    tracking: Tracking, caplog: pytest.LogCaptureFixture
) -> None:
    tracking.close_decision(decide(tracking, "hold", "ours"))
    experiment = tracking.client.get_experiment_by_name(f"{tracking.name}-decisions")
    for payload in ("{", "[1]"):
        run = tracking.client.create_run(experiment.experiment_id, tags={PREFIX + "payload": payload})
        tracking.client.set_terminated(run.info.run_id, "FINISHED")
    assert [entry.payload for entry in tracking.decisions() if entry.kind == "unknown"] == [{}, {}]
    assert "it counts for nothing" in caplog.text


# -- a server that is not there --------------------------------------------------------------------


def test_a_server_that_is_down_is_unavailable_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    dead = Tracking("http://127.0.0.1:1", "orders")
    started = time.monotonic()
    with pytest.raises(Unavailable, match="is MLflow up"):
        dead.alias("champion")
    assert time.monotonic() - started < 20
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    for call in (dead.decisions, lambda: dead.version_tags(1), lambda: dead.move_alias("champion", 1)):
        with pytest.raises(Unavailable, match="MLflow did not answer"):
            call()
