"""Measure a training from files (``fit.stream``) beside the same in memory: processor time, and the peak of memory.

Each size is a window of so many rows, 20 features (15 numbers, 3 categories, 2 lagged target means) and the outcome, in
a real registry. The steps of a retrain run one after the other, each in a process of its own: memory is the largest of
that process, libraries included; *processor* its seconds without the start. XGBoost with 60 trees of depth 6.

    python -m bench.flat_training [--rows 1000000 10000000] [--in-memory-up-to 10000000] [--days 30] [--home DIR]
    python -m bench.flat_training --losses   # what the models are worth: from files, in memory, by the sample alone

``--home`` is where windows and matrices are written (some 200 bytes a row); it is removed at the end.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.installation import Installation, apart, machine, put
from ml.records import RetrainRequest, Window
from ml.settings import dump

LAST_DAY = date(2024, 6, 30)
NUMBERS = [f"x{number}" for number in range(15)]
STEPS = ("pull", "validate", "split", "fit", "evaluate")
TREES = {"n_estimators": 60, "max_depth": 6, "learning_rate": 0.1}
MEGA = 1e6


def params(days: int) -> dict[str, Any]:
    """Return the settings of a window of so many days."""
    return {
        "task": {
            "name": "flat",
            "kind": "classification",
            "target": "y",
            "key": ["day", "id"],
            "label_delay_days": 1,
            "timezone": "UTC",
        },
        "source": {"kind": "demo"},
        "pull": {"min_days": 7, "days": days},
        "split": {"holdout_days": max(days // 7, 2)},
        "gate": {"metric": "log_loss", "min_days": 2, "rules": {}},
        "features": {
            "numeric": NUMBERS,
            "categorical": ["shop", "country", "kind"],
            "history": [{"by": [], "days": [7]}, {"by": ["shop"], "days": [7]}],
        },
        "fit": {
            "estimator": "xgboost.XGBClassifier",
            "args": TREES,
            "encoding": "ordinal",
            "threads": 2,
            "stream": {"sample_rows": 200_000},
        },
    }


def day_of(day: date, rows: int) -> pd.DataFrame:
    """Make up the inputs and outcomes of a day."""
    random = np.random.default_rng(day.toordinal())
    numbers = random.normal(size=(rows, len(NUMBERS))).round(3)
    categories = {name: random.integers(0, size, rows) for name, size in (("shop", 40), ("country", 12), ("kind", 5))}
    level = numbers[:, 0] + np.maximum(numbers[:, 1], numbers[:, 2]) - numbers[:, 3] ** 2 / 3 + categories["shop"] / 40
    outcome = random.random(rows) < 1 / (1 + np.exp(-level))
    return pd.DataFrame(
        {
            "day": day.isoformat(),
            "id": np.arange(rows),
            **dict(zip(NUMBERS, numbers.T, strict=True)),
            **{name: np.array([f"{name}{n}" for n in range(40)])[codes] for name, codes in categories.items()},
            "y": outcome.astype(float),
        }
    )


def installation(home: Path, rows: int, days: int) -> Installation:
    """Commit a window of so many rows to a new registry."""
    home.mkdir(parents=True)
    (home / "params.yaml").write_text(dump(params(days)), encoding="utf-8")
    suites = home / "expectations"
    suites.mkdir()
    expectations = [
        {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "y"}},
        {"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "y", "value_set": [0, 1]}},
        {"type": "expect_column_values_to_be_between", "kwargs": {"column": "x0", "min_value": -9, "max_value": 9}},
        {"type": "expect_compound_columns_to_be_unique", "kwargs": {"column_list": ["day", "id"]}},
    ]
    suite = {"name": "window", "expectations": [{**entry, "meta": {"level": "table"}} for entry in expectations]}
    (suites / "window.json").write_text(json.dumps(suite), encoding="utf-8")
    installed = Installation(home)
    installed.services().registry.create()
    for number in range(days):
        day = LAST_DAY - timedelta(days=number)
        frame = day_of(day, rows // days)
        put(installed, {("inputs", day): frame.drop(columns="y"), ("labels", day): frame[["day", "id", "y"]]})
    return installed


def step(home: str, name: str, window: Window | None, stream: bool, *, warm: bool = False) -> Any:
    """Run a step of a retrain; warm, only import what it needs."""
    from importlib import import_module

    import xgboost  # noqa: F401

    module = import_module(f"ml.steps.retrain.{name}")
    services = Installation(Path(home)).services(**({} if stream else {"fit": {"stream": None}}))
    if warm:
        services.tracking.alias("champion")
        return None
    given: dict[str, Any] = {"settings": services.settings, "services": services}
    if window is None:
        return module.run(RetrainRequest(requested_by="a benchmark", reasons=("to measure",)), **given)
    return module.run(window, **given)


def measured(installed: Installation, *, stream: bool) -> dict[str, tuple[float, float]]:
    """Run the steps; return the processor seconds and the peak in MB of each."""
    facts, window = {}, None
    for name in STEPS:
        found = apart(step, str(installed.home), name, window, stream)
        window = found.result if name == "pull" else window
        facts[name] = found.busy, found.peak
        if name == "evaluate":
            loss, judged = found.result.challenger["log_loss"], found.result.holdout_rows
            print(f"  log loss {loss:.5f} on {judged:,} rows of the holdout")
    return facts


def losses() -> None:
    """Fit 1.5 million rows without lagged means in three ways, and print the log loss on 300,000 other ones."""
    from ml.adapters.streamed_fit import of_frame
    from ml.adapters.window_rows import sampled_by_key
    from ml.core.training.estimators import predict
    from ml.core.training.features import matrix
    from ml.settings import parse
    from ml.steps.retrain.pipelines import fit_pipeline

    train = pd.concat([day_of(LAST_DAY - timedelta(days=number), 300_000) for number in range(5)], ignore_index=True)
    holdout, raw = day_of(LAST_DAY + timedelta(days=1), 300_000), params(30)
    raw["features"] = {name: value for name, value in raw["features"].items() if name != "history"}
    streamed, in_memory = parse(raw), parse({**raw, "fit": {**raw["fit"], "stream": None}})
    sample = sampled_by_key(train, streamed.task.key, 200_000 / len(train))
    seen, happened = matrix(holdout, streamed.features), holdout["y"].to_numpy() == 1
    rows = {}
    for name, pipeline in (
        ("from files", fit_pipeline(sample, streamed, source=of_frame(train))),
        ("in memory", fit_pipeline(train, in_memory)),
        ("in memory, the sample alone", fit_pipeline(sample, in_memory)),
    ):
        probability = predict(pipeline, seen, "classification")
        rows[name] = -np.log(np.where(happened, probability, 1 - probability))
        apart = rows[name] - rows["from files"]
        error = apart.std() / len(apart) ** 0.5
        print(f"{name:28} {rows[name].mean():.5f}, from files and {apart.mean():+.5f} (standard error {error:.5f})")


def main(argv: list[str] | None = None) -> int:
    """Measure each size, from files and, where it is small enough, in memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--in-memory-up-to", type=int, default=10_000_000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--home", type=Path)
    parser.add_argument("--losses", action="store_true")
    options = parser.parse_args(argv)
    print(machine())
    if options.losses:
        losses()
        return 0
    print(f"{'rows':>6} {'from':8}" + "".join(f"{name:>18}" for name in STEPS) + f"{'together':>18}")
    for rows in options.rows:
        with tempfile.TemporaryDirectory(dir=options.home) as folder:
            installed = installation(Path(folder) / "home", rows, options.days)
            for where in ("files", "memory") if rows <= options.in_memory_up_to else ("files",):
                facts = measured(installed, stream=where == "files")
                busy, peak = sum(b for b, _ in facts.values()), max(p for _, p in facts.values())
                cells = [f"{b:9.1f} s {p:4.0f} MB" for b, p in (*facts.values(), (busy, peak))]
                print(f"{rows / MEGA:5.1f}M {where:8}" + "".join(f"{cell:>18}" for cell in cells), flush=True)
                shutil.rmtree(installed.home / "storage", ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
