"""Try a packaged model in a process of its own: what was registered is what has to work.

``python -m ml.adapters.package`` is that process. It loads the model with our list of trusted types, and predicts a
kept sample. That the model's signature refuses input that breaks it needs no such process: it is asked here, where
MLflow is imported already, and the other process never imports it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import pandas as pd

from ml import own_code
from ml.errors import EvergreenError
from ml.records import PackageCheck
from ml.roots import CODE_ROOT
from ml.settings import Task

TIMEOUT_SECONDS = 300
REPEATS = 5


@runtime_checkable
class Trial(Protocol):
    """A process in which one packaged model is tried."""

    def run(self, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Try the model that the arguments of `main` name."""


class FreshTrial:
    """An interpreter that had imported nothing; it finds our code, the models' own, and no more.

    It imports what every model needs as soon as it is started, and then waits for the one model that it tries. It ends
    when whoever started it does.
    """

    def __init__(self, folder: str) -> None:
        modules = os.pathsep.join(map(str, [CODE_ROOT, *own_code.search_path()]))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ml.adapters.package"],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": modules, "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/none.db"},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def run(self, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Try a model, as `main` describes.

        Raises
        ------
        subprocess.TimeoutExpired
            If it does not end in time.
        """
        _, errors = self.process.communicate(json.dumps(list(arguments)), timeout=TIMEOUT_SECONDS)
        return subprocess.CompletedProcess(self.process.args, self.process.returncode, "", errors)

    def close(self) -> None:
        """End the process, also where it was not needed."""
        self.process.kill()
        self.process.communicate()


@contextmanager
def start() -> Iterator[Trial]:
    """Start the process, so that it is ready by the time that there is a model to try."""
    with tempfile.TemporaryDirectory() as folder:
        trial = FreshTrial(folder)
        try:
            yield trial
        finally:
            trial.close()


def check(model: Path, sample: Path, task: Task, *, trial: Trial, trusted: Sequence[str] = ()) -> PackageCheck:
    """Try the packaged model.

    Parameters
    ----------
    model
        The folder of an MLflow model, as downloaded from the registry.
    sample
        Parquet of shape (n_rows, n_features + 1): the features as the pipeline sees them, and what the
        pipeline predicted when it was fitted, as `ml.core.training.estimators.as_sample` puts them.
    trial
        What `start` gives; it tries one model.
    trusted
        ``fit.trusted_types`` of this installation.

    Returns
    -------
    PackageCheck
        A process that fails, or does not end within five minutes, is the ``problem``.
    """
    size = sum(path.stat().st_size for path in model.rglob("*") if path.is_file()) / 1e6
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        try:
            result = trial.run([str(model), str(sample), task.kind, str(answer), str(len(task.classes)), *trusted])
        except subprocess.TimeoutExpired:
            return _build_problem(f"it did not answer within {TIMEOUT_SECONDS} s", size)
        if result.returncode or not answer.exists():
            lines = result.stderr.strip().splitlines()
            return _build_problem(lines[-1] if lines else f"its process ended with code {result.returncode}", size)
        facts = json.loads(answer.read_text(encoding="utf-8"))
    try:
        refuses = _refuses_bad_input(model, sample)
    except Exception as err:  # noqa: BLE001  as what fails in the process
        return _build_problem(_in_one_line(err), size)
    return PackageCheck(megabytes=round(size, 4), refuses_bad_input=refuses, **facts)


def _build_problem(problem: str, size: float) -> PackageCheck:
    return PackageCheck(
        identical=False,
        refuses_bad_input=False,
        rows=0,
        ms_per_1000_rows=None,
        megabytes=round(size, 4),
        problem=problem[:500],
    )


def _in_one_line(err: Exception) -> str:
    return f"{type(err).__name__}: {' '.join(str(err).split())}"


def _refuses_bad_input(model: Path, sample: Path) -> bool:
    from mlflow.models import Model

    from ml.core.training.estimators import of_sample

    features, _ = of_sample(pd.read_parquet(sample))
    signature = Model.load(str(model)).signature
    if signature is None or signature.inputs is None:
        raise EvergreenError("the packaged model has no signature; train it again")
    required = [column.name for column in signature.inputs.inputs if column.required]
    broken = _break_signature(features, required)
    return _accepts(features, signature) and not any(_accepts(frame, signature) for frame in broken)


def _try(model: Path, sample: Path, kind: str, classes: int, trusted: Sequence[str]) -> dict[str, object]:
    from ml.adapters import models
    from ml.core.training.estimators import of_sample, predict

    features, expected = of_sample(pd.read_parquet(sample))
    pipeline = models.load(model / models.MODEL_FILE, trusted=trusted)
    predicted = predict(pipeline, features, kind, classes)
    seconds = _processor_seconds(lambda: predict(pipeline, features, kind, classes))
    return {
        "identical": bool(np.array_equal(predicted, expected)),
        "rows": len(expected),
        "ms_per_1000_rows": round(seconds / len(expected) * 1e6, 3),
    }


def _processor_seconds(work: Callable[[], object]) -> float:
    """Measure the processor time of some work, of all threads of this process: what other processes do adds nothing.

    One thread of linear algebra and OpenMP each, for threads that wait for a busy processor spin; and the fastest of a
    few repeats, for others push this one's data out of the caches.
    """
    from threadpoolctl import threadpool_limits

    seconds = []
    with threadpool_limits(1):
        for _ in range(REPEATS):
            started = time.process_time()
            work()
            seconds.append(time.process_time() - started)
    return min(seconds)


def _break_signature(features: pd.DataFrame, required: Sequence[str]) -> list[pd.DataFrame]:
    """Break the signature in each way that data break it: a column less, and each type by its opposite.

    A column that held a null when the model was fitted is not ``required``: MLflow lets it be missing.
    """
    bad = [features.drop(columns=name) for name in required[:1]]
    numbers = features.select_dtypes("number").columns
    texts = [column for column in features if column not in numbers]
    if len(numbers):
        bad.append(features.assign(**{numbers[0]: "text"}))
    if texts:
        bad.append(features.assign(**{str(texts[0]): 1.5}))
    return bad


def _accepts(frame: pd.DataFrame, signature: object) -> bool:
    import warnings

    from mlflow.exceptions import MlflowException
    from mlflow.models.utils import validate_schema

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            validate_schema(frame, signature.inputs)  # type: ignore[attr-defined]
    except MlflowException:
        return False
    return True


def main(argv: list[str]) -> int:
    """Try the model and write what was found as JSON."""
    model, sample, kind, answer, classes, *trusted = argv
    try:
        facts = _try(Path(model), Path(sample), kind, int(classes), trusted)
    except Exception as err:  # noqa: BLE001  whatever breaks here would break where it serves
        sys.stderr.write(f"{_in_one_line(err)}\n")
        return 1
    Path(answer).write_text(json.dumps(facts), encoding="utf-8")
    return 0


def _main_when_asked() -> int:
    """Import what every model needs, then wait for the arguments of `main`; without any there is nothing to try."""
    from ml.adapters import models
    from ml.core.training import estimators

    del models, estimators
    arguments = sys.stdin.read()
    return main(json.loads(arguments)) if arguments else 1


if __name__ == "__main__":
    sys.exit(_main_when_asked())
