"""What a person is asked when triggering a Dag by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.sdk import Param

A_PERSON = "a person"
"""What the forms say until somebody is named: Airflow knows who pressed the button."""

SENTENCE = r"\S.*\S"
"""Words, not blanks."""

_WHO = "Who asks"
_WHICH = "Which training"
_BY_MONITOR = "Filled in by monitor"


def _reason(description: str, *default: str) -> Param:
    return Param(*default, type="string", minLength=3, pattern=SENTENCE, title="Why", description=description)


def _requested_by() -> Param:
    return Param(
        A_PERSON, type="string", minLength=1, title="Requested by", section=_WHO,
        description="Left as it is: the Airflow user who triggers this. Kept with the decision.",
    )  # fmt: skip


RETRAIN = {
    "reason": _reason("In a sentence, for those who read the decision later: it is kept with it.", "requested by hand"),
    "days": Param(
        None, type=["null", "integer"], minimum=2, title="Window in days", section=_WHICH,
        description="How many labelled days to train and judge on. Empty: as in params.yaml (by default all of them). "
        "The newest of them are the holdout; too few to judge on is refused.",
    ),
    "last_day": Param(
        None, type=["null", "string"], format="date", title="Last labelled day", section=_WHICH,
        description="Where the window ends. Empty: at the newest labelled day in the data registry.",
    ),
    "force": Param(
        False, type="boolean", title="Train even if this very training was judged before", section=_WHICH,
        description="The same data, parameters and code give the same model: without this the run ends at once and "
        "names the decision.",
    ),
    "requested_by": _requested_by(),
}  # fmt: skip
"""Nothing here can let a loser serve: the gate of params.yaml judges, whoever asks."""

NOTE = {
    "kind": Param(
        "acknowledgement", enum=["acknowledgement", "snooze", "comment"], title="What",
        description="Say that you know of an alarm, keep its mails back until a day, or comment on a decision. A "
        "snooze silences mails of that alarm only: what the system does goes on, and a new kind of finding is mailed.",
    ),
    "note": Param(
        type="string", minLength=3, pattern=SENTENCE, title="Note",
        description="What others should know: it is kept with the decisions, on the page, and in the alarm's mails.",
    ),
    "alarm": Param(
        None, type=["null", "string"], enum=[None, "drift", "decay"], title="Alarm", section="Of an alarm",
        description="Empty: the one that stands.",
    ),
    "until": Param(
        None, type=["null", "string"], format="date", title="Snoozed until", section="Of an alarm",
        description="The day of data on which the alarm is mailed again, if it still stands then.",
    ),
    "decision": Param(
        None, type=["null", "string"], title="Decision", section="Of a decision",
        description="Its id, or how that begins: the last part of its address on the page.",
    ),
    "requested_by": _requested_by(),
}  # fmt: skip
"""What a person says of an alarm or a decision."""

EXCLUDE = {
    "first_day": Param(
        type="string", format="date", title="First day",
        description="The first day that nothing should be learned from, for example of a broken feed or a strike.",
    ),
    "last_day": Param(
        None, type=["null", "string"], format="date", title="Last day", description="Empty: the first day alone.",
    ),
    "reason": _reason("In a sentence: it is kept with the decision and with the data version, and shown on the page."),
    "undo": Param(
        False, type="boolean", title="Let these days count again",
        description="Takes an earlier exclusion back, from the next training on.",
    ),
    "requested_by": _requested_by(),
}  # fmt: skip
"""Which days nothing may be learned from."""

ROLLBACK = {
    "reason": _reason("In a sentence: it is kept with the decision, and mailed."),
    "to_version": Param(
        None, type=["null", "integer"], minimum=1, title="Back to version",
        # Who was champion is in MLflow, which no Dag file may ask when it is parsed: hence a number, not a list.
        description="Empty: the one that served before. Only a version that was champion can come back; any other is "
        "refused, and the refusal lists those that were. They are on the Evergreen page under Models and Decisions, "
        "and 'evergreen history --model NAME' lists them.",
    ),
    "requested_by": _requested_by(),
    "from_version": Param(
        None, type=["null", "integer"], minimum=1, title="Away from version", section=_BY_MONITOR,
        description="If given, nothing is done unless this version still serves.",
    ),
    "evidence": Param(
        None, type=["null", "object"], title="Evidence", section=_BY_MONITOR,
        description="Numbers that speak for the rollback, by name.",
    ),
}  # fmt: skip

BY_DAG = {"retrain": RETRAIN, "rollback": ROLLBACK, "note": NOTE, "exclude": EXCLUDE}
"""The forms by the last part of their Dag's id."""


def fields(form: Mapping[str, Param]) -> list[dict[str, Any]]:
    """Return what a dialog of the page asks for: what a person fills in, not who asks, nor what *Monitor* fills in.

    Returns
    -------
    list of dict
        ``name``; ``title``; ``description``; ``section`` ("" for the first); ``kind`` (``words``, ``text``, ``number``,
        ``date``, ``switch`` or ``choice``); ``required`` (cannot be left empty); ``default`` (None if there is none);
        ``least`` (the smallest number, None if any); ``options`` of a choice.
    """
    return [
        _field(name, param)
        for name, param in form.items()
        if name != "requested_by" and param.schema.get("section") != _BY_MONITOR
    ]


def _field(name: str, param: Param) -> dict[str, Any]:
    schema = param.schema
    kind = _kind(schema)
    return {
        "name": name,
        "title": schema["title"],
        "description": param.description or "",
        "section": schema.get("section", ""),
        "kind": kind,
        "required": kind != "switch" and "null" not in _types(schema),
        "default": param.dump()["value"],
        "least": schema.get("minimum"),
        "options": list(schema.get("enum", ())),
    }


def _kind(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return "choice"
    if schema.get("format") == "date":
        return "date"
    if "pattern" in schema:
        return "words"
    return {"boolean": "switch", "integer": "number"}.get(
        next(kind for kind in _types(schema) if kind != "null"), "text"
    )


def _types(schema: Mapping[str, Any]) -> list[str]:
    types = schema.get("type", "string")
    return [types] if isinstance(types, str) else list(types)
