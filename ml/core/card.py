"""What a model card says of a holdout: intervals, slices, calibration, and the limits of what was seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ml.core.comparison import expanded_tails, new_to_both
from ml.core.features import feature_columns
from ml.core.importance import overall_loss
from ml.core.metrics import CALIBRATION_BINS, Kind, row_loss
from ml.core.slices import cut
from ml.settings import DemoSource, Settings, SliceGapRule, SlicesRule

ROUNDS = 500
MOST_GROUPS = 10
DAYS_OF_A_YEAR = 365
Interval = tuple[float, float]


@dataclass(frozen=True)
class Slice:
    """One group of the holdout's rows; ``gain`` is how much lower its loss is than the champion's.

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


def day_intervals(
    scored: pd.DataFrame, kind: Kind, *, confidence: float, seed: int, rounds: int = ROUNDS, column: str = "challenger"
) -> dict[str, Interval]:
    """Give an interval to each metric of `ml.core.metrics.measure`, resampling whole days.

    Rows of a day share its luck, so the day is the unit (cluster bootstrap; Cameron, Gelbach & Miller
    2008, doi:10.1162/rest.90.3.414). The percentiles are `ml.core.comparison.expanded_tails`.

    Parameters
    ----------
    scored : DataFrame of shape (n_rows, n_columns)
        ``day``, ``target`` and ``column``; not modified.

    Returns
    -------
    dict
        Empty for fewer than two days. A metric that most resamples do not have (one class only) is
        left out.
    """
    days, codes = _day_codes(scored)
    if days < 2:
        return {}
    draws = np.random.default_rng(seed).integers(0, days, size=(rounds, days))
    times = np.stack([np.bincount(draw, minlength=days) for draw in draws])
    y, p = scored["target"].to_numpy(dtype=float), scored[column].to_numpy(dtype=float)
    resampled = _of_sums(y, p, codes, times, kind)
    if kind == "classification":
        resampled |= _of_ranks(y, p, codes, times)
    tails = expanded_tails(days, confidence)
    found = {}
    for name, values in resampled.items():
        finite = values[np.isfinite(values)]
        if len(finite) > rounds / 2:
            low, high = np.quantile(finite, tails)
            found[name] = (float(low), float(high))
    return found


def calibration_table(scored: pd.DataFrame, *, confidence: float, seed: int, rounds: int = ROUNDS) -> pd.DataFrame:
    """Compare mean prediction with mean outcome in ten equally filled bins of the prediction.

    Returns
    -------
    DataFrame of shape (n_bins, 5)
        ``predicted``, ``observed``, ``low`` and ``high`` (interval of ``observed``, whole days
        resampled; null for fewer than two days) and ``rows``; fewer than ten bins where predictions tie.
    """
    days, codes = _day_codes(scored)
    rank = scored["challenger"].rank(method="average") / len(scored)
    bins = np.unique(np.ceil(rank * CALIBRATION_BINS), return_inverse=True)[1]
    frame = pd.DataFrame(
        {"bin": bins, "predicted": scored["challenger"].astype(float), "observed": scored["target"].astype(float)}
    )
    grouped = frame.groupby("bin", sort=True)
    table = grouped.mean().assign(low=np.nan, high=np.nan, rows=grouped.size())
    if days >= 2:
        shape = (days, len(table))
        sums, rows = np.zeros(shape), np.zeros(shape)
        np.add.at(sums, (codes, bins), frame["observed"].to_numpy())
        np.add.at(rows, (codes, bins), 1.0)
        draws = np.random.default_rng(seed).integers(0, days, size=(rounds, days))
        drawn_rows = rows[draws].sum(axis=1)
        empty = np.full_like(drawn_rows, np.nan)
        means = np.divide(sums[draws].sum(axis=1), drawn_rows, out=empty, where=drawn_rows > 0)
        table["low"], table["high"] = np.nanquantile(means, expanded_tails(days, confidence), axis=0)
    return table.reset_index(drop=True)


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
    named = [by for rule in settings.gate.rules.values() if isinstance(rule, SlicesRule) for by in rule.by]
    named += [rule.by for rule in settings.gate.rules.values() if isinstance(rule, SliceGapRule)]
    wanted = dict.fromkeys(named or settings.features.categorical)
    return tuple(_slice_table(by, rows, scored, settings.gate.metric) for by in wanted)


def limits(
    train: pd.DataFrame, holdout: pd.DataFrame, scored: pd.DataFrame, settings: Settings, *, unlabelled: str
) -> tuple[str, ...]:
    """Say in sentences what this model has not seen, and what its card therefore cannot show.

    Parameters
    ----------
    train, holdout : DataFrame of shape (n_rows, n_columns)
        The two parts with ``day``, features and target; not modified.
    unlabelled
        A sentence on the rows whose outcome never came, which only the registry can count.
    """
    target, days = settings.task.target, train["day"].nunique()
    said = [
        f"It was fitted on {days} days ({train['day'].min()} to {train['day'].max()}), "
        + (
            f"{days / DAYS_OF_A_YEAR:.0%} of a year: seasons outside of them were never seen."
            if days < DAYS_OF_A_YEAR
            else "and has seen nothing before or after them."
        )
    ]
    if isinstance(settings.source, DemoSource):
        replayed = ", shown as if they were now" if settings.source.replay else ""
        said.append(f"All of its data are flights of 2013{replayed}: nothing here speaks of any other year.")
    daily = holdout.groupby("day")[target].mean()
    said.append(
        f"It was judged on a single time-ordered holdout of {len(daily)} days: the mean of {target} was "
        f"{daily.min():.3g} on its lowest day and {daily.max():.3g} on its highest, {holdout[target].mean():.3g} over "
        f"all, against {train[target].mean():.3g} in training. Other days would give other numbers; the intervals say "
        "how different."
    )
    said += _category_limits(train, holdout, settings)
    said += [unlabelled, *_environment_limit(settings)]
    if "champion_had_seen" in scored and (seen := scored["champion_had_seen"].astype(bool)).any():
        of_days = scored.loc[seen, "day"].nunique()
        said.append(
            f"The champion was trained on {of_days} of the holdout's days: they flatter it in the table of metrics, "
            "and are left out of the gains by slice."
        )
    said.append(
        "Features that say the same share their importance: each looks less important than both together. An "
        "importance says what this model uses, not what causes the outcome."
    )
    return tuple(said)


def _category_limits(train: pd.DataFrame, holdout: pd.DataFrame, settings: Settings) -> list[str]:
    said = []
    for name in settings.features.categorical:
        counts = train[name].value_counts(dropna=True)
        rare = int((counts < settings.features.min_category_rows).sum())
        unseen = ~holdout[name].isin(counts.index) & holdout[name].notna()
        onehot = settings.fit.encoding == "onehot"
        code = "share one code with each other" + (" and with categories never seen" if onehot else "")
        least = settings.features.min_category_rows
        said.append(
            f"{name}: {rare} of {len(counts)} categories have fewer than {least} training rows and {code}; "
            f"{int(unseen.sum())} holdout rows ({unseen.mean():.2%}) hold one that training had not."
        )
    return said


def _environment_limit(settings: Settings) -> list[str]:
    columns = feature_columns(settings.features)
    moving = [name for name in columns if name in settings.drift.environment]
    fixed = [name for name in columns if name in settings.drift.structural]
    if not moving:
        return []
    said = (
        f"{len(moving)} of its {len(columns)} features belong to the environment ({', '.join(moving)}) and move with "
        f"the season by themselves; {len(fixed)} are structural, and a move of theirs means that the business or the "
        "data changed."
    )
    return [said]


def _slice_table(by: str, rows: pd.DataFrame, scored: pd.DataFrame, metric: str) -> SliceTable:
    try:
        groups = [(name, inside) for name, inside in cut(rows, (by,)) if inside.any()]
    except KeyError as err:
        return SliceTable(by, (), 0, 0, problem=str(err.args[0]))
    groups.sort(key=lambda group: -int(group[1].sum()))
    shown, rest = groups[:MOST_GROUPS], groups[MOST_GROUPS:]
    found = tuple(_slice(name, scored.loc[inside], metric) for name, inside in shown)
    return SliceTable(by, found, len(rest), sum(int(inside.sum()) for _, inside in rest))


def _slice(name: str, scored: pd.DataFrame, metric: str) -> Slice:
    gain = None
    if "champion" in scored:
        fresh = new_to_both(scored)
        if len(fresh):
            losses = [overall_loss(fresh["target"], fresh[of], metric) for of in ("champion", "challenger")]
            gain = losses[0] - losses[1]
    return Slice(
        name=name,
        rows=len(scored),
        days=int(scored["day"].nunique()),
        predicted=float(scored["challenger"].mean()),
        observed=float(scored["target"].mean()),
        loss=overall_loss(scored["target"], scored["challenger"], metric),
        gain=gain,
    )


def _day_codes(scored: pd.DataFrame) -> tuple[int, np.ndarray]:
    codes, known = pd.factorize(scored["day"], sort=True)
    return len(known), codes


def _of_sums(y: np.ndarray, p: np.ndarray, codes: np.ndarray, times: np.ndarray, kind: Kind) -> dict[str, np.ndarray]:
    """Resample what follows from sums by day; ``times`` says how often each round drew each day."""

    def total(values: np.ndarray) -> np.ndarray:
        return np.asarray(times @ np.bincount(codes, weights=values, minlength=times.shape[1]))

    rows = total(np.ones_like(y))
    if kind == "classification":
        return {
            "log_loss": total(row_loss(y, p, "log_loss")) / rows,
            "brier": total(row_loss(y, p, "brier")) / rows,
            "calibration_gap": total(p - y) / rows,
            "prevalence": total(y) / rows,
        }
    squared, centred = total((p - y) ** 2), y - y.mean()
    spread = total(centred**2) - total(centred) ** 2 / rows
    return {
        "rmse": np.sqrt(squared / rows),
        "mae": total(np.abs(p - y)) / rows,
        "bias": total(p - y) / rows,
        "r2": 1 - np.divide(squared, spread, out=np.full_like(rows, np.nan), where=spread > 0),
    }


def _of_ranks(y: np.ndarray, p: np.ndarray, codes: np.ndarray, times: np.ndarray) -> dict[str, np.ndarray]:
    """Resample what follows from the order of predictions: sorted once, each round only weighs the rows."""
    order = np.argsort(p, kind="stable")
    y, p, codes = y[order], p[order], codes[order]
    starts = np.flatnonzero(np.r_[True, np.diff(p) > 0])
    found = np.array([_ranked(y, p[starts], starts, drawn[codes].astype(float)) for drawn in times])
    return dict(zip(("roc_auc", "average_precision", "calibration_error"), found.T, strict=True))


def _ranked(y: np.ndarray, levels: np.ndarray, starts: np.ndarray, weight: np.ndarray) -> Sequence[float]:
    """Compute area, average precision and calibration error of weighted rows, ties taken together.

    Parameters
    ----------
    y, weight : array of shape (n_rows,)
        In the order of the prediction.
    levels, starts : array of shape (n_levels,)
        The different predictions, and the row at which each begins.
    """
    positive, negative = np.add.reduceat(weight * y, starts), np.add.reduceat(weight * (1 - y), starts)
    both = positive + negative
    positives, negatives, rows = positive.sum(), negative.sum(), both.sum()
    until = both.cumsum()
    bins = np.ceil((until - both + (both + 1) / 2) / rows * CALIBRATION_BINS).astype(int)
    gaps = np.bincount(bins, weights=both * levels - positive)
    error = np.abs(gaps).sum() / rows
    if positives == 0 or negatives == 0:
        return [np.nan, np.nan, error]
    area = (positive * (negative.cumsum() - negative / 2)).sum() / (positives * negatives)
    hits, named = positive[::-1].cumsum(), both[::-1].cumsum()
    precision = np.divide(hits, named, out=np.zeros_like(hits), where=named > 0)
    return [area, (precision * positive[::-1]).sum() / positives, error]
