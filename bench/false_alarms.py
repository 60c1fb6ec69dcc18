"""Measure how often drift alarms are raised while nothing changes, at declared rates and by common defaults.

Real days of 2013 are shuffled, so that nothing changes but which day is when: a stretch of the year is cut into weeks
(weekdays stay together) and the weeks change places, or, with ``--shuffle days``, each weekday's days do. The first
days are the reference, the 91 days after it are watched by the rule that monitoring runs: each day the trailing window
against the reference, an alarm on k of the newest n days, a run of alarm days is one episode. Limits and distances are
the project's own (`ml.core.monitoring.limits`, `ml.core.monitoring.day_blocks`); tests hold them against Evidently's
scores.

``without floor`` shows the rate itself: the effect-size floor of ``params.yaml`` makes alarms rarer still. ``weather``
is the same with the environment columns in the place of the structural ones: bursty columns, the hardest case. At the
end the year as it was, in order: not without change, and nobody knows which alarm is false.

    python -m bench.false_alarms [--quarters 200] [--shuffle weeks days] [--reference-days 35 77 182] [--json]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from bench.evidently_defaults import SHARE, few_rows, moved, significant
from ml import settings as settings_module
from ml.adapters.sources.demo import FIRST_DAY, LAST_DAY, DemoSource
from ml.core.data.days import days_between
from ml.core.monitoring.day_blocks import DailyCounts, apart, count_all, rolling, variability
from ml.core.monitoring.limits import QUARTER_DAYS, alarms, episodes, limits_from
from ml.settings import Drift

PARAMS = Path(__file__).parents[1] / "params.yaml"
RATES = (0.5, 1.0, 2.0)
NO_FLOOR = 1e-9
WEEK = 7
SIMPLE_FACTOR = 1.5
RETRAINED_EVERY = 28
HELD_BACK = 14

Counts = Mapping[str, DailyCounts]


@dataclass(frozen=True)
class Line:
    """How one rule did: episodes per 91 days with a 95 % interval, and the share of days in alarm."""

    rule: str
    shuffled: str
    reference_days: int
    quarters: int
    episodes: float
    low: float
    high: float
    days_in_alarm: float


def counts_of_2013(drift: Drift) -> Counts:
    """Count every watched column of every day of 2013."""
    source = DemoSource(replay=False)
    inputs = pd.concat([source.inputs(day) for day in days_between(FIRST_DAY, LAST_DAY)], ignore_index=True)
    return count_all(inputs, [*drift.structural, *drift.environment], drift.methods)


def take(counted: Counts, order: np.ndarray) -> Counts:
    """Choose days, in an order."""
    return {column: replace(one, counts=one.counts[order]) for column, one in counted.items()}


def shuffled(first: int, weeks: int, how: str, chance: np.random.Generator) -> np.ndarray:
    """Shuffle a stretch of days: whole weeks, or the days of each weekday."""
    days = np.arange(first, first + weeks * WEEK).reshape(weeks, WEEK)
    if how == "weeks":
        return np.asarray(days[chance.permutation(weeks)].ravel())
    return np.asarray(np.column_stack([days[chance.permutation(weeks), weekday] for weekday in range(WEEK)]).ravel())


@dataclass(frozen=True)
class Stretch:
    """A reference and the days that are watched against it; what the rules share is measured once.

    The first watched days fill the first window.
    """

    reference: Counts
    watched: Counts
    window_days: int
    seed: int

    @cached_property
    def days(self) -> int:
        """Return the length of the reference."""
        return len(next(iter(self.reference.values())).counts)

    @cached_property
    def block_distances(self) -> dict[str, np.ndarray]:
        """Measure how far blocks of the reference lie from its rest."""
        return {column: variability(one, self.window_days) for column, one in self.reference.items()}

    @cached_property
    def scores(self) -> dict[str, np.ndarray]:
        """Measure each trailing window against the whole reference."""
        found = {}
        for column, one in self.reference.items():
            windows = rolling(self.watched[column].counts, self.window_days)
            found[column] = apart(one, np.broadcast_to(one.counts.sum(axis=0), windows.shape), windows)
        return found

    @cached_property
    def far(self) -> dict[str, np.ndarray]:
        """Return which days' batches Evidently's default distance calls drifted."""
        days = slice(self.window_days - 1, None)
        return {
            column: moved(one, one.counts.sum(axis=0), self.watched[column].counts[days])
            for column, one in self.reference.items()
        }

    @cached_property
    def unlikely(self) -> dict[str, np.ndarray]:
        """Return which days' batches Evidently's default tests call drifted, with a reference of 1,000 rows."""
        chance = np.random.default_rng(self.seed)
        days = slice(self.window_days - 1, None)
        return {
            column: significant(one, few_rows(one.counts.sum(axis=0), chance), self.watched[column].counts[days])
            for column, one in self.reference.items()
        }


Watch = Callable[[Stretch, Drift], np.ndarray]
"""Says on which of the watched days, from the first full window on, an alarm stands."""


def by_limits(stretch: Stretch, drift: Drift) -> np.ndarray:
    """Watch as monitoring does."""
    distances = {column: stretch.block_distances[column] for column in drift.structural}
    limits = limits_from(distances, stretch.days, drift)
    over = np.sum([stretch.scores[column] > limits[column].limit for column in drift.structural], axis=0)
    return alarms(over >= drift.min_drifted_columns, drift.alarm_days)


def by_block_maximum(stretch: Stretch, drift: Drift) -> np.ndarray:
    """Watch by the simple rule, with the same k of n days: 1.5 times the largest block, and at least the floor."""
    over = [
        stretch.scores[column]
        > max(drift.min_distance, SIMPLE_FACTOR * stretch.block_distances[column][:: drift.window_days].max())
        for column in drift.structural
    ]
    return alarms(np.any(over, axis=0), drift.alarm_days)


def by_defaults(columns: Sequence[str], *, share: float | None, tests: bool = False) -> Watch:
    """Watch each day's batch by Evidently's defaults: any column, or at least a share of them."""

    def watch(stretch: Stretch, _: Drift) -> np.ndarray:
        found = stretch.unlikely if tests else stretch.far
        over = np.mean([found[column] for column in columns], axis=0)
        return np.asarray(over > 0 if share is None else over >= share)

    return watch


def rules(drift: Drift) -> list[tuple[str, Drift, Watch]]:
    """List the rules that are compared."""
    every = [*drift.structural, *drift.environment]
    weather = drift.model_copy(update={"structural": drift.environment, "environment": ()})
    declared = [
        (f"{name}, declared {rate:g}", base.model_copy(update={"false_alarms_per_quarter": rate, **floor}), by_limits)
        for name, base, floor in (
            ("Evergreen", drift, {}),
            ("without floor", drift, {"min_distance": NO_FLOOR}),
            ("weather, without floor", weather, {"min_distance": NO_FLOOR}),
        )
        for rate in RATES
    ]
    return [
        *declared,
        ("max(0.1, 1.5 x block maximum)", drift, by_block_maximum),
        ("daily distances, any structural", drift, by_defaults(drift.structural, share=None)),
        ("daily distances, any column", drift, by_defaults(every, share=None)),
        ("daily distances, share >= 0.5", drift, by_defaults(every, share=SHARE)),
        ("daily p-values, any structural", drift, by_defaults(drift.structural, share=None, tests=True)),
        ("daily p-values, share >= 0.5", drift, by_defaults(every, share=SHARE, tests=True)),
    ]


def simulate(
    counted: Counts, drift: Drift, *, how: str, reference_days: int, quarters: int, seed: int
) -> Iterator[Line]:
    """Watch shuffled quarters by every rule."""
    lead = drift.window_days - 1 + drift.alarm_days[1]
    weeks = reference_days // WEEK + -(-(lead + QUARTER_DAYS) // WEEK)
    available = len(next(iter(counted.values())).counts)
    if weeks * WEEK > available:
        raise SystemExit(f"{weeks} weeks are needed and the data have {available} days; lower --reference-days")
    chance = np.random.default_rng([seed, reference_days, how == "days"])
    found: dict[str, list[tuple[int, float]]] = {name: [] for name, _, _ in rules(drift)}
    for number in range(quarters):
        first = int(chance.integers(0, available - weeks * WEEK + 1))
        order = shuffled(first, weeks, how, chance)
        reference = take(counted, order[: reference_days // WEEK * WEEK])
        watched = take(counted, order[reference_days // WEEK * WEEK :][: lead + QUARTER_DAYS])
        stretch = Stretch(reference, watched, drift.window_days, number)
        for name, declared, watch in rules(drift):
            alarm = watch(stretch, declared)
            found[name].append((int(episodes(alarm)[-QUARTER_DAYS:].sum()), float(alarm[-QUARTER_DAYS:].mean())))
    for name, quarter in found.items():
        raised, share = np.array(quarter).T
        error = 1.96 * raised.std(ddof=1) / np.sqrt(len(raised))
        mean = float(raised.mean())
        yield Line(name, how, reference_days, quarters, mean, max(0.0, mean - error), mean + error, float(share.mean()))


@dataclass(frozen=True)
class Year:
    """How a rule did on the year as it was, from April on."""

    rule: str
    champion: str
    days: int
    days_in_alarm: int
    episodes: tuple[str, ...]


def as_it_was(counted: Counts, drift: Drift, *, seed: int) -> Iterator[Year]:
    """Watch April to December in order, with the first quarter's champion and with a new one every 28 days."""
    start, end = (date(2013, 4, 1) - FIRST_DAY).days, (LAST_DAY - FIRST_DAY).days + 1
    lead = drift.window_days - 1 + drift.alarm_days[1]
    for champion, step in (("of March", end - start), (f"new every {RETRAINED_EVERY} days", RETRAINED_EVERY)):
        firsts = range(start, end, step)
        stretches = [
            Stretch(
                take(counted, np.arange(first - HELD_BACK)),
                take(counted, np.arange(first - lead, min(first + step, end))),
                drift.window_days,
                seed,
            )
            for first in firsts
        ]
        for name, declared, watch in rules(drift):
            if name.startswith(("without", "weather")):
                continue
            parts = [watch(stretch, declared)[drift.alarm_days[1] :] for stretch in stretches]
            alarm = np.concatenate(parts)
            starts = np.flatnonzero(episodes(alarm))
            dates = tuple((FIRST_DAY + timedelta(days=int(start + at))).isoformat() for at in starts)
            yield Year(name, champion, len(alarm), int(alarm.sum()), dates)


def table(lines: Sequence[Line]) -> str:
    """Lay out episodes per quarter: a row for each rule, a column for each shuffle and reference."""
    frame = pd.DataFrame(
        {
            "rule": line.rule,
            "column": f"{line.shuffled} {line.reference_days} d",
            "cell": f"{line.episodes:.2f} [{line.low:.2f}, {line.high:.2f}] {100 * line.days_in_alarm:.0f} %",
        }
        for line in lines
    )
    return str(frame.pivot_table("cell", "rule", "column", aggfunc="first", sort=False).to_string())


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quarters", type=int, default=200, help="simulated for each column of the table")
    parser.add_argument("--shuffle", nargs="+", choices=["weeks", "days"], default=["weeks", "days"])
    parser.add_argument("--reference-days", nargs="+", type=int, default=[35, 77, 182])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(argv)
    drift = settings_module.load(PARAMS).drift
    counted = counts_of_2013(drift)
    lines = [
        line
        for how in asked.shuffle
        for days in asked.reference_days
        for line in simulate(counted, drift, how=how, reference_days=days, quarters=asked.quarters, seed=asked.seed)
    ]
    years = list(as_it_was(counted, drift, seed=asked.seed))
    if asked.json:
        print(json.dumps({"shuffled": [asdict(line) for line in lines], "year": [asdict(year) for year in years]}))
        return 0
    print(
        f"Alarms in {QUARTER_DAYS} days without change [95 % interval], share of days in alarm; "
        f"{asked.quarters} quarters a column"
    )
    print(table(lines))
    print("\nThe year as it was, April to December:")
    for year in years:
        dates = ", ".join(year.episodes[:8]) + (" ..." if len(year.episodes) > 8 else "")
        print(
            f"  champion {year.champion}, {year.rule}: {year.days_in_alarm} of {year.days} days in "
            f"{len(year.episodes)} episodes{': ' + dates if dates else ''}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
