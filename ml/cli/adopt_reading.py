"""Read what somebody names to ``evergreen adopt``, and say how the model's source will find it again."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from pathlib import Path

from ml.adapters.sources.sampling import Read, read_sample
from ml.adapters.workspace import write_parquet
from ml.core.adoption.answers import Answers
from ml.core.adoption.facts import Facts
from ml.core.adoption.origins import Location, is_query, with_iso_time
from ml.core.adoption.proposal import Proposal
from ml.core.adoption.samples import Sample, typed_columns
from ml.core.adoption.times import tells_time
from ml.core.adoption.times_of_parts import put_together
from ml.core.data.time_parts import part_name
from ml.errors import SettingsError

COPY = "data/table.parquet"
DAY_COLUMN = "day"
FROM_NAMES = "the day of a row is in the name of its file only"


@dataclass(frozen=True)
class Address:
    """What was named: DATA, ``--labels``, and of a database ``--table`` or ``--query``."""

    data: str
    labels: str | None = None
    table: str | None = None
    query: str | None = None

    @property
    def is_database(self) -> bool:
        """Return whether DATA is a database."""
        return self.table is not None or self.query is not None

    @property
    def called(self) -> str:
        """Return what the model may be called like."""
        if self.table is not None:
            return self.table.rpartition(".")[2]
        return self.data.rpartition("/")[2] if self.is_database else self.data


def is_dated(address: str) -> bool:
    """Return whether an address is a pattern for a file a day, such as ``orders/{year}/{month}/{day}.csv``."""
    return "{" in address


def read_both(address: Address, answers: Answers) -> tuple[Read, Read | None]:
    """Read the newest rows of the data, and of the labels if these are a table of their own.

    Raises
    ------
    SettingsError
        If there is nothing, or the two are of kinds that no source reads together.
    """
    if address.is_database:
        return _read_database(address, answers)
    if is_dated(address.data) != is_dated(address.labels or address.data):
        raise SettingsError(
            "--labels: inputs and labels have to be both files a day (with {day}), or both one table; name the folder "
            "of the files as the table"
        )
    if is_dated(address.data):
        return _read_days(address, answers)
    read = read_sample(address.data, "DATA")
    labels = read_sample(address.labels, "--labels") if address.labels else None
    return _with_file_days(read, labels, answers)


def _with_file_days(read: Read, labels: Read | None, answers: Answers) -> tuple[Read, Read | None]:
    """Give rows the day in the names of their files, where no column of theirs tells the time."""
    both = [table for table in (read, labels) if table is not None]
    if answers.time is not None or any(table.file_days is None or DAY_COLUMN in table.table for table in both):
        return read, labels
    typed, _, _ = typed_columns(Sample(read.table, read.is_text))
    if tells_time(typed, leave_out=[answers.target]) or put_together(typed, leave_out=[answers.target]) is not None:
        return read, labels
    dated = [
        replace(table, table=table.table.assign(**{DAY_COLUMN: table.file_days}), changed=(*table.changed, FROM_NAMES))
        for table in both
    ]
    return dated[0], dated[1] if labels is not None else None


def _read_database(address: Address, answers: Answers) -> tuple[Read, Read | None]:
    from ml.adapters.sources.sampling_sql import read_database

    if address.table is not None and address.query is not None:
        raise SettingsError("--query: give either --table or --query")
    option, rows = ("--table", address.table) if address.table is not None else ("--query", str(address.query))
    read = read_database(address.data, str(rows), option, time=answers.time, leave_out=[answers.target])
    if address.labels is None:
        return read, None
    labels = read_database(address.data, address.labels, "--labels", time=answers.time, leave_out=[answers.target])
    return read, labels


def _read_days(address: Address, answers: Answers) -> tuple[Read, Read | None]:
    from ml.adapters.sources.sampling_days import read_days

    try:
        read = read_days(address.data, "DATA")
    except SettingsError as err:
        whole = address.data.partition("{")[0].rpartition("/")[0] or "."
        if not Path(whole).is_dir():
            raise
        raise SettingsError(f"{err}; or give the folder ({whole}) as one table") from err
    if answers.target in read.table:
        folder = address.data.partition("{")[0].rpartition("/")[0] or "."
        raise SettingsError(
            f"DATA: the files hold the target {answers.target}, and a file a day is taken as it is, so that inputs "
            f"would know it; give the folder ({folder}) as one table, or files without it, and --labels"
        )
    if address.labels is None:
        raise SettingsError(
            f"--labels is missing: {address.data} has no column {answers.target}; name the files that have it"
        )
    return read, read_days(address.labels, "--labels")


def sample_of(read: Read, labels: Read | None) -> Sample:
    """Return what was read as what is looked at."""
    more = () if labels is None else labels.changed
    return Sample(
        read.table, read.is_text, has_types=read.has_types, changed=tuple(dict.fromkeys((*read.changed, *more))),
        dated=read.dated,
        labels=None if labels is None else labels.table, labels_are_text=None if labels is None else labels.is_text,
    )  # fmt: skip


def location_of(folder: Path, project: Path, read: Read, labels: Read | None, seen: Facts) -> Location:
    """Return where the source finds the tables: where they are, or in a copy where it cannot read them as they are.

    Raises
    ------
    SettingsError
        If a database would have to be copied.
    """
    where = read.location
    if where is not None and where.kind == "sql":
        if seen.changed:
            raise SettingsError(
                f"{'--query' if is_query(where.inputs) else '--table'}: the source cannot use these rows as they are "
                f"({'; '.join(seen.changed)}); write a query that gives them otherwise (--query)"
            )
        return where if labels is None or labels.location is None else replace(where, labels=labels.location.inputs)
    if seen.changed or where is None:
        return Location(_shown(str(folder / COPY), project))
    others = None if labels is None else labels.location
    return replace(
        where, inputs=_shown(where.inputs, project), labels=None if others is None else _shown(others.inputs, project),
        day_from_name=where.day_from_name or (others is not None and others.day_from_name),
    )  # fmt: skip


def _shown(address: str, project: Path) -> str:
    path = Path(address)
    return str(path.relative_to(project)) if "://" not in address and path.is_relative_to(project) else address


def copies(proposal: Proposal) -> dict[str, bytes]:
    """Return the table in a form that the source reads; none where it reads the data as they are."""
    seen = proposal.facts
    if not seen.changed:
        return {}
    time = seen.time.name
    parts = {part_name(time, part) for part in seen.parts}
    made = {*parts, *({DAY_COLUMN} - {time})}
    columns = [column for column in proposal.inputs if column not in made] + [proposal.task.target]
    table = seen.table[columns]
    table = with_iso_time(seen, table)
    if not seen.has_types and seen.types.get(proposal.task.target) == "int64":
        table = table.astype({proposal.task.target: "float64"})  # as it is declared: a null loses nothing
    content = io.BytesIO()
    write_parquet(table.reset_index(drop=True), content)
    return {COPY: content.getvalue()}
