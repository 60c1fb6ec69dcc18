"""Measure what a model card shows of a holdout: slices and calibration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ml.core.built_in_metrics import CALIBRATION_BINS
from ml.core.gate.comparison import expanded_tails, new_to_both
from ml.core.gate.day_resampling import N_RESAMPLES, day_codes
from ml.core.gate.slices import cut
from ml.core.metric import against_the_rest
from ml.core.metrics import measure, pooled
from ml.core.predictions import array, representative
from ml.core.training.importance import overall_loss
from ml.settings import Settings

MOST_GROUPS = 10


@dataclass(frozen=True)
class Slice:
    """One group of the holdout's rows; ``gain`` is how much lower its loss is than the champion's.

    Of several classes ``predicted`` is the mean probability of the decided class, ``observed`` how often it came true.

    ``gain`` is None without a champion, or where it had seen all days of the slice.
    """

    name: str
    rows: int
    days: int
    predicted: float
    observed: float
    loss: float
    gain: float | None


@dataclass(frozen=True)
class SliceTable:
    """The largest groups of a column or an expression; ``left_out`` counts the other groups."""

    by: str
    slices: tuple[Slice, ...]
    left_out: int
    left_out_rows: int
    problem: str | None = None


def calibration_table(
    scored: pd.DataFrame, *, confidence: float, seed: int, n_resamples: int = N_RESAMPLES
) -> pd.DataFrame:
    """Compare mean prediction with mean outcome in ten equally filled bins of the prediction.

    Of several classes each counts against the rest, all of them together; see `class_table` for each by itself.

    Returns
    -------
    DataFrame of shape (n_bins, 5)
        ``predicted``, ``observed``, ``low`` and ``high`` (interval of ``observed``, whole days
        resampled; null for fewer than two days) and ``rows``; fewer than ten bins where predictions tie.
    """
    days, codes = day_codes(scored)
    predicted, observed = array(scored["challenger"]), scored["target"].to_numpy(dtype=float)
    if predicted.ndim > 1:
        codes = np.tile(codes, predicted.shape[1])
        observed, predicted = pooled(observed, predicted)
    rank = pd.Series(predicted).rank(method="average") / len(predicted)
    bins = np.unique(np.ceil(rank * CALIBRATION_BINS), return_inverse=True)[1]
    frame = pd.DataFrame({"bin": bins, "predicted": predicted, "observed": observed})
    grouped = frame.groupby("bin", sort=True)
    table = grouped.mean().assign(low=np.nan, high=np.nan, rows=grouped.size())
    if days >= 2:
        shape = (days, len(table))
        totals, rows = np.zeros(shape), np.zeros(shape)
        np.add.at(totals, (codes, bins), frame["observed"].to_numpy())
        np.add.at(rows, (codes, bins), 1.0)
        draws = np.random.default_rng(seed).integers(0, days, size=(n_resamples, days))
        drawn_rows = rows[draws].sum(axis=1)
        empty = np.full_like(drawn_rows, np.nan)
        means = np.divide(totals[draws].sum(axis=1), drawn_rows, out=empty, where=drawn_rows > 0)
        table["low"], table["high"] = np.nanquantile(means, expanded_tails(days, confidence), axis=0)
    return table.reset_index(drop=True)


@dataclass(frozen=True)
class ClassRow:
    """How the holdout's rows are of one class, and how often, and how probable, the model said so."""

    name: str
    rows: int
    predicted: float
    observed: float
    decided: float
    calibration_error: float


def class_table(scored: pd.DataFrame, settings: Settings) -> tuple[ClassRow, ...]:
    """Compare of each class the mean probability with the share of rows that are of it; empty without classes."""
    if not settings.task.classes:
        return ()
    target, predicted = scored["target"].to_numpy(dtype=float), array(scored["challenger"])
    decided = predicted.argmax(axis=1)
    sides = against_the_rest(target, predicted)
    return tuple(
        ClassRow(
            name=str(label),
            rows=int(of_class.sum()),
            predicted=float(probability.mean()),
            observed=float(of_class.mean()),
            decided=float((decided == number).mean()),
            calibration_error=measure(of_class, probability, "classification")["calibration_error"],
        )
        for number, (label, (of_class, probability)) in enumerate(zip(settings.task.classes, sides, strict=True))
    )


def slice_tables(rows: pd.DataFrame, scored: pd.DataFrame, settings: Settings) -> tuple[SliceTable, ...]:
    """Measure the groups that the gate's rules name, or else those of the categorical features.

    Parameters
    ----------
    rows : DataFrame of shape (n_rows, n_columns)
        The holdout's inputs; not modified.
    scored : DataFrame of shape (n_rows, n_columns)
        Their ``target``, ``challenger`` and, if one serves, ``champion`` and ``champion_had_seen``, in
        the same order.

    Raises
    ------
    ValueError
        If the two tables are not of the same length.
    """
    if len(rows) != len(scored):
        raise ValueError(f"the holdout has {len(rows)} rows and its predictions {len(scored)}")
    cuts = [cut for rule in settings.gate.rules.values() if (cut := rule.cut()) is not None]
    cuts.sort(key=lambda cut: not cut.new_to_both)
    named = [by for cut in cuts for by in cut.by]
    wanted = dict.fromkeys(named or settings.features.categorical)
    return tuple(_slice_table(by, rows, scored, settings.gate.metric) for by in wanted)


def _slice_table(by: str, rows: pd.DataFrame, scored: pd.DataFrame, metric: str) -> SliceTable:
    try:
        groups = [(name, inside) for name, inside in cut(rows, (by,)) if inside.any()]
    except KeyError as err:
        return SliceTable(by, (), 0, 0, problem=str(err.args[0]))
    groups.sort(key=lambda group: -int(group[1].sum()))
    shown, rest = groups[:MOST_GROUPS], groups[MOST_GROUPS:]
    slices = tuple(_slice(name, scored.loc[inside], metric) for name, inside in shown)
    return SliceTable(by, slices, len(rest), sum(int(inside.sum()) for _, inside in rest))


def _slice(name: str, scored: pd.DataFrame, metric: str) -> Slice:
    gain = None
    if "champion" in scored:
        fresh = new_to_both(scored)
        if len(fresh):
            losses = [overall_loss(fresh["target"], fresh[of], metric) for of in ("champion", "challenger")]
            gain = losses[0] - losses[1]
    predicted, observed = array(scored["challenger"]), scored["target"]
    if predicted.ndim > 1:
        observed = observed == predicted.argmax(axis=1)
    return Slice(
        name=name,
        rows=len(scored),
        days=int(scored["day"].nunique()),
        predicted=float(pd.Series(representative(predicted)).mean()),
        observed=float(observed.mean()),
        loss=overall_loss(scored["target"], scored["challenger"], metric),
        gain=gain,
    )
