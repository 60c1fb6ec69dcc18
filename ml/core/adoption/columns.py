"""Say what each column is to a model: a category, a number, or nothing, with the reason."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ml.core.adoption.texts import is_undecided, read_text

FEW_VALUES = 31
"""Whole numbers with up to so many values may be names of things; a linear model sees them as categories."""

MOST_CATEGORIES = 200
MOST_NULL, RARE_ROWS = 0.98, 3
TEXT_WORDS, TEXT_LENGTH, FEW_TEXTS, COUNTER = 4, 40, 20, 0.999
DENSE, LEAST_COUNTED = 2, 100
LEAST_STEPS = 3
CLOCK = r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?( ?[AaPp][Mm])?"
YEAR = re.compile(r"(^|[_\s])(year|yr|jahr|ann[eé]e|año)$", re.IGNORECASE)
FAR_BEYOND = 0.95
NUMBER_OF_A_THING = (
    r"(?i:(account|client|customer|device|item|order|patient|product|record|session|station|store|trip|user)id$)"
    r"|(?i:(nummer|numero|número|numéro|n°|nº)($|[_\s.-]))|(?i:[a-z]{3}nr\.?$)"
)
"""Names of keys in one word, and in other languages: ``customerid``, ``Kundennummer``, ``Auftragsnr``."""
ID = re.compile(
    r"(?i:(^|[_\s.-])(id|uuid|guid|key|nr|no|num|number)\.?([_\s.-](str|string|int))?$)|[a-z](Id|ID|Key)$"
    rf"|{NUMBER_OF_A_THING}"
)


@dataclass(frozen=True)
class Columns:
    """The columns of a table by what they are to a model; ``left_out`` says of each other one why."""

    texts: tuple[str, ...] = ()
    many: tuple[str, ...] = ()
    few: tuple[str, ...] = ()
    pairs: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def categories(self) -> tuple[str, ...]:
        """Return the columns of text, those with many values among them."""
        return (*self.texts, *self.many)

    @property
    def numeric(self) -> tuple[str, ...]:
        """Return the columns of numbers."""
        return (*self.few, *self.pairs, *self.numbers)

    def without(self, names: Collection[str], reasons: Mapping[str, str]) -> Columns:
        """Return the columns but for some, ``reasons`` among those that are left out."""
        groups = {
            group: tuple(name for name in getattr(self, group) if name not in names)
            for group in ("texts", "many", "few", "pairs", "numbers")
        }
        left_out = {name: reason for name, reason in self.left_out.items() if name not in names}
        return Columns(**groups, left_out={**left_out, **reasons})


def sort_columns(table: pd.DataFrame, columns: Sequence[str], *, left_out: Mapping[str, str]) -> Columns:
    """Return what each column is.

    ``texts`` are categories, ``many`` categories with too many values for a column each, ``few`` whole numbers with few
    values, ``pairs`` numbers with two values, ``numbers`` all others.

    Parameters
    ----------
    table : DataFrame of shape (n_rows, n_columns)
        In order of time, with ``day``; not modified.
    left_out
        Columns that are no features whatever they hold, and why.
    """
    groups: dict[str, list[str]] = {"texts": [], "many": [], "few": [], "pairs": [], "numbers": []}
    out = dict(left_out)
    for column in columns:
        if column in out:
            continue
        values = table[column]
        reason = useless(values, table["day"])
        if reason:
            out[column] = reason
        else:
            groups[_group(values)].append(column)
    return Columns(**{name: tuple(names) for name, names in groups.items()}, left_out=out)


def useless(values: pd.Series, days: pd.Series) -> str:
    """Return why a column can teach nothing that holds on later days; empty if it may."""
    known = values.dropna()
    if reason := _says_nothing(values, known):
        return reason
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return "is an instant; only the time column gives parts of it"
    if pd.api.types.is_bool_dtype(values.dtype):
        return ""
    if pd.api.types.is_numeric_dtype(values.dtype):
        return _useless_number(known, days.loc[known.index])
    if not known.map(lambda value: isinstance(value, str | bool)).all():
        return "holds dates or other values that are neither numbers nor text"
    return _useless_text(known.astype(str), days.loc[known.index])


def _says_nothing(values: pd.Series, known: pd.Series) -> str:
    if known.empty:
        return "holds no value"
    if values.isna().mean() > MOST_NULL:
        return f"is null in {values.isna().mean():.0%} of the rows"
    if len(known.unique()) == 1:
        return f"is always {known.iloc[0]}" if not values.isna().any() else "has one value, or none"
    return ""


def _useless_number(known: pd.Series, days: pd.Series) -> str:
    if counts_rows(known):
        return "counts the rows"
    if known.nunique() > FEW_VALUES:
        order = np.arange(len(known))
        ranks = known.rank().to_numpy()
        if abs(float(np.corrcoef(order, ranks)[0, 1])) > COUNTER:
            return "counts the rows: later days have values that no earlier day had"
    if _only_rises(known, days):
        return "only rises with the days: later days have values that no earlier day had"
    return _names_rows(known, days) if _is_number_of_a_thing(known) else ""


def _is_number_of_a_thing(values: pd.Series) -> bool:
    """Return whether a column of numbers says which shop or customer a row is of, and is no amount."""
    known = values.dropna()
    if not ID.search(str(values.name)) or known.nunique() <= FEW_VALUES:
        return False
    return bool((known % 1 == 0).all())


def counts_rows(values: pd.Series) -> bool:
    """Return whether a column is the number of a row, whatever the order: whole, never repeated, with few gaps."""
    if len(values) < LEAST_COUNTED or values.isna().any() or not pd.api.types.is_numeric_dtype(values.dtype):
        return False
    if pd.api.types.is_bool_dtype(values.dtype) or not bool((values % 1 == 0).all()):
        return False
    return values.nunique() == len(values) and float(values.max() - values.min()) < DENSE * len(values)


def _only_rises(known: pd.Series, days: pd.Series) -> bool:
    """Return whether a column has one value a day that never falls, such as the year or the number of a week."""
    by_day = known.groupby(days.to_numpy()).agg(["min", "max"])
    if not bool((by_day["min"] == by_day["max"]).all()) or not bool((by_day["min"].diff().dropna() >= 0).all()):
        return False
    return known.nunique() >= LEAST_STEPS or bool(YEAR.search(str(known.name)))


def _useless_text(known: pd.Series, days: pd.Series) -> str:
    unique = pd.Series(known.unique())
    is_long = len(unique) > MOST_CATEGORIES and unique.str.len().mean() > TEXT_LENGTH
    if len(unique) > FEW_TEXTS and (is_long or unique.str.count(" ").mean() > TEXT_WORDS):
        return "is free text"
    if reason := _no_category(unique):
        return reason
    return _names_rows(known, days)


def _names_rows(known: pd.Series, days: pd.Series) -> str:
    """Return why categories teach nothing of later rows: too few rows of each, or none that comes again."""
    values = known.nunique()
    if len(known) / values < RARE_ROWS and values > FEW_VALUES:
        return f"names rows: {values:,} values in {len(known):,} rows"
    newest = days >= days.sort_values().iloc[int(len(days) * 0.8)]
    unseen = float((~known[newest].isin(set(known[~newest]))).mean()) if newest.any() and (~newest).any() else 0.0
    if unseen > FAR_BEYOND:
        return "has other values on the newest days than before"
    return ""


def number_problem(unique: pd.Series) -> str:
    """Return what is wrong with texts that are numbers whose marks can mean two things; empty if nothing."""
    if not is_undecided(unique):
        return ""
    return (
        f"holds numbers such as {unique[unique.str.contains('[.,]')].iloc[0]}, and nothing in the table says whether "
        "their mark stands before decimals or between thousands: write them with a point before decimals, and nothing "
        "between thousands"
    )


def _no_category(unique: pd.Series) -> str:
    """Return what texts are that only look like categories: numbers in doubt, dates, times of day."""
    if reason := number_problem(unique):
        return reason
    if len(unique) > FEW_VALUES and read_text(unique).kind == "float64":  # of CSV these are numbers by now
        return (
            f"holds numbers that are written as text, such as {unique.iloc[0]}: make numbers of it, and learn from it"
        )
    if _is_date(unique):
        return "is a date; only the time column gives parts of it"
    if len(unique) > FEW_VALUES and unique.str.fullmatch(CLOCK).all():
        return "is a time of day: write it into the time column (2024-05-01T11:38), and its hour is learned from"
    return ""


def _is_date(unique: pd.Series) -> bool:
    shown = unique.iloc[:200]
    return bool(shown.str.fullmatch(r"\d{4}-\d{2}-\d{2}([T ].*)?|\d{1,2}[./]\d{1,2}[./]\d{2,4}( .*)?").all())


def _group(values: pd.Series) -> str:
    distinct = values.nunique()
    if pd.api.types.is_bool_dtype(values.dtype) or _is_truth(values):
        return "pairs"
    if not pd.api.types.is_numeric_dtype(values.dtype) or _is_number_of_a_thing(values):
        return "texts" if distinct <= MOST_CATEGORIES else "many"
    if distinct == 2:
        return "pairs"
    is_whole = bool((values.dropna() % 1 == 0).all())
    return "few" if is_whole and distinct <= FEW_VALUES else "numbers"


def _is_truth(values: pd.Series) -> bool:
    return values.dtype == object and bool(values.dropna().map(lambda value: isinstance(value, bool)).all())


def says_the_same(own: pd.Series, values: pd.Series) -> bool:
    """Check whether two columns tell the same rows apart, each value of one meaning one of the other."""
    if own.isna().any() or own.nunique() != values.nunique():
        return False
    return len(pd.DataFrame({"own": own, "part": values}).drop_duplicates()) == values.nunique()
