"""Paths in the storage: each as it is on disk, since a release reads what earlier ones wrote."""

from __future__ import annotations

import inspect
from datetime import date

import pytest

from ml.adapters import layout

DAY = date(2013, 4, 1)
SHA = "0123456789abcdef" * 4

PATHS = {
    layout.landing: ((DAY,), "landing/day=2013-04-01"),
    layout.landed: (("inputs", DAY), "inputs/day=2013-04-01.parquet"),
    layout.accepted: (("labels", DAY), "accepted/labels/day=2013-04-01.parquet"),
    layout.validation: (("inputs", DAY), "validation/inputs/day=2013-04-01"),
    layout.quarantine: (("labels", "2013-04-01"), "quarantine/labels/day=2013-04-01"),
    layout.labels_report: ((DAY, "lost"), "labels/day=2013-04-01/lost.json"),
    layout.asset_day_json: (("inputs", DAY), "inputs/day=2013-04-01.json"),
    layout.day_json: ((DAY,), "day=2013-04-01.json"),
    layout.run_dir: (("f1",), "runs/f1"),
    layout.aggregate: ((DAY, SHA), "day=2013-04-01/0123456789abcdef0123456789abcdef.parquet"),
    layout.artifact: ((3, "card/model_card.html"), "version=3/card/model_card.html"),
    layout.staging: ((DAY, 3), "staging/day=2013-04-01/version=3"),
    layout.staged_shard: ((0, 5000, SHA), "rows=000000000000-000000005000-0123456789abcdef.parquet"),
    layout.predictions: ((DAY,), "predictions/day=2013-04-01"),
    layout.shadow: ((DAY,), "shadow/day=2013-04-01"),
    layout.version_table: ((3,), "version=3.parquet"),
    layout.version_facts: ((3,), "version=3.json"),
    layout.version_report: ((3,), "version=3.html"),
    layout.monitoring: ((DAY,), "monitor/day=2013-04-01"),
    layout.refit_days: ((3,), "version=3.json"),
    layout.shadow_refit: (("f1", 200000), "refits/f1-200000"),
    layout.drift_result: ((3,), "version=3/drift.json"),
    layout.drift_report: ((3,), "version=3/drift.html"),
    layout.distributions: ((3,), "version=3/distributions.json"),
    layout.model_record: (("promoted", 3, "r1"), "promoted/version=3/run=r1.json"),
    layout.model_records: (("registered", 3), "registered/version=3/"),
    layout.promoted_decision: ((SHA,), "promoted/decision=0123456789abcdef0123456789abcdef.json"),
    layout.claim: (("m-1", None), "claims/m-1/after=none.json"),
    layout.withdrawal: (("claims/m-1/after=none.json",), "claims/m-1/withdrawn=none.json"),
    layout.mirroring_run: (("m-1", "k"), "claims/m-1/decision=8254c329a92850f6d539dd376f4816ee"),
    layout.claims: (("m",), "claims/m-"),
    layout.damaged: (("claims/m-1/after=none.json",), "damaged/claims/m-1/after=none.json"),
    layout.episodes: (("drift",), "episodes/drift"),
    layout.past_refreshes: ((), "refreshes"),
    layout.serving_token: (("laptop",), "serving/tokens/laptop.json"),
    layout.serving_problem: ((SHA,), "serving/problems/0123456789abcdef0123456789abcdef.json"),
    layout.challenger_problem: ((SHA,), "serving/challenger_problems/0123456789abcdef0123456789abcdef.json"),
    layout.split_stop: ((3,), "serving/stops/version=3.json"),
    layout.split_resumed: ((3,), "serving/resumed/version=3.json"),
    layout.split_days: (("paired", 1, 3), "split_days/challenger=3/champion=1/paired"),
    layout.refused_requests: ((DAY, "1a2b"), "refused_requests/day=2013-04-01/process=1a2b.json"),
    layout.request_part: (
        (DAY, "20130401T000000000000-1a2b3c4d", 7),
        "requests/day=2013-04-01/part=20130401T000000000000-1a2b3c4d-bytes=7.parquet",
    ),
    layout.requests: ((DAY,), "requests/day=2013-04-01/"),
    layout.served_copy: ((3,), "version=3"),
    layout.alert: (("drift/e/opened",), "outbox/alerts/drift/e/opened.json"),
    layout.deliveries: (("email",), "outbox/delivered/email/"),
    layout.digest_key: ((DAY,), "digest/2013-04-01"),
    layout.late_key: (("2013-06-14", "opened"), "predictions_late/since=2013-06-14/opened"),
    layout.delivered: (("email", "drift/e/opened"), "outbox/delivered/email/drift/e/opened.json"),
    layout.partly_delivered: (("email", "drift/e/opened"), "outbox/partly/email/drift/e/opened.json"),
    layout.paused: (("slack",), "outbox/paused/slack"),
    layout.delivery_claims: (("email", "drift/e/opened"), "outbox/claims/email/drift/e/opened/"),
    layout.cached_screening: (("inputs", "k"), "screen/inputs/k.json"),
    layout.cached: (("fits", "k"), "fits/k"),
    layout.cached_drift: (("k",), "drift/k.json"),
}
"""A function that builds a path, arguments, and the path."""

CONSTANTS = {
    "ACCEPTED_LABELS": "accepted_labels",
    "ACCEPTED_ROWS": "accepted.parquet",
    "LABEL_DOUBT": "doubt.json",
    "LABEL_SUMS": "label_sums",
    "SLICE_SCORES": "slice_scores",
    "SUMS": "newest.json",
    "REFITS": "refits",
    "REFIT": "pipeline.skops",
    "DEMO": "demo",
    "DEMO_FAULT": "fault.json",
    "REPLAYED": "replayed",
    "REPLAY_PERIOD": "period.json",
    "SPLIT_STOPS": "serving/stops/",
    "REFUSED": "refused_requests/",
    "CHALLENGER_PROBLEMS": "serving/challenger_problems/",
    "REQUESTS": "requests/",
    "REQUEST_PERFORMANCE": "request_performance",
    "SERVED_COPIES": "version=*",
    "SERVING_PROBLEMS": "serving/problems/",
    "SERVING_TOKENS": "serving/tokens/",
    "DIGEST": "digest/",
    "LATE": "predictions_late/since=",
    "QUARANTINES": "quarantine/",
    "REPORT": "report.html",
    "RESULT": "result.json",
    "REJECTED_PARTITION": "partition.parquet",
    "QUARANTINED_ROWS": "rows.parquet",
    "RECEIPTS": "receipts/labels",
    "REPORTED": "reported",
    "REJECTED": "rejected",
    "WITHDRAWN": "withdrawn",
    "AGGREGATES": "history",
    "SUMMARY": "summary.json",
    "DECISION": "decision.json",
    "COMPARISON": "comparison.json",
    "PERFORMANCE": "performance.json",
    "PERFORMANCE_BY_DAY": "performance_by_day.csv",
    "INSTALLATION": "outbox/installation",
    "ALERTS": "outbox/alerts/",
}
READERS = {
    layout.published_versions,
    layout.run_of,
    layout.is_claim,
    layout.book_of,
    layout.after_of,
    layout.digest,
    layout.key_of,
}
"""These take a path apart."""


@pytest.mark.parametrize("build", PATHS, ids=lambda build: build.__name__)
def test_a_path_is_what_it_always_was(build: object) -> None:
    arguments, path = PATHS[build]  # type: ignore[index]
    assert build(*arguments) == path  # type: ignore[operator]


def test_a_name_is_what_it_always_was() -> None:
    found = {name: value for name, value in vars(layout).items() if name.isupper() and isinstance(value, str)}
    assert found == CONSTANTS


def test_every_path_is_pinned_here() -> None:
    own = {each for each in vars(layout).values() if inspect.isfunction(each) and each.__module__ == layout.__name__}
    assert {each for each in own if not each.__name__.startswith("_")} == PATHS.keys() | READERS


def test_a_forced_training_has_a_folder_of_its_own() -> None:
    assert layout.run_dir("f1", forced_by="request") == "runs/f1-forced-1f58b9145b24"


def test_later_claims_are_numbered() -> None:
    assert layout.claim("m-1", "k") == "claims/m-1/after=8254c329a92850f6d539dd376f4816ee.json"
    assert layout.claim("m-1", "k", 2) == "claims/m-1/after=8254c329a92850f6d539dd376f4816ee.2.json"
    assert layout.mirroring_run("m-1", "k", 2) == "claims/m-1/decision=8254c329a92850f6d539dd376f4816ee.2"


def test_paths_are_read_back() -> None:
    assert layout.run_of(layout.model_record("promoted", 3, "r1")) == "r1"
    assert layout.model_records("registered") == "registered/version="
    assert layout.key_of(layout.alert("drift/e/opened"), layout.ALERTS) == "drift/e/opened"
    assert layout.book_of(layout.claim("m-1", "k", 2)) == "m-1"
    assert layout.after_of(layout.claim("m-1", "k", 2)) == layout.digest("k")
    assert layout.is_claim(layout.claim("m-1", "k", 2), "m")
    assert not layout.is_claim(layout.withdrawal(layout.claim("m-1", "k")), "m")
    assert not layout.is_claim(layout.claim("m-x-1", "k"), "m")
    assert layout.VERSION_FACTS.fullmatch(layout.version_facts(3))
    names = [layout.version_facts(12), layout.version_table(4), layout.version_facts(3)]
    assert layout.published_versions(names) == [3, 12]
    for name in (layout.REJECTED_PARTITION, layout.QUARANTINED_ROWS):
        assert layout.QUARANTINED.fullmatch(f"{layout.quarantine('inputs', DAY)}/{name}")
