"""What keeps a scoring service from the champion reaches people once."""

from __future__ import annotations

from evergreen.alerts.kinds.serving import alert_serving

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
