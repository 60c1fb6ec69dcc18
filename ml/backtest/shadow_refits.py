"""Refits in shadow of a simulation: fitted when *score_refit* would fit them, and scored beside what was served."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

from ml.backtest.fits import Fits, Fitted, Training
from ml.backtest.scores import Scores
from ml.core.data import windows
from ml.core.monitoring import refit_gain
from ml.errors import EvergreenError, Unavailable
from ml.records import Logged, RefitComparison, RefitDay
from ml.settings import Settings


@dataclass(eq=False)
class ShadowRefits:
    """The days of one policy that refits in shadow have scored, as they grow."""

    fits: Fits
    scores: Scores
    settings: Settings
    _days: dict[tuple[int, date], RefitDay | None] = field(default_factory=dict)

    def comparison(self, version: int) -> RefitComparison | None:
        """Return how refits did beside a version on the days that were scored so far; None where none are asked for."""
        if not refit_gain.matters(self.settings):
            return None
        days = [day for (of, _), day in sorted(self._days.items()) if of == version and day is not None]
        return refit_gain.compare(version, days[-refit_gain.MOST_DAYS :], self.settings)

    def score(self, version: int, day: date, decisions: list[Logged]) -> None:
        """Score the labelled days that a version served, up to what is known on ``day``; each day once."""
        if not refit_gain.matters(self.settings):
            return
        served = [other for other in self.fits.dataset.measured_days(day) if self.scores.served.get(other) == version]
        days, window_last_day = refit_gain.days_to_score(version, day, served, decisions)
        for other in days:
            if (version, other) not in self._days:
                self._days[version, other] = self._scored(version, other, window_last_day)

    def _scored(self, version: int, day: date, window_last_day: date) -> RefitDay | None:
        refit = self._refit(refit_gain.refitted_on(day, self.settings))
        if refit is None or refit.training.last_day <= window_last_day:
            return None
        predicted = refit.predict(self.scores.seen(day))
        declared = self.settings.performance
        share = self.fits.dataset.share_of([day], declared.max_rows // declared.window_days)
        rows = self.scores.rows(day, share, champion=self.scores.raw[day, version], refit=predicted)
        return refit_gain.scored_day(day, rows, refit.training.last_day, self.settings)

    def _refit(self, due: date) -> Fitted | None:
        """Fit what would be promoted on a day: None where it cannot be fitted, which *score_refit* leaves out too."""
        settings, dataset = self.settings, self.fits.dataset
        try:
            chosen = windows.choose_by(settings, dataset.labelled_days(due), dataset.excluded)
            training = Training(chosen.days, (*chosen.lookback, *chosen.excluded))
            if settings.retrain.refit == "never":
                training = self.fits.without_holdout(training, settings)
            return self.fits.fit(training, settings, most_rows=settings.retrain.shadow_refit.max_rows)
        except Unavailable:
            raise
        except EvergreenError:  # too few days, or labels of a single class
            return None
