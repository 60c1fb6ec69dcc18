"""Name what predictions on request need and leave: tokens, problems, splits, the request log."""

from __future__ import annotations

import re
from typing import Literal

from ml.adapters.layout.days import Day

SERVING_TOKENS = "serving/tokens/"
"""Prefix of each `serving_token`."""
SERVING_PROBLEMS = "serving/problems/"
"""Prefix of each `serving_problem`."""
CHALLENGER_PROBLEMS = "serving/challenger_problems/"
"""Prefix of each `challenger_problem`."""
SPLIT_STOPS = "serving/stops/"
"""Prefix of each `split_stop`."""
REQUEST_PERFORMANCE = "request_performance"
"""Folder with a `days.day_json` of each day on which answers were measured on their labels."""
REFUSED = "refused_requests/"
"""Prefix of each `refused_requests`."""
REQUESTS = "requests/"
"""Prefix of each `request_part`."""


def serving_token(name: str) -> str:
    """Return the record of a token with which the model may be asked."""
    return f"{SERVING_TOKENS}{name}.json"


def serving_problem(digest: str) -> str:
    """Return the record of what keeps a service from the champion; ``digest`` is of the problem."""
    return f"{SERVING_PROBLEMS}{digest[:32]}.json"


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
    """Return the folder with a `days.day_json` of each labelled day on which both were asked."""
    return f"split_days/challenger={challenger}/champion={champion}/{kind}"


def refused_requests(day: Day, process: str) -> str:
    """Return how many requests a process refused on a day, by status."""
    return f"{REFUSED}day={day}/process={process}.json"


def request_part(day: Day, part: str, size: int) -> str:
    """Return a part of the request log: the rows of a day, ``size`` bytes; the names sort by time."""
    return f"{requests(day)}part={part}-bytes={size}.parquet"


def requests(day: Day) -> str:
    """Return the prefix of the request log of a day."""
    return f"{REQUESTS}day={day}/"


def served_copy(version: int) -> str:
    """Return the folder with a version's copy, inside the folder of this machine's scoring service."""
    return f"version={version}"


SERVED_COPIES = "version=*"


REQUEST_PART = re.compile(r"requests/day=(\d{4}-\d\d-\d\d)/part=(.+)-bytes=(\d+)\.parquet")
