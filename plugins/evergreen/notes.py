"""Return in words, as the note of a Dag run, what came of it.

Tasks may not write to Airflow's database: a step leaves its sentence as an XCom (`leave`), and the listener
below makes the run's newest sentence its note when the run ends. It runs inside the scheduler, so it reads
one small query, imports nothing heavy, and keeps its own errors to itself. What a person has noted stays.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow.listeners import hookimpl

from evergreen.next_moves import worded

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun
    from pydantic import BaseModel
    from sqlalchemy.engine import Connection

    from ml.wiring import Services

log = logging.getLogger(__name__)
NOTE = "run_note"
"""XCom of a task: what is to be said of the run if nothing comes after it.

No record has a field of this name: Airflow leaves each field of a record that a task returns as an XCom too.
"""

AUTHOR = "evergreen"
"""Whose notes may be written over: a person's are theirs."""

LONGEST = 900
"""Airflow's column holds a thousand characters."""

STATES = {"calm": "Calm", "watching": "Watching", "alarm": "Alarm", "unknown": "Could not be measured"}
REQUESTED = {"retrain": "challenger", "rollback": "rollback"}
NOTED = {"acknowledgement": "Acknowledged:", "snooze": "Snoozed:", "comment": "Commented on"}


@hookimpl  # type: ignore[untyped-decorator]
def on_dag_run_success(dag_run: DagRun) -> None:
    """Note what came of a run that ended well."""
    write(dag_run, failed=False)


@hookimpl  # type: ignore[untyped-decorator]
def on_dag_run_failed(dag_run: DagRun) -> None:
    """Note what went wrong in a run, and where."""
    write(dag_run, failed=True)


@dataclass(frozen=True)
class Ended:
    """Which run has ended, and how."""

    id: int
    dag_id: str
    run_id: str
    failed: bool


def write(dag_run: DagRun, *, failed: bool) -> None:
    """Make the newest sentence of a run its note, as soon as the run's end is committed; a failure is only logged.

    Not in the transaction that ends the run: the scheduler takes the release of a savepoint in it for a commit and
    refuses it, and on SQLite a statement of ours that finds the database locked would leave the scheduler's own
    to fail too, which ends the scheduler. And not beside it: that would wait for this very transaction.
    A run that belongs to no session, as that of ``dag.test()``, has been committed.
    """
    try:
        from evergreen.models import verb_of

        if not verb_of(dag_run.dag_id):
            return
        from airflow.utils.session import create_session
        from sqlalchemy import event
        from sqlalchemy.orm import object_session

        ended = Ended(dag_run.id, dag_run.dag_id, dag_run.run_id, failed)
        session = object_session(dag_run)
        if session is None:
            with create_session() as own:
                bind = own.get_bind()
            _note(bind, ended)
            return
        bind = session.get_bind()
        event.listen(session, "after_commit", lambda _: _note(bind, ended), once=True)
    except Exception:
        log.exception("no note could be written for %s of %s", dag_run.run_id, dag_run.dag_id)


def _note(bind: Any, ended: Ended) -> None:
    """Write the note over a connection of its own."""
    try:
        with bind.begin() as connection:
            _write(ended, connection)
    except Exception:
        log.exception("no note could be written for %s of %s", ended.run_id, ended.dag_id)


def _write(ended: Ended, connection: Connection) -> None:
    from airflow.models.dagrun import DagRunNote
    from sqlalchemy import insert, select, update

    message, notes = _message(ended, connection), DagRunNote.__table__
    of_run = notes.c.dag_run_id == ended.id
    note = connection.execute(select(notes.c.user_id, notes.c.content).where(of_run)).one_or_none()
    if not message or (note is not None and note.user_id != AUTHOR and note.content):
        return
    change = insert(notes).values(dag_run_id=ended.id) if note is None else update(notes).where(of_run)
    connection.execute(change.values(content=message, user_id=AUTHOR))


def _message(ended: Ended, connection: Connection) -> str:
    """Return the newest sentence that a task of the run left; of a failed run, with the tasks that failed."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.xcom import XComModel
    from sqlalchemy import select

    query = select(XComModel.value).where(
        XComModel.dag_id == ended.dag_id, XComModel.run_id == ended.run_id, XComModel.key == NOTE
    )
    message = _text(connection.scalar(query.order_by(XComModel.timestamp.desc()).limit(1)))
    if ended.failed:
        at = select(TaskInstance.task_id).where(
            TaskInstance.dag_id == ended.dag_id, TaskInstance.run_id == ended.run_id, TaskInstance.state == "failed"
        )
        names = ", ".join(sorted(set(connection.scalars(at))))
        message = f"Failed at {names or 'the time limit of the run'}. {message}".strip()
    return short(message)


def _text(value: Any) -> str:
    """Read a sentence out of an XCom, which Airflow keeps as JSON, without making objects of it."""
    try:
        decoded = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        decoded = value
    return decoded if isinstance(decoded, str) else ""


def short(sentence: str) -> str:
    """Fit a sentence into Airflow's column: one line, no control characters."""
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in sentence).split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def leave(instance: Any, record: BaseModel, services: Services, workspace: str | None = None) -> None:
    """Leave what a step's record says to people, if it says anything about the run as a whole."""
    give = WORDS.get(type(record).__name__)
    contest = _contest(services, workspace) if workspace and type(record).__name__ in JUDGED else ""
    if message := give(record, contest) if give is not None else "":
        instance.xcom_push(NOTE, short(worded(message)))


def write_failure_note(instance: Any, error: Exception) -> None:
    """Leave what went wrong, as it was written for people."""
    from ml.urls import redact

    instance.xcom_push(NOTE, short(redact(worded(str(error)))))


def _contest(services: Services, workspace: str) -> str:
    """Put the numbers of a judgement into words: the gain over the champion, or the base rate where nobody served."""
    from ml.views import gain

    folder, metric = services.workspace(workspace), services.settings.gate.metric
    evaluation, verdict = folder.read_json("evaluation/evaluation.json"), folder.read_json("verdict.json")
    own, other = evaluation["challenger"].get(metric), (evaluation.get("champion") or {}).get(metric)
    if own is None:
        return ""
    compared = gain.of(verdict["rulings"], services.settings.gate)
    side = f"champion {other:.3f}" if other is not None else f"base rate {evaluation['base_rate'].get(metric, 0):.3f}"
    words = compared["sentence"] if compared else f"challenger {own:.3f} vs {side}"
    missed = [ruling["rule"] for ruling in verdict["rulings"] if ruling["passed"] is not True]
    return words + (f"; not passed: {', '.join(missed)}" if missed else "")


def _ingested(record: Any, _: str) -> str:
    news = f"Ingested {record.day}" if record.changed else f"Nothing new for {record.day}"
    quarantined = f", {record.quarantined_rows:,} in quarantine" if record.quarantined_rows else ""
    rows = f"{record.rows:,} rows and {record.labelled_rows:,} labels{quarantined}"
    message = f"{news}: {rows}; data version {record.data_version[:12]}"
    if record.rest:
        came = f"; {record.labelled_rows:,} labels came" if record.labelled_rows else ""
        message = f"{record.rest[:1].upper()}{record.rest[1:]}{came}"
    return "; ".join([message, *_outstanding(record)])


def _outstanding(record: Any) -> list[str]:
    """Return what of a partition is not in the registry."""
    labels = [
        f"labels of {entry.day} rejected, as reported with {entry.partition}"
        if entry.partition != record.day
        else f"labels of {entry.day} rejected"
        for entry in record.rejected
    ]
    unread = [f"labels of {entry.day} could not be read" for entry in record.unread]
    lost = [f"labels of {day} never came and are no longer expected" for day in record.lost_label_days]
    return [*labels, *unread, *lost]


def _window(record: Any, _: str) -> str:
    """Speak only of a training that ends here, or that gets no further."""
    if record.seen_before:
        return f"Judged before: training {record.fingerprint[:12]} is among the decisions"
    return f"Training on {record.first_day} to {record.last_day}, {record.rows:,} rows"


def _champion(record: Any, _: str) -> str:
    return f"Not scored: {record.reason}" if record.version is None else ""


def _scoring(record: Any, _: str) -> str:
    if not record.published:
        return ""
    return f"Scored {record.rows:,} rows of {record.day} by version {record.version}"


def _monitored(record: Any, _: str) -> str:
    state = STATES[record.state]
    request = "nothing requested" if record.action == "nothing" else f"a {REQUESTED[record.action]} is requested"
    return f"{state}; {request}: {'; '.join(record.reasons)}".rstrip(": ")


def _judgement(record: Any, contest: str) -> str:
    return f"{'Held' if record.verdict.decision == 'hold' else 'To be promoted'}: {contest}" if contest else ""


def _promotion(record: Any, contest: str) -> str:
    if record.promoted:
        replaced = f" instead of version {record.previous_version}" if record.previous_version is not None else ""
        return f"Promoted version {record.version}{replaced}: {contest or record.reason}"
    lost = contest and "not passed:" in contest
    return f"Held: {contest if lost else record.reason}"


def _rollback(record: Any, _: str) -> str:
    if record.version == record.from_version:
        return f"Nothing moved: {record.reason}"
    return f"Version {record.version} serves again instead of version {record.from_version}: {record.reason}"


def _noted(record: Any, _: str) -> str:
    until = f" until {record.until}" if record.until else ""
    return f"{NOTED.get(record.kind, record.kind)} {record.subject}{until}: {record.note}"


def _excluded(record: Any, _: str) -> str:
    does = "counts again" if record.undo else "is not learned from"
    if not record.changed:
        return f"Nothing changed: {record.days} {'counted already' if record.undo else 'was excluded already'}"
    return f"{record.days} {does}, from the next training on: {record.reason}; data version {record.data_version[:12]}"


WORDS: dict[str, Callable[[Any, str], str]] = {
    "Ingested": _ingested,
    "Window": _window,
    "Champion": _champion,
    "Scoring": _scoring,
    "Decision": _monitored,
    "Judgement": _judgement,
    "Promotion": _promotion,
    "Rollback": _rollback,
    "Note": _noted,
    "Exclusion": _excluded,
}
"""What each kind of `ml.records` says of a run, by the name of its class; of several the newest counts."""
JUDGED = ("Judgement", "Promotion")
