"""What answers a request, what was asked, and what is answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from ml.serving import request_rows
from ml.serving.day_lookup import DayLookup
from ml.serving.served_version import ServedVersion


@dataclass(frozen=True)
class Serving:
    """A version that serves, with its lookups; replaced as a whole, so that a request sees one version only."""

    served: ServedVersion
    lookup: DayLookup
    from_copy: bool = False


@dataclass(frozen=True)
class Prediction:
    """The answer to some rows, in their order.

    Attributes
    ----------
    version
        Who answered; None if several did.
    half_width
        None if predictions have no intervals.
    versions
        Who answered each row, where a challenger answers some; else None.
    """

    predictions: np.ndarray
    version: int | None
    is_provisional: bool
    contributions: Sequence[Mapping[Any, float]] | None = None
    half_width: float | np.ndarray | None = None
    versions: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Requested:
    """The rows of a request, as they came and as the champion reads them."""

    rows: request_rows.Rows
    table: pa.Table
    days: Sequence[str]
    request: str | Sequence[str]
    explained: bool
    started: float


def placed(answer: Prediction, other: Prediction, places: np.ndarray) -> Prediction:
    """Put the answers to some rows in the place of others'."""
    predictions = answer.predictions.copy()
    predictions[places] = other.predictions
    contributions = answer.contributions
    if contributions is not None and other.contributions is not None:
        contributions = list(contributions)
        for place, shares in zip(places, other.contributions, strict=True):
            contributions[place] = shares
    return replace(
        answer,
        predictions=predictions,
        contributions=contributions,
        half_width=_half_width(answer.half_width, other.half_width, places, len(predictions)),
        is_provisional=answer.is_provisional or other.is_provisional,
    )


def _half_width(
    ours: float | np.ndarray | None, theirs: float | np.ndarray | None, places: np.ndarray, count: int
) -> float | np.ndarray | None:
    """Return how wide the interval of each row is; NaN for none."""
    if ours is None and theirs is None:
        return None
    widths = np.full(count, np.nan if ours is None else ours, dtype=float)
    widths[places] = np.nan if theirs is None else theirs
    return widths
