"""Measure a fit by XGBoost whose rows are divided among workers, in threads and on a cluster, beside one process.

The matrix lies on the disk (20 numbers, 50 trees of depth 6, one thread each). The cluster is one of this machine's
processors, started before the clock. The models of both divisions must be equal, byte for byte, and as good as that of
one process.

    python -m bench.divided_fit [--rows 2000000] [--workers 2]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
from sklearn.metrics import log_loss
from tabulate import tabulate

from bench.installation import machine
from ml.adapters import xgboost_fit
from ml.adapters.engine import LOCAL, Engine
from ml.adapters.engine.cluster import ClusterEngine
from ml.adapters.matrix_file import MatrixFile

FEATURES, AT_ONCE, JUDGED = 20, 100_000, 200_000
PARAMS = {"objective": "binary:logistic", "max_depth": 6, "nthread": 1}
WORSE = 1e-3


def rows(chance: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Make features of shape (count, 20) and outcomes of shape (count,)."""
    features = chance.normal(size=(count, FEATURES)).astype("float32")
    level = features[:, 0] + features[:, 1] * features[:, 2] + chance.normal(size=count)
    return features, (level > 0).astype("float32")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args(argv)
    chance, xgboost = np.random.default_rng(0), import_module("xgboost")
    judged, outcome = rows(chance, JUDGED)
    cluster = ClusterEngine("", rows_per_part=given.rows, processors=given.workers)
    lines, models = [], {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with MatrixFile(folder / "matrix", features=FEATURES, rows=given.rows) as file:
            for first in range(0, given.rows, AT_ONCE):
                features, target = rows(chance, min(AT_ONCE, given.rows - first))
                file.append(features, target, np.ones(len(target)))
        sample = file.pages(JUDGED)[0][:, :-2].copy()
        recipe = xgboost_fit.Recipe(PARAMS, 50, {"max_bin": 256, "nthread": 1}, sample, None)
        once = replace(recipe, trees=1)  # before the clock: workers import what they need
        xgboost_fit.fit(once, file, folder, workers=given.workers, threads=1, engine=cluster)
        ways: dict[str, tuple[int, Engine]] = {
            "one process": (1, LOCAL),
            "threads": (given.workers, LOCAL),
            "cluster": (given.workers, cluster),
        }
        for name, (workers, engine) in ways.items():
            own = folder / name
            own.mkdir()
            started, used = time.perf_counter(), time.process_time()
            booster = xgboost_fit.fit(recipe, file, own, workers=workers, threads=1, engine=engine)
            seconds, here = time.perf_counter() - started, time.process_time() - used
            loss = log_loss(outcome, booster.predict(xgboost.DMatrix(judged)))
            models[name] = bytes(booster.save_raw("ubj")), loss
            lines.append([name, workers, seconds, here, loss])
    cluster.close()
    print(machine())
    print(tabulate(lines, ["where", "workers", "s", "processor of the task, s", "log loss"], floatfmt=".5g"))
    equal = models["threads"][0] == models["cluster"][0]
    print("Both divisions give the same model." if equal else "The divisions differ.")
    return 0 if equal and models["threads"][1] < models["one process"][1] + WORSE else 1


if __name__ == "__main__":
    sys.exit(main())
