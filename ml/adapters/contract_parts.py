"""Hold a table that does not fit into memory against its contract, one part of it after the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from ml.adapters.contract_judge import WORST_FIRST, merge_failures
from ml.adapters.contract_report import render
from ml.adapters.contracts import Contracts, Screened
from ml.core.contracts import Failure, refusal


def screen_parts(
    contracts: Contracts, asset: str, parts: Iterable[tuple[pd.DataFrame, Mapping[str, object]]]
) -> Screened:
    """Say whether a table may go on, from its parts, and write one report of them all.

    Each part must meet the whole suite by itself: what a suite asks of all rows together (that a key is unique, the
    mean of a column) is asked of each part. One part is screened as `Contracts.screen` does.

    Parameters
    ----------
    parts
        Rows and the suite's parameters for them; only one part is held at once.

    Returns
    -------
    Screened
        Without any rows, unless there is one part.
    """
    failures: list[Failure] = []
    results: list[dict[str, Any]] = []
    screened = None
    for frame, parameters in parts:
        screened = contracts.screen(asset, frame, parameters=parameters)
        failures += screened.failures
        results.append(screened.result)
    if screened is None:
        raise ValueError("a table has one part at least")
    return screened if len(results) == 1 else _together(failures, results, contracts)


def _together(failures: Sequence[Failure], results: Sequence[dict[str, Any]], contracts: Contracts) -> Screened:
    merged = merge_failures(failures)
    counts = {name: sum(result[name] for result in results) for name in ("rows", "accepted_rows", "quarantined_rows")}
    reason = refusal(
        merged,
        rows=counts["rows"],
        bad_rows=counts["quarantined_rows"],
        max_bad_share=contracts.settings.max_quarantined_share,
    ) or "; ".join(dict.fromkeys(result["reason"] for result in results if result["reason"]))
    accepted = "accepted, some rows quarantined" if counts["quarantined_rows"] else "accepted"
    result = {
        **results[0],
        **counts,
        "verdict": "refused" if reason else accepted,
        "reason": reason,
        "accepted_rows": 0 if reason else counts["accepted_rows"],
        "parameters": {f"part {number}": each["parameters"] for number, each in enumerate(results, start=1)},
        "failures": [failure.as_dict() for failure in merged],
        "expectations": [
            min(same, key=lambda one: WORST_FIRST.index(one["status"]))
            for same in zip(*(each["expectations"] for each in results), strict=True)
        ],
    }
    nothing = pd.DataFrame()
    return Screened(nothing, nothing, merged, bool(reason), reason, render(result), result)
