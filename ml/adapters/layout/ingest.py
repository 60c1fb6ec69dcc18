"""Name what ingest writes: landed and rejected days, doubts of labels, receipts, and the days of a replay."""

from __future__ import annotations

import re

from ml.adapters.layout.days import Day


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
"""Folder with a `days.day_json` of each day whose labels were in doubt, and that a person let in."""
LABEL_SUMS, SUMS = "label_sums", "newest.json"
"""A folder with the sums of the newest days' labels, and its only file."""
RECEIPTS = "receipts/labels"
"""Folder with a `days.day_json` of each day: which delivery of its labels was taken last."""
REPLAYED = "replayed"
"""Folder with a `days.day_json` of each day that `evergreen replay` has lived through."""
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
"""Folders with an `days.asset_day_json` of each day that was rejected, or taken out of the data registry."""
