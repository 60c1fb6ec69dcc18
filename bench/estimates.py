"""Measure estimates of performance without labels beside no estimate and beside isotonic CBPE.

Day after day: what monitoring would know (out-of-fold predictions, and the labelled days that were served, one day
late) gives the estimate of the next day, which is compared with what came:

- ``constant``: the performance on the reference, "the same as before";
- ``isotonic CBPE``: expected performance of scores that are calibrated by isotonic regression on the reference;
- ``ours``: `ml.core.monitoring.estimate_trial`, whether it would be shown or not;
- ``shown``: the days on which it is shown, and the errors of all three on these alone.

Data: the two binary sets among the examples of NannyML, read as files out of its wheel, a day being so many rows in
their order; and the flights, champions of every fourth week (``--champions``) from April to December 2013 for four
weeks each. Get the wheel by ``pip download --no-deps nannyml -d FOLDER``; without ``--wheel`` these sets are left out,
and named.

    python -m bench.estimates [--wheel FOLDER/nannyml-….whl] [--rows-a-day 1000 5000] [--metric log_loss] [--every 1]
        [--champions 4] [--no-flights] [--json]
"""

from __future__ import annotations

import argparse
import json
import sys
import zipfile
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pandas as pd

from bench.decay import FIRST, HEALTHY, WEEK, out_of_fold, serve
from bench.refit import rows_of_2013
from ml import settings as settings_module
from ml.adapters.sources.demo import LAST_DAY
from ml.core.data.days import days_between
from ml.core.metrics import measure
from ml.core.monitoring.calibrations import fit_isotonic
from ml.core.monitoring.estimate_trial import Trial
from ml.settings import Settings

PARAMS = Path(__file__).parents[1] / "params.yaml"
METRICS = ("log_loss", "brier", "roc_auc")
REACH = 1.1
SETS = {
    "car loan": ("synthetic_car_loan_reference", "synthetic_car_loan_analysis", "synthetic_car_loan_analysis_target"),
    "sample": ("synthetic_sample_reference", "synthetic_sample_analysis", "synthetic_sample_analysis_gt"),
}
TARGETS = {"car loan": "repaid", "sample": "work_home_actual"}


def nannyml_set(wheel: Path, name: str, rows_a_day: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read a set as reference and served days; the days are made, so many rows each."""
    target, first = TARGETS[name], date(2013, 1, 1)
    with zipfile.ZipFile(wheel) as archive:
        reference, analysis, labels = (
            pd.read_csv(archive.open(f"nannyml/datasets/data/{file}.csv")) for file in SETS[name]
        )
    analysis = analysis.merge(labels[["id", target]], on="id", validate="one_to_one")
    both = pd.concat([reference, analysis], ignore_index=True)
    days = [(first + timedelta(days=number // rows_a_day)).isoformat() for number in range(len(both))]
    table = pd.DataFrame({"day": days, "prediction": both["y_pred_proba"].astype(float), "target": both[target]})
    return table.iloc[: len(reference)], table.iloc[len(reference) :]


def flights(settings: Settings, *, every: int) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """Yield for each ``every``-th champion what it predicted out of fold and on its holdout, and what it served."""
    rows = rows_of_2013(settings)
    for number in range(0, ((LAST_DAY - FIRST).days + 1 - WEEK) // WEEK, every):
        start = FIRST + timedelta(days=WEEK * number)
        print(f"champion of {start}", file=sys.stderr, flush=True)
        held = start - timedelta(days=settings.split.holdout_days)
        serving = serve(rows, start, settings, held_too=True)
        days = [str(day) for day in days_between(start, min(start + timedelta(days=HEALTHY - 1), LAST_DAY))]
        holdout = serving.scored.loc[serving.scored["day"] < start.isoformat()]
        reference = pd.concat([out_of_fold(rows, held, settings), holdout], ignore_index=True)
        yield reference, serving.scored.loc[serving.scored["day"].isin(days)]


def followed(reference: pd.DataFrame, served: pd.DataFrame, settings: Settings, *, every: int) -> pd.DataFrame:
    """Return of each ``every``-th served day and metric how wrong each estimate was, and whether it would be shown."""
    isotonic = fit_isotonic(reference["prediction"].to_numpy(), reference["target"].to_numpy(dtype=float))
    constant = measure(reference["target"], reference["prediction"], settings.task.kind)
    days, entries = sorted(served["day"].unique()), []
    for number, day in list(enumerate(days))[::every]:
        newest = served.loc[served["day"] == day]
        known = served.loc[served["day"].isin(days[max(0, number - settings.performance.window_days) : number])]
        trial = Trial.of(reference, known, settings)
        if trial is None:
            raise SystemExit(f"the reference of {day} is too short to try an estimate on")
        errors, ours = trial.errors(), trial.estimated(newest["prediction"])
        came = measure(newest["target"], newest["prediction"], settings.task.kind)
        cbpe, proved = isotonic.expected(newest["prediction"]), trial.proved(errors)
        entries += [
            {
                "metric": metric,
                "constant": abs(constant[metric] - came[metric]),
                "isotonic CBPE": abs(cbpe[metric] - came[metric]),
                "ours": abs(ours[metric] - came[metric]),
                "shown": metric in proved,
                "within": abs(ours[metric] - came[metric]) <= errors[metric].reach,
                "method": trial.best,
            }
            for metric in METRICS
        ]
    return pd.DataFrame(entries)


def summary(name: str, found: pd.DataFrame) -> list[dict[str, object]]:
    """Return of each metric the mean absolute errors, on all days and on those on which an estimate is shown."""
    table: list[dict[str, object]] = []
    for metric, days in found.groupby("metric", sort=False):
        shown = days.loc[days["shown"]]
        errors = {side: float(days[side].mean()) for side in ("constant", "isotonic CBPE", "ours")}
        on_shown = {side: float(shown[side].mean()) if len(shown) else None for side in errors}
        met = None
        if len(shown):
            met = bool(shown["ours"].mean() <= REACH * min(shown["constant"].mean(), shown["isotonic CBPE"].mean()))
        table.append(
            {
                "data": name,
                "metric": metric,
                "days": len(days),
                **errors,
                "shown on": len(shown),
                **{f"{side}, shown": value for side, value in on_shown.items()},
                "within interval %": 100 * shown["within"].astype(float).mean() if len(shown) else None,
                "reach": "nothing shown" if met is None else "met" if met else "missed",
                "methods": ", ".join(f"{method} {count}" for method, count in days["method"].value_counts().items()),
            }
        )
    return table


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheel", type=Path)
    parser.add_argument("--rows-a-day", type=int, nargs="+", default=[1000, 5000])
    parser.add_argument("--metric", default="log_loss", choices=["log_loss", "brier"], help="stands for gate.metric")
    parser.add_argument("--every", type=int, default=1, help="take each so-many-th served day only")
    parser.add_argument("--champions", type=int, default=4, help="take each so-many-th week's champion of the flights")
    parser.add_argument("--no-flights", action="store_true")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args(argv)
    settings = settings_module.load(PARAMS)
    settings = settings.model_copy(update={"gate": settings.gate.model_copy(update={"metric": arguments.metric})})
    table: list[dict[str, object]] = []
    if arguments.wheel is None:
        print("NannyML's sets are left out: name its wheel by --wheel (see --help)", file=sys.stderr)
    else:
        for name in SETS:
            for rows_a_day in arguments.rows_a_day:
                found = followed(*nannyml_set(arguments.wheel, name, rows_a_day), settings, every=arguments.every)
                table += summary(f"{name}, {rows_a_day} rows a day", found)
    if not arguments.no_flights:
        champions = flights(settings, every=arguments.champions)
        parts = [followed(*champion, settings, every=arguments.every) for champion in champions]
        table += summary("flights", pd.concat(parts, ignore_index=True))
    if arguments.json:
        print(json.dumps(table))
    else:
        pd.set_option("display.width", 250)
        print(pd.DataFrame(table).drop(columns="methods").round(4).to_string(index=False))
        for line in table:
            print(f"{line['data']}, {line['metric']}: {line['methods']}")
    return 1 if any(line["reach"] == "missed" for line in table) else 0


if __name__ == "__main__":
    sys.exit(main())
