"""Models under the name of all that determines them: an identical fit is made once, whoever asks for it."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from ml.adapters import models
from ml.adapters.workspace import Workspace
from ml.core import metrics
from ml.core.arrivals import as_seen, facts_of
from ml.core.estimators import predict
from ml.core.features import add_history, matrix
from ml.records import Content
from ml.settings import Settings
from ml.steps.fit import fit_pipeline
from ml.steps.replay.locks import beside, held
from ml.steps.replay.world import World

SECTIONS = {"task", "features", "fit"}


@dataclass(frozen=True)
class Training:
    """The days that a model is fitted on, and the earlier ones that its history features read."""

    days: tuple[date, ...]
    lookback: tuple[date, ...]


@dataclass(frozen=True, eq=False)
class Fitted:
    """A model, what it was fitted on, and how long that took."""

    key: str
    pipeline: Pipeline
    training: Training
    seconds: float
    base_rate: float
    settings: Settings = field(repr=False)

    @property
    def last_day(self) -> date:
        """Give the last day that it was fitted on."""
        return self.training.days[-1]

    def predict(self, rows: pd.DataFrame) -> np.ndarray:
        """Predict rows that carry their history features."""
        return predict(self.pipeline, matrix(rows, self.settings.features), self.settings.task.kind)


@dataclass(frozen=True, eq=False)
class Fits:
    """The fits of one world, kept in ``folder``; ``code`` names the code and lock that make them."""

    world: World
    folder: Path
    code: str

    @property
    def place(self) -> Workspace:
        """Open the folder."""
        from ml.adapters.objects import open_objects

        return Workspace(open_objects(str(self.folder)))

    def rows(self, training: Training, settings: Settings) -> pd.DataFrame:
        """Give the labelled rows of a training with their history features, as `ml.steps.split` does."""
        labelled = self.world.labelled([*training.lookback, *training.days])
        own = labelled.loc[labelled["day"] >= training.days[0].isoformat()].reset_index(drop=True)
        return add_history(
            own,
            as_seen(labelled, {}, self._seen(training, settings)),
            settings.features.history,
            target=settings.task.target,
            label_delay_days=settings.task.label_delay_days,
        )

    def _seen(self, training: Training, settings: Settings) -> tuple[Content, ...]:
        days, history = (*training.lookback, *training.days), settings.features.history
        return self.world.not_as_present(days, history, first=training.days[0], last=training.days[-1])

    def fit(self, training: Training, settings: Settings) -> Fitted:
        """Fit a model on a training, or read the one that was fitted before."""
        key = self.key(training, settings)
        facts = self.once(f"fits/{key}", "fit.json", lambda place: self._fit(place, training, settings))
        pipeline = models.load(self.folder / "fits" / key / "pipeline.skops", trusted=settings.fit.trusted_types)
        return Fitted(key, pipeline, training, facts["seconds"], facts["base_rate"], settings)

    def once(self, folder: str, name: str, make: Callable[[Workspace], dict[str, Any]]) -> dict[str, Any]:
        """Make facts unless they are there; of two processes that ask at once, one waits for the other.

        ``make`` may write other files beside them; the facts come last.
        """
        place = Workspace(self.place.objects, folder)
        if not place.has(name):
            with held(self.folder / folder / f"{name}.lock"):
                if not place.has(name):
                    place.write_json(name, make(place))
        found: dict[str, Any] = place.read_json(name)
        return found

    def _fit(self, place: Workspace, training: Training, settings: Settings) -> dict[str, Any]:
        rows = self.rows(training, settings)
        started = time.perf_counter()
        pipeline = fit_pipeline(rows, settings)
        seconds = round(time.perf_counter() - started, 3)
        with beside(self.folder / place.prefix / "pipeline.skops") as path:
            models.save(pipeline, path, trusted=settings.fit.trusted_types)
        base = metrics.base_prediction(rows[settings.task.target].to_numpy())
        return {"seconds": seconds, "base_rate": base, "rows": len(rows), "last_day": str(training.days[-1])}

    def key(self, training: Training, settings: Settings) -> str:
        """Hash all that determines a fit: the rows by content, the recipe, code and lock."""
        files = [[asset, str(day), self.world.digests[asset, day]] for asset, day in _files(training)]
        recipe = settings.model_dump(mode="json", include=SECTIONS)
        facts: list[Any] = [files, str(training.days[0]), recipe, self.code]
        if seen := self._seen(training, settings):
            facts.append(facts_of(seen))
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _files(training: Training) -> Sequence[tuple[str, date]]:
    return [(asset, day) for asset in ("inputs", "labels") for day in (*training.lookback, *training.days)]
