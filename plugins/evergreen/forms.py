"""What a person is asked when triggering a Dag by hand."""

from __future__ import annotations

from airflow.sdk import Param

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
    "asked_by": Param("a person", type="string", title="Asked for by"),
}  # fmt: skip
