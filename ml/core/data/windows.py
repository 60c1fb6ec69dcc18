"""Which labelled days a training uses, and where its holdout begins."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, timedelta

from ml.core.counting import counted
from ml.core.training.lagged_means import lookback_days
from ml.errors import MissingArtifact
from ml.settings import Settings


@dataclass(frozen=True)
class Chosen:
    """The labelled days of a window, in order, and those that only its history reads.

    ``lookback`` are earlier days, and ``excluded`` those between the first and the last that are not learned from.
    """

    days: tuple[date, ...]
    lookback: tuple[date, ...]
    excluded: tuple[date, ...] = ()

    @property
    def first_day(self) -> date:
        """Return the first day that is trained on."""
        return self.days[0]

    @property
    def last_day(self) -> date:
        """Return the last day of the holdout."""
        return self.days[-1]

    @property
    def read_days(self) -> tuple[date, ...]:
        """Return all days that are read, in order: excluded ones too, if lagged target means look back on them."""
        return tuple(sorted({*self.lookback, *self.excluded, *self.days}))


def choose(
    labelled: Collection[date],
    *,
    last_day: date | None,
    days: int | None,
    min_days: int,
    lookback_days: int,
    excluded: Collection[date] = (),
) -> Chosen:
    """Choose the window: the newest ``days`` calendar days that end at ``last_day``.

    Days that are missing (refused, or not yet there) leave a gap; the window does not reach back
    for others in their stead.

    Parameters
    ----------
    last_day
        None means the newest labelled day.
    days
        None means all days from the first labelled one on: a growing window.
    excluded
        Days that a person marked as not to be learned from. They are read where lagged target means look back on
        them, as the days that were scored after them did.

    Raises
    ------
    MissingArtifact
        If the history is shorter than asked for, or holds fewer than ``min_days`` labelled days.
    """
    labelled_days = sorted(day for day in labelled if last_day is None or day <= last_day)
    if not labelled_days:
        until = f" up to {last_day}" if last_day else ""
        raise MissingArtifact(
            f"the data registry holds no labelled day{until}: run 'make setup' or ingest some days; of days that "
            "are there, labels have not come yet or were rejected, and what ingested them says why"
        )
    usable = [day for day in labelled_days if day not in excluded]
    end = last_day or (usable or labelled_days)[-1]
    start = labelled_days[0] if days is None else end - timedelta(days=days - 1)
    if start < labelled_days[0]:
        raise MissingArtifact(
            f"a window of {days} days up to {end} would begin on {start}, but the first labelled day is "
            f"{labelled_days[0]}; ask for at most {(end - labelled_days[0]).days + 1} days, or land more history"
        )
    chosen = tuple(day for day in usable if start <= day <= end)
    if len(chosen) < min_days:
        left_out = sum(day >= start and day in excluded for day in labelled_days)
        others = f" that are not excluded ({left_out} are)" if left_out else ""
        undo = ", or let excluded days count again ('evergreen exclude --undo')" if left_out else ""
        raise MissingArtifact(
            f"only {counted(len(chosen), 'labelled day')}{others} from {start} to {end}, fewer than pull.min_days "
            f"({min_days}); ingest more days, or lower pull.min_days{undo}"
        )
    if not lookback_days:
        return Chosen(days=chosen, lookback=())
    oldest = start - timedelta(days=lookback_days)
    return Chosen(
        days=chosen,
        lookback=tuple(day for day in labelled_days if oldest <= day < chosen[0]),
        excluded=tuple(day for day in labelled_days if chosen[0] < day < chosen[-1] and day in excluded),
    )


def choose_by(settings: Settings, labelled: Collection[date], excluded: Collection[date] = ()) -> Chosen:
    """Choose the window that ``pull`` declares, among the days with inputs and labels; raises as `choose` does."""
    pull = settings.pull
    reach = lookback_days(settings.features.looking_back, label_delay_days=settings.task.label_delay_days)
    return choose(
        labelled, last_day=pull.last_day, days=pull.days, min_days=pull.min_days, lookback_days=reach, excluded=excluded
    )


def holdout_first_day(days: Collection[date], holdout_days: int) -> date:
    """Return the first of the newest ``holdout_days`` labelled days of a window."""
    return sorted(days)[-holdout_days]
