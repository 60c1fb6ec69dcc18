"""Training part and holdout of a window that memory does not hold: all rows in files, and a sample of each part.

With ``fit.stream`` the fit reads the files, some days after the others. Everything else reads ``parts/train.parquet``
and ``parts/holdout.parquet`` as ever, which are then samples of ``fit.stream.sample_rows`` rows each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date
from itertools import chain

import pandas as pd

from ml.adapters.window_rows import WindowRows, sampled_by_key
from ml.adapters.workspace import Workspace
from ml.core.data.arrivals import ALWAYS, as_seen
from ml.core.scoring.shards import Rows
from ml.core.training.lagged_means import TargetAggregates
from ml.core.training.parts import cut, first_held_out
from ml.core.training.target_sums import SEEN_FROM, SEEN_UNTIL, Grouping, aggregate, class_numbers, groupings
from ml.records import Content, Parts, Window
from ml.settings import Settings

ALL_ROWS = {"train": "parts/train_all.parquet", "holdout": "parts/holdout_all.parquet"}
"""Where the rows are of which ``parts/train.parquet`` and ``parts/holdout.parquet`` are samples."""


def write(
    window: Window,
    run_dir: Workspace,
    settings: Settings,
    *,
    days: Sequence[str],
    earlier: Mapping[str, pd.DataFrame],
    contents: Sequence[Content],
) -> Parts:
    """Write both parts with their history features, and the samples that stand for them.

    Memory holds the samples, the sums of the labelled days, and some days.

    Parameters
    ----------
    days
        The days of the window, in ISO form; the file of rows holds earlier ones too, for history features.
    earlier, contents
        See `ml.core.data.arrivals.as_seen`.

    Raises
    ------
    DataRejected
        As `ml.steps.retrain.split.run`.
    """
    assert settings.fit.stream is not None
    with run_dir.local("data/rows.parquet") as path:
        counts = WindowRows(path).day_counts()
        of_window = {day: rows for day, rows in counts.items() if day in set(days)}
        present = list(map(date.fromisoformat, of_window))
        first = first_held_out(present, window.first_day, window.last_day, settings)
        before = sum(rows for day, rows in counts.items() if day < first)
        ranges = {"train": Rows(0, before), "holdout": Rows(before, sum(counts.values()) - before)}
        train_rows = sum(rows for day, rows in of_window.items() if day < first)
        number = {"train": train_rows, "holdout": sum(of_window.values()) - train_rows}
        lagged = _aggregates(WindowRows(path), settings, earlier, contents)
        samples = {}
        for name, part in ranges.items():
            share = settings.fit.stream.sample_rows / max(number[name], 1)
            of_part = _Part(WindowRows(path, part), frozenset(of_window), lagged, settings.task.key, share)
            run_dir.write_parts(ALL_ROWS[name], of_part)
            samples[name] = pd.concat(of_part.sample, ignore_index=True)
    train, holdout = cut(pd.concat(samples.values(), ignore_index=True), first, settings)
    run_dir.write_table("parts/train.parquet", train)
    run_dir.write_table("parts/holdout.parquet", holdout)
    return Parts(
        fingerprint=window.fingerprint,
        train_first_day=min(present),
        train_last_day=max(day for day in present if day.isoformat() < first),
        holdout_first_day=date.fromisoformat(first),
        holdout_last_day=max(present),
        train_rows=number["train"],
        holdout_rows=number["holdout"],
        train_sample_rows=len(train),
        holdout_sample_rows=len(holdout),
    )


@dataclass
class _Part:
    """The rows of a part with their history features, some days after the others; what is drawn is in `sample`."""

    rows: WindowRows
    days: frozenset[str]
    lagged: TargetAggregates
    key: Sequence[str]
    share: float
    sample: list[pd.DataFrame] = field(default_factory=list)

    def __iter__(self) -> Iterator[pd.DataFrame]:
        for frame in self.rows.frames():
            of_window = frame.loc[frame["day"].isin(self.days)].reset_index(drop=True)
            if len(of_window):
                with_history = self.lagged.add_to(of_window)
                self.sample.append(sampled_by_key(with_history, self.key, self.share))
                yield with_history


def _aggregates(
    rows: WindowRows, settings: Settings, earlier: Mapping[str, pd.DataFrame], contents: Sequence[Content]
) -> TargetAggregates:
    """Sum up the labelled days, some after the others, as `ml.core.training.lagged_means.add_history` does at once."""
    features, task = settings.features.history, settings.task
    classes, wanted = class_numbers(features, task.classes), groupings(features)
    columns = list(dict.fromkeys(["day", *(name for by in wanted for name in by), task.target]))
    sums: dict[Grouping, list[pd.DataFrame]] = {by: [] for by in wanted}
    left, frame = list(contents), pd.DataFrame(columns=columns)
    for frame in rows.frames(columns) if wanted else ():
        days = set(frame["day"].unique())
        own = [content for content in left if content.day.isoformat() in days]
        left = [content for content in left if content not in own]
        _sum_up(_seen(frame, earlier, own, late=bool(contents)), sums, settings)
    if left:  # days of which no row has a label now, and had one before
        _sum_up(_seen(frame.iloc[:0], earlier, left, late=True), sums, settings)
    tables = {by: pd.concat(parts, ignore_index=True) for by, parts in sums.items()}
    return TargetAggregates(tables, features, label_delay_days=task.label_delay_days, classes=classes)


def _seen(
    frame: pd.DataFrame, earlier: Mapping[str, pd.DataFrame], contents: Sequence[Content], *, late: bool
) -> pd.DataFrame:
    seen = as_seen(frame, earlier, contents)
    return seen.assign(**dict(zip((SEEN_FROM, SEEN_UNTIL), ALWAYS, strict=True))) if late and not contents else seen


def _sum_up(seen: pd.DataFrame, sums: Mapping[Grouping, list[pd.DataFrame]], settings: Settings) -> None:
    classes = class_numbers(settings.features.history, settings.task.classes)
    for by, parts in sums.items():
        parts.append(aggregate(seen, by, target=settings.task.target, classes=classes))


@contextmanager
def all_rows(run_dir: Workspace, name: str = "train") -> Iterator[WindowRows]:
    """Yield the rows of which a part is a sample, in a local file for as long as the context lasts."""
    with run_dir.local(ALL_ROWS[name]) as path:
        yield WindowRows(path)


def join(run_dir: Workspace, whole: Workspace) -> None:
    """Write the rows of both parts as the training part of another workspace, that of a refit."""
    with ExitStack() as stack:
        both = [stack.enter_context(all_rows(run_dir, name)) for name in ALL_ROWS]
        whole.write_parts(ALL_ROWS["train"], chain.from_iterable(rows.frames() for rows in both))
