"""Which served predictions speak of the present champion, and when enough of them must have their labels.

Labels may take longer to arrive than a champion serves. What was served is measured all the same, whoever serves
today: days of earlier versions are evidence too, each compared with what the gate saw of the version that served it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property

import numpy as np
import pandas as pd

from ml.core.champions import tenures
from ml.core.gate.comparison import DailyMean
from ml.core.monitoring.label_coverage import ServedDay
from ml.core.monitoring.reference_scatter import Scatter, widest
from ml.next_moves import retrain
from ml.records import Finding, Logged
from ml.settings import Settings


@dataclass(frozen=True)
class ExpectedCoverage:
    """What share of outcomes a version declares to be inside of its intervals.

    ``calibration`` is the share that was inside on the holdout; None where that has no error by day.
    """

    declared: float
    calibration: DailyMean | None


@dataclass(frozen=True)
class ExpectedPerformance:
    """What the gate saw of a champion on its holdout, or of the version whose refit it is.

    ``base_rate`` is the constant that knows no feature, of several classes the share of each; without it nothing is
    known of ``skill``. ``coverage`` is None for a version without prediction intervals. ``scatters`` says how far gap
    and skill of a window lie from their mean while nothing changes; empty where that is not known.
    """

    metrics: dict[str, float]
    skill: DailyMean | None = None
    base_rate: float | np.ndarray | None = None
    coverage: ExpectedCoverage | None = None
    scatters: Mapping[str, Scatter] = field(default_factory=dict)


@dataclass(frozen=True)
class Serving:
    """Since when days are served at all, since when by the champion, and the last day that it was trained on.

    None is unknown: no day then counts as new to the champion, and nothing as overdue.
    """

    first_day: date | None = None
    promoted_on: date | None = None
    trained_until: date | None = None


def serving_of(version: int | None, day: date, decisions: Sequence[Logged]) -> Serving:
    """Return from the decisions since when days are served, since when by the champion of ``day``, and its last day."""
    champion_tenures = tenures.champion_tenures(decisions)
    if not champion_tenures or version is None:
        return Serving()
    tenure = tenures.tenure_on(version, day, champion_tenures)
    return Serving(
        min(tenure_before.effective_day for tenure_before in champion_tenures),
        tenure.effective_day,
        tenure.window_last_day,
    )


@dataclass(frozen=True, eq=False)
class Evidence:
    """Rows that are judged together, and what the gate saw of the versions that served them.

    ``trained_on`` says that the champion may have been trained on some of these days; ``answered`` that earlier
    versions had decayed on such days.
    """

    rows: pd.DataFrame
    version: int | None
    expected_by_version: Mapping[int | None, ExpectedPerformance]
    trained_on: bool = False
    answered: bool = False

    @cached_property
    def days_by_version(self) -> dict[int, int]:
        """Count the days that each version served, in the order of the versions."""
        counted = self.rows.groupby("version")["day"].nunique().sort_index()
        return {int(version): int(days) for version, days in zip(counted.index, counted, strict=True)}

    @property
    def versions(self) -> tuple[int, ...]:
        """List the versions that served the rows."""
        return tuple(self.days_by_version)

    @property
    def who(self) -> str:
        """Name whose predictions the rows are."""
        if self.versions in ((), (self.version,)):
            return f"version {self.version}"
        named = [f"{version} ({_days(days)})" for version, days in self.days_by_version.items()]
        if len(named) == 1:
            return f"version {named[0]}"
        return f"versions {', '.join(named[:-1])} and {named[-1]} together"

    @property
    def whose(self) -> str:
        """Return `who` as the owner of a loss."""
        return f"version {self.version}'s" if self.versions in ((), (self.version,)) else f"of {self.who}, the"

    def verb(self, singular: str, plural: str) -> str:
        """Choose the form of a verb that follows `who`."""
        return plural if len(self.versions) > 1 else singular

    @property
    def expected(self) -> ExpectedPerformance:
        """Return what the gate saw of the versions, each with the share of the days that it served.

        Holdouts of successive versions share most of their days, so errors are added as if they shared all.
        """
        parts = [(self.expected_by_version.get(version), days) for version, days in self.days_by_version.items()]
        if len(parts) <= 1:
            return (parts[0][0] if parts else self.expected_by_version.get(self.version)) or ExpectedPerformance({})
        measured = [(expected, days) for expected, days in parts if expected is not None]
        if len(measured) < len(parts):
            return ExpectedPerformance({})
        shares = np.array([days for _, days in measured]) / sum(days for _, days in measured)
        names = [name for name in measured[0][0].metrics if all(name in expected.metrics for expected, _ in measured)]
        metrics = {
            name: float(
                sum(share * expected.metrics[name] for share, (expected, _) in zip(shares, measured, strict=True))
            )
            for name in names
        }
        skills = [expected.skill for expected, _ in measured]
        return ExpectedPerformance(
            metrics,
            _mixed([skill for skill in skills if skill], shares) if all(skills) else None,
            scatters=widest([expected.scatters for expected, _ in measured]),
        )

    def base_rates(self) -> np.ndarray | None:
        """Return for each row the constant of the version that served it; None if that of any is not known."""
        rates = {
            version: (self.expected_by_version.get(version) or ExpectedPerformance({})).base_rate
            for version in self.versions
        }
        if not rates or any(rate is None for rate in rates.values()):
            return None
        numbers = self.rows["version"].map({version: number for number, version in enumerate(rates)})
        return np.array(list(rates.values()), dtype=float)[numbers.to_numpy(dtype=int)]


def _mixed(skills: Sequence[DailyMean], shares: np.ndarray) -> DailyMean:
    def weighted(values: Sequence[float]) -> float:
        return float(np.dot(shares, values))

    return DailyMean(
        value=weighted([skill.value for skill in skills]),
        low=weighted([skill.low for skill in skills]),
        high=weighted([skill.high for skill in skills]),
        standard_error=weighted([skill.standard_error for skill in skills]),
        degrees_of_freedom=min(skill.degrees_of_freedom for skill in skills),
        days=min(skill.days for skill in skills),
        rows=sum(skill.rows for skill in skills),
    )


def own(
    rows: pd.DataFrame,
    version: int | None,
    expected_by_version: Mapping[int | None, ExpectedPerformance],
    *,
    answered: bool = False,
) -> Evidence:
    """Return what the champion itself served; no row without a champion."""
    mine = rows.loc[rows["version"] == version] if version is not None else rows.iloc[:0]
    return Evidence(mine, version, expected_by_version, answered=answered)


def evidence(
    rows: pd.DataFrame,
    version: int | None,
    expected_by_version: Mapping[int | None, ExpectedPerformance],
    serving: Serving,
    settings: Settings,
) -> Iterator[Evidence]:
    """Yield what may be judged of the champion, the strongest first; nothing that has too few days.

    Its own days; else all days after its training window, whoever served them: decay there is new to the champion as
    well. Else what served before it, and that together with its own days: only that all was well follows from these,
    and from the last of them, since training has seen these days.
    """
    if version is None:
        return
    least = settings.performance.min_days
    mine = own(rows, version, expected_by_version)
    if mine.rows["day"].nunique() >= least:
        yield mine
        return
    until = serving.trained_until
    new = rows.loc[rows["day"] > until.isoformat()] if until else rows.iloc[:0]
    if new["day"].nunique() >= least:
        yield Evidence(new, version, expected_by_version)
        return
    before = rows.loc[rows["version"] != version]
    if before["day"].nunique() >= least:
        yield Evidence(before, version, expected_by_version, trained_on=True)
    if rows["day"].nunique() >= least and len(rows) > len(before):
        yield Evidence(rows, version, expected_by_version, trained_on=True)


def expected_by(serving: Serving, *, answered: bool, settings: Settings) -> date | None:
    """Return the day from which on the performance should be known; None if it is not known who serves since when.

    Parameters
    ----------
    answered
        Whether what is known of earlier days speaks of the versions before the champion only.
    """
    delay, least = max(settings.task.label_delay_days, 1), settings.performance.min_days
    if serving.first_day is None:
        return None
    first = serving.first_day
    if answered and serving.promoted_on is not None:
        after = serving.trained_until or serving.promoted_on - timedelta(days=1)
        first = max(first, min(serving.promoted_on, after + timedelta(days=1)))
    return first + timedelta(days=settings.land.calendar_days(least - 1) + delay)


def overdue(
    day: date,
    expected: date | None,
    rows: pd.DataFrame,
    days: Sequence[ServedDay],
    reason: str,
    serving: Serving,
    settings: Settings,
) -> tuple[Finding, ...]:
    """Raise an alarm if the performance is unknown for longer than label delay and window justify.

    Parameters
    ----------
    rows
        What was served and has its labels, in the whole window.
    days
        The days of the window, and some before it; see `ml.core.monitoring.performance.assess`.
    """
    declared = settings.performance
    if expected is None or day < expected + timedelta(
        days=settings.land.calendar_days(declared.window_days - declared.min_days)
    ):
        return ()
    newest = date.fromisoformat(str(rows["day"].max())) if len(rows) else None
    since = serving.first_day if newest is None else newest + timedelta(days=1)
    message = f"performance unknown since {since}, because {reason}: {_next_move(day, rows, days, settings)}"
    return (Finding(kind="unknown_performance", severity="alarm", message=message),)


def _next_move(day: date, rows: pd.DataFrame, days: Sequence[ServedDay], settings: Settings) -> str:
    declared, delay = settings.performance, max(settings.task.label_delay_days, 1)
    first = day - timedelta(days=delay + settings.land.calendar_days(declared.window_days) - 1)
    last = day - timedelta(days=delay)
    window = [served_day for served_day in days if first <= served_day.day <= last]
    scored = [served_day for served_day in window if served_day.predicted is not None]
    if not window:
        return f"no inputs from {first} to {last} are in the registry; run ingest for these days"
    if len(scored) < declared.min_days <= len(window):
        return f"{len(scored)} of {len(window)} days from {first} to {last} were scored; run score for the others"
    if len(window) < declared.min_days:
        longer = -(-declared.window_days * declared.min_days // len(window))
        return (
            f"only {len(window)} days from {first} to {last} have inputs; raise performance.window_days to "
            f"{longer}, or lower performance.min_days to {max(2, len(window))}"
        )
    if rows["day"].nunique() < declared.min_days:
        missing = len(scored) - rows["day"].nunique()
        return (
            f"labels of {missing} scored days from {first} to {last} have not arrived; look at the source of labels, "
            "and raise task.label_delay_days if they need longer"
        )
    return f"{retrain()}: with the next version all that is compared is kept"


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count} days"
