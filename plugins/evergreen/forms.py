"""What a person is asked when triggering a Dag by hand."""

from __future__ import annotations

from airflow.sdk import Param

A_PERSON = "a person"
"""What the forms say until somebody is named: Airflow knows who pressed the button."""

_BY_MONITOR = "Filled in by monitor"

RETRAIN = {
    "why": Param("asked for by hand", type="string", minLength=3, title="Why", description="Kept with the decision."),
    "days": Param(
        None, type=["null", "integer"], minimum=2, title="Window in days",
        description="Empty: as in params.yaml (by default all labelled days).",
    ),
    "last_day": Param(
        None, type=["null", "string"], format="date", title="Last labelled day",
        description="Empty: the newest one in the data registry.",
    ),
    "force": Param(
        False, type="boolean", title="Train even if this very training was judged before",
        description="The same data, parameters and code give the same model.",
    ),
    "asked_by": Param(
        A_PERSON, type="string", minLength=1, title="Asked for by",
        description="Left as it is: the Airflow user who triggers this.",
    ),
}  # fmt: skip

ROLLBACK = {
    "why": Param(type="string", minLength=3, title="Why", description="Kept with the decision, and mailed."),
    "to_version": Param(
        None, type=["null", "integer"], minimum=1, title="Back to version",
        description="Empty: the one that served before. Only a version that was champion can come back: "
        "'python -m ml.steps.history' lists them, and so does MLflow's decisions experiment.",
    ),
    "asked_by": Param(
        A_PERSON, type="string", minLength=1, title="Asked for by",
        description="Left as it is: the Airflow user who triggers this.",
    ),
    "from_version": Param(
        None, type=["null", "integer"], minimum=1, title="Away from version", section=_BY_MONITOR,
        description="If given, nothing is done unless this version still serves.",
    ),
    "evidence": Param(
        None, type=["null", "object"], title="Evidence", section=_BY_MONITOR,
        description="Numbers that speak for the rollback, by name.",
    ),
}  # fmt: skip
