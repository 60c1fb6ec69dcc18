"""Write down which days a person marked as not to be learned from, and which no more.

The marks are part of a data version, as ``excluded_days.csv``: whatever is trained on a version, or rebuilt from it,
leaves out the same days. Lines are only added; the last of a day counts.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from datetime import date

from ml.errors import EvergreenError
from ml.records import DayMark

EXCLUDED_DAYS = "excluded_days.csv"
HEADER = ("day", "excluded", "requested_by", "reason", "decision_id")


def parse_marks(data: bytes | None) -> dict[date, DayMark]:
    """Read the newest mark of each day that was ever marked; none of a registry without the file."""
    try:
        lines = list(csv.reader(io.StringIO((data or b"").decode())))[1:]
        marks = [
            DayMark(
                day=date.fromisoformat(day),
                excluded={"yes": True, "no": False}[state],
                requested_by=by,
                reason=reason,
                decision_id=decision,
            )
            for day, state, by, reason, decision in lines
        ]
    except (ValueError, KeyError) as err:
        raise EvergreenError(
            f"{EXCLUDED_DAYS} of the data registry is damaged ({err}); revert the commit that changed it"
        ) from err
    newest = {mark.day: mark for mark in marks}
    return {day: newest[day] for day in sorted(newest)}


def add_marks(before: bytes | None, marks: Iterable[DayMark]) -> bytes:
    """Return the file with more lines at its end."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if not before:
        writer.writerow(HEADER)
    writer.writerows(
        (mark.day, "yes" if mark.excluded else "no", mark.requested_by, " ".join(mark.reason.split()), mark.decision_id)
        for mark in marks
    )
    return (before or b"") + text.getvalue().encode()
