"""What keeps a scoring service from the champion reaches people once."""

from __future__ import annotations

from datetime import date

import pytest
from evergreen.alerts.kinds.serving import alert_serving

from ml.champions import split_control
from ml.records import Interval, SplitEvidence
from ml.serving import problem_records
from ml.wiring import Services
from tests.dags.postbox import Postbox

PROBLEM = "version 3 came to serve and cannot be loaded: its model file is missing"


def test_a_recorded_problem_is_mailed_once_and_a_resolved_one_never(postbox: Postbox, services: Services) -> None:
    problem_records.write(PROBLEM, version=3, serving_version=2, services=services)
    problem_records.write(PROBLEM, version=3, serving_version=2, services=services)  # another process
    alert_serving(services)
    alert_serving(services)
    (mail,) = postbox.messages
    assert str(mail["Subject"]) == "flight-delay: Champion not served: version 2 answers"
    assert "its model file is missing" in mail.as_string().replace("=\n", "")
    problem_records.resolve(services)
    assert problem_records.read(services) == []
    problem_records.write("another", version=4, serving_version=None, services=services)
    problem_records.resolve(services)
    alert_serving(services)
    assert len(postbox.messages) == 1


def test_a_split_that_monitor_stopped_is_mailed_once_and_one_that_a_person_ended_never(
    postbox: Postbox, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(split_control, "_record", lambda *_: None)  # of MLflow, which is not here
    evidence = SplitEvidence(
        kind="randomised", champion=2, challenger=3, first_day=date(2013, 6, 1), last_day=date(2013, 6, 9), days=9,
        rows=900, challenger_rows=100, metric="log_loss", difference=Interval(value=0.03, low=0.01, high=0.05),
        is_worse=True, reason="version 3 has a log loss higher by 0.0300 than version 2",
    )  # fmt: skip
    assert split_control.stop(evidence, services) and not split_control.stop(evidence, services)
    assert split_control.stop_by_hand(4, "not wanted", "a person", services)
    alert_serving(services)
    alert_serving(services)
    (mail,) = postbox.messages
    assert str(mail["Subject"]) == "flight-delay: Split stopped: version 3 does worse than version 2"
    text = mail.as_string().replace("=\n", "")
    assert "higher by 0.0300" in text and "evergreen traffic resume" in text


def test_a_problem_of_the_challenger_is_mailed_as_one_and_outlives_the_champions(
    postbox: Postbox, services: Services
) -> None:
    problem_records.write(PROBLEM, version=3, serving_version=2, services=services, about="challenger")
    problem_records.resolve(services)
    alert_serving(services)
    (mail,) = postbox.messages
    assert str(mail["Subject"]) == "flight-delay: Challenger not served: version 2 answers"
    problem_records.resolve(services, about="challenger")
    assert problem_records.read(services) == []
