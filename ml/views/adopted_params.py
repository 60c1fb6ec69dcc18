"""Write proposed settings as ``params.yaml``, with the reason of each value behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from ml import yaml_file
from ml.core.adoption.origins import Section
from ml.core.adoption.proposal import Proposal

WIDTH, COMMENT_AT, SMALL = 118, 34, 1e-3
TITLES = {
    "task": "what is predicted, for which rows",
    "source": "where the data come from",
    "land": "how much history is landed",
    "types": "of columns",
    "screen": "what a day may look like, by its recent past",
    "pull": "which labelled days are trained and judged on",
    "split": "the newest days: judged on, never fitted on",
    "features": "what the model sees",
    "fit": "the estimator",
    "gate": "what a challenger must show before it serves",
    "drift": "when inputs count as moved",
    "performance": "when live performance counts as decayed",
    "retrain": "when a challenger is requested",
}


def params_text(proposal: Proposal) -> str:
    """Return the whole file; a key a line, so that a later proposal can be compared line by line."""
    seen = proposal.facts
    lines = [
        (
            f"# Proposed by 'evergreen adopt' from {len(seen.table):,} rows of {seen.grain.first_day} "
            f"to {seen.grain.last_day}: change what you know better."
        ),
        "# What is not here is as docs/settings.md says. Running 'evergreen adopt' again keeps what you changed.",
    ]
    for name, section in proposal.sections.items():
        lines += ["", *_line(f"{name}:", TITLES.get(name, ""), 0)]
        for key, (value, reason) in section.items():
            lines += _rules(value) if (name, key) == ("gate", "rules") else _entry(key, value, reason, 2)
    lines += ["", *_left_out(proposal)]
    return "\n".join(lines) + "\n"


def _rules(rules: Section) -> list[str]:
    lines = ["  rules:"]
    for name, (rule, reason) in rules.items():
        lines += _entry(name, rule, reason, 4)
    return lines


def _entry(key: str, value: Any, reason: str, indent: int) -> list[str]:
    name = scalar(key)
    inline = f"{name}: {flow(value)}"
    blocks = isinstance(value, Mapping) and any(_is_block(inner) for inner in value.values())
    fits = len(inline) + indent <= WIDTH and not blocks
    if fits or not value or not isinstance(value, Mapping | list | tuple):
        return _line(inline, reason, indent)
    items = (
        [line for part, inner in value.items() for line in _item(str(part), inner)]
        if isinstance(value, Mapping)
        else [f"- {flow(inner)}" for inner in value]
    )
    return [*_line(f"{name}:", reason, indent), *(f"{' ' * (indent + 2)}{item}" for item in items)]


def _is_block(value: object) -> bool:
    return isinstance(value, str) and "\n" in value and not value.startswith((" ", "\n")) and not value.endswith("\n")


def _item(key: str, value: Any) -> list[str]:
    """Return an entry of a mapping in a line, and a text of several lines (a query) in as many."""
    if not _is_block(value):
        return [f"{scalar(key)}: {flow(value)}"]
    return [f"{scalar(key)}: |-", *(f"  {line}" for line in value.split("\n"))]


def _line(text: str, comment: str, indent: int) -> list[str]:
    start = " " * indent
    if not comment:
        return [start + text]
    comment = " ".join(comment.split())
    if len(start) + max(len(text), COMMENT_AT - indent) + len(comment) + 4 <= WIDTH:
        return [f"{start}{text:<{COMMENT_AT - indent}}  # {comment}"]
    lines, words = [], f"# {comment}".split(" ")
    current = start + words[0]
    for word in words[1:]:
        if len(current) + 1 + len(word) > WIDTH:
            lines.append(current)
            current = f"{start}# {word}"
        else:
            current += f" {word}"
    return [*lines, current, start + text]


def flow(value: Any) -> str:
    """Return a value in one line of YAML."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(str(key))}: {flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(flow(inner) for inner in value) + "]"
    return scalar(value)


def scalar(value: object) -> str:
    """Return a plain value as YAML 1.2 reads it back, quoted only where it has to be.

    Examples
    --------
    >>> scalar("UP"), scalar("no"), scalar("007"), scalar("unit price"), scalar("a: b"), scalar(1e-05)
    ('UP', 'no', '"007"', 'unit price', '"a: b"', '0.00001')
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, float) and 0 < abs(value) < SMALL:
        return f"{value:.15f}".rstrip("0")
    return "null" if value is None else value.isoformat() if isinstance(value, date) else str(value)


def _text(value: str) -> str:
    try:
        plain = yaml_file.parse(f"[{value}]") == [value] and yaml_file.parse(f"{value}: 1") == {value: 1}
    except ValueError:
        plain = False
    if plain and "\n" not in value and "#" not in value:
        return value
    quoted = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{quoted}"'


def _left_out(proposal: Proposal) -> list[str]:
    """Return comments: the columns that are not used, and what each recipe lost."""
    fixed = {proposal.task.target, "day", proposal.facts.time.name}
    lines = ["# Columns that the model does not see:"]
    for column, reason in proposal.facts.columns.left_out.items():
        if column not in fixed:
            lines += _line("", f"{column}: {reason}", 0)[:-1] or [f"# {column}: {reason}"]
    if len(lines) == 1:
        lines = []
    unit = "RMSE" if proposal.best.kind == "regression" else "log loss"
    lines.append(f"# Validation on newer days than those fitted on, {unit} (the base rate has {_score(proposal)}):")
    lines += [
        f"#   {result.score:.5g}  {result.recipe.name}" + (" <- chosen" if result is proposal.best else "")
        for result in proposal.results
    ]
    return lines


def _score(proposal: Proposal) -> str:
    return f"{proposal.best.base_score:.5g}"
