"""Make Evidently's page readable: shares that can be compared, our limits in its words, a summary at its top."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from ml.records import ColumnDrift, Limit

_COLUMN = re.compile(r"Drift in column '(.*)'", re.DOTALL)
_BODY = "<body>"
_STYLE = "background:#fff;padding:1rem max(1.5rem,calc(50% - 37rem));font:16px/1.5 system-ui,sans-serif;color:#1c2024;"
_CELL = "padding:.25rem 1.2rem .25rem 0;text-align:left;border-bottom:1px solid #d8dce0;"


def compare_shares(
    widgets: Iterable[Any], scores: Mapping[str, float | None], limits: Mapping[str, Limit], methods: Mapping[str, str]
) -> None:
    """Let charts start with shares in place of counts, and headings name distance and limit; changes the widgets.

    Reference and current side have very different numbers of rows: their counts cannot be compared. What is built in
    another way than expected is left as it is.
    """
    for widget in widgets:
        params = widget.params if isinstance(widget.params, dict) else {}
        for counter in params.get("counters") or ():
            _name_limit(counter, scores, limits, methods)
        if isinstance(params.get("layout"), dict):
            _start_with_shares(params)
        inside = [*(widget.widgets or ()), *(tab.widget for tab in widget.tabs or () if tab.widget is not None)]
        compare_shares(inside, scores, limits, methods)


def _name_limit(
    counter: dict[str, Any],
    scores: Mapping[str, float | None],
    limits: Mapping[str, Limit],
    methods: Mapping[str, str],
) -> None:
    match = _COLUMN.fullmatch(str(counter.get("value")))
    column = match[1] if match else None
    if column is None or column not in limits or scores.get(column) is None:
        return
    score, limit = scores[column], limits[column]
    assert score is not None
    usual = "" if limit.baseline_range is None else f"; baseline range up to {limit.baseline_range:.3f}"
    counter["value"] = f"{column}: {'above its limit' if score > limit.limit else 'within its limit'}"
    counter["label"] = f"Distance {score:.3f} ({methods[column]}), limit {limit.limit:.3f}{usual}"


def _start_with_shares(figure: dict[str, Any]) -> None:
    """Press the button of a figure that shows shares, if it has one."""
    for menu in figure["layout"].get("updatemenus") or ():
        buttons = menu.get("buttons") or ()
        for number, button in enumerate(buttons):
            if button.get("label") != "perc" or len(button.get("args", ())) != 2:
                continue
            visible = button["args"][0].get("visible", ())
            if len(visible) != len(figure["data"]):
                continue
            menu["active"] = number
            for trace, shown in zip(figure["data"], visible, strict=True):
                trace["visible"] = shown
            figure["layout"].setdefault("yaxis", {})["title"] = {"text": "Percent of rows"}


def with_summary(html: str, title: str, lines: Sequence[str], columns: Sequence[ColumnDrift]) -> str:
    """Put a heading, sentences and a table of all columns, the furthest off first, at the top of the page.

    Parameters
    ----------
    html
        Evidently's page; one without a ``<body>`` stays as it is.
    """
    measured = [column for column in columns if column.score is not None and column.limit]
    rows = "".join(map(_row, sorted(measured, key=_ratio, reverse=True)))
    heads = "".join(
        f'<th scope="col" style="{_CELL}">{head}</th>' for head in ("Column", "Role", "Distance", "Limit", "")
    )
    table = f'<table style="border-collapse:collapse;"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>'
    top = (
        f'<header style="{_STYLE}"><h1 style="font-size:1.5rem;margin:0 0 .5rem;">{escape(title)}</h1>'
        + "".join(f'<p style="margin:.25rem 0;">{escape(line)}</p>' for line in lines)
        + (f'<details style="margin:.75rem 0 0;" open><summary>All columns</summary>{table}</details>' if rows else "")
        + "</header>"
    )
    before, body, after = html.partition(_BODY)
    named = before.replace("<head>", f"<head><title>{escape(title)}</title>", 1)
    return f"{named}{body}{top}{after}" if body else html


def _ratio(column: ColumnDrift) -> float:
    return (column.score or 0.0) / column.limit if column.limit else 0.0


def _row(column: ColumnDrift) -> str:
    ratio = _ratio(column)
    over = f"{ratio:.1f} times its limit" if ratio > 1 else ""
    cells = (column.column, column.role, f"{column.score:.3f}", f"{column.limit:.3f}", over)
    weight = "font-weight:600;" if ratio > 1 else ""
    return "<tr>" + "".join(f'<td style="{_CELL}{weight}">{escape(cell)}</td>' for cell in cells) + "</tr>"
