"""Measure what it is worth to let scores follow the newest labels between retrains (``score.adapt: intercept``).

On the demo's own days and the recipe of ``params.yaml``, April to 22 December 2013: champions that are fitted once,
every four weeks, or weekly, on all days but the newest ``split.holdout_days``, serve with and without it. Each day's
scores are moved as `ml.steps.score.predict` moves them. Losses are paired row by row; weeks are the units of the
interval.

    python -m bench.adapt [--share 0.5] [--days 7] [--max-shift 0.5] [--json]
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import date, timedelta
from pathlib import Path

import pandas as pd

from bench.refit import fit_before, rows_of_2013
from ml import settings as settings_module
from ml.core.data.days import days_between
from ml.core.gate.comparison import PairedGain, paired_gain
from ml.core.scoring.adaptation import shift_of, shifted
from ml.core.training.estimators import predict
from ml.core.training.features import matrix
from ml.settings import Settings

PARAMS = Path(__file__).parents[1] / "params.yaml"
FIRST, LAST, WEEK = date(2013, 4, 1), date(2013, 12, 22), 7
EVERY = {"never": None, "every 4 weeks": 4, "weekly": 1}


def said(rows: pd.DataFrame, settings: Settings) -> dict[date, pd.DataFrame]:
    """Fit a champion each week and give what it says of all days from its holdout on, by its first day."""
    found = {}
    for start in days_between(FIRST, LAST)[::WEEK]:
        held = start - timedelta(days=settings.split.holdout_days)
        print(f"fit {start}", file=sys.stderr, flush=True)
        pipeline = fit_before(rows, held, settings)
        seen = rows.loc[rows["day"] >= held.isoformat()]
        raw = predict(pipeline, matrix(seen, settings.features), settings.task.kind)
        target = seen[settings.task.target].to_numpy(dtype=float)
        found[start] = pd.DataFrame({"day": seen["day"].to_numpy(), "target": target, "raw": raw})
    return found


def serve(champions: dict[date, pd.DataFrame], every: int | None, settings: Settings) -> pd.DataFrame:
    """Serve each day with the champion of a schedule: ``day``, ``target``, ``raw``, ``adapted`` and the ``week``."""
    score, delay, parts = settings.score, max(settings.task.label_delay_days, 1), []
    starts = sorted(champions)
    for day in days_between(FIRST, LAST):
        week = (day - FIRST).days // WEEK
        rows = champions[starts[0 if every is None else week // every * every]]
        last = day - timedelta(days=delay)
        first = last - timedelta(days=score.adapt_days - 1)
        known = rows.loc[rows["day"].between(first.isoformat(), last.isoformat())]
        shift = shift_of(
            known["raw"],
            known["target"],
            kind=settings.task.kind,
            share=score.adapt_share,
            most=score.adapt_max_shift,
        )
        own = rows.loc[rows["day"] == day.isoformat()]
        adapted = shifted(own["raw"], shift, kind=settings.task.kind)
        parts.append(own.assign(adapted=adapted, week=f"{week:02d}"))
    return pd.concat(parts, ignore_index=True)


def compare(champion: pd.Series, challenger: pd.Series, served: pd.DataFrame, *, seed: int) -> PairedGain:
    """Pair two sets of scores of the same rows, with whole weeks as the resampling units."""
    frame = pd.DataFrame(
        {"day": served["week"], "target": served["target"], "champion": champion, "challenger": challenger}
    )
    found = paired_gain(frame, metric="log_loss", confidence=0.95, n_resamples=4000, seed=seed)
    if found is None:
        raise ValueError("fewer than two weeks were served")
    return found


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float)
    parser.add_argument("--days", type=int)
    parser.add_argument("--max-shift", type=float)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(argv)
    settings = settings_module.load(PARAMS)
    given = {"adapt_share": asked.share, "adapt_days": asked.days, "adapt_max_shift": asked.max_shift}
    score = settings.score.model_copy(update={name: value for name, value in given.items() if value is not None})
    settings = settings.model_copy(update={"score": score})
    champions = said(rows_of_2013(settings), settings)
    once = serve(champions, None, settings)
    table = []
    for name, every in EVERY.items():
        served = serve(champions, every, settings)
        for way in ("raw", "adapted"):
            gain = compare(once["raw"], served[way], served, seed=asked.seed)
            loss = compare(served["raw"], served[way], served, seed=asked.seed)
            table.append(
                {
                    "retrained": name,
                    "scores": way,
                    "gain over never, raw": round(gain.gain, 4),
                    "low": round(gain.low, 4),
                    "high": round(gain.high, 4),
                    "gain by adapting": round(loss.gain, 4),
                    "from": round(loss.low, 4),
                    "to": round(loss.high, 4),
                }
            )
    if asked.json:
        print(json.dumps(table))
        return 0
    print(f"share {score.adapt_share:g} of {score.adapt_days} days, at most {score.adapt_max_shift:g} logits; log loss")
    print(pd.DataFrame(table).to_string(index=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
