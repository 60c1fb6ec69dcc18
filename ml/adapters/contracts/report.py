"""Put into plain words what an expectation asks, and draw the report of a screening."""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import jinja2
import numpy as np

from ml.core.data.contracts import counted

RULES = {
    "expect_table_columns_to_match_set": "the columns must be {column_set}",
    "expect_table_row_count_to_equal": "the row count must be {value}",
    "expect_column_values_to_not_be_null": "{column} must not be null",
    "expect_column_values_to_be_in_set": "{column} must be one of {value_set}",
    "expect_column_values_to_not_be_in_set": "{column} must be none of {value_set}",
    "expect_column_values_to_match_regex": "{column} must match {regex}",
    "expect_column_values_to_be_of_type": "{column} must be of type {type_}",
    "expect_column_values_to_be_in_type_list": "{column} must be of a type among {type_list}",
    "expect_column_values_to_be_unique": "{column} must be unique",
    "expect_compound_columns_to_be_unique": "{column_list} must be unique together",
    "expect_column_values_to_be_multiples_of": "{column} must be a multiple of {step}",
    "expect_last_column_to_follow_from_others": "the last of {column_list} must be as is known for the others",
}
UNSEEN = ("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs")
"""Of these categories of Unicode is what has no shape of its own; a plain space is shown as it is."""
NOT_SHOWN = {"exact_match", "ignore_row_if", "known"}
"""Kwargs that a reader can do without."""
BETWEEN = {
    "expect_column_values_to_be_between": "{column}",
    "expect_table_row_count_to_be_between": "the row count",
    "expect_column_proportion_of_non_null_values_to_be_between": "the share of {column} that holds a value",
    "expect_column_to_be_empty_or_proportion_of_non_null_values_to_be_between": (
        "unless {column} has no value at all, the share of it that holds one"
    ),
    "expect_column_unique_value_count_to_be_between": "the number of different values of {column}",
}
BOUNDS = {"column", "min_value", "max_value", "strict_min", "strict_max"}


def rule(kind: str, kwargs: Mapping[str, Any]) -> str:
    """Describe an expectation in plain words, with the values of its parameters in place.

    Examples
    --------
    >>> rule("expect_column_values_to_be_between", {"column": "temp", "min_value": -20, "max_value": 110})
    'temp must be between -20 and 110'
    >>> rule("expect_column_pair_values_to_be_equal", {"column_A": "a", "column_B": "b"})
    'expect column pair values to be equal (column_A=a, column_B=b)'
    """
    arguments = {k: v for k, v in kwargs.items() if k != "batch_id"}
    words = {k: value(v) for k, v in arguments.items()}
    if kind.endswith("_to_be_between") and set(arguments) <= BOUNDS:
        measure = kind.removeprefix("expect_column_").removesuffix("_to_be_between").replace("_", " ")
        subject = BETWEEN.get(kind, f"the {measure} of {{column}}").format(**words)
        return f"{subject} must be {_describe_range(arguments, share='proportion' in kind)}"
    template = RULES.get(kind)
    if template is not None and all(f"{{{k}}}" in template or k in NOT_SHOWN for k in words):
        return template.format(**words)
    return f"{kind.replace('_', ' ')} ({', '.join(f'{k}={v}' for k, v in words.items())})"


def _describe_range(kwargs: Mapping[str, Any], *, share: bool) -> str:
    low, high = (_format_bound(kwargs.get(name), share) for name in ("min_value", "max_value"))
    over = "more than" if kwargs.get("strict_min") else "at least"
    under = "less than" if kwargs.get("strict_max") else "at most"
    if low and high and over == "at least" and under == "at most":
        return f"between {low} and {high}"
    return " and ".join([f"{over} {low}"] * bool(low) + [f"{under} {high}"] * bool(high))


def _format_bound(raw: object, share: bool) -> str:
    if raw is None:
        return ""
    return f"{raw:.1%}" if share and isinstance(raw, int | float) else value(raw)


def value(raw: object) -> str:
    """Show one value as people write it: at most 80 characters, a list's first thirty."""
    if raw is None or (isinstance(raw, float | np.floating) and math.isnan(raw)):
        return "null"
    if isinstance(raw, bool | np.bool_):
        return str(raw).lower()
    if isinstance(raw, float | np.floating):
        return f"{raw:.10g}"
    if isinstance(raw, list | tuple):
        return ", ".join(value(v) for v in raw[:30]) + (", …" if len(raw) > 30 else "")
    if isinstance(raw, dict):
        return json.dumps(raw, default=str, sort_keys=True)
    return f"{raw:,}" if isinstance(raw, int) and abs(raw) >= 1_000_000 else visible(str(raw)[:80])


def visible(text: str) -> str:
    r"""Show a text so that it looks like no other one: what nobody sees, such as spaces at its end, between quotes.

    Characters without a shape of their own, and marks that were written apart from their letter, are escaped.

    Examples
    --------
    >>> print(visible("Nord"), visible("Nord "), visible("No\u200brd"), visible("Su\u0308d"))
    Nord 'Nord ' 'No\u200brd' 'Su\u0308d'
    """
    marks = ("Mn",) if unicodedata.normalize("NFC", text) != text else ()
    shown = "".join(_escaped(sign) if unicodedata.category(sign) in (*UNSEEN, *marks) else sign for sign in text)
    return f"'{shown}'" if shown != text or text != " ".join(text.split()) or not text else text


def _escaped(sign: str) -> str:
    return sign if sign == " " else sign.encode("unicode_escape").decode("ascii")


def as_one_line(message: object) -> str:
    """Fold a vendor's message into one short line."""
    return " ".join(str(message).split())[:200]


def render(result: Mapping[str, Any]) -> str:
    """Render the report of a screening: one page, no script, nothing fetched, every value escaped.

    GX's own Data Docs page needs style sheets and scripts from public hosts.
    """
    order = {"unmet": 0, "not evaluated": 1, "met": 2}
    rows = sorted(result["expectations"], key=lambda e: order[e["status"]])
    return str(_page().render(r=result, rows=rows, counted=counted))


@lru_cache(maxsize=1)
def _page() -> jinja2.Template:
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    return environment.from_string(PAGE)


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{{ r.asset }}: {{ r.verdict }}</title>
<style>
:root { color-scheme: light dark; --line: light-dark(#d8dde3, #3a4048); --soft: light-dark(#5a6572, #9aa5b1);
  --good: light-dark(#1a7f37, #57c26d); --bad: light-dark(#b3261e, #ff8a80);
  --warn: light-dark(#8a5a00, #e0b050); }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem;
  background: light-dark(#fff, #15181c); color: light-dark(#1c2127, #e6e9ec); }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
.verdict { border-left: .35rem solid; padding: .3rem 1rem; margin: 1rem 0; }
.good { color: var(--good); } .bad { color: var(--bad); } .warn { color: var(--warn); }
.soft, small { color: var(--soft); }
ul { padding-left: 1.2rem; } .scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem; border-bottom: 1px solid var(--line); }
td { overflow-wrap: anywhere; } td.state { white-space: nowrap; overflow-wrap: normal; }
code { font-size: .9em; }
</style></head><body>
{% set tone = "bad" if r.verdict == "rejected" else ("warn" if r.quarantined_rows else "good") %}
<div class="verdict {{ tone }}"><h1>{{ r.asset }}: {{ r.verdict }}</h1></div>
<p>{{ counted(r.rows) }} came, {{ "{:,}".format(r.accepted_rows) }} go on,
{{ "{:,}".format(r.quarantined_rows) }}
{{ "failed row by row" if r.verdict == "rejected" else "are quarantined" }}.
{% if r.verdict == "rejected" %}
<strong>Next:</strong> fix the source and run Ingest of that day again;
or, if the data are right, change <code>expectations/{{ r.asset }}.json</code>.{% endif %}</p>
{% if r.failures %}
<h2>What broke</h2>
<ul>
{% for f in r.failures %}
<li>{{ f.message }}
{% if f.unexpected_rows %}
<span class="soft">· {{ counted(f.unexpected_rows) }}</span>
{% endif %}
{% for e in f.examples %}
{% if loop.first %}<span class="soft">· such as</span>{% endif %}
 <code>{{ e }}</code>{{ "" if loop.last else "," }}
{% endfor %}
</li>
{% endfor %}
</ul>
{% endif %}
<h2>The contract</h2>
<div class="scroll"><table>
<tr><th>state</th><th>expectation</th><th>observed</th><th>a breach</th></tr>
{% for e in rows %}
<tr><td class="state {{ {"met": "good", "unmet": "bad"}.get(e.status, "warn") }}">{{ e.status }}</td>
<td>{{ e.rule }}{% if e.notes %}<br><small>{{ e.notes }}</small>{% endif %}</td>
<td>{{ e.observed }}{% if e.examples %}<br><small>{{ e.examples | join(", ") }}</small>{% endif %}</td>
<td class="state">{{ "quarantines rows" if e.level == "row" else "refuses all" }}</td></tr>
{% endfor %}
</table></div>
{% if r.parameters %}
<h2>Parameters</h2>
<div class="scroll"><table>
{% for name, value in r.parameters.items() %}
<tr><td><code>{{ name }}</code></td><td>{{ value }}</td></tr>
{% endfor %}
</table></div>
{% endif %}
<p><small>Great Expectations {{ r.great_expectations }} · suite expectations/{{ r.asset }}.json</small></p>
</body></html>
"""
