"""A role is proposed from how far a column wanders by itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ml.cli.propose_roles import show
from ml.core.monitoring.roles import propose
from ml.settings import Drift
from tests.builders import rows

DRIFT = Drift(window_days=7)


def test_what_stays_is_structural_and_what_follows_the_season_is_environment() -> None:
    frame = rows(days=56, per_day=200)
    season = np.repeat(np.linspace(0, 6, 56), 200)
    found = propose(frame.assign(weather=frame["number"] + season), DRIFT, leave_out=["late", "id"])
    assert {name: one.role for name, one in found.items()} == {
        "carrier": "structural",
        "origin": "structural",
        "number": "structural",
        "weather": "environment",
    }


def test_what_tells_nothing_is_not_watched_and_says_why() -> None:
    frame = rows(days=28, per_day=200)
    frame = frame.assign(empty=np.nan, always=1, name=[f"row {number}" for number in range(len(frame))])
    found = propose(frame[["day", "empty", "always", "name"]], DRIFT)
    assert {one.role for one in found.values()} == {None}
    assert [one.reason for one in found.values()] == [
        "holds no value",
        "has always the same value",
        "has nearly a value of its own in each row",
    ]


def test_a_reference_of_fewer_than_three_blocks_proposes_nothing() -> None:
    found = propose(rows(days=20), DRIFT)
    assert {one.role for one in found.values()} == {None}
    assert found["carrier"].reason == "needs 3 blocks of 7 days to tell"


def test_the_proposal_is_yaml_that_the_settings_take() -> None:
    import yaml

    frame = rows(days=28, per_day=200)
    found = propose(frame[["day", "carrier", "origin"]], DRIFT)
    found["empty"] = replace(found["origin"], column="empty", role=None, reason="holds no value")
    fragment = yaml.safe_load(show(found))
    declared = Drift.model_validate(fragment["drift"])
    assert set(declared.structural) == {"carrier", "origin"}
    assert declared.environment == ()
    assert "# not watched: empty holds no value" in show(found)
