"""Models under the name of all that determines them: an identical fit is made once, whoever asks for it."""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock
from sklearn.pipeline import Pipeline

from ml import own_code
from ml.adapters import layout, models
from ml.adapters.workspace import Workspace
from ml.backtest.dataset import PointInTimeDataset
from ml.core.data.arrivals import facts_of
from ml.core.data.keys import merge_exactly
from ml.core.monitoring.drift import sample_days
from ml.core.training import parts
from ml.core.training.estimators import predict
from ml.core.training.features import matrix
from ml.records import Content
from ml.settings import Settings
from ml.steps.retrain.pipelines import fit_pipeline, steady

SECTIONS = {"task", "features", "fit"}
MOST_REMEMBERED = 64
"""So many models are held in memory; nobody fits them again."""


@dataclass(frozen=True)
class Training:
    """The days that a model is fitted on, and the earlier ones that its history features read."""

    days: tuple[date, ...]
    lookback: tuple[date, ...]

    @property
    def last_day(self) -> date:
        """Return the last day that is fitted on."""
        return self.days[-1]


@dataclass(frozen=True, eq=False)
class Fitted:
    """A model, what it was fitted on, and how long that took."""

    key: str
    pipeline: Pipeline
    training: Training
    seconds: float
    settings: Settings = field(repr=False)

    def predict(self, rows: pd.DataFrame) -> np.ndarray:
        """Predict rows that carry their history features; the last bits depend on the number of threads."""
        with steady(self.settings):
            task = self.settings.task
            return predict(self.pipeline, matrix(rows, self.settings.features), task.kind, len(task.classes))


@dataclass(frozen=True, eq=False)
class Fits:
    """The fits of one world, kept in ``folder``; ``code`` names the code and lock that make them."""

    dataset: PointInTimeDataset
    folder: Path
    code: str
    _models: dict[str, Any] = field(default_factory=dict, init=False, repr=False)

    @property
    def cache_dir(self) -> Workspace:
        """Open the folder."""
        from ml.adapters.storage import open_objects

        return Workspace(open_objects(str(self.folder)))

    def rows(self, window: Training, settings: Settings) -> pd.DataFrame:
        """Return the labelled rows of a training with their history features."""
        own = self.dataset.labelled_with_history(window.days, settings.features.history)
        if wanted := settings.features.python:
            key = list(settings.task.key)
            days = [day for day in window.days if day in self.dataset.inputs]
            added = [
                pd.concat(
                    [self.dataset.inputs[day][key].reset_index(drop=True), self.dataset.own_features(day, wanted)],
                    axis=1,
                )
                for day in days
            ]
            own = merge_exactly(own, pd.concat(added, ignore_index=True), key, how="left", validate="one_to_one")
        return own

    def parts(self, whole: Training, settings: Settings) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return the rows of a window's training part and of its holdout; raises as `ml.steps.retrain.split` does."""
        return parts.cut(self.rows(whole, settings), self._first_held_out(whole, settings), settings)

    def without_holdout(self, whole: Training, settings: Settings) -> Training:
        """Return the training part of a window."""
        first = date.fromisoformat(self._first_held_out(whole, settings))
        return Training(tuple(day for day in whole.days if day < first), whole.lookback)

    def _first_held_out(self, whole: Training, settings: Settings) -> str:
        days = [day for day in whole.days if self.dataset.labelled_rows(day)]
        return parts.first_held_out(days, whole.days[0], whole.days[-1], settings)

    def _seen(self, window: Training, settings: Settings) -> tuple[Content, ...]:
        days, history = (*window.lookback, *window.days), settings.features.history
        return self.dataset.not_as_present(days, history, first=window.days[0], last=window.days[-1])

    def fit(self, window: Training, settings: Settings, *, most_rows: int | None = None) -> Fitted:
        """Fit a model on a training, or on so many rows of it; or read the one that was fitted before."""
        key = self.key(window, settings)
        if most_rows is not None and sum(len(self.dataset.labels[day]) for day in window.days) > most_rows:
            key += f"-{most_rows}"
        name = layout.backtest.cached("fits", key)
        facts = self.once(name, "fit.json", lambda cache_dir: self._fit(cache_dir, window, settings, key, most_rows))
        path = self.folder / name / "pipeline.skops"
        pipeline = self.remember(key, lambda: models.load(path, trusted=settings.fit.trusted_types))
        return Fitted(key, pipeline, window, facts["seconds"], settings)

    def once(self, folder: str, name: str, make: Callable[[Workspace], dict[str, Any]]) -> dict[str, Any]:
        """Make facts unless they are there; of two processes that ask at once, one waits for the other.

        ``make`` may write other files beside them; the facts come last.
        """
        cache_dir = Workspace(self.cache_dir.objects, folder)
        if not cache_dir.has(name):
            with FileLock(self.folder / folder / f"{name}.lock"):  # freed by the system when its holder dies
                if not cache_dir.has(name):
                    cache_dir.write_json(name, make(cache_dir))
        facts: dict[str, Any] = cache_dir.read_json(name)
        return facts

    def remember(self, key: str, make: Callable[[], Any]) -> Any:
        """Make a model unless it is among the newest that this process holds in memory."""
        if key not in self._models:
            self._models[key] = make()
            if len(self._models) > MOST_REMEMBERED:
                del self._models[next(iter(self._models))]
        return self._models[key]

    def _fit(
        self, cache_dir: Workspace, window: Training, settings: Settings, key: str, most_rows: int | None
    ) -> dict[str, Any]:
        rows = self.rows(window, settings)
        if most_rows is not None:
            rows = sample_days(rows, rows=most_rows, seed=settings.fit.seed)
        started = time.perf_counter()
        pipeline = fit_pipeline(rows, settings)
        seconds = round(time.perf_counter() - started, 3)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "pipeline.skops"
            models.save(pipeline, path, trusted=settings.fit.trusted_types)
            cache_dir.write_file(path.name, path)
        self.remember(key, lambda: pipeline)
        return {"seconds": seconds, "rows": len(rows), "last_day": str(window.last_day)}

    def key(self, window: Training, settings: Settings) -> str:
        """Hash all that determines a fit: the rows by content, the recipe, code and lock."""
        files = [[asset, str(day), self.dataset.digests[asset, day]] for asset, day in _files(window)]
        recipe = settings.model_dump(mode="json", include=SECTIONS)
        facts: list[Any] = [files, str(window.days[0]), recipe, self.code]
        if seen := self._seen(window, settings):
            facts.append(facts_of(seen))
        if modules := own_code.hashes(settings.code_paths()):
            facts.append(modules)
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _files(window: Training) -> Sequence[tuple[str, date]]:
    return [(asset, day) for asset in ("inputs", "labels") for day in (*window.lookback, *window.days)]
