"""Score a holdout by those that a candidate is compared with: the champion or who stands for it, and the anchor.

A champion that was fitted again has seen the newest days. Where it leaves too few to compare on, the version that was
judged in its place stands for it (its twin), and where that has seen them too, its recipe, fitted again up to the
holdout. Which of the three is chosen by days alone, see `ml.core.gate.gate_evidence.who_compares`.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from ml.adapters import code, layout
from ml.adapters.aggregates import AggregateStore
from ml.adapters.workspace import Workspace
from ml.champions import recorded_models
from ml.champions.recorded_settings import settings_of, training_of
from ml.core import predictions
from ml.core.champions import tenures
from ml.core.data.keys import merge_exactly
from ml.core.gate import gate_evidence
from ml.core.gate.rule import Compared
from ml.core.training import own_features
from ml.core.training.estimators import as_trained, predict, trained_kinds
from ml.core.training.features import feature_columns, matrix
from ml.core.training.lagged_means import TargetAggregates, history_names
from ml.core.training.lineage import RECIPE_SECTIONS
from ml.errors import DataRejected, EvergreenError, MissingArtifact, SettingsError, Unavailable
from ml.records import Parts, RefreshHistory, Window
from ml.settings import Settings
from ml.steps.own_features import OwnFeatures
from ml.steps.retrain import past_refreshes, streamed_parts
from ml.steps.retrain.pipelines import fit_pipeline
from ml.wiring import Services

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Opponents:
    """A holdout that others have scored beside the candidate, and who they are; see `ml.records.Evaluation`."""

    scored: pd.DataFrame
    is_refresh: bool = False
    compared: Compared = "model"
    anchor_version: int | None = None
    anchor_problem: str | None = None
    problem: str | None = None


@dataclass(frozen=True, eq=False)
class Contest:
    """One training and its holdout; ``settings`` are those that the candidate was fitted with."""

    window: Window
    parts: Parts
    run_dir: Workspace
    settings: Settings
    services: Services

    def against(self, champion: int, scored: pd.DataFrame, holdout: pd.DataFrame) -> Opponents:
        """Add the scores of the champion, and of the anchor where the candidate is a refresh.

        Where the champion cannot give any, evidence is missing and the gate will hold. Data that the registry should
        have and has not are no such case: they fail.
        """
        try:
            own, last_day = training_of(champion, self.services)
        except (MissingArtifact, SettingsError) as err:
            logger.warning("evaluate: champion v%d cannot be compared with: %s", champion, err)
            return Opponents(scored, problem=str(err))
        refreshed = gate_evidence.is_refresh(own, last_day, self.settings, self.window.last_day)
        is_refresh = refreshed and self._same_code(champion)
        opponents = Opponents(scored, is_refresh)
        decisions = self.services.tracking.decisions(kinds=("promotion", "hold"))
        try:
            _refuse_other_question(own, self.settings)
            who, version, until = self._who(champion, scored["day"], decisions)
            predicted = (
                self._recipe_scores(champion, own, holdout) if who == "recipe" else self._scores(version, own, holdout)
            )
            scored = gate_evidence.with_champion(scored, predicted, trained_until=until.isoformat())
        except (DataRejected, SettingsError) as err:
            logger.warning("evaluate: champion v%d cannot score this holdout: %s", champion, err)
            return replace(opponents, problem=str(err))
        logger.info("evaluate: champion v%d is compared with by its %s", champion, who)
        if not is_refresh or not gate_evidence.wants_past(self.settings):
            return Opponents(scored, is_refresh, who)
        anchor = self.settings.gate.anchor or tenures.anchor_of(champion, decisions)
        anchor_until, problem = None, None
        if anchor != champion:
            scored, anchor_until, problem = self._with_anchor(anchor, scored, holdout, decisions)
        past = self._past(champion, until, anchor_until)
        self.run_dir.write_json("evaluation/refreshes.json", past.model_dump(mode="json"))
        return Opponents(scored, is_refresh, who, anchor if anchor != champion else None, problem)

    def _who(
        self, version: int, days: pd.Series, decisions: Sequence[object], *, recipe: bool = True
    ) -> tuple[Compared, int, date]:
        """Choose who stands for a version, and give the number of that and the last day that it was fitted on."""
        versions: dict[Compared, int] = {"model": version}
        twin = tenures.judged_version(version, decisions)  # type: ignore[arg-type]
        if twin != version:
            versions["twin"] = twin
        until = {who: self._trained_until(number) for who, number in versions.items()}
        if recipe:
            until["recipe"] = self.parts.train_last_day
        who = gate_evidence.who_compares(days, until, self.settings.gate)
        return who, versions.get(who, version), until[who]

    def _trained_until(self, version: int) -> date:
        return date.fromisoformat(self.services.tracking.version_tags(version)["train_last_day"])

    def _with_anchor(
        self, anchor: int, scored: pd.DataFrame, holdout: pd.DataFrame, decisions: Sequence[object]
    ) -> tuple[pd.DataFrame, date | None, str | None]:
        """Add what the anchor predicts; where it cannot, the reason: a person decides then."""
        try:
            own = settings_of(anchor, self.services)
            _refuse_other_question(own, self.settings)
            _, version, until = self._who(anchor, scored["day"], decisions, recipe=False)
            predicted = self._scores(version, own, holdout)
        except Unavailable:
            raise
        except EvergreenError as err:
            logger.warning("evaluate: anchor v%d cannot score this holdout: %s", anchor, err)
            return scored, None, str(err)
        return gate_evidence.with_anchor(scored, predicted, trained_until=until.isoformat()), until, None

    def _past(self, champion: int, compared_until: date, anchor_until: date | None) -> RefreshHistory:
        """Measure what refreshes of the recipe gained in its past, or read what an earlier training measured."""
        task, settings = self.settings.task, self.settings
        columns = list(dict.fromkeys([*task.key, *feature_columns(settings.features), task.target]))
        train = self.run_dir.read_table("parts/train.parquet", columns=columns)
        cache = self.services.storage_folder(layout.training.past_refreshes())
        of_code = f"{code.code_sha256()} {code.lock_sha256()}"

        def once(key: str, make: Callable[[], past_refreshes.Facts]) -> past_refreshes.Facts:
            name = f"{hashlib.sha256(f'{key} {of_code}'.encode()).hexdigest()}.json"
            if not cache.has(name):
                cache.write_json(name, make())
            facts: past_refreshes.Facts = cache.read_json(name)
            return facts

        return gate_evidence.refresh_history(
            past_refreshes.measure(train, settings, once=once),
            settings,
            compared_last_day=compared_until,
            champion_last_day=self._trained_until(champion),
            train_last_day=self.parts.train_last_day,
            last_day=self.window.last_day,
            anchor_last_day=anchor_until,
        )

    def _scores(self, version: int, own: Settings, holdout: pd.DataFrame) -> np.ndarray:
        """Score the same rows as a version would, with its own features and its own history."""
        predicts, seen = self._as_seen_by(version, own, holdout)
        return predicts(seen)

    def seen_by(self, version: int, rows: pd.DataFrame) -> tuple[Callable[[pd.DataFrame], np.ndarray], pd.DataFrame]:
        """Return how a version predicts, and rows of the candidate's with the version's own features and history.

        Raises
        ------
        SettingsError
            If it predicts something else than the candidate, or its settings are none that this code knows.
        MissingArtifact
            If its files are not kept.
        """
        own = settings_of(version, self.services)
        _refuse_other_question(own, self.settings)
        return self._as_seen_by(version, own, rows)

    def _as_seen_by(
        self, version: int, own: Settings, rows: pd.DataFrame
    ) -> tuple[Callable[[pd.DataFrame], np.ndarray], pd.DataFrame]:
        pipeline = recorded_models.load(version, self.services)
        kinds = trained_kinds(pipeline, own.features)

        def predicts(seen: pd.DataFrame) -> np.ndarray:
            return predict(pipeline, as_trained(seen, kinds), own.task.kind, len(own.task.classes))

        return predicts, matrix(self._with_features_of(version, own, rows), own.features)

    def _recipe_scores(self, version: int, own: Settings, holdout: pd.DataFrame) -> np.ndarray:
        """Score the rows by the champion's recipe, fitted on the candidate's days; kept with the run, once a recipe."""
        recipe = json.dumps(own.model_dump(mode="json", include=set(RECIPE_SECTIONS)), sort_keys=True)
        name = f"evaluation/recipe-{hashlib.sha256(recipe.encode()).hexdigest()[:16]}.parquet"
        if not self.run_dir.has(name):
            train = self._with_features_of(version, own, self.run_dir.read_table("parts/train.parquet"))
            if self.settings.fit.stream:
                pipeline = self._recipe_of_every_row(version, own, train)
            else:
                pipeline = fit_pipeline(train, own)
            rows = matrix(self._with_features_of(version, own, holdout), own.features)
            predicted = predict(pipeline, rows, own.task.kind, len(own.task.classes))
            self.run_dir.write_table(name, pd.DataFrame({"prediction": predictions.column(predicted)}))
        return predictions.array(self.run_dir.read_table(name)["prediction"])

    def _recipe_of_every_row(self, version: int, own: Settings, sample: pd.DataFrame) -> Any:
        """Fit the champion's recipe on all rows of the training part, as the candidate was, and not on its sample."""
        if own.fit.stream is None and len(sample) < self.parts.train_rows:
            raise SettingsError(
                f"its recipe holds all rows in memory, and the candidate's training part of {self.parts.train_rows:,} "
                f"rows is read from files (fit.stream); it is compared itself once {self.settings.gate.min_days} days "
                "are there that it was not fitted on"
            )
        lagged = self._lagged_means(own, self.parts.train_first_day, self.parts.train_last_day)
        with streamed_parts.all_rows(self.run_dir) as every_row:

            def source(columns: Sequence[str] | None) -> Iterator[pd.DataFrame]:
                frames = every_row.frames(columns)
                if columns is not None:  # days and weights, which are no features
                    return frames
                return (self._with_features_of(version, own, frame, lagged) for frame in frames)

            return fit_pipeline(sample, own, source=source, engine=self.services.engine)

    def _with_features_of(
        self, version: int, own: Settings, rows: pd.DataFrame, lagged: TargetAggregates | None = None
    ) -> pd.DataFrame:
        """Put history features and own features of a version's recipe in the place of the candidate's.

        Parameters
        ----------
        lagged
            What `_lagged_means` gave of these days and others; None computes it.
        """
        first, last = (date.fromisoformat(str(edge)) for edge in (rows["day"].min(), rows["day"].max()))
        features, rev = self.settings.features, self.window.data_version
        added = [*history_names(features.history), *own_features.names(features.python)]
        lagged = lagged or self._lagged_means(own, first, last)
        plain = lagged.add_to(rows.drop(columns=[name for name in added if name in rows]))
        if not own.features.python:
            return plain
        computed = OwnFeatures(own, self.services, first, last, rev=rev, version=version)
        days = sorted(date.fromisoformat(str(day)) for day in plain["day"].unique())
        return merge_exactly(plain, computed.with_key(days), own.task.key, how="left", validate="one_to_one")

    def _lagged_means(self, own: Settings, first: date, last: date) -> TargetAggregates:
        """Return what the history features of a recipe look back on; sums that were missing are kept, as by *score*."""
        folder = self.services.storage_folder(layout.training.AGGREGATES)
        store = AggregateStore(self.services.registry, folder, self.services.engine)
        return store.aggregates(first, last, own, rev=self.window.data_version)

    def _same_code(self, version: int) -> bool:
        """Return whether candidate and champion were trained with the same modules of an adopter's, if any."""
        present = self.run_dir.read_json("model/lineage.json").get("own_code", {})
        return bool(_hashes(present) == _hashes(recorded_models.code_of(version, self.services)))


def _hashes(modules: Mapping[str, Any]) -> dict[str, str]:
    return {name: facts["sha256"] for name, facts in modules.items()}


def _refuse_other_question(own: Settings, settings: Settings) -> None:
    mine, theirs = (
        (task.kind, task.target, task.classes or task.quantile or (1 if task.positive is None else task.positive))
        for task in (settings.task, own.task)
    )
    if mine != theirs:
        raise SettingsError(f"it predicts another target, class or quantile: {' '.join(map(str, theirs))}")
