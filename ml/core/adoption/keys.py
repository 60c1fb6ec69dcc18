"""Find the smallest set of columns that names each row of a day, and prove it on the sample."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import pandas as pd

from ml import names
from ml.core.adoption.columns import NUMBER_OF_A_THING, TEXT_WORDS, counts_rows
from ml.core.adoption.texts import is_undecided
from ml.errors import SettingsError

ID = re.compile(
    r"(?i:(^|[_\s.-])(id|key|code|no|nr|number|num|uuid)\.?($|[_\s.-]))|^id[A-Z]|[a-z](Id|ID|Key|Code|No|Nr|Number)$"
    rf"|{NUMBER_OF_A_THING}"
)
"""Names of keys; ``humid`` and ``paid`` are none."""
MOST_COLUMNS, TRIED, PROSE = 3, 12, 40
MOST_REPEATED = 0.01
"""So many rows may repeat the key of another: they are quarantined."""


@dataclass(frozen=True)
class Key:
    """The columns beside ``day`` that name a row; ``repeated`` and ``nulls`` are the shares of rows that break it."""

    columns: tuple[str, ...]
    reason: str
    repeated: float = 0.0
    nulls: float = 0.0


def find_key(table: pd.DataFrame, *, time: str, target: str, named: Sequence[str] = ()) -> Key:
    """Return the key: the one that is named, else the smallest that no two rows of a day share.

    Rows that are the same in all columns count once. Of keys of one size, one that no row breaks goes before others;
    then columns with a name of a key go first, the time itself, text, and whole numbers. The number of a row that is
    not called like a key is taken only where nothing else names each row, and nothing that is called like a key nearly
    does: another export may count anew.

    Raises
    ------
    SettingsError
        If the named columns repeat, or if no one, two or three columns are unique.
    """
    distinct = table.drop_duplicates()
    doubled = 1 - len(distinct) / len(table)
    if named:
        missing = [column for column in named if column not in table]
        if missing:
            raise SettingsError(f"--key: no column {', '.join(missing)}; there are: {', '.join(map(str, table))}")
        columns = tuple(column for column in named if column != "day")
        repeated, nulls = _breaches(distinct, columns)
        if repeated > MOST_REPEATED:
            raise SettingsError(
                f"--key {', '.join(named)}: {repeated:.1%} of the rows have the key of another row of their day; add "
                "the column that tells them apart"
            )
        return Key(columns, f"as you say; {_words(repeated + doubled, nulls)}", repeated + doubled, nulls)
    usable = [str(column) for column in table if _can_be_key(table[column], str(column), target)]
    values: dict[str, pd.Series] = {column: table[column] for column in usable}
    ranked = sorted(usable, key=lambda column: _rank(column, values[column], time))
    counters = [column for column in ranked if not ID.search(column) and counts_rows(values[column])]
    ordered = [column for column in ranked if column not in counters][:TRIED]
    nearly: tuple[tuple[str, ...], float, float] | None = None
    for sets in _sets(ordered):
        for columns in sets:
            repeated, nulls = _breaches(distinct, columns)
            if not repeated and not nulls:
                return _key(columns, doubled, 0.0)
            if nearly is None and repeated <= MOST_REPEATED and nulls <= MOST_REPEATED:
                nearly = columns, repeated, nulls
        if nearly is not None:
            break
    if nearly is not None and (not counters or any(map(ID.search, nearly[0]))):
        return _key(nearly[0], nearly[1] + doubled, nearly[2])
    if counters:
        return _key((counters[0],), doubled, 0.0, counts=True)
    ours = [str(column) for column in table if column != target and column in names.BESIDE_KEY]
    beside = f"; {', '.join(ours)} can be none, since Evergreen has a column of that name: rename it" if ours else ""
    raise SettingsError(
        f"no column, and no two or three of them, names each row of a day (tried: {', '.join(ordered)}{beside}); "
        "name the key with --key, or let a copy number the rows of each day with --number-rows"
    )


def _key(columns: tuple[str, ...], repeated: float, nulls: float, *, counts: bool = False) -> Key:
    beside = "but only counts the rows: see that a later export counts on" if counts else _several(columns)
    return Key(columns, f"{_words(repeated, nulls)}, {beside}", repeated, nulls)


def _several(columns: Sequence[str]) -> str:
    return "no smaller key is" if len(columns) != 1 else "alone with the day"


def _sets(columns: Sequence[str]) -> list[list[tuple[str, ...]]]:
    """Return the sets of columns of each size, the smallest first."""
    return [list(combinations(columns, size)) for size in range(MOST_COLUMNS + 1)]


def _can_be_key(values: pd.Series, name: str, target: str) -> bool:
    if name in (target, "day", *names.BESIDE_KEY) or name.startswith(names.OURS):
        return False
    if pd.api.types.is_bool_dtype(values.dtype) or values.isna().mean() > MOST_REPEATED:
        return False
    if pd.api.types.is_float_dtype(values.dtype):
        return bool((values.dropna() % 1 == 0).all()) and bool(ID.search(name))
    is_text = not pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_datetime64_any_dtype(values.dtype)
    return not _is_prose(values) and not (is_text and is_undecided(values.astype("str")))


def _is_prose(values: pd.Series) -> bool:
    sample = values.dropna().iloc[:1000]
    if not bool(sample.map(lambda value: isinstance(value, str)).all()):
        return False
    return bool(sample.str.len().mean() > PROSE or sample.str.count(" ").mean() > TEXT_WORDS)


def _rank(name: str, values: pd.Series, time: str) -> tuple[int, int]:
    if ID.search(name):
        return 0, 0
    if name == time:
        return 1, 0
    return (2, -values.nunique()) if not pd.api.types.is_numeric_dtype(values.dtype) else (3, -values.nunique())


def _breaches(table: pd.DataFrame, columns: Sequence[str]) -> tuple[float, float]:
    """Return the shares of rows whose key another row of the day has, and whose key holds a null."""
    nulls = table[list(columns)].isna().any(axis=1) if columns else pd.Series(False, index=table.index)
    whole = table.loc[~nulls, ["day", *columns]]
    return float(whole.duplicated(keep=False).sum() / len(table)), float(nulls.mean())


def _words(repeated: float, nulls: float) -> str:
    if not repeated and not nulls:
        return "unique on every day"
    parts = [f"{repeated:.2%} of the rows repeat another" if repeated else "", f"{nulls:.2%} are null" if nulls else ""]
    return " and ".join(part for part in parts if part) + " and will be quarantined"
