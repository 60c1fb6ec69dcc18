"""Airflow's side says what to click, in a log, on the page and in a mail."""

from __future__ import annotations

from datetime import date

import pytest
from evergreen.next_moves import worded, worded_facts

from ml.next_moves import NextMove, ingest, ingest_past, read_log, rerun, retrain, roll_back, switch_on

DAY = date(2013, 4, 1)


@pytest.mark.parametrize(
    ("move", "words"),
    [
        (ingest(DAY), "trigger the Dag Ingest with the partition key 2013-04-01"),
        (ingest_past(), "backfill Ingest"),
        (retrain(), "trigger Retrain"),
        (retrain(force=True), "trigger Retrain with force"),
        (rerun(), "clear this run"),
        (rerun(step="predict"), "clear 'predict' and what follows"),
        (rerun("ingest", DAY), "clear the run of Ingest of 2013-04-01"),
        (rerun("ingest", DAY, step="screen"), "clear 'screen' of the run of Ingest of 2013-04-01"),
        (roll_back(), "roll back to another version (trigger Rollback with to_version)"),
        (switch_on("monitor"), "switch the Dag Monitor on"),
        (read_log("check"), "read the log of the task check"),
    ],
    ids=str,
)
def test_a_move_is_what_to_click(move: NextMove, words: str) -> None:
    assert worded(f"it failed; {move}.") == f"it failed; {words}."


def test_facts_are_worded_however_deep_they_lie_and_stay_as_they_were() -> None:
    facts = {"hint": f"nothing yet: {retrain()}", "days": [{"reasons": (f"{rerun()}", 7), "rows": None}]}
    before = repr(facts)
    assert worded_facts(facts) == {
        "hint": "nothing yet: trigger Retrain",
        "days": [{"reasons": ["clear this run", 7], "rows": None}],
    }
    assert repr(facts) == before
