"""Split the window in time: the newest labelled days are the holdout, never a random sample."""

from __future__ import annotations

import logging
import sys
from datetime import date

import pandas as pd

from ml.adapters.workspace import Workspace
from ml.core.arrivals import as_seen
from ml.core.features import add_history
from ml.core.windows import holdout_first_day
from ml.errors import DataRejected
from ml.records import Parts, Window
from ml.settings import Settings
from ml.steps.stage import CONTENT, EARLIER, seen_in, stage_main
from ml.wiring import Services

logger = logging.getLogger(__name__)


def run(window: Window, *, settings: Settings, services: Services) -> Parts:
    """Add the history features and write ``train`` and ``holdout``.

    Raises
    ------
    DataRejected
        If no day is left to train on, or if either part of a classification task holds a single
        class: nothing can be learnt from it, or judged on it.
    """
    logger.info("split: %d days, the newest %d held out", window.days, settings.split.holdout_days)
    place = services.workspace(window.workspace)
    labelled = place.read_table("data/rows.parquet")
    rows = labelled.loc[labelled["day"] >= window.first_day.isoformat()].reset_index(drop=True)
    days = [date.fromisoformat(day) for day in rows["day"].unique()]
    if len(days) <= settings.split.holdout_days:
        raise DataRejected(
            f"only {len(days)} days from {window.first_day} to {window.last_day} have labelled rows, and "
            f"split.holdout_days is {settings.split.holdout_days}: nothing is left to train on; "
            "lengthen the window, or check the labels"
        )
    first = holdout_first_day(days, settings.split.holdout_days).isoformat()
    rows = add_history(
        rows,
        _as_seen(labelled, place),
        settings.features.history,
        target=settings.task.target,
        label_delay_days=settings.task.label_delay_days,
    )
    train, holdout = rows.loc[rows["day"] < first], rows.loc[rows["day"] >= first]
    for name, part in (("training part", train), ("holdout", holdout)):
        _refuse_single_class(part, name, settings)
    place.write_table("parts/train.parquet", train)
    place.write_table("parts/holdout.parquet", holdout)
    parts = Parts(
        fingerprint=window.fingerprint,
        train_first_day=train["day"].min(),
        train_last_day=train["day"].max(),
        holdout_first_day=first,
        holdout_last_day=holdout["day"].max(),
        train_rows=len(train),
        holdout_rows=len(holdout),
    )
    place.write_json("parts/parts.json", parts.model_dump(mode="json", exclude={"fingerprint"}))
    logger.info("split: %d rows to train on, %d held out from %s on", len(train), len(holdout), first)
    return parts


def _as_seen(labelled: pd.DataFrame, place: Workspace) -> pd.DataFrame:
    """Say of the labelled rows which days could see them, and add those that were corrected since."""
    seen = seen_in(place.read_json("data/window.json"))
    earlier = place.read_table(EARLIER) if seen and place.has(EARLIER) else pd.DataFrame({CONTENT: []})
    by_content = {str(md5): rows.drop(columns=CONTENT) for md5, rows in earlier.groupby(CONTENT)}
    return as_seen(labelled, by_content, seen)


def _refuse_single_class(part: pd.DataFrame, name: str, settings: Settings) -> None:
    target = settings.task.target
    if settings.task.kind == "classification" and part[target].nunique() < 2:
        raise DataRejected(
            f"the {name} ({part['day'].min()} to {part['day'].max()}, {len(part)} rows) holds a single class of "
            f"{target!r}; lengthen the window or split.holdout_days, or check the labels"
        )


def main(argv: list[str] | None = None) -> int:
    """Split a local workspace; the ``split`` stage of ``dvc.yaml``."""
    return stage_main(__doc__, run, argv)


if __name__ == "__main__":
    sys.exit(main())
