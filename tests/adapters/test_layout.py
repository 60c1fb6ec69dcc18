"""Paths in the storage: each as it is on disk, since a release reads what earlier ones wrote."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from datetime import date

import pytest

from ml.adapters import layout

DAY = date(2013, 4, 1)
SHA = "0123456789abcdef" * 4
MODULES = [
    importlib.import_module(f"{layout.__name__}.{found.name}") for found in pkgutil.iter_modules(layout.__path__)
]

PATHS = {
    layout.ingest.landing: ((DAY,), "landing/day=2013-04-01"),
    layout.ingest.landed: (("inputs", DAY), "inputs/day=2013-04-01.parquet"),
    layout.ingest.accepted: (("labels", DAY), "accepted/labels/day=2013-04-01.parquet"),
    layout.ingest.validation: (("inputs", DAY), "validation/inputs/day=2013-04-01"),
    layout.ingest.quarantine: (("labels", "2013-04-01"), "quarantine/labels/day=2013-04-01"),
    layout.ingest.labels_report: ((DAY, "lost"), "labels/day=2013-04-01/lost.json"),
    layout.days.asset_day_json: (("inputs", DAY), "inputs/day=2013-04-01.json"),
    layout.days.day_json: ((DAY,), "day=2013-04-01.json"),
    layout.training.run_dir: (("f1",), "runs/f1"),
    layout.training.aggregate: ((DAY, SHA), "day=2013-04-01/0123456789abcdef0123456789abcdef.parquet"),
    layout.training.artifact: ((3, "card/model_card.html"), "version=3/card/model_card.html"),
    layout.scoring.staging: ((DAY, 3), "staging/day=2013-04-01/version=3"),
    layout.scoring.staged_shard: ((0, 5000, SHA), "rows=000000000000-000000005000-0123456789abcdef.parquet"),
    layout.scoring.predictions: ((DAY,), "predictions/day=2013-04-01"),
    layout.scoring.shadow: ((DAY,), "shadow/day=2013-04-01"),
    layout.scoring.version_table: ((3,), "version=3.parquet"),
    layout.scoring.version_facts: ((3,), "version=3.json"),
    layout.scoring.version_report: ((3,), "version=3.html"),
    layout.monitoring.day_dir: ((DAY,), "monitor/day=2013-04-01"),
    layout.monitoring.refit_days: ((3,), "version=3.json"),
    layout.monitoring.shadow_refit: (("f1", 200000), "refits/f1-200000"),
    layout.monitoring.drift_result: ((3,), "version=3/drift.json"),
    layout.monitoring.drift_report: ((3,), "version=3/drift.html"),
    layout.monitoring.distributions: ((3,), "version=3/distributions.json"),
    layout.champions.model_record: (("promoted", 3, "r1"), "promoted/version=3/run=r1.json"),
    layout.champions.model_records: (("registered", 3), "registered/version=3/"),
    layout.champions.promoted_decision: ((SHA,), "promoted/decision=0123456789abcdef0123456789abcdef.json"),
    layout.champions.claim: (("m-1", None), "claims/m-1/after=none.json"),
    layout.champions.withdrawal: (("claims/m-1/after=none.json",), "claims/m-1/withdrawn=none.json"),
    layout.champions.mirroring_run: (("m-1", "k"), "claims/m-1/decision=8254c329a92850f6d539dd376f4816ee"),
    layout.champions.claims: (("m",), "claims/m-"),
    layout.champions.damaged: (("claims/m-1/after=none.json",), "damaged/claims/m-1/after=none.json"),
    layout.alerts.episodes: (("drift",), "episodes/drift"),
    layout.training.past_refreshes: ((), "refreshes"),
    layout.serving.serving_token: (("laptop",), "serving/tokens/laptop.json"),
    layout.serving.serving_problem: ((SHA,), "serving/problems/0123456789abcdef0123456789abcdef.json"),
    layout.serving.challenger_problem: ((SHA,), "serving/challenger_problems/0123456789abcdef0123456789abcdef.json"),
    layout.serving.split_stop: ((3,), "serving/stops/version=3.json"),
    layout.serving.split_resumed: ((3,), "serving/resumed/version=3.json"),
    layout.serving.split_days: (("paired", 1, 3), "split_days/challenger=3/champion=1/paired"),
    layout.serving.refused_requests: ((DAY, "1a2b"), "refused_requests/day=2013-04-01/process=1a2b.json"),
    layout.serving.request_part: (
        (DAY, "20130401T000000000000-1a2b3c4d", 7),
        "requests/day=2013-04-01/part=20130401T000000000000-1a2b3c4d-bytes=7.parquet",
    ),
    layout.serving.requests: ((DAY,), "requests/day=2013-04-01/"),
    layout.serving.served_copy: ((3,), "version=3"),
    layout.alerts.alert: (("drift/e/opened",), "outbox/alerts/drift/e/opened.json"),
    layout.alerts.deliveries: (("email",), "outbox/delivered/email/"),
    layout.alerts.digest_key: ((DAY,), "digest/2013-04-01"),
    layout.alerts.late_key: (("2013-06-14", "opened"), "predictions_late/since=2013-06-14/opened"),
    layout.alerts.delivered: (("email", "drift/e/opened"), "outbox/delivered/email/drift/e/opened.json"),
    layout.alerts.partly_delivered: (("email", "drift/e/opened"), "outbox/partly/email/drift/e/opened.json"),
    layout.alerts.paused: (("slack",), "outbox/paused/slack"),
    layout.alerts.delivery_claims: (("email", "drift/e/opened"), "outbox/claims/email/drift/e/opened/"),
    layout.backtest.cached_screening: (("inputs", "k"), "screen/inputs/k.json"),
    layout.backtest.cached: (("fits", "k"), "fits/k"),
    layout.backtest.cached_drift: (("k",), "drift/k.json"),
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
    layout.scoring.published_versions,
    layout.champions.run_of,
    layout.champions.is_claim,
    layout.champions.book_of,
    layout.champions.after_of,
    layout.champions.digest,
    layout.alerts.key_of,
}
"""These take a path apart."""


@pytest.mark.parametrize("build", PATHS, ids=lambda build: build.__name__)
def test_a_path_is_what_it_always_was(build: object) -> None:
    arguments, path = PATHS[build]  # type: ignore[index]
    assert build(*arguments) == path  # type: ignore[operator]


def test_a_name_is_what_it_always_was() -> None:
    found = {
        name: value
        for module in MODULES
        for name, value in vars(module).items()
        if name.isupper() and isinstance(value, str)
    }
    assert found == CONSTANTS


def test_every_path_is_pinned_here() -> None:
    own = {
        each
        for module in MODULES
        for each in vars(module).values()
        if inspect.isfunction(each) and each.__module__ == module.__name__
    }
    assert {each for each in own if not each.__name__.startswith("_")} == PATHS.keys() | READERS


def test_a_forced_training_has_a_folder_of_its_own() -> None:
    assert layout.training.run_dir("f1", forced_by="request") == "runs/f1-forced-1f58b9145b24"


def test_later_claims_are_numbered() -> None:
    assert layout.champions.claim("m-1", "k") == "claims/m-1/after=8254c329a92850f6d539dd376f4816ee.json"
    assert layout.champions.claim("m-1", "k", 2) == "claims/m-1/after=8254c329a92850f6d539dd376f4816ee.2.json"
    assert layout.champions.mirroring_run("m-1", "k", 2) == "claims/m-1/decision=8254c329a92850f6d539dd376f4816ee.2"


def test_paths_are_read_back() -> None:
    assert layout.champions.run_of(layout.champions.model_record("promoted", 3, "r1")) == "r1"
    assert layout.champions.model_records("registered") == "registered/version="
    assert layout.alerts.key_of(layout.alerts.alert("drift/e/opened"), layout.alerts.ALERTS) == "drift/e/opened"
    assert layout.champions.book_of(layout.champions.claim("m-1", "k", 2)) == "m-1"
    assert layout.champions.after_of(layout.champions.claim("m-1", "k", 2)) == layout.champions.digest("k")
    assert layout.champions.is_claim(layout.champions.claim("m-1", "k", 2), "m")
    assert not layout.champions.is_claim(layout.champions.withdrawal(layout.champions.claim("m-1", "k")), "m")
    assert not layout.champions.is_claim(layout.champions.claim("m-x-1", "k"), "m")
    assert layout.scoring.VERSION_FACTS.fullmatch(layout.scoring.version_facts(3))
    names = [layout.scoring.version_facts(12), layout.scoring.version_table(4), layout.scoring.version_facts(3)]
    assert layout.scoring.published_versions(names) == [3, 12]
    for name in (layout.ingest.REJECTED_PARTITION, layout.ingest.QUARANTINED_ROWS):
        assert layout.ingest.QUARANTINED.fullmatch(f"{layout.ingest.quarantine('inputs', DAY)}/{name}")
