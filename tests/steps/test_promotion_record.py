"""A promotion records in the storage which model file it judged, and nothing else may be promoted in its place."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from ml.champions import promotion_protocol, promotion_record, serving_state
from ml.errors import EvergreenError, MissingArtifact
from ml.steps.retrain import promote
from tests.steps.conftest import Contest
from tests.steps.test_promotion_crash import aliases, promoted, told


def model_file(contest: Contest, version: int = 2) -> Path:
    tracking = contest.world.services.tracking
    folder = tracking.client.get_model_version_download_uri(tracking.name, str(version))
    (path,) = Path(folder.removeprefix("file://")).rglob("model.skops")
    return path


def test_the_record_names_the_very_files_that_were_judged(contest: Contest) -> None:
    world = promoted(contest)
    tracking = world.services.tracking
    run_id = tracking.version_tags(2)["run_id"]
    found = promotion_record.read(2, run_id, world.services)
    assert found is not None
    assert found.model_sha256 == hashlib.sha256(model_file(contest).read_bytes()).hexdigest()
    kept = tracking.read_file(2, "lineage/lineage.json", Path.read_bytes)
    assert found.lineage_sha256 == hashlib.sha256(kept).hexdigest()
    lineage = json.loads(kept)
    assert (found.run_id, found.code_version, found.data_version) == (
        run_id,
        lineage["code_version"],
        contest.window.data_version,
    )
    assert found.fingerprint == contest.window.fingerprint
    (_, decision) = tracking.decisions()
    assert decision.payload["model"] == found.model_dump(mode="json")
    move = promotion_protocol.claimed(serving_state.ServingState(tracking.decisions()[0], 1, ()), world.services)
    assert move is not None and move.model == found


def test_a_version_pointed_at_another_run_has_no_record(contest: Contest) -> None:
    assert promotion_record.read(2, "f" * 32, promoted(contest).services) is None


def test_a_model_file_changed_since_it_was_checked_is_not_promoted(contest: Contest) -> None:
    path = model_file(contest)
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(EvergreenError, match="model file of version 2 .* is not the one that was checked"):
        contest.world.run(promote, contest.window, contest.judgement)
    assert told(contest.world) == [("promotion", 1)]
    assert aliases(contest.world) == [1, None, 2]


def test_a_challenger_whose_model_file_is_gone_claims_nothing(contest: Contest) -> None:
    path = model_file(contest)
    kept = path.read_bytes()
    path.unlink()
    with pytest.raises(MissingArtifact, match="version 2 cannot serve"):
        contest.world.run(promote, contest.window, contest.judgement)
    path.write_bytes(kept)
    assert contest.world.run(promote, contest.window, contest.judgement).promoted
