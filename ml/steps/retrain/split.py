"""Split the window in time: the newest labelled days are the holdout, never a random sample."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from datetime import date

import pandas as pd

from ml.adapters.workspace import Workspace
from ml.core.data.keys import merge_exactly
from ml.core.training.parts import cut, first_held_out, with_history
from ml.records import Content, Parts, Window
from ml.settings import Settings
from ml.steps.retrain import streamed_parts
from ml.steps.retrain.stage import CONTENT, EARLIER, OWN_FEATURES, seen_in, stage_main
from ml.wiring import Services

logger = logging.getLogger(__name__)


def run(window: Window, *, settings: Settings, services: Services) -> Parts:
    """Add the history features and write ``train`` and ``holdout``; with ``fit.stream``, samples and all rows of both.

    Raises
    ------
    DataRejected
        If no day is left to train on, or if either part of a classification task holds a single
        class: nothing can be learnt from it, or judged on it.
    """
    logger.info("split: %d days, the newest %d held out", window.days, settings.split.holdout_days)
    run_dir = services.workspace(window.workspace)
    facts = run_dir.read_json("data/window.json")
    contents = seen_in(facts)
    earlier = _earlier(run_dir) if contents else {}
    write = streamed_parts.write if settings.fit.stream else _in_memory
    parts = write(window, run_dir, settings, days=facts["days"], earlier=earlier, contents=contents)
    run_dir.write_json("parts/parts.json", parts.model_dump(mode="json", exclude={"fingerprint"}, exclude_none=True))
    logger.info(
        "split: %d rows to train on, %d held out from %s on",
        parts.train_rows,
        parts.holdout_rows,
        parts.holdout_first_day,
    )
    return parts


def _in_memory(
    window: Window,
    run_dir: Workspace,
    settings: Settings,
    *,
    days: Sequence[str],
    earlier: Mapping[str, pd.DataFrame],
    contents: Sequence[Content],
) -> Parts:
    """Cut the window as one frame."""
    labelled = run_dir.read_table("data/rows.parquet")
    rows = labelled.loc[labelled["day"].isin(days)].reset_index(drop=True)
    present = [date.fromisoformat(day) for day in rows["day"].unique()]
    first = first_held_out(present, window.first_day, window.last_day, settings)
    if settings.features.python:
        added = run_dir.read_table(OWN_FEATURES)
        rows = merge_exactly(rows, added, settings.task.key, how="left", validate="one_to_one")
    rows = with_history(rows, labelled, settings, earlier=earlier, contents=contents)
    train, holdout = cut(rows, first, settings)
    run_dir.write_table("parts/train.parquet", train)
    run_dir.write_table("parts/holdout.parquet", holdout)
    return Parts(
        fingerprint=window.fingerprint,
        train_first_day=train["day"].min(),
        train_last_day=train["day"].max(),
        holdout_first_day=first,
        holdout_last_day=holdout["day"].max(),
        train_rows=len(train),
        holdout_rows=len(holdout),
    )


def _earlier(run_dir: Workspace) -> dict[str, pd.DataFrame]:
    """Read the labelled rows of days as they were before a correction, by the md5 of their labels."""
    earlier = run_dir.read_table(EARLIER) if run_dir.has(EARLIER) else pd.DataFrame({CONTENT: []})
    return {str(md5): rows.drop(columns=CONTENT) for md5, rows in earlier.groupby(CONTENT)}


def main(argv: list[str] | None = None) -> int:
    """Split a local workspace; the ``split`` stage of ``dvc.yaml``."""
    return stage_main(__doc__, run, argv)


if __name__ == "__main__":
    sys.exit(main())
