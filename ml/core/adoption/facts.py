"""See what a sample of a table holds: time, day, key, target, label delay, columns, and what knows the outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pandas as pd

from ml.core.adoption import leaks
from ml.core.adoption.answers import Answers, Question
from ml.core.adoption.columns import Columns, says_the_same, sort_columns
from ml.core.adoption.grain import Grain, measure_grain, parts_worth
from ml.core.adoption.keys import Key, find_key
from ml.core.adoption.known_outcomes import until_outcomes_end
from ml.core.adoption.label_tables import with_labels
from ml.core.adoption.numbered_rows import with_numbers
from ml.core.adoption.outputs import name_outputs
from ml.core.adoption.rows_apart import infinite_columns, infinite_rows, rows_of_no_day
from ml.core.adoption.samples import Sample, free_name, names_apart, typed_columns, why_renamed, without_nested
from ml.core.adoption.targets import Delay, Target, describe_target
from ml.core.adoption.times import (
    ISO_SHOWN,
    TimeColumn,
    find_time,
    read_instants,
)
from ml.core.adoption.times_of_parts import MONTHLY, put_together, with_clock
from ml.core.data.targets import coded
from ml.core.data.time_parts import part_name, part_of
from ml.errors import SettingsError
from ml.settings import TimePart, TypeName

DAY, RENAMED, TIME, UTC = "day", "day_of_data", "time", "UTC"
LEAST_OF_DAY = 0.99
"""In so many rows a time has to be of the day of its file to be the time of the rows."""


@dataclass(frozen=True)
class Facts:
    """What was seen in a sample.

    Attributes
    ----------
    table : DataFrame of shape (n_rows, n_columns)
        The typed rows in order of time, with ``day``, the parts of the time, and the target as it is.
    changed
        Why the source ``table`` cannot read the data as they are, if it cannot: a copy has to be written.
    own_columns
        The columns of inputs as they were read.
    suspects, outputs
        The columns that look as if they knew the outcome, and as if they were the output of another model, and why.
    infinite, nested
        The columns that are infinite too often, and those of lists or objects, and why they are left out.
    set_apart
        Which rows are not looked at, and why.
    """

    answers: Answers
    table: pd.DataFrame = field(repr=False)
    types: Mapping[str, TypeName]
    has_types: bool
    changed: tuple[str, ...]
    time: TimeColumn
    zone: str
    parts: tuple[TimePart, ...]
    grain: Grain
    target: Target
    delay: Delay
    key: Key
    columns: Columns
    strengths: Mapping[str, float]
    suspects: Mapping[str, str]
    rows_without_time: int
    outputs: Mapping[str, str] = field(default_factory=dict)
    own_columns: tuple[str, ...] = ()
    labels_without_row: int = 0
    infinite: Mapping[str, str] = field(default_factory=dict)
    nested: Mapping[str, str] = field(default_factory=dict)
    set_apart: tuple[str, ...] = ()

    @property
    def labelled(self) -> pd.DataFrame:
        """Return the rows whose outcome is known, as numbers: 1 for the positive class, or the class's number."""
        name = self.answers.target
        rows = self.table.loc[self.table[name].notna()]
        values = coded(rows[name], self.target.positive, self.target.classes)
        return rows.assign(**{name: pd.to_numeric(values).astype("float64")})

    def questions(self) -> list[Question]:
        """Return what only a person knows, at most three things."""
        asked = []
        target = self.answers.target
        if self.answers.label_delay_days is None and not self.delay.is_certain:
            text = f"After how many days is {target} known?"
            asked.append(Question("label_delay_days", text, str(self.delay.days), "--label-delay-days"))
        if self.answers.timezone is None and self.time.has_clock:
            meaning = "days begin" if self.time.has_offset else f"{self.time.name} is written and days begin"
            asked.append(Question("timezone", f"In which time zone {meaning}?", self.zone, "--timezone"))
        if doubtful := [*self.suspects, *self.outputs]:
            text = f"Which of these are known before {target}, and may be learned from: {', '.join(doubtful)}?"
            asked.append(Question("known", text, "none", "--known"))
        return asked


def see(sample: Sample, answers: Answers, *, today: date | None = None) -> Facts:
    """Return what a sample holds.

    Parameters
    ----------
    today
        Rows of later days are not looked at; None looks at all.

    Raises
    ------
    SettingsError
        If there is no such target, no time, or no key; the message says what to do.
    """
    table, types, changed = typed_columns(sample)
    table, nested = without_nested(table, answers)
    own_columns = tuple(map(str, table))
    set_apart: list[str] = []
    rows_of_days = len(table)
    target_name = answers.target
    if target_name not in table and sample.labels is None:
        raise SettingsError(
            f"--target {target_name}: there is no such column; there are: {', '.join(map(str, table.columns))}"
        )
    if sample.dated:
        time = _time_of_files(table, answers, _clocks(answers.timezone or UTC))
    else:
        table, time, changed = _time_of_rows(table, answers, changed)
    zone = answers.timezone or (not sample.dated and time.zone) or UTC
    clocks = _clocks(zone)
    local = time.local(clocks)
    if renamed := names_apart([*map(str, table)], [DAY, target_name], answers.left_out):
        table, answers = table.rename(columns=renamed), answers.renamed(renamed)
        types = {renamed.get(column, column): kind for column, kind in types.items()}
        time, target_name = replace(time, name=renamed.get(time.name, time.name)), answers.target
        changed = [*changed, *(f"{old} becomes {new}: {why_renamed(old)}" for old, new in renamed.items())]
    if not sample.dated:
        apart, set_apart = rows_of_no_day(local, time.name, today)
        table, local = table.loc[~apart], local.loc[~apart]
        rows_of_days = len(table)
        table, changed = _with_day(table, time, local, changed)
    table, number, changed = with_numbers(sample, table, answers, changed)
    order = local.dropna().sort_values(kind="stable").index
    table, local = table.loc[order], local.loc[order]
    newest = str(table[DAY].max())
    missed = 0
    if sample.labels is not None:
        table, types[target_name], more, missed, unclear = with_labels(table, sample, answers, time, clocks)
        changed, set_apart = [*changed, *more], [*set_apart, *unclear]
    plain = [str(column) for column in table if column not in (DAY, time.name, target_name, *answers.left_out)]
    infinite = infinite_columns(table, plain)
    bad, more = infinite_rows(table, [target_name, *(column for column in plain if column not in infinite)])
    if bad.any():
        set_apart += more
        table = table.loc[~bad]
    table, delay, more = until_outcomes_end(table, answers, newest_inputs=newest)
    set_apart, local = [*set_apart, *more], local.loc[table.index]
    grain = measure_grain(table[DAY], local)
    parts: tuple[TimePart, ...] = tuple(
        part for part in parts_worth(grain) if not _is_there(table, part_name(time.name, part), part_of(local, part))
    )
    table = table.assign(**{part_name(time.name, part): part_of(local.loc[table.index], part) for part in parts})
    target = describe_target(table[target_name], kind=answers.kind, positive=answers.positive)
    key = find_key(
        table.drop(columns=[part_name(time.name, part) for part in parts]),
        time=time.name, target=target_name, named=answers.key if number is None else (number,),
    )  # fmt: skip
    seen = Facts(
        answers, table, types, sample.has_types, tuple(changed), time, zone, parts, grain, target, delay, key,
        Columns(), {}, {}, rows_of_days - len(order),
        own_columns=own_columns, labels_without_row=missed, infinite=infinite, nested=nested,
        set_apart=tuple(set_apart),
    )  # fmt: skip
    return _with_columns(seen)


def _clocks(zone: str) -> ZoneInfo:
    try:
        return ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as err:
        raise SettingsError(f"--timezone {zone}: no IANA time zone such as Europe/Berlin") from err


def _with_day(
    table: pd.DataFrame, time: TimeColumn, local: pd.Series, changed: list[str]
) -> tuple[pd.DataFrame, list[str]]:
    """Add the day of each row; a column of that name that says something else is renamed."""
    day = local.dt.strftime("%Y-%m-%d")
    if not time.is_iso:
        written = " and ".join(time.formats)
        is_iso = written in ("", ISO_SHOWN)
        problem = "not every value is an instant" if is_iso else f"instants are written as {written}"
        changed = [*changed, f"{time.name}: {problem}"]
    if DAY in table and time.name != DAY:
        own = table[DAY].astype("str").str.slice(0, 10)
        if not own.equals(day.astype("str")):
            renamed = free_name(RENAMED, table)
            table = table.rename(columns={DAY: renamed})
            changed = [*changed, f"{DAY} is no ISO day: it becomes {renamed}"]
    return table.assign(**{DAY: day}), changed


def _time_of_rows(
    table: pd.DataFrame, answers: Answers, changed: list[str]
) -> tuple[pd.DataFrame, TimeColumn, list[str]]:
    """Return the column of times, and the table with it: where none is named or there, its parts are put together."""
    try:
        time = find_time(table, name=answers.time, leave_out=[answers.target])
        return _with_clock(table, time, answers, changed)
    except SettingsError:
        together = None if answers.time is not None else put_together(table, leave_out=[answers.target])
        if together is None:
            raise
    instants, parts = together
    name = free_name(TIME, table)
    table = table.assign(**{name: instants})
    first = ", the first day of the month" if len(parts) < MONTHLY else ""
    changed = [*changed, f"{', '.join(parts)} become one column, {name}{first}"]
    return table, TimeColumn(name, table[name], not instants.isna().any()), changed


def _with_clock(
    table: pd.DataFrame, time: TimeColumn, answers: Answers, changed: list[str]
) -> tuple[pd.DataFrame, TimeColumn, list[str]]:
    """Put a time of day in a column of its own behind the dates, where a copy is made for other reasons too."""
    is_copied = bool(changed) or not time.is_iso or answers.number_rows
    together = with_clock(table, time) if answers.time is None and is_copied else None
    if together is None or together[1] == answers.target or together[1] in answers.left_out:
        return table, time, changed
    instants, clock = together
    table = table.drop(columns=[clock])
    name = free_name(TIME, table)
    changed = [*changed, f"{time.name} and {clock} become one column, {name}"]
    return table.assign(**{name: instants}), TimeColumn(name, instants.rename(name), not instants.isna().any()), changed


def _time_of_files(table: pd.DataFrame, answers: Answers, clocks: ZoneInfo) -> TimeColumn:
    """Return the column of times of a file a day: the one that is named, one whose clock agrees with the days, or none.

    The day of a row is that of its file, whatever its time says; its parts become columns of inputs.
    """
    if answers.time is not None:
        return find_time(table, name=answers.time)
    rest = [column for column in table if column not in (DAY, answers.target)]
    for column in map(str, rest):
        time = read_instants(table[column], certain=False)
        if time is None or not time.is_iso or not time.has_clock:
            continue
        if (time.local(clocks).dt.strftime("%Y-%m-%d") == table[DAY]).mean() >= LEAST_OF_DAY:
            return time
    return find_time(table, name=DAY)


def _is_there(table: pd.DataFrame, name: str, values: pd.Series) -> bool:
    """Return whether a column of that name is there, or one that says the same of each row in other words."""
    if name.casefold() in {str(column).casefold() for column in table}:
        return True
    return any(column != DAY and says_the_same(table[column], values.loc[table.index]) for column in table)


def _with_columns(seen: Facts) -> Facts:
    answers, table = seen.answers, seen.table
    fixed = {answers.target: "is the target", DAY: "is the day", seen.time.name: "gives its parts"}
    fixed |= dict.fromkeys(seen.key.columns, "numbers the rows of a day") if answers.number_rows else {}
    fixed |= {**seen.infinite, **seen.nested, **dict.fromkeys(answers.left_out, "you leave it out")}
    free = [str(column) for column in table if column not in fixed]
    rows = seen.labelled
    kind, classes = seen.target.kind, len(seen.target.classes)
    measured = leaks.strengths(rows, free, target=answers.target, kind=kind, classes=classes)
    suspects = leaks.name_leaks(rows, free, measured, target=answers.target, kind=kind, classes=seen.target.classes)
    suspects = {column: words for column, words in suspects.items() if column not in answers.known}
    honest = [column for column in free if column not in suspects]
    outputs = name_outputs(rows, honest, target=answers.target, kind=kind, classes=classes)
    outputs = {column: words for column, words in outputs.items() if column not in answers.known}
    columns = sort_columns(table, free, left_out={**fixed, **suspects, **outputs})
    keys = [column for column in seen.key.columns if column in columns.many]
    if keys:
        rest = tuple(column for column in columns.many if column not in keys)
        out = {**columns.left_out, **dict.fromkeys(keys, "is a key with many values")}
        columns = Columns(columns.texts, rest, columns.few, columns.pairs, columns.numbers, out)
    useless = [part for part in seen.parts if part_name(seen.time.name, part) in columns.left_out]
    made = [part_name(seen.time.name, part) for part in useless]
    columns = columns.without(made, {})
    parts = tuple(part for part in seen.parts if part not in useless)
    used = {column: measured[column] for column in (*columns.categories, *columns.numeric) if column in measured}
    table = table.drop(columns=made)
    return replace(seen, table=table, parts=parts, columns=columns, strengths=used, suspects=suspects, outputs=outputs)
