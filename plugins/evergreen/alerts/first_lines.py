"""The first lines of every alert: what happened, whether it hurts, what the system did, what a person should do.

Each kind of alert writes the four sentences; the layouts of the templates and `evergreen.alerts.rendering.brief` show
them, before anything else. An alert without them is not composed.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

NAME = "first_lines"
"""Where the facts of an alert have them."""


@dataclass(frozen=True)
class FirstLines:
    """Four answers, each a sentence or a few; a full stop is added where an answer ends without one.

    Attributes
    ----------
    happened
        What happened, to which version or day.
    harm
        Whether predictions, or those who read them, are worse for it.
    done
        What the system did about it.
    todo
        What a person should do; read after "What to do:", so that it begins with a small letter.
    """

    happened: str
    harm: str
    done: str
    todo: str

    def __post_init__(self) -> None:
        for field in fields(self):
            text = str(getattr(self, field.name)).strip()
            if not text:
                raise ValueError(f"an alert has to answer {field.name!r}: its kind left it empty")
            object.__setattr__(self, field.name, text if text.endswith((".", "!", "?", ":")) else f"{text}.")


def capitalised(text: str) -> str:
    """Return a text with its first letter as a capital; the rest stays as it is."""
    return f"{text[:1].upper()}{text[1:]}"
