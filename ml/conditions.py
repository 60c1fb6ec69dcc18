"""Read the terms by which a holdout is cut: a column, or a condition on columns, and nothing else.

A condition is ``column OP literal`` with ``==``, ``!=``, ``<``, ``<=``, ``>``, ``>=``, ``in [...]`` or ``not in
[...]``; several are joined by ``and``, ``or``, ``not`` and parentheses. A literal is a number, a quoted text, ``True``
or ``False``. A name that is no plain word stands in backticks. The text is parsed, never run: no call, no attribute,
no arithmetic and no variable can be written.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Scalar = bool | int | float | str
Operator = Literal["==", "!=", "<", "<=", ">", ">=", "in", "not in"]
MAX_LENGTH = 500
PIECES = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`([^`]*)`""")
PLAIN = re.compile(r"[^\W\d][\w .:#/-]*")
WORDS = re.compile(r"\b(and|or|not|in|is|if|else|lambda|for)\b")
OPERATORS: Mapping[type[ast.cmpop], Operator] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.In: "in",
    ast.NotIn: "not in",
}
TURNED: Mapping[str, Operator] = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
HOW = "write a column, or a condition such as hour >= 18, origin == 'EWR' or `unit price` in [1, 2]"


@dataclass(frozen=True)
class Comparison:
    """One column against a literal, or against a list of them (``in``, ``not in``)."""

    column: str
    operator: Operator
    value: Scalar | tuple[Scalar, ...]


@dataclass(frozen=True)
class Joined:
    """Conditions of which all (``and``) or any (``or``) must hold."""

    word: Literal["and", "or"]
    parts: tuple[Condition, ...]


@dataclass(frozen=True)
class Negated:
    """A condition that must not hold."""

    part: Condition


Condition = Comparison | Joined | Negated


def parse_term(text: str) -> str | Condition:
    """Return the column that ``text`` names, or the condition that it states.

    Raises
    ------
    ValueError
        If it is neither; the message quotes it and says what may be written.

    Examples
    --------
    >>> parse_term("carrier")
    'carrier'
    >>> parse_term("hour >= 18")
    Comparison(column='hour', operator='>=', value=18)
    >>> parse_term("@pd.io.common.os.system('true')")
    Traceback (most recent call last):
    ...
    ValueError: "@pd.io.common.os.system('true')" is neither a column nor a condition: ...
    """
    if PLAIN.fullmatch(text) and not WORDS.search(text):
        return text
    whole = re.fullmatch(r"\s*`([^`]+)`\s*", text)
    if whole:
        return whole[1]
    try:
        if len(text) > MAX_LENGTH:
            raise ValueError(f"it is longer than {MAX_LENGTH} letters")
        source, names = _without_backticks(text)
        return _condition(ast.parse(source.strip(), mode="eval").body, names)
    except SyntaxError as err:
        raise ValueError(f"{text!r} is neither a column nor a condition: {err.msg}; {HOW}") from err
    except (ValueError, RecursionError, MemoryError) as err:
        raise ValueError(f"{text[:MAX_LENGTH]!r} is neither a column nor a condition: {err}; {HOW}") from err


def column_term(name: str) -> str | None:
    """Return the term that names a column, in backticks where it needs them; None if no term does.

    Examples
    --------
    >>> column_term("unit price"), column_term("2nd offer?"), column_term("days in stock"), column_term("`a`")
    ('unit price', '`2nd offer?`', '`days in stock`', None)
    """
    for term in (name, f"`{name}`"):
        try:
            if parse_term(term) == name:
                return term
        except ValueError:
            continue
    return None


def columns_of(term: str | Condition) -> tuple[str, ...]:
    """Name the columns that a term reads, each once."""
    match term:
        case str():
            return (term,)
        case Comparison():
            return (term.column,)
        case Negated():
            return columns_of(term.part)
        case Joined():
            return tuple(dict.fromkeys(name for part in term.parts for name in columns_of(part)))


def _without_backticks(text: str) -> tuple[str, dict[str, str]]:
    """Put a plain word in the place of each name in backticks, outside quoted text."""
    names: dict[str, str] = {}

    def replace(match: re.Match[str]) -> str:
        if match[1] is None:
            return match[0]
        word = f"column_{len(names)}_"
        while word in text:
            word += "_"
        names[word] = match[1]
        return f" {word} "

    return PIECES.sub(replace, text), names


def _condition(node: ast.expr, names: Mapping[str, str]) -> Condition:
    match node:
        case ast.BoolOp(op=op, values=values):
            return Joined("and" if isinstance(op, ast.And) else "or", tuple(_condition(v, names) for v in values))
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return Negated(_condition(operand, names))
        case ast.Compare(left=left, ops=ops, comparators=rights):
            pairs = zip([left, *rights[:-1]], ops, rights, strict=True)
            parts = tuple(_comparison(a, op, b, names) for a, op, b in pairs)
            return parts[0] if len(parts) == 1 else Joined("and", parts)
    raise ValueError(f"{_message(node)} does not compare a column with a literal")


def _comparison(left: ast.expr, op: ast.cmpop, right: ast.expr, names: Mapping[str, str]) -> Comparison:
    operator = OPERATORS.get(type(op))
    if operator is None:
        raise ValueError("'is' compares nothing here")
    if operator in ("in", "not in"):
        if not (isinstance(left, ast.Name) and isinstance(right, ast.List | ast.Tuple) and right.elts):
            raise ValueError(f"'{operator}' needs a column before it and a list of literals behind it")
        return Comparison(names.get(left.id, left.id), operator, tuple(_literal(element) for element in right.elts))
    if isinstance(left, ast.Name) and not isinstance(right, ast.Name):
        return Comparison(names.get(left.id, left.id), operator, _literal(right))
    if isinstance(right, ast.Name) and not isinstance(left, ast.Name):
        return Comparison(names.get(right.id, right.id), TURNED[operator], _literal(left))
    raise ValueError(f"{_message(left)} and {_message(right)} are not one column and one literal")


def _literal(node: ast.expr) -> Scalar:
    match node:
        case ast.Constant(value=bool() | int() | float() | str() as value):
            return value
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=ast.Constant(value=int() | float() as value)) if (
            not isinstance(value, bool)
        ):
            return -value if isinstance(sign, ast.USub) else value
    raise ValueError(f"{_message(node)} is no literal (a number, a quoted text, True or False)")


def _message(node: ast.expr) -> str:
    return repr(ast.unparse(node)[:80])
