"""As much of Airflow's API as the page's dialogs talk to, with runs that a test lets end as it likes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

STARTED = "2026-11-28T10:00:00Z"


QUESTION = {
    "gain": "Gain over the champion in log loss: +0.0042 (95 % interval +0.0011 to +0.0073, margin +0.0005) on the "
    "same 14 days.",
    "figures": {"gain": 0.0042, "low": 0.0011, "high": 0.0073, "margin": 0.0005},
    "claim": "Version 9, which is version 8 fitted again on the whole window, passed every rule of the gate and asks "
    "to take the place of version 6.",
    "trained": "Trained on 2026-08-30 to 2026-11-26 (89 days, 88,340 rows), data version 0123456789ab, "
    "requested by ann.",
    "rulings": [
        {"rule": "champion", "passed": "yes", "reason": "log loss is lower by 0.0042 [0.0011, 0.0073] on 14 days"},
        {"rule": "base_rate", "passed": "yes", "reason": "log loss is lower by 0.1200"},
    ],
    "version": 9, "champion_version": 6, "hours": 24.0,
}  # fmt: skip
"""What a retrain asks, as its task *ask* leaves it."""


@dataclass
class AirflowStub:
    """Runs that people started, what they sent, and what Airflow is to answer next.

    Attributes
    ----------
    refusals
        Statuses with which the next requests that change something are answered, each once.
    """

    runs: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    sent: list[tuple[str, str, Any]] = field(default_factory=list)
    refusals: list[int] = field(default_factory=list)
    paused: set[str] = field(default_factory=set)
    questions: list[dict[str, Any]] = field(default_factory=list)
    daily: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Runs of days, by the id of their Dag."""

    def reset(self) -> None:
        """Forget all of it."""
        for one in (self.runs, self.sent, self.refusals, self.paused, self.questions, self.daily):
            one.clear()

    def end(self, state: str, note: str = "") -> None:
        """Let all runs end."""
        for run in self.runs.values():
            run.update(state=state, note=note or None)

    def question(self, model: str) -> None:
        """Let a challenger of a model wait for a person."""
        task = {"dag_id": f"{model}.retrain", "dag_run_id": "r1", "task_id": "approve", "map_index": -1}
        self.runs[task["dag_id"], "r1"] = {**self._run(str(task["dag_id"]), "r1"), "state": "running"}
        subject = f"{model}: may version 9 serve?"
        self.questions.append({"subject": subject, "params": {"comment": {}}, "task_instance": task})

    def begin(self) -> None:
        """Let all runs begin."""
        for run in self.runs.values():
            run["state"] = "running"

    def change(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        """Answer a request that changes something."""
        facts = json.loads(body or b"{}")
        self.sent.append((method, path, facts))
        if self.refusals:
            status = self.refusals.pop(0)
            return status, {"detail": "as the test wants it"}
        parts = path.split("/")
        if method == "PATCH" and parts[-1] == "hitlDetails":
            self.questions.clear()
            return 200, {}
        if parts[-1] == "clearTaskInstances":
            self.runs[parts[1], facts["dag_run_id"]] = self._run(parts[1], facts["dag_run_id"])
            return 200, {"task_instances": []}
        key = parts[1], facts["dag_run_id"]
        if key in self.runs:
            return 409, {"detail": "there is such a run"}
        self.runs[key] = self._run(*key)
        return 200, self.runs[key]

    @staticmethod
    def _run(dag: str, run: str) -> dict[str, Any]:
        return {"dag_id": dag, "dag_run_id": run, "state": "queued", "note": None, "start_date": STARTED}

    def look(self, path: str) -> tuple[int, Any] | None:
        """Answer a question about a run or a Dag; None leaves it to others."""
        parts = path.split("/")
        if path.endswith("hitlDetails") and self.questions:
            return 200, {"hitl_details": self.questions, "total_entries": len(self.questions)}
        if len(parts) == 3 and parts[1] in self.daily:
            return 200, {"dag_runs": self.daily[parts[1]], "total_entries": 1}
        if len(parts) == 2 and parts[1] in self.paused:
            return 200, {"dag_id": parts[1], "is_paused": True, "max_active_runs": 1, "next_dagrun_run_after": None}
        if len(parts) < 4 or parts[2] != "dagRuns" or parts[1] == "~":
            return None
        run = self.runs.get((parts[1], parts[3]))
        if run is None:
            return 404, {"detail": "no such run"}
        if parts[-1] == "question":
            return 200, {"value": QUESTION}
        if parts[4:] == ["taskInstances"]:
            task = {"task_id": "fit", "task_display_name": "Fit", "state": "running", "start_date": STARTED}
            return 200, {"task_instances": [task, {**task, "task_id": "pull", "state": "success"}], "total_entries": 2}
        return (200, run) if len(parts) == 4 else (404, {"detail": "nothing here"})
