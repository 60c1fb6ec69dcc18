"""What the workspace of a judged run holds, for its card and its charts."""

from __future__ import annotations

import logging
from functools import cached_property
from typing import Any

import pandas as pd

from ml.adapters import models
from ml.adapters.workspace import Workspace
from ml.core.gate import day_resampling
from ml.core.gate.dependence import OtherModel, dependence, sample
from ml.core.training.estimators import predict
from ml.core.training.features import matrix
from ml.core.training.importance import Importance, measure_importance
from ml.errors import EvergreenError, Unavailable
from ml.records import Evaluation, Judgement, Parts, Window
from ml.settings import Settings
from ml.steps.retrain.compared_models import Contest
from ml.steps.retrain.search_result import tuned_settings
from ml.wiring import Services

logger = logging.getLogger(__name__)


class JudgedRun:
    """What a judged run's workspace holds, each read once and when it is asked for."""

    def __init__(
        self, window: Window, judgement: Judgement, run_dir: Workspace, settings: Settings, services: Services
    ) -> None:
        self.window, self.judgement, self.place = window, judgement, run_dir
        self.settings, self.services = settings, services

    @property
    def run_id(self) -> str:
        """Return the run of the version, or of the evaluation where nothing was registered."""
        if self.judgement.version is None:
            return self.evaluation.run_id
        return self.services.tracking.version_tags(self.judgement.version)["run_id"]

    @cached_property
    def evaluation(self) -> Evaluation:
        return Evaluation.model_validate(self.place.read_json("evaluation/evaluation.json"))

    @cached_property
    def scored(self) -> pd.DataFrame:
        return self.place.read_table("evaluation/holdout.parquet")

    @cached_property
    def holdout(self) -> pd.DataFrame:
        return self.place.read_table("parts/holdout.parquet")

    @cached_property
    def train(self) -> pd.DataFrame:
        return self.place.read_table("parts/train.parquet")

    @cached_property
    def pipeline(self) -> Any:
        with self.place.local("model/pipeline.skops") as path:
            return models.load(path, trusted=self.settings.fit.trusted_types)

    @cached_property
    def parts(self) -> Parts:
        facts = self.place.read_json("parts/parts.json")
        return Parts.model_validate({"fingerprint": self.window.fingerprint, **facts})

    @cached_property
    def files(self) -> dict[str, Any]:
        """Return the days of the window, and the MD5 of each file that was read for it."""
        window: dict[str, Any] = self.place.read_json("data/window.json")
        return window

    @cached_property
    def lineage(self) -> dict[str, Any]:
        lineage: dict[str, Any] = self.place.read_json("model/lineage.json")
        return lineage

    @cached_property
    def intervals(self) -> dict[str, day_resampling.Interval]:
        task, gate = self.settings.task, self.settings.gate
        return day_resampling.day_intervals(
            self.scored, task.kind, confidence=gate.confidence, seed=self.settings.fit.seed, quantile=task.quantile
        )

    @cached_property
    def importance(self) -> Importance:
        settings = self.settings
        return measure_importance(
            self.pipeline,
            matrix(self.holdout, settings.features),
            self.holdout[settings.task.target],
            kind=settings.task.kind,
            classes=len(settings.task.classes),
            metric=settings.gate.metric,
            seed=settings.fit.seed,
        )

    @cached_property
    def dependence(self) -> list[dict[str, Any]]:
        """Return how the predictions of both models depend on the features that matter most to this one.

        A feature that nothing is worth is left out.
        """
        task, seed = self.settings.task, self.settings.fit.seed
        worth = zip(self.importance.features, self.importance.increase, strict=True)
        return dependence(
            lambda rows: predict(self.pipeline, rows, task.kind, len(task.classes)),
            matrix(self.holdout, self.settings.features),
            [feature for feature, increase in worth if increase > 0],
            classes=[str(name) for name in task.classes] if task.kind == "multiclass" else (),
            champion=self._champion(),
            seed=seed,
        )

    def _champion(self) -> OtherModel | None:
        """Return the champion that was compared with; None if it could not score the holdout, or is gone since.

        It is the champion itself, also where its twin or its recipe was compared: what it learned is shown here, and
        no loss that days which it had seen would flatter.
        """
        version = self.evaluation.champion_version
        if version is None or self.evaluation.champion is None:
            return None
        settings = tuned_settings(self.place, self.settings)
        contest = Contest(self.window, self.parts, self.place, settings, self.services)
        try:
            return OtherModel(*contest.seen_by(version, sample(self.holdout, seed=settings.fit.seed)))
        except Unavailable:
            raise
        except EvergreenError as err:
            logger.warning("describe: no dependence of champion v%d: %s", version, err)
            return None
