"""Put the facts of an alert into words, by the templates of its kind."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from markupsafe import Markup

    from ml.records import Alert

WHOLE = re.compile(r"\b\d{4}-\d{2}-\d{2}\b|\b\d[\d.,]* %")
PERCENT, PERCENT_JOINED = re.compile(r"(\d) %"), re.compile(r"(\d)\N{NO-BREAK SPACE}%")
TEMPLATES = Path(__file__).parent / "templates"
LONGEST_BRIEF = 2500
"""Characters; Slack takes 3000 in a block."""


def render(name: str, facts: Mapping[str, Any]) -> tuple[str, str]:
    """Render an alert as HTML (all values escaped) and as plain text."""
    html, text = (_render(f"{name}.{kind}", facts) for kind in ("html", "txt"))
    return html, text


def brief(alert: Alert) -> str:
    """Return what a chat shows of an alert below its title: its first lines, a few sentences, no tables and no links.

    The text of the mail, without its end, where a kind of alert has no brief template.

    Raises
    ------
    NotTaken
        If the templates cannot put the alert's facts into words.
    """
    from evergreen.alerts.channel import NotTaken

    known = {"subject": alert.title, "notified": "", "links": (), "cid": "", "alt": "", **alert.facts}
    short = f"brief/{alert.template}.txt"
    try:
        if (TEMPLATES / short).exists():
            text = "\n".join([_render("first_lines.txt", known | {"line_width": LONGEST_BRIEF}), _render(short, known)])
        else:
            text = _render(f"{alert.template}.txt", known).partition("\n-- \n")[0]
    except Exception as err:
        raise NotTaken(f"its templates do not fit its facts ({type(err).__name__}: {err})") from err
    return shortened("\n".join(line.strip() for line in text.strip().splitlines() if line.strip()), LONGEST_BRIEF)


def shortened(text: str, length: int) -> str:
    """Return a text that is no longer than ``length``; one that was cut ends with an ellipsis."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def _render(name: str, facts: Mapping[str, Any]) -> str:
    import jinja2

    from evergreen.next_moves import worded_facts

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=jinja2.select_autoescape(["html"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["wrapped"] = _wrapped
    environment.filters["whole_days"] = _whole_days
    worded: Mapping[str, Any] = worded_facts(dict(facts))
    rendered = str(environment.get_template(name).render(**worded))
    return re.sub(r"\n{3,}", "\n\n", rendered) if name.endswith(".txt") else rendered


def _wrapped(text: object, width: int = 90) -> str:
    """Break a text into lines for plain text; an address stays whole, and a percentage with its sign."""
    joined = PERCENT.sub("\\1\N{NO-BREAK SPACE}%", str(text))
    lines = [textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False) for line in joined.splitlines()]
    return PERCENT_JOINED.sub(r"\1 %", "\n".join(lines))


def _whole_days(text: object) -> Markup:
    """Escape a text for HTML, and keep each date and each percentage in it on one line."""
    from markupsafe import Markup, escape

    return Markup(WHOLE.sub(r'<span style="white-space:nowrap;">\g<0></span>', str(escape(text))))  # noqa: S704  escaped here
