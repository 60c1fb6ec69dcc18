"""Fit the champion's recipe again in shadow when it is due, and score each new labelled day by it beside the champion.

It runs after *decide*, so that nothing waits for it: what it finds counts from the next day on. What is kept
(``refits/``) saves time only, it follows from the data registry and the published predictions.
"""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from ml.adapters import layout, models
from ml.adapters.rows import sampled, sampling_share
from ml.champions.recorded_settings import settings_of
from ml.core.champions import tenures
from ml.core.data import windows
from ml.core.data.keys import merge_exactly
from ml.core.monitoring import refit_gain
from ml.core.monitoring.drift import sample_days
from ml.core.predictions import PREDICTION, RAW, column, gathered, names
from ml.core.training.estimators import predict
from ml.core.training.features import matrix
from ml.core.training.lineage import same_recipe
from ml.errors import EvergreenError, MissingArtifact, Unavailable
from ml.records import Champion, DayFile, RefitComparison, RefitDay
from ml.settings import Settings
from ml.steps.labelled_rows import labelled_rows
from ml.steps.monitor import refit_days
from ml.steps.retrain.pipelines import fit_pipeline, steady
from ml.steps.retrain.stage import fingerprint_of
from ml.wiring import Services

logger = logging.getLogger(__name__)


def run(champion: Champion, *, settings: Settings, services: Services) -> RefitComparison:
    """Score the labelled days that the champion served by refits in shadow, each once, and return what they gained.

    A day is scored again if its labels, or what was served, have changed. What cannot be fitted or scored is left out,
    with the reason: missing evidence neither asks for a challenger nor makes one wait.
    """
    logger.info("score_refit: %s", champion.day)
    version = champion.version
    reason = _nothing_to_do(champion, settings, services)
    if version is None or reason:
        logger.info("score_refit: %s", reason)
        return RefitComparison(champion_version=version, reason=reason)
    scoring = _Scoring(champion, version, settings, services)
    stored = refit_days.read(version, services)
    for day in scoring.days:
        content = scoring.content(day)
        if content is None or stored.get(day, ("", None))[0] == content:
            continue
        try:
            stored[day] = content, scoring.score(day)
        except Unavailable:
            raise
        except EvergreenError as err:
            reason = f"{day} is not scored by a refit: {err}"
            logger.warning("score_refit: %s", reason)
            continue
        refit_days.write(version, stored, services)  # each day, so that a killed task loses one
    scored = {day: entry for day, entry in stored.items() if day not in scoring.excluded}
    comparison = refit_gain.compare(version, refit_days.counted(scored), settings, reason=reason)
    logger.info("score_refit: %s", comparison.reason)
    return comparison


def _nothing_to_do(champion: Champion, settings: Settings, services: Services) -> str:
    """Return why no refit is made in shadow; empty if one is."""
    if champion.version is None:
        return champion.reason
    if not refit_gain.matters(settings):
        return "retrain.shadow_refit.every_days is null, or nothing asks for challengers"
    if settings.tune.enabled:
        return "a search (tune.enabled) may find another recipe, so that a refit of this one would show nothing"
    try:
        own = settings_of(champion.version, services)
    except Unavailable:
        raise
    except EvergreenError as err:
        return str(err)
    if not same_recipe(own, settings):
        return f"params.yaml declares another recipe than that of version {champion.version}: a challenger is no refit"
    return ""


@dataclass(frozen=True, eq=False)
class _Scoring:
    """The days of one champion that may be scored, as one data version holds them."""

    champion: Champion
    version: int
    settings: Settings
    services: Services

    @cached_property
    def rev(self) -> str:
        return self.champion.data_version or self.services.registry.head()

    @cached_property
    def held(self) -> tuple[dict[date, DayFile], dict[date, DayFile]]:
        inputs, labels = (self.services.registry.days(asset, self.rev) for asset in ("inputs", "labels"))
        return inputs, labels

    @cached_property
    def known_from(self) -> dict[date, date]:
        """Return with which partition the labels of each day came first."""
        inputs, labels = self.held
        days = sorted(inputs.keys() & labels.keys())
        came = self.services.registry.arrivals(days[0], days[-1], rev=self.rev) if days else {}
        delay = timedelta(days=self.settings.task.label_delay_days)
        return {day: min([arrival.partition for arrival in came.get(day, ())], default=day + delay) for day in days}

    @cached_property
    def excluded(self) -> Collection[date]:
        """Return the days that are not learned from, nor measured."""
        return self.services.registry.excluded_days(self.rev).keys()

    @cached_property
    def _due(self) -> tuple[tuple[date, ...], date]:
        known_from = {day: known for day, known in self.known_from.items() if day not in self.excluded}
        served = [day for day, known in known_from.items() if known <= self.champion.day]
        decisions = self.services.tracking.decisions(kinds=tenures.CHAMPION_CHANGES)
        return refit_gain.days_to_score(self.version, self.champion.day, served, decisions)

    @property
    def days(self) -> tuple[date, ...]:
        return self._due[0]

    def content(self, day: date) -> str | None:
        """Name what a day is scored of; None if the champion served nothing."""
        try:
            facts = self.services.storage_folder(layout.scoring.predictions(day)).read_json(
                layout.scoring.version_facts(self.version)
            )
        except MissingArtifact:
            return None
        inputs, labels = self.held
        shadow = self.settings.retrain.shadow_refit
        how = [self.settings.gate.metric, self.settings.retrain.refit, shadow.every_days, shadow.max_rows]
        facts = [inputs[day].md5, labels[day].md5, facts["sha256"], how]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def score(self, day: date) -> RefitDay | None:
        """Score a day; None if the refit that was due had seen nothing new, or the day has no usable rows."""
        due = refit_gain.refitted_on(day, self.settings)
        try:
            known_days = [held for held, known in self.known_from.items() if known <= due]
            chosen = windows.choose_by(self.settings, known_days, self.excluded)
        except MissingArtifact:
            return None
        days = chosen.days
        if self.settings.retrain.refit == "never":
            first = windows.holdout_first_day(days, self.settings.split.holdout_days)
            days = tuple(held for held in days if held < first)
        if not days or days[-1] <= self._due[1]:
            return None
        pipeline = self._refit(days, chosen)
        rows = self._rows(day)
        features, kind = self.settings.features, self.settings.task.kind
        with steady(self.settings):
            predicted = predict(pipeline, matrix(rows, features), kind, len(self.settings.task.classes))
        target = rows[self.settings.task.target].astype(float)
        scored = pd.DataFrame({"target": target, "champion": rows["__served"]}).assign(refit=column(predicted))
        return refit_gain.scored_day(day, scored, days[-1], self.settings)

    def _rows(self, day: date) -> pd.DataFrame:
        """Read the labelled rows of a day with their features, beside what was served, before any shift of it."""
        task, key = self.settings.task, list(self.settings.task.key)
        declared = self.settings.performance
        with self.services.storage_folder(layout.scoring.predictions(day)).local(
            layout.scoring.version_table(self.version)
        ) as path:
            share = sampling_share([path], declared.max_rows // declared.window_days)
            wanted = list(dict.fromkeys([*key, *names(task), RAW]))
            served = gathered(sampled(path, wanted, key=key, share=share), task)
        served = served.assign(__served=served[RAW if RAW in served else PREDICTION])[[*key, "__served"]]
        rows = labelled_rows([day], self.settings, self.services, rev=self.rev)
        return merge_exactly(rows, served, key, how="inner", validate="one_to_one")

    def _refit(self, days: Collection[date], chosen: windows.Chosen) -> Any:
        """Fit the recipe on some days, or load what was fitted under the same fingerprint."""
        inputs, labels = self.held
        excluded = [day for day in chosen.excluded if day < max(days)]
        files = [held[day] for held in (inputs, labels) for day in (*chosen.lookback, *excluded, *days)]
        shadow, trusted = self.settings.retrain.shadow_refit, self.settings.fit.trusted_types
        name = fingerprint_of(files, min(days), self.settings, excluded=excluded)
        folder = self.services.storage_folder(layout.monitoring.shadow_refit(name, shadow.max_rows))
        if not folder.has(layout.monitoring.REFIT):
            most = shadow.max_rows if self.settings.fit.stream else None
            rows = labelled_rows(sorted(days), self.settings, self.services, rev=self.rev, most=most)
            pipeline = fit_pipeline(sample_days(rows, rows=shadow.max_rows, seed=self.settings.fit.seed), self.settings)
            with tempfile.TemporaryDirectory() as temporary:
                path = Path(temporary) / layout.monitoring.REFIT
                models.save(pipeline, path, trusted=trusted)
                folder.write_file(layout.monitoring.REFIT, path)
            logger.info("score_refit: fitted on %d rows up to %s", len(rows), max(days))
        with folder.local(layout.monitoring.REFIT) as path:
            return models.load(path, trusted=trusted)
