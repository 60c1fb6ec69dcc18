"""What is said of a run, and that it becomes the run's note in Airflow's own database."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from evergreen import notes

from ml import records

pytestmark = pytest.mark.filterwarnings("ignore")
DAY = date(2013, 4, 1)
GAIN = {"gain": -0.002, "low": -0.004, "high": 0.001, "resolution": 0.002, "days": 14}
LOST = {"rule": "mine", "kind": "champion", "passed": False, "evidence": {}, "comparison": GAIN, "reason": "too little"}
KEPT = {
    "evaluation/evaluation.json": {
        "challenger": {"log_loss": 0.497}, "champion": {"log_loss": 0.495}, "base_rate": {"log_loss": 0.52},
    },
    "verdict.json": {"decision": "hold", "reasons": ["too little"], "rulings": [LOST]},
}  # fmt: skip
COMPARED = "Gain over the champion in log loss: −0.0020 (95 % interval −0.0040 to +0.0010) on the same 14 days"
HELD = f"Held: {COMPARED}; not passed: mine"


def said(record: records.Record, kept: dict[str, Any] | None = None) -> str | None:
    left: dict[str, str] = {}
    place = SimpleNamespace(read_json=(kept or KEPT).__getitem__)
    settings = SimpleNamespace(gate=SimpleNamespace(metric="log_loss", confidence=0.95))
    services = SimpleNamespace(settings=settings, workspace=lambda uri: place)
    notes.leave(SimpleNamespace(xcom_push=left.__setitem__), record, services, "runs/abc")
    return left.get(notes.NOTE)


def promotion(**changed: Any) -> records.Promotion:
    facts = {"promoted": False, "version": 3, "previous_version": 2, "decision_id": "d", "reason": "too little"}
    return records.Promotion(**facts | changed)


def test_a_hold_is_told_in_numbers() -> None:
    assert said(promotion()) == HELD


def test_a_promotion_says_instead_of_whom() -> None:
    won = KEPT | {"verdict.json": {"rulings": [LOST | {"passed": True}]}}
    assert said(promotion(promoted=True), won) == (f"Promoted version 3 instead of version 2: {COMPARED}")


def test_a_promotion_that_did_not_gain_says_why_it_serves_all_the_same_and_names_one_interval() -> None:
    of_refresh = LOST | {
        "passed": True,
        "evidence": {"posterior_gain": 0.0007, "tips_at": -0.011, "probability_worse": 0.45},
    }
    anchor = {**LOST, "rule": "anchor", "kind": "anchor", "passed": True}
    message = said(promotion(promoted=True), KEPT | {"verdict.json": {"rulings": [of_refresh, anchor]}})
    assert message is not None and message.count("interval") == 1
    assert "margin −0.0110" in message
    assert (
        "With what refreshes gained before, +0.0007 is expected (the probability that it is worse is 45 %)" in message
    )


def test_a_rejection_tells_the_reason_not_the_numbers() -> None:
    won = KEPT | {"verdict.json": {"rulings": [LOST | {"passed": True}]}}
    assert said(promotion(reason="anna said no"), won) == "Held: anna said no"


def test_the_first_challenger_is_held_against_the_base_rate() -> None:
    alone = KEPT["evaluation/evaluation.json"] | {"champion": None}
    won = {"evaluation/evaluation.json": alone, "verdict.json": {"rulings": []}}
    first = promotion(promoted=True, version=1, previous_version=None)
    assert said(first, won) == "Promoted version 1: challenger 0.497 vs base rate 0.520"


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (
            records.Scoring(
                day=DAY, version=3, rows=1691, mean_prediction=0.2, uri="u", sha256="0", published=True
            ),
            "Scored 1,691 rows of 2013-04-01 by version 3",
        ),
        (records.Champion(day=DAY, version=None, reason="nobody serves"), "Not scored: nobody serves"),
        (records.Champion(day=DAY, version=3, reason="it serves"), None),
        (
            records.Decision(day=DAY, action="nothing", reasons=("no drift",), alarm=False, state="calm"),
            "Calm; nothing requested: no drift",
        ),
        (
            records.Decision(day=DAY, action="retrain", reasons=("carrier moved",), alarm=True, state="alarm"),
            "Alarm; a challenger is requested: carrier moved",
        ),
        (
            records.Rollback(moved=True, version=1, from_version=2, decision_id="d", reason="asked by anna"),
            "Version 1 serves again instead of version 2: asked by anna",
        ),
        (
            records.Exclusion(
                days="2013-04-01 to 2013-04-02", reason="s", undo=False, data_version="a" * 40, changed=True
            ),
            "2013-04-01 to 2013-04-02 is not learned from, from the next training on: s; data version aaaaaaaaaaaa",
        ),
        (
            records.Exclusion(days="2013-04-01", reason="over", undo=True, data_version="a" * 40, changed=False),
            "Nothing changed: 2013-04-01 counted already",
        ),
        (
            records.Ingested(
                day=DAY, data_version="a" * 40, changed=True, rows=900, labelled_rows=880, quarantined_rows=3
            ),
            "Ingested 2013-04-01: 900 rows and 880 labels, 3 in quarantine; data version aaaaaaaaaaaa",
        ),
    ],
)  # fmt: skip
def test_the_words_of_a_record(record: records.Record, words: str | None) -> None:
    assert said(record) == words


def test_no_field_of_a_record_takes_the_place_of_the_note() -> None:
    kinds = [getattr(records, name) for name in records.__all__ if hasattr(getattr(records, name), "model_fields")]
    assert len(kinds) > 50
    assert [kind.__name__ for kind in kinds if notes.NOTE in kind.model_fields] == []


def test_a_note_fits_into_one_line_of_airflows_column() -> None:
    assert notes.short("a\nb\x00 c") == "a b c"
    assert len(notes.short("x" * 5000)) == notes.LONGEST
    left: dict[str, str] = {}
    notes.write_failure_note(SimpleNamespace(xcom_push=left.__setitem__), ValueError("bad\nthing"))
    assert left == {notes.NOTE: "bad thing"}


# --- in Airflow's database ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def database() -> None:
    from airflow.utils.db import initdb

    initdb()


@pytest.fixture
def ended(database: None) -> Callable[..., str | None]:
    """Run a Dag of two tasks to its end, each of which may say something, and give the run's note."""
    from airflow.models.dagrun import DagRun
    from airflow.sdk import DAG, task
    from airflow.utils.session import create_session

    def run(first: str | None, second: str | None, *, fails: bool = False, by_hand: str | None = None) -> str | None:
        @task
        def say(words: str | None, last: bool) -> None:
            from airflow.sdk import get_current_context

            instance = get_current_context()["ti"]
            if words:
                instance.xcom_push(notes.NOTE, words)
            if last and by_hand:
                with create_session() as session:
                    found = session.query(DagRun).filter_by(dag_id="flight-delay.score", run_id=instance.run_id).one()
                    found.note = (by_hand, "anna")
            if last and fails:
                raise RuntimeError("broken")

        with DAG("flight-delay.score", schedule=None) as dag:
            say.override(task_id="first")(first, False) >> say.override(task_id="second")(second, True)
        done = dag.test(logical_date=datetime.now(UTC))
        with create_session() as session:
            return session.query(DagRun).filter_by(dag_id="flight-delay.score", run_id=done.run_id).one().note

    return run


def test_the_newest_sentence_is_the_note(ended: Callable[..., str | None]) -> None:
    assert ended("first", "and last") == "and last"


def test_the_scheduler_ends_a_run_without_noticing_us_and_the_note_follows(ended: Callable[..., str | None]) -> None:
    """Under the guard of the scheduler, which takes any commit of its session but its own for a mistake."""
    from airflow.models.dagrun import DagRun, DagRunNote
    from airflow.utils.session import create_session
    from airflow.utils.sqlalchemy import prohibit_commit

    def note(session: Any, run: DagRun) -> str | None:
        kept = session.get(DagRunNote, run.id, populate_existing=True)
        return kept.content if kept else None

    assert ended(None, "once") == "once"
    with create_session() as session, prohibit_commit(session) as guard:
        run = session.query(DagRun).order_by(DagRun.id.desc()).first()
        session.query(DagRunNote).filter_by(dag_run_id=run.id).delete()
        notes.on_dag_run_success(run)
        assert note(session, run) is None
        guard.commit()
        assert note(session, run) == "once"
        guard.commit()
        notes.on_dag_run_failed(run)
        guard.commit()
        assert note(session, run) == "Failed at the time limit of the run. once"


def test_what_airflow_has_written_outlives_a_note_that_could_not_be(
    ended: Callable[..., str | None], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from airflow.models.dagrun import DagRun, DagRunNote
    from airflow.utils.session import create_session

    def fail(ended: notes.Ended, connection: Any) -> str:
        connection.execute(DagRunNote.__table__.delete())
        raise ValueError("broken")

    ended(None, "once")
    monkeypatch.setattr(notes, "_message", fail)
    with create_session() as session:
        run = session.query(DagRun).order_by(DagRun.id.desc()).first()
        run.conf = {"ours": 1}
        notes.on_dag_run_success(run)
        key = run.id
    assert "no note could be written" in caplog.text
    with create_session() as session:
        kept = session.get(DagRun, key)
        assert (kept.conf, kept.note) == ({"ours": 1}, "once")


def test_a_run_of_which_nothing_was_said_has_no_note(ended: Callable[..., str | None]) -> None:
    assert ended(None, None) is None


def test_a_failure_is_named_though_no_task_could_say_it(ended: Callable[..., str | None]) -> None:
    assert ended(None, None, fails=True) == "Failed at second."


def test_a_failure_is_told_in_the_words_of_the_step(ended: Callable[..., str | None]) -> None:
    assert ended("so far", "storage did not answer", fails=True) == "Failed at second. storage did not answer"


def test_what_a_person_noted_stays(ended: Callable[..., str | None]) -> None:
    assert ended("ours", None, by_hand="seen, Anna") == "seen, Anna"


def test_a_broken_note_is_logged_and_harms_nothing(caplog: pytest.LogCaptureFixture) -> None:
    notes.on_dag_run_success(SimpleNamespace(dag_id="flight-delay.score", run_id="r"))
    assert "no note could be written for r of flight-delay.score" in caplog.text


def test_runs_of_other_dags_are_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    notes.on_dag_run_success(SimpleNamespace(dag_id="somebody_elses", run_id="r", id=1))
    assert caplog.text == ""
