"""Name every file that Evergreen writes to its storage, and every folder of a backtest's cache.

This is the only module that builds such a path; the data registry names its own files (`ml.adapters.data_registry`). A
name is relative to the storage's root, or to the folder that a comment names. Names never change between releases.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from datetime import date
from typing import Literal

Day = date | str  # text is an ISO date


# --- ingest ---------------------------------------------------------------------------------------


def landing(day: Day) -> str:
    """Return the folder in which a partition is landed and screened."""
    return f"landing/day={day}"


def landed(asset: str, day: Day) -> str:
    """Return the file of a day as it was fetched, inside `landing`."""
    return f"{asset}/day={day}.parquet"


def accepted(asset: str, day: Day) -> str:
    """Return the file with the accepted rows of a day, inside `landing`."""
    return f"accepted/{asset}/day={day}.parquet"


def validation(asset: str, day: Day) -> str:
    """Return the folder with what a contract found in a day; ``predictions`` have one too."""
    return f"validation/{asset}/day={day}"


QUARANTINES = "quarantine/"
QUARANTINED = re.compile(r"quarantine/(inputs|labels)/day=(\d{4}-\d\d-\d\d)/(partition|rows)\.parquet")
"""Prefix of all quarantined files, and one: its asset, its day, and whether it is the whole or some rows."""


def quarantine(asset: str, day: Day) -> str:
    """Return the folder with the quarantined rows of a day, or the whole of it."""
    return f"quarantine/{asset}/day={day}"


REPORT, RESULT, REJECTED_PARTITION, QUARANTINED_ROWS = "report.html", "result.json", "partition.parquet", "rows.parquet"
"""The former inside `validation`, and of a rejected day inside `quarantine` too; the latter inside `quarantine`."""

LABEL_DOUBT, ACCEPTED_ROWS = "doubt.json", "accepted.parquet"
"""Inside `quarantine`, of labels in doubt: why, and the rows that their contract lets in."""
ACCEPTED_LABELS = "accepted_labels"
"""Folder with a `day_json` of each day whose labels were in doubt, and that a person let in."""
LABEL_SUMS, SUMS = "label_sums", "newest.json"
"""A folder with the sums of the newest days' labels, and its only file."""
RECEIPTS = "receipts/labels"
"""Folder with a `day_json` of each day: which delivery of its labels was taken last."""
SLICE_SCORES = "slice_scores"
"""A folder with what the slices of the newest labelled days measured; its only file is named as that of `LABEL_SUMS`.
"""
REPLAYED = "replayed"
"""Folder with a `day_json` of each day that `evergreen replay` has lived through."""
REPLAY_PERIOD = "period.json"
"""Which days the newest replay is about, inside `REPLAYED`."""
DEMO, DEMO_FAULT = "demo", "fault.json"
"""Folder of what people switch on in the demo's feed, and the fault of one of its days."""
REPORTED = "reported"
"""Folder with a `labels_report` for each thing that only one partition reports."""


def labels_report(day: Day, identity: str) -> str:
    """Return the file that says which partition reports rejected labels of that identity, inside `REPORTED`."""
    return f"labels/day={day}/{identity}.json"


REJECTED, WITHDRAWN = "rejected", "withdrawn"
"""Folders with an `asset_day_json` of each day that was rejected, or taken out of the data registry."""


def asset_day_json(asset: str, day: Day) -> str:
    """Return the file with the facts of a day, in a folder that has one of each asset and day."""
    return f"{asset}/day={day}.json"


def day_json(day: Day) -> str:
    """Return the file with the facts of a day, in a folder that has one of each day."""
    return f"day={day}.json"


# --- training -------------------------------------------------------------------------------------


def run_dir(fingerprint: str, *, forced_by: str | None = None) -> str:
    """Return the folder of a training; one that request ``forced_by`` forced has its own, the same at each retry."""
    suffix = "" if forced_by is None else f"-forced-{hashlib.sha256(forced_by.encode()).hexdigest()[:12]}"
    return f"runs/{fingerprint}{suffix}"


AGGREGATES = "history"
"""Folder with the aggregates of labelled days from which lagged target means are computed."""


def aggregate(day: Day, digest: str) -> str:
    """Return the file with the aggregates of a day, inside `AGGREGATES`; ``digest`` is of all they follow from."""
    return f"day={day}/{digest[:32]}.parquet"


def past_refreshes() -> str:
    """Return the folder with what refreshes gained in the past of a recipe, each named by what determines it."""
    return "refreshes"


def artifact(version: int, name: str) -> str:
    """Return the name under which the page serves a file that MLflow keeps with a version's run."""
    return f"version={version}/{name}"


# --- scoring --------------------------------------------------------------------------------------


def staging(day: Day, version: int | None) -> str:
    """Return the folder with the scored shards of a day, before they are published."""
    return f"staging/day={day}/version={version}"


def staged_shard(first: int, end: int, sha256: str) -> str:
    """Return the file of a shard, inside `staging`: the names sort in row order."""
    return f"rows={first:012d}-{end:012d}-{sha256[:16]}.parquet"


def predictions(day: Day) -> str:
    """Return the folder with the published predictions of a day."""
    return f"predictions/day={day}"


def shadow(day: Day) -> str:
    """Return the folder with what versions that do not serve predicted for a day."""
    return f"shadow/day={day}"


def version_table(version: int | None) -> str:
    """Return the predictions of a version, inside `predictions` and `shadow`."""
    return f"version={version}.parquet"


def version_facts(version: int | None) -> str:
    """Return how the predictions of a version were made, inside `predictions` and `shadow`."""
    return f"version={version}.json"


def version_report(version: int | None) -> str:
    """Return the validation report of a version's predictions, inside their `validation`."""
    return f"version={version}.html"


VERSION_FACTS = re.compile(r"version=(\d+)\.json")


def published_versions(names: Iterable[str]) -> list[int]:
    """Return the versions whose predictions a day's folder of predictions holds as published, by its names."""
    return sorted(int(match[1]) for name in names if (match := VERSION_FACTS.fullmatch(name)))


# --- monitoring -----------------------------------------------------------------------------------


def monitoring(day: Day) -> str:
    """Return the folder with what was measured and decided for a day."""
    return f"monitor/day={day}"


SUMMARY, DECISION, COMPARISON = "summary.json", "decision.json", "comparison.json"
PERFORMANCE, PERFORMANCE_BY_DAY = "performance.json", "performance_by_day.csv"
"""Inside `monitoring`."""


REFITS, REFIT = "refits", "pipeline.skops"
"""A folder with the days that refits in shadow have scored, and each `shadow_refit`; the latter's only file."""


def refit_days(version: int) -> str:
    """Return the file with the days that refits in shadow have scored beside a version, inside `REFITS`."""
    return f"version={version}.json"


def shadow_refit(fingerprint: str, most_rows: int) -> str:
    """Return the folder of a recipe that was fitted again in shadow; ``fingerprint`` is of its training."""
    return f"refits/{fingerprint}-{most_rows}"


def drift_result(version: int | None) -> str:
    """Return the facts of a drift report, inside `monitoring`."""
    return f"version={version}/drift.json"


def drift_report(version: int | None) -> str:
    """Return Evidently's drift report, inside `monitoring`."""
    return f"version={version}/drift.html"


def distributions(version: int | None) -> str:
    """Return how each column was distributed in the reference and in the window, inside `monitoring`."""
    return f"version={version}/distributions.json"


# --- who serves -----------------------------------------------------------------------------------


ModelRecord = Literal["promoted", "registered"]
MODEL_RECORDS: tuple[ModelRecord, ...] = ("promoted", "registered")


def model_record(kind: ModelRecord, version: int, run_id: str) -> str:
    """Return the record of a model that was promoted or registered."""
    return f"{model_records(kind, version)}run={run_id}.json"


def model_records(kind: ModelRecord, version: int | None = None) -> str:
    """Return the prefix of the records of a version; None means those of all versions."""
    return f"{kind}/version={'' if version is None else f'{version}/'}"


def promoted_decision(digest: str) -> str:
    """Return the record of a change of the champion; ``digest`` is of its facts."""
    return f"promoted/decision={digest[:32]}.json"


def run_of(record: str) -> str:
    """Return the run that a `model_record` is of."""
    return record.rpartition("run=")[2].removesuffix(".json")


def claim(book: str, after: str | None, number: int = 0) -> str:
    """Return the claim to follow the decision with key ``after`` (None: the first), the ``number``-th try."""
    return f"claims/{book}/after={digest(after) if after is not None else 'none'}{_numbered(number)}.json"


def withdrawal(claim: str) -> str:
    """Return the file that says why a claim no longer holds."""
    return claim.replace("/after=", "/withdrawn=")


def mirroring_run(book: str, key: str, number: int = 0) -> str:
    """Return the file that names the run of MLflow that mirrors the change with that key."""
    return f"claims/{book}/decision={digest(key)}{_numbered(number)}"


def claims(model: str) -> str:
    """Return the prefix of all claims of a model."""
    return f"claims/{model}-"


def is_claim(name: str, model: str) -> bool:
    """Check whether a name is that of a claim of a model."""
    return re.fullmatch(rf"claims/{re.escape(model)}-\d+/after=[^/]+\.json", name) is not None


def book_of(claim: str) -> str:
    """Return the book of a claim."""
    return claim.split("/")[1]


def after_of(claim: str) -> str:
    """Return the `digest` of the decision that a claim follows, or ``none``."""
    return claim.rpartition("/after=")[2].partition(".")[0]


def damaged(name: str) -> str:
    """Return where a damaged file is moved."""
    return f"damaged/{name}"


def digest(key: str) -> str:
    """Shorten a key to what a name can hold."""
    return hashlib.sha256(key.encode()).hexdigest()[:32]


def _numbered(number: int) -> str:
    return f".{number}" if number else ""


# --- alerts ---------------------------------------------------------------------------------------


def episodes(family: str) -> str:
    """Return the folder with a `day_json` of each day on which an alarm of a family changed."""
    return f"episodes/{family}"


INSTALLATION = "outbox/installation"
"""Random text, made once, by which Message-IDs differ between installations."""
ALERTS = "outbox/alerts/"
"""Prefix of each `alert`."""


def alert(key: str) -> str:
    """Return an alert as it waits for its channels, and stays."""
    return f"{ALERTS}{key}.json"


LATE = "predictions_late/since="
"""How the keys of alerts begin that say that predictions are late, or that they came: a day follows."""


DIGEST = "digest/"
"""How the keys of weekly digests begin: a day follows."""


def digest_key(day: Day) -> str:
    """Return the key of the alert that is the digest of the week before a day."""
    return f"{DIGEST}{day}"


def late_key(day: Day, what: Literal["opened", "resolved"]) -> str:
    """Return the key of the alert by which an episode of late predictions begins, or ends."""
    return f"{LATE}{day}/{what}"


def delivered(channel: str, key: str) -> str:
    """Return the receipt of an alert that a channel has done with."""
    return f"{deliveries(channel)}{key}.json"


def deliveries(channel: str) -> str:
    """Return the prefix of each `delivered` of a channel."""
    return f"outbox/delivered/{channel}/"


def partly_delivered(channel: str, key: str) -> str:
    """Return the receipt of an alert that some recipients of a channel still wait for."""
    return f"outbox/partly/{channel}/{key}.json"


def paused(channel: str) -> str:
    """Return the file that says until when a channel asked to be left alone."""
    return f"outbox/paused/{channel}"


def delivery_claims(channel: str, key: str) -> str:
    """Return the prefix of the claims to deliver an alert by a channel, numbered."""
    return f"outbox/claims/{channel}/{key}/"


def key_of(path: str, prefix: str) -> str:
    """Return the key of the alert whose `alert` or `delivered` lies below a prefix."""
    return path.removeprefix(prefix).removesuffix(".json")


# --- predictions on request ------------------------------------------------------------------------


SERVING_TOKENS = "serving/tokens/"
"""Prefix of each `serving_token`."""
SERVING_PROBLEMS = "serving/problems/"
"""Prefix of each `serving_problem`."""
CHALLENGER_PROBLEMS = "serving/challenger_problems/"
"""Prefix of each `challenger_problem`."""
SPLIT_STOPS = "serving/stops/"
"""Prefix of each `split_stop`."""
REQUEST_PERFORMANCE = "request_performance"
"""Folder with a `day_json` of each day on which answers were measured on their labels."""
REFUSED = "refused_requests/"
"""Prefix of each `refused_requests`."""
REQUESTS = "requests/"
"""Prefix of each `request_part`."""


def serving_token(name: str) -> str:
    """Return the record of a token with which the model may be asked."""
    return f"serving/tokens/{name}.json"


def serving_problem(digest: str) -> str:
    """Return the record of what keeps a service from the champion; ``digest`` is of the problem."""
    return f"serving/problems/{digest[:32]}.json"


def challenger_problem(digest: str) -> str:
    """Return the record of what keeps a challenger from being asked; ``digest`` is of the problem."""
    return f"{CHALLENGER_PROBLEMS}{digest[:32]}.json"


def split_stop(version: int) -> str:
    """Return the record that the split of a challenger was stopped."""
    return f"{SPLIT_STOPS}version={version}.json"


def split_resumed(version: int) -> str:
    """Return the record that a person let a challenger answer again after a stop."""
    return f"serving/resumed/version={version}.json"


def split_days(kind: Literal["paired", "randomised"], champion: int, challenger: int) -> str:
    """Return the folder with a `day_json` of each labelled day on which a challenger was asked beside a champion."""
    return f"split_days/challenger={challenger}/champion={champion}/{kind}"


def refused_requests(day: Day, process: str) -> str:
    """Return how many requests a process refused on a day, by status."""
    return f"{REFUSED}day={day}/process={process}.json"


def request_part(day: Day, part: str, size: int) -> str:
    """Return a part of the request log: the rows of a day, ``size`` bytes; the names sort by time."""
    return f"{requests(day)}part={part}-bytes={size}.parquet"


def requests(day: Day) -> str:
    """Return the prefix of the request log of a day."""
    return f"requests/day={day}/"


def served_copy(version: int) -> str:
    """Return the folder with a version's copy, inside the folder of this machine's scoring service."""
    return f"version={version}"


SERVED_COPIES = "version=*"


REQUEST_PART = re.compile(r"requests/day=(\d{4}-\d\d-\d\d)/part=(.+)-bytes=(\d+)\.parquet")


# --- the cache of backtests, a folder of its own ---------------------------------------------------


def cached(kind: Literal["worlds", "courses", "fits", "gates", "references", "refreshes"], key: str) -> str:
    """Return the folder of replayed tables, a simulation, a fit, a verdict, a reference window, or a past refresh."""
    return f"{kind}/{key}"


def cached_drift(key: str) -> str:
    """Return a drift report, inside that of its reference window."""
    return f"drift/{key}.json"


def cached_screening(asset: str, key: str) -> str:
    """Return what a contract found in a day."""
    return f"screen/{asset}/{key}.json"
