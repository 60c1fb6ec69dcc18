"""The features of ``features.python``, for the days of a training and for a day that is scored, by one function."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

import pandas as pd

from ml import own_code
from ml.champions import recorded_models
from ml.core.data.arrivals import contents_of
from ml.core.training import own_features
from ml.core.training.features import join_labels
from ml.core.training.lagged_means import lookback_days
from ml.errors import MissingArtifact
from ml.records import Content
from ml.settings import Settings
from ml.wiring import Services


class OwnFeatures:
    """Computes the columns of any day from ``first`` to ``last``, each from what was known on that day.

    Parameters
    ----------
    own
        The settings of the model that is asked.
    rev
        The data version that is read; None means the newest.
    """

    def __init__(
        self, own: Settings, services: Services, first: date, last: date, *, rev: str | None, version: int | None = None
    ) -> None:
        self.own, self.wanted, self.registry = own, own.features.python, services.registry
        self.rev = rev or self.registry.head()
        self._joined: dict[tuple[date, str], pd.DataFrame] = {}
        if self.wanted is None:
            return
        with _code_of(version, services):
            self.function = own_features.load(self.wanted)
        delay = own.task.label_delay_days
        oldest = first - timedelta(days=lookback_days(own.features.looking_back, label_delay_days=delay))
        self.inputs, self.outcomes = (
            self.registry.open(asset, rev=self.rev, first_day=oldest, last_day=last, may_be_empty=True)
            for asset in ("inputs", "labels")
        )
        held = self.registry.days("labels", self.rev)
        self.labels = {day: held[day].md5 for day in sorted(self.outcomes) if day in self.inputs}
        arrivals = self.registry.arrivals(min(self.labels), max(self.labels), rev=self.rev) if self.labels else {}
        self.contents = contents_of(self.labels, arrivals, label_delay_days=delay)

    def of(self, day: date) -> pd.DataFrame:
        """Return the columns for all rows of a day's inputs, in their order; without a function, none.

        Raises
        ------
        DataRejected
            If the function fails on that day, or does not return what was declared.
        """
        if self.wanted is None:
            return pd.DataFrame()
        inputs = pd.read_parquet(self.inputs[day])
        return own_features.compute(self.function, self.wanted, day, inputs, self.labelled_on(day))

    def with_key(self, days: Sequence[date]) -> pd.DataFrame:
        """Return the columns of some days beside the key of their rows."""
        key = list(self.own.task.key)
        parts = [
            pd.concat([pd.read_parquet(self.inputs[day], columns=key), self.of(day)], axis=1) for day in sorted(days)
        ]
        return pd.concat(parts, ignore_index=True)

    def labelled_on(self, day: date) -> pd.DataFrame:
        """Return the rows of earlier days with their outcomes, as they were known on a day."""
        assert self.wanted is not None
        delay = max(self.own.task.label_delay_days, 1)
        newest, oldest = day - timedelta(days=delay), day - timedelta(days=delay + self.wanted.days - 1)
        seen = [
            content
            for content in self.contents
            if oldest <= content.day <= newest
            and content.md5
            and content.first <= day
            and (content.until is None or day < content.until)
        ]
        self._joined = {(held, md5): rows for (held, md5), rows in self._joined.items() if held >= oldest}
        parts = [self._rows(content) for content in seen]
        if parts:
            return pd.concat(parts, ignore_index=True)
        columns = pd.read_parquet(self.inputs[day]).columns
        return pd.DataFrame(columns=[*columns, self.own.task.target])

    def _rows(self, content: Content) -> pd.DataFrame:
        name = content.day, content.md5
        if name not in self._joined:
            task, day = self.own.task, content.day
            outcomes = pd.read_parquet(self._outcomes(content), columns=[*task.key, task.target])
            self._joined[name] = join_labels(
                pd.read_parquet(self.inputs[day]),
                outcomes,
                key=task.key,
                target=task.target,
                positive=task.positive,
                classes=task.classes,
            )
        return self._joined[name]

    def _outcomes(self, content: Content) -> Path:
        day = content.day
        if self.labels.get(day) != content.md5:
            try:
                return self.registry.open_content("labels", day, content.md5)
            except MissingArtifact:  # the remote holds it no more: what it was corrected to stands in
                pass
        return self.outcomes[day]


@contextmanager
def _code_of(version: int | None, services: Services) -> Iterator[None]:
    """Let a registered version's function be the one that it was trained with; None means the present one."""
    with own_code.as_recorded({} if version is None else recorded_models.code_of(version, services)):
        yield
