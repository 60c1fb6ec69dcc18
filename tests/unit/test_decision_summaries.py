"""What people read of one decision."""

from __future__ import annotations

import pytest

from ml.core.champions.decision_summaries import summarise
from tests.unit.test_tenures import decided_with, on

VERDICT = {"decision": "promote", "reasons": ["better", "well calibrated"], "rulings": []}


def test_a_promotion_says_over_whom_and_every_reason() -> None:
    summary = summarise(
        decided_with("promotion", 2, effective=60, fingerprint="b", previous_version=1, verdict=VERDICT)
    )
    assert (summary.version, summary.against, summary.in_force_from) == (2, 1, on(60))
    assert summary.reasons == ("better", "well calibrated")
    assert summary.evidence["verdict"] == VERDICT


def test_a_rejection_says_who_and_not_what_spoke_for_it() -> None:
    approval = {"approved": False, "by": "ada", "at": "2013-06-15T09:30:00Z", "timed_out": False}
    summary = summarise(decided_with("rejection", 2, effective=60, fingerprint="b", approval=approval, verdict=VERDICT))
    assert (summary.in_force_from, summary.reasons) == (None, ("rejected by ada at 2013-06-15 09:30",))


def test_a_time_out_is_said_to_be_one() -> None:
    approval = {"approved": False, "by": "nobody", "at": "2013-06-15T09:30:00Z", "timed_out": True}
    summary = summarise(decided_with("rejection", 2, effective=60, fingerprint="b", approval=approval))
    assert summary.reasons == ("nobody answered until 2013-06-15 09:30: that means no",)


def test_a_rollback_says_why_and_what_it_removed() -> None:
    summary = summarise(
        decided_with("rollback", 1, effective=90, fingerprint="a", from_version=2, reason="worse", requested_by="ada")
    )
    assert (summary.version, summary.against, summary.reasons, summary.requested_by) == (1, 2, ("worse",), "ada")


def test_a_retrain_request_says_its_reasons() -> None:
    assert summarise(decided_with("retrain_request", 1, effective=90, fingerprint="a", reasons=["drift"])).reasons == (
        "drift",
    )


def test_a_hold_was_weighed_against_the_champion_of_its_time() -> None:
    summary = summarise(decided_with("hold", 2, effective=60, fingerprint="b", champion_version=1, verdict=VERDICT))
    assert (summary.version, summary.against, summary.in_force_from) == (2, 1, None)


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({"family": "drift"}, "alarm of drift: seen"),
        ({"family": "missing_labels", "until": "2013-06-09"}, "alarm of missing labels until 2013-06-09: seen"),
        ({"about_kind": "day"}, "on the day: seen"),
    ],
)
def test_a_note_says_what_it_is_about(about: dict[str, str], said: str) -> None:
    assert summarise(decided_with("comment", 1, effective=90, fingerprint="a", note="seen", **about)).reasons == (said,)
