"""Put the facts of an alert into words, by the templates of its kind."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

TEMPLATES = Path(__file__).parent / "templates"


def render(name: str, facts: Mapping[str, Any]) -> tuple[str, str]:
    """Render an alert as HTML (all values escaped) and as plain text."""
    import jinja2

    from evergreen.next_moves import worded_facts

    loader = jinja2.FileSystemLoader(TEMPLATES)
    environment = jinja2.Environment(
        loader=loader,
        autoescape=jinja2.select_autoescape(["html"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    worded: Mapping[str, Any] = worded_facts(dict(facts))
    html, text = (environment.get_template(f"{name}.{kind}").render(**worded) for kind in ("html", "txt"))
    return html, text
