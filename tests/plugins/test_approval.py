"""Asking a person: when, in which words, and what is made of the answer or its absence."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from evergreen import approval

from ml.records import Approval, Judgement, Ruling, Verdict
from ml.settings import Gate

AT = datetime(2013, 4, 1, 12, tzinfo=UTC)


def judgement(decision: Any = "promote", champion: int | None = 4, version: int | None = 5) -> Judgement:
    verdict = Verdict(decision=decision, reasons=("because",), rulings=())
    return Judgement(
        fingerprint="f", version=version, champion_version=champion, verdict=verdict, decision_id=None
    )  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "champion", "asked"),
    [
        ("none", None, False),
        ("none", 4, False),
        ("required", None, True),
        ("required", 4, True),
        ("required_if_champion_exists", None, False),
        ("required_if_champion_exists", 4, True),
    ],
)
def test_who_is_asked_when(wanted: Any, champion: int | None, asked: bool) -> None:
    gate = Gate(approval=wanted)
    assert approval.needs_person(judgement(champion=champion), gate) is asked
    assert not approval.needs_person(judgement("hold", champion=champion), gate)
    assert not approval.needs_person(judgement(champion=champion, version=None), gate)


def test_the_claim_says_whose_place_and_what_was_judged() -> None:
    assert "Nobody serves yet." in approval.claim(judgement(champion=None))
    refit = judgement(version=6).model_copy(update={"judged_version": 5})
    assert approval.claim(refit).startswith("Version 6, which is version 5 fitted again")
    assert "fitted again" not in approval.claim(judgement().model_copy(update={"judged_version": 5}))


def test_no_value_breaks_out_of_its_cell() -> None:
    evil = Ruling(rule="a|b", kind="bound", passed=None, evidence={}, reason="x | y\n| z <b>\\|")
    facts = {
        "claim": "c", "trained": "t", "hours": 24.0, "champion_version": None, "links": [],
        "rulings": [approval.ruling_row(evil)],
    }  # fmt: skip
    assert approval.markdown(facts).endswith("means no: then nobody serves, and the run ends green.")
    row = next(line for line in approval.markdown(facts).splitlines() if line.startswith("| a"))
    assert row == "| a\\|b | unknown | x \\| y \\| z &lt;b>\\\\\\| |"


def operator() -> approval.Approve:
    from airflow.sdk import DAG

    with DAG("unused", schedule=None):
        return approval.Approve(task_id="approve", subject="s", hours="24.0")


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (
            {"chosen_options": ["Approve"], "responded_by_user": {"id": "anna", "name": "anna"}},
            {"approved": True, "by": "anna", "timed_out": False},
        ),
        (
            {
                "chosen_options": ["Reject"],
                "responded_by_user": {"id": "anna", "name": "anna"},
                "params_input": {"comment": " too early\nin the season "},
            },
            {"approved": False, "by": "anna", "timed_out": False, "reason": "too early in the season"},
        ),
        (
            {
                "chosen_options": ["Approve"],
                "responded_by_user": {"id": "anna", "name": "anna"},
                "params_input": {"comment": None},
            },
            {"approved": True, "by": "anna", "timed_out": False, "reason": ""},
        ),
        (
            {"chosen_options": ["Reject"], "responded_by_user": {"id": "7", "name": "Anna B"}, "timedout": False},
            {"approved": False, "by": "Anna B (7)", "timed_out": False},
        ),
        (
            {"chosen_options": ["Reject"], "responded_by_user": None, "timedout": True},
            {"approved": False, "by": "nobody, within 24 hours", "timed_out": True},
        ),
        (
            {"chosen_options": ["Approve"], "responded_by_user": None, "timedout": False},
            {"approved": True, "by": "somebody whom Airflow does not name", "timed_out": False},
        ),
    ],
)
def test_an_answer_is_kept_with_who_and_when(event: dict[str, Any], expected: dict[str, Any]) -> None:
    answer = operator().answer({"params_input": {}} | event | {"responded_at": AT})
    assert Approval.model_validate(answer) == Approval(**expected, at=AT)


def test_it_waits_as_long_as_the_question_says_and_is_not_tried_twice() -> None:
    from airflow.sdk import DAG

    with DAG("unused", schedule=None, default_args={"execution_timeout": AT - AT.replace(hour=11), "retries": 2}):
        approve = approval.Approve(task_id="approve", subject="s", hours="24.0")
    assert approve.execution_timeout is None
    assert approve.response_timeout is None
    assert approve.retries == 0
    assert approve.defaults == ["Reject"]


def context(**left: dict[str, Any]) -> Any:
    def xcom_pull(*, task_ids: str, key: str) -> Any:
        return left.get(task_ids, {}).get(key)

    return {"ti": SimpleNamespace(xcom_pull=xcom_pull)}


def test_who_need_not_be_asked_gave_no_answer_even_if_an_old_one_lies_about() -> None:
    old = {"approved": True, "by": "anna", "at": AT.isoformat(), "timed_out": False}
    assert approval.answer_of(context(ask={"question": None}, approve={"answer": old})) is None
    assert approval.answer_of(context(ask={"question": {}}, approve={"answer": old})) == Approval(**old)


def test_a_question_without_answer_never_passes() -> None:
    from airflow.sdk.exceptions import AirflowFailException

    with pytest.raises(AirflowFailException, match="clear 'approve' and answer"):
        approval.answer_of(context(ask={"question": {"subject": "s"}}))
