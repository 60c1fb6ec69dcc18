"""Measure whether the winner of a gate should be refitted on the whole window before it serves.

Each week of April to December 2013, on the demo's own days and the recipe of ``params.yaml``: the
model that a gate judged was fitted on all days but the newest ``holdout``; its refit saw them too.
Both then serve the next seven days. Their log losses are paired row by row; the weeks are the
clusters of the interval.

    python -m bench.refit [--first 2013-04-01] [--last 2013-12-31] [--json]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from ml import settings as settings_module
from ml.adapters.sources.demo import FIRST_DAY, LAST_DAY, DemoSource
from ml.core.data.days import days_between
from ml.core.gate.comparison import PairedGain, paired_gain
from ml.core.training.estimators import predict
from ml.core.training.features import join_labels, matrix
from ml.core.training.lagged_means import add_history
from ml.settings import Settings
from ml.steps.retrain.pipelines import fit_pipeline

WEEK = 7
PARAMS = Path(__file__).parents[1] / "params.yaml"


def rows_of_2013(settings: Settings) -> pd.DataFrame:
    """Read every labelled row of 2013 with its history features, point in time."""
    source = DemoSource(replay=False)
    days = days_between(FIRST_DAY, LAST_DAY)
    labelled = pd.concat(
        [
            join_labels(source.inputs(day), source.labels(day), key=settings.task.key, target=settings.task.target)
            for day in days
        ],
        ignore_index=True,
    )
    return add_history(
        labelled,
        labelled,
        settings.features.history,
        target=settings.task.target,
        label_delay_days=settings.task.label_delay_days,
    )


def fit_before(rows: pd.DataFrame, day: date, settings: Settings) -> Pipeline:
    """Fit the recipe on all days before ``day``."""
    return fit_pipeline(rows.loc[rows["day"] < day.isoformat()], settings)


def weeks(rows: pd.DataFrame, settings: Settings, *, first: date, last: date) -> Iterator[pd.DataFrame]:
    """Serve each week with the judged model and with its refit.

    Yields
    ------
    DataFrame of shape (n_rows_of_the_week, 5)
        ``day``, ``target``, ``judged``, ``refit``: the outcome and the two predictions; ``week``.
    """
    held = settings.split.holdout_days
    fitted: dict[date, Pipeline] = {}
    for number in range(((last - first).days + 1) // WEEK):
        monday = first + timedelta(days=WEEK * number)
        for end in (monday - timedelta(days=held), monday):
            if end not in fitted:
                fitted[end] = fit_before(rows, end, settings)
        judged, refit = fitted[monday - timedelta(days=held)], fitted[monday]
        fitted = {end: model for end, model in fitted.items() if end > monday - timedelta(days=held)}
        week = rows.loc[rows["day"].between(monday.isoformat(), (monday + timedelta(days=WEEK - 1)).isoformat())]
        seen = matrix(week, settings.features)
        yield pd.DataFrame(
            {
                "day": week["day"].to_numpy(),
                "target": week[settings.task.target].to_numpy(),
                "judged": predict(judged, seen, settings.task.kind),
                "refit": predict(refit, seen, settings.task.kind),
                "week": monday.isoformat(),
            }
        )


def compare(served: pd.DataFrame, *, seed: int) -> PairedGain:
    """Pair the two models' log losses, with whole weeks as the resampling units."""
    by_week = served.assign(day=served["week"])
    found = paired_gain(
        by_week, metric="log_loss", confidence=0.95, n_resamples=4000, seed=seed, challenger="refit", champion="judged"
    )
    if found is None:
        raise ValueError("fewer than two weeks were served; ask for a longer span with --first and --last")
    return found


def table(served: pd.DataFrame) -> pd.DataFrame:
    """Return each month's rows, log losses of both models, and the gain of the refit."""
    truth = served["target"].to_numpy(dtype=float)
    losses = {
        name: -(truth * np.log(served[name]) + (1 - truth) * np.log1p(-served[name])) for name in ("judged", "refit")
    }
    frame = pd.DataFrame({"month": served["week"].str[:7], "rows": 1, **losses})
    months = frame.groupby("month").agg({"rows": "sum", "judged": "mean", "refit": "mean"})
    return months.assign(gain=months["judged"] - months["refit"])


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=date.fromisoformat, default=date(2013, 4, 1), help="first day that is served")
    parser.add_argument("--last", type=date.fromisoformat, default=LAST_DAY, help="last day that is served")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(argv)
    settings = settings_module.load(PARAMS)
    served = pd.concat(weeks(rows_of_2013(settings), settings, first=asked.first, last=asked.last), ignore_index=True)
    found, months = compare(served, seed=asked.seed), table(served)
    better = sum(float(table(week)["gain"].iloc[0]) > 0 for _, week in served.groupby("week"))
    if asked.json:
        print(json.dumps({"months": months.reset_index().to_dict("records"), "all": vars(found), "better": better}))
        return 0
    print(months.round(4).to_string())
    print(
        f"\nrefit gains {found.gain:+.4f} log loss (95 % interval {found.low:+.4f} to {found.high:+.4f}) over "
        f"{found.days} weeks, {found.rows} flights; better in {better} of {found.days} weeks"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
