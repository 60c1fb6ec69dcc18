"""What had arrived when: every day's inputs and labels as the contracts let them in, kept for all policies alike.

A day goes through the rules of `ml.steps.land` and `ml.steps.screen`: labels come with a later partition, late
ones are asked for again, and a table that breaks its contract stays out while the rest of its partition goes on.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd

from ml.adapters.workspace import Workspace
from ml.core.arrivals import contents_of, not_as_present
from ml.core.contracts import DayProfile
from ml.core.features import add_history, days_between, join_labels, lookback_days
from ml.core.keys import merge_exactly
from ml.core.rest_days import rest_reason
from ml.core.targets import coded
from ml.errors import MissingArtifact
from ml.records import Arrival, Asset, Content
from ml.settings import HistoryFeature, Settings
from ml.steps.land import label_days
from ml.steps.replay.screening import Kept, Screens

logger = logging.getLogger(__name__)
Progress = Callable[[int], None]


class Tables(Protocol):
    """Where a day's tables come from; MissingArtifact if there are none."""

    def inputs(self, day: date) -> pd.DataFrame:
        """Give the inputs of a day."""
        ...

    def labels(self, day: date) -> pd.DataFrame:
        """Give the labels of a day."""
        ...


@runtime_checkable
class KnowsArrivals(Protocol):
    """Tables that say when labels came: a source gives what it has today, a data registry knows."""

    def arrived(self, day: date) -> date | None:
        """Give with which partition the labels of a day came; None means when they were due."""
        ...


@dataclass(frozen=True, eq=False)
class World:
    """All that any policy may see, and from which day on.

    Attributes
    ----------
    inputs, labels
        What was accepted, by the day that it speaks of.
    arrived
        With which partition the labels of a day came; they are known from that day on.
    refused
        Why a partition did not get in, by its day: nothing is scored or monitored then.
    digests
        SHA-256 of each accepted table, by asset and day.
    """

    inputs: Mapping[date, pd.DataFrame]
    labels: Mapping[date, pd.DataFrame]
    arrived: Mapping[date, date]
    refused: Mapping[date, str]
    digests: Mapping[tuple[str, date], str]
    key: tuple[str, ...]
    target: str
    delay: int
    quarantined: Mapping[date, int] = field(default_factory=dict)
    _outcomes: dict[date, np.ndarray] = field(default_factory=dict, init=False, repr=False)
    _seen: dict[tuple[date, str], pd.DataFrame] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def _joined(self) -> dict[date, pd.DataFrame]:
        return {
            day: join_labels(self.inputs[day], self.labels[day], key=self.key, target=self.target)
            for day in sorted(self.arrived)
        }

    @cached_property
    def digest(self) -> str:
        """Name all of it: the content, when it came, and what was refused."""
        facts = [
            sorted((asset, day.isoformat(), digest) for (asset, day), digest in self.digests.items()),
            sorted((day.isoformat(), came.isoformat()) for day, came in self.arrived.items()),
            sorted(day.isoformat() for day in self.refused),
        ]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def labelled_days(self, known_on: date) -> list[date]:
        """List the days whose labels had arrived by ``known_on``, that day's own partition included."""
        return sorted(day for day, came in self.arrived.items() if came <= known_on)

    def labelled(self, days: Sequence[date], columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Give the labelled rows of days, in day order."""
        parts = [self._joined[day] if columns is None else self._joined[day][list(columns)] for day in days]
        if not parts:
            return pd.DataFrame(columns=list(columns or [*self.key, self.target]))
        return pd.concat(parts, ignore_index=True)

    def seen_on(self, day: date, features: Sequence[HistoryFeature]) -> pd.DataFrame:
        """Give the inputs of ``day`` with their history features, as they could be computed on that day.

        Asked again, the same frame is given: it is not to be modified.
        """
        name = day, str(features)
        if name not in self._seen:
            self._seen[name] = self._with_history(day, features)
        return self._seen[name]

    def _with_history(self, day: date, features: Sequence[HistoryFeature]) -> pd.DataFrame:
        reach = lookback_days(features, label_delay_days=self.delay)
        by = [name for feature in features for name in feature.by]
        columns = list(dict.fromkeys([*self.key, *by, self.target]))
        oldest, newest = day - timedelta(days=reach), day - timedelta(days=max(self.delay, 1))
        known = [each for each in self.labelled_days(day) if oldest <= each <= newest] if reach else []
        past = self.labelled(known, columns)
        return add_history(self.inputs[day], past, features, target=self.target, label_delay_days=self.delay)

    def not_as_present(
        self, days: Sequence[date], features: Sequence[HistoryFeature], *, first: date, last: date
    ) -> tuple[Content, ...]:
        """List the label days among ``days`` that not every day from ``first`` to ``last`` could see."""
        present = {day: self.digests["labels", day] for day in days}
        arrivals = {
            day: (Arrival(day=day, md5=md5, partition=self.arrived[day]),)
            for day, md5 in present.items()
            if day in self.arrived
        }
        contents = contents_of(present, arrivals, label_delay_days=self.delay)
        return not_as_present(contents, present, features, label_delay_days=self.delay, first_day=first, last_day=last)

    def rows_of(self, day: date) -> pd.DataFrame:
        """Name each input row of ``day``: the day, and a hash of its key that is the same in every world."""
        hashed = pd.util.hash_pandas_object(self.inputs[day][list(self.key)], index=False)
        return pd.DataFrame({"day": day.isoformat(), "row": hashed.to_numpy()})

    def outcomes(self, day: date) -> np.ndarray:
        """Give the outcome of each input row of ``day``, NaN where it never came or is not there at all."""
        if day not in self._outcomes:
            self._outcomes[day] = self._outcomes_of(day)
        return self._outcomes[day]

    def _outcomes_of(self, day: date) -> np.ndarray:
        rows = self.inputs[day][list(self.key)]
        if day not in self.labels:
            return np.full(len(rows), np.nan)
        joined = merge_exactly(rows, self.labels[day][[*self.key, self.target]], self.key, how="left")
        return joined[self.target].to_numpy(dtype=float)


def build(
    source: Tables,
    first: date,
    last: date,
    *,
    settings: Settings,
    screens: Screens,
    on_day: Progress = lambda _: None,
) -> World:
    """Land and screen every day from ``first`` to ``last``, and the labels that come after it.

    Raises
    ------
    MissingArtifact
        If not a single day got in.
    """
    landing = _Landing(source, settings, screens)
    for day in days_between(first, last + timedelta(days=settings.task.label_delay_days)):
        landing.partition(day, with_inputs=day <= last)
        on_day(1)
    landing.refuse_absent()
    if not landing.inputs:
        said = "; ".join(list(landing.refused.values())[:2])
        raise MissingArtifact(f"no day from {first} to {last} got in: {said}; choose other days with --from and --to")
    return World(
        inputs=landing.inputs,
        labels={day: _coded(frame, settings) for day, frame in landing.labels.items()},
        arrived=landing.arrived,
        refused=landing.refused,
        digests=landing.digests,
        quarantined=landing.quarantined,
        key=settings.task.key,
        target=settings.task.target,
        delay=settings.task.label_delay_days,
    )


def _coded(labels: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """Write labels as numbers, as they are read out of the registry."""
    target = settings.task.target
    return labels.assign(**{target: coded(labels[target], settings.task.positive)})


class _Landing:
    """The registry of a replay: what has been accepted so far."""

    def __init__(self, source: Tables, settings: Settings, screens: Screens) -> None:
        self.source, self.settings, self.screens = source, settings, screens
        self.inputs: dict[date, pd.DataFrame] = {}
        self.labels: dict[date, pd.DataFrame] = {}
        self.arrived: dict[date, date] = {}
        self.refused: dict[date, str] = {}
        self.absent: dict[date, str] = {}
        self.quarantined: dict[date, int] = {}
        self.digests: dict[tuple[str, date], str] = {}
        self.profiles: dict[Asset, dict[date, DayProfile]] = {"inputs": {}, "labels": {}}

    def partition(self, day: date, *, with_inputs: bool) -> None:
        """Take in what the contracts accept of the partition of ``day``; labels wait for their inputs."""
        taken: dict[tuple[Asset, date], Kept] = {}
        if with_inputs and (frame := self._inputs(day)) is not None:
            taken["inputs", day] = self._screen("inputs", day, frame, None)
        own = taken.get(("inputs", day))
        for label_day in label_days(day, settings=self.settings, have=set(self.labels)):
            known = self.inputs.get(label_day)
            if label_day == day and own is not None:
                known = None if own.reason else own.accepted
            if known is None or label_day in self.labels or self._is_to_come(label_day, day):
                continue
            try:
                frame = self.source.labels(label_day)
            except MissingArtifact:
                continue
            taken["labels", label_day] = self._screen("labels", label_day, frame, known[list(self.settings.task.key)])
        for (asset, of), kept in taken.items():
            if not kept.reason:
                self._commit(asset, of, day, kept)
            elif asset == "inputs":
                self.refused[of] = f"inputs of {of}: {kept.reason}"

    def _inputs(self, day: date) -> pd.DataFrame | None:
        """Read a day's inputs; None if there are none."""
        try:
            frame = self.source.inputs(day)
        except MissingArtifact as err:
            self.absent[day] = f"there are no inputs of {day}: {err}"
            return None
        if frame.empty:
            self.absent[day] = f"inputs of {day}: no row"
            return None
        return frame

    def refuse_absent(self) -> None:
        """Count the days without inputs as refused on which, as all days show by now, inputs are expected."""
        for day, why in self.absent.items():
            if not rest_reason(day, self.inputs, self.settings.land):
                self.refused[day] = why

    def _is_to_come(self, label_day: date, partition: date) -> bool:
        came = self.source.arrived(label_day) if isinstance(self.source, KnowsArrivals) else None
        return came is not None and came > partition

    def _screen(self, asset: Asset, day: date, frame: pd.DataFrame, keys: pd.DataFrame | None) -> Kept:
        oldest = day - timedelta(days=self.settings.screen.recent_days)
        recent = [known for of, known in self.profiles[asset].items() if oldest <= of < day]
        return self.screens.screen(asset, day, frame, recent=recent, known_keys=keys)

    def _commit(self, asset: Asset, of: date, partition: date, kept: Kept) -> None:
        held = self.inputs if asset == "inputs" else self.labels
        held[of] = kept.accepted
        self.profiles[asset][of] = profile_of(kept.accepted, of)
        self.digests[asset, of] = kept.digest
        self.quarantined[partition] = self.quarantined.get(partition, 0) + kept.quarantined
        if asset == "labels":
            self.arrived[of] = partition


def profile_of(frame: pd.DataFrame, day: date) -> DayProfile:
    """Count a day's rows and nulls, as `ml.adapters.contracts.profile` does from a file."""
    return DayProfile(day, len(frame), {str(name): int(count) for name, count in frame.isna().sum().items()})


def save(world: World, place: Workspace) -> None:
    """Keep a world for other processes; what it is comes last, so that a broken one is not there."""
    for asset, tables in (("inputs", world.inputs), ("labels", world.labels)):
        order = sorted(tables)
        part = pd.concat([tables[day] for day in order], ignore_index=True)
        part["_partition"] = np.repeat([day.isoformat() for day in order], [len(tables[day]) for day in order])
        place.write_table(f"{asset}.parquet", part)
    facts: dict[str, Any] = {
        "arrived": {str(day): str(came) for day, came in world.arrived.items()},
        "refused": {str(day): why for day, why in world.refused.items()},
        "quarantined": {str(day): count for day, count in world.quarantined.items()},
        "digests": [[asset, str(day), digest] for (asset, day), digest in world.digests.items()],
        "key": list(world.key),
        "target": world.target,
        "delay": world.delay,
    }
    place.write_json("world.json", facts)


def load(place: Workspace) -> World:
    """Read a world back."""
    facts = place.read_json("world.json")
    tables = {}
    for asset in ("inputs", "labels"):
        part = place.read_table(f"{asset}.parquet")
        groups = part.drop(columns="_partition").groupby(part["_partition"], sort=True)
        tables[asset] = {date.fromisoformat(str(day)): rows.reset_index(drop=True) for day, rows in groups}
    return World(
        inputs=tables["inputs"],
        labels=tables["labels"],
        arrived={date.fromisoformat(day): date.fromisoformat(came) for day, came in facts["arrived"].items()},
        refused={date.fromisoformat(day): why for day, why in facts["refused"].items()},
        digests={(asset, date.fromisoformat(day)): digest for asset, day, digest in facts["digests"]},
        quarantined={date.fromisoformat(day): count for day, count in facts["quarantined"].items()},
        key=tuple(facts["key"]),
        target=facts["target"],
        delay=facts["delay"],
    )
