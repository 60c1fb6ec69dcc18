"""What a holdout is cut by is parsed, never run."""

from __future__ import annotations

import pytest

from ml.conditions import Comparison, Joined, Negated, columns_of, parse_term

RUNS_SOMETHING = [
    "@pd.io.common.os.system('touch {}')",
    "@pd.io.common.os.system('touch {}') == 0",
    "__import__('os').system('touch {}') == 0",
    "carrier == __import__('os').system('touch {}')",
    "carrier.str.len() > 1",
    "[x for x in ().__class__.__base__.__subclasses__()] == 1",
    'carrier == f\'{{open("{}", "w")}}\'',
    "(lambda: 1)() == 1",
    "`carrier`.map(print) == 1",
    "hour in [open('{}', 'w')]",
]


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("carrier", "carrier"),
        ("unit price", "unit price"),
        ("`price (EUR)`", "price (EUR)"),
        ("hour >= 18", Comparison("hour", ">=", 18)),
        ("18 <= hour", Comparison("hour", ">=", 18)),
        ("origin == 'EWR'", Comparison("origin", "==", "EWR")),
        ('origin != "a`b`"', Comparison("origin", "!=", "a`b`")),
        ("`unit price` < -1.5e3", Comparison("unit price", "<", -1500.0)),
        ("origin in ['EWR', 'JFK']", Comparison("origin", "in", ("EWR", "JFK"))),
        ("origin not in ('EWR',)", Comparison("origin", "not in", ("EWR",))),
        ("is_new == True", Comparison("is_new", "==", True)),
        ("5 <= hour < 9", Joined("and", (Comparison("hour", ">=", 5), Comparison("hour", "<", 9)))),
        ("a > 1 or not b < 2", Joined("or", (Comparison("a", ">", 1), Negated(Comparison("b", "<", 2))))),
        ("größe >= 3", Comparison("größe", ">=", 3)),
    ],
)
def test_a_term_is_a_column_or_a_condition(text: str, means: object) -> None:
    assert parse_term(text) == means


@pytest.mark.parametrize("text", [pattern.format("never") for pattern in RUNS_SOMETHING])
def test_what_would_run_something_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is neither a column nor a condition: .*write a column, or a condition such"):
        parse_term(text)


@pytest.mark.parametrize(
    "text",
    [
        "hour +", "hour + 1", "3 > 2", "a == b", "a = 1", "a > 1; b", "a == None", "a in []", "a in 'abc'", "a is 1",
        "a == 1j", "a == b'x'", "a and b", "lambda: 1", "`a", "price (EUR)", "a == ...",
        "(" * 250 + "a > 1", "x" * 501 + ">1",
        "not hour", "a == -True", "a > 1\nb > 2",
    ],
)  # fmt: skip
def test_what_is_neither_is_refused_with_what_may_be_written(text: str) -> None:
    with pytest.raises(ValueError, match="is neither a column nor a condition"):
        parse_term(text)


def test_the_columns_of_a_condition_are_named_once() -> None:
    assert columns_of(parse_term("a > 1 and (`b c` == 'x' or not a < 9)")) == ("a", "b c")
