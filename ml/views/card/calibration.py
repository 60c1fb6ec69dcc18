"""Lay out the calibration of a model card: what was predicted beside what came, bin by bin and class by class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ml.core.counting import interval_name
from ml.core.gate.day_resampling import Interval
from ml.core.gate.holdout_tables import ClassRow
from ml.settings import Settings
from ml.views.card.render import Block, Picture, Prose, Section, Table
from ml.views.card.sections import number, span


def section(
    table: pd.DataFrame, settings: Settings, pictures: tuple[bytes, bytes], classes: Sequence[ClassRow] = ()
) -> Section:
    """Compare what was predicted with what came, bin by bin, and class by class where there are several."""
    seen = "observed mean" if settings.task.kind == "regression" else "observed rate"
    level = interval_name(settings.gate.confidence)
    explanation = (
        f"Equally filled bins of the prediction: in each, the mean prediction next to the {seen} and its interval "
        "(whole days resampled)."
    )
    caption = f"On the dashed line the {seen} equals the mean prediction. The bars are {level}s."
    description = f"Mean prediction against {seen} in {len(table)} bins; the numbers are in the table below."
    shown = Table(("bin", "rows", "mean prediction", seen, level), _bins(table), words=())
    blocks: tuple[Block, ...] = (Prose(explanation), Picture(*pictures, description, caption), shown)
    if classes:
        together = "Each class counts against the rest, and all of them are in the bins together. Class by class:"
        by_class = tuple(
            (
                row.name,
                f"{row.rows:,}",
                *map(number, (row.predicted, row.observed, row.decided, row.calibration_error)),
            )
            for row in classes
        )
        headers = ("class", "rows", "mean probability", "observed rate", "share decided", "calibration error")
        blocks += (Prose(together), Table(headers, by_class))
    return Section("Calibration", blocks)


def quantile_section(table: pd.DataFrame, quantile: float, confidence: float) -> Section:
    """Compare how often the outcome was at or below the predicted quantile with that quantile, bin by bin.

    Parameters
    ----------
    table
        As `ml.core.gate.holdout_tables.calibration_table` gives it, of a target that is 1 where it is so.
    """
    explanation = (
        "Equally filled bins of the prediction: in each, the share of outcomes that were at or below the prediction "
        f"and its interval (whole days resampled). The share should be {quantile:g}."
    )
    headers = ("bin", "rows", "mean prediction", "share at or below", interval_name(confidence))
    return Section("Calibration", (Prose(explanation), Table(headers, _bins(table), words=())))


def _bins(table: pd.DataFrame) -> tuple[tuple[str, ...], ...]:
    columns = [table[name].tolist() for name in ("rows", "predicted", "observed", "low", "high")]
    return tuple(
        (f"{at}", f"{count:,}", number(predicted), number(observed), span(_interval(low, high)))
        for at, (count, predicted, observed, low, high) in enumerate(zip(*columns, strict=True), start=1)
    )


def _interval(low: float, high: float) -> Interval | None:
    return (low, high) if np.isfinite(low) and np.isfinite(high) else None
