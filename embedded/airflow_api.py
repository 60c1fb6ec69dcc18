"""Ask Airflow's REST API, as the user ``admin`` of the simple auth manager."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

import requests

from ml.errors import EvergreenError, Unavailable

TIMEOUT_SECONDS = 20.0
FINISHED = ("success", "failed")
PAGE = 100
"""The most entries that Airflow gives at once."""

OF_SETTINGS = "has no Dags:"
"""Part of what Airflow shows of a model whose settings are wrong (`evergreen.models`)."""


class Refused(EvergreenError):
    """Airflow understood the request and would not do it."""


@dataclass(frozen=True)
class Run:
    """One Dag run as the API shows it."""

    dag_id: str
    run_id: str
    state: str
    partition_key: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def model(self) -> str:
        """Name the model whose Dag it is; empty for a Dag that is not Evergreen's."""
        return self.dag_id.rpartition(".")[0]

    @property
    def verb(self) -> str:
        """Say which of its model's Dags it is."""
        return self.dag_id.rpartition(".")[2]

    @property
    def finished(self) -> bool:
        return self.state in FINISHED

    @property
    def seconds(self) -> float | None:
        """How long it took; None while it runs."""
        if self.started_at is None or self.ended_at is None:
            return None
        return (self.ended_at - self.started_at).total_seconds()


@dataclass(frozen=True)
class Dag:
    """What matters here of a Dag: is it paused, and when does it run next (None: unscheduled)."""

    dag_id: str
    paused: bool
    next_run_at: datetime | None = None


@dataclass(frozen=True)
class DagFileError:
    """Why a Dag file, or a part of it, could not be parsed."""

    file: str
    stack_trace: str

    @property
    def is_about_settings(self) -> bool:
        """Whether only models with wrong settings are reported: the Dags of the others are there."""
        return OF_SETTINGS in self.stack_trace

    def __str__(self) -> str:
        """Return the file and the last line of the error."""
        return f"{self.file}: {self.stack_trace.strip().splitlines()[-1]}"


class AirflowApi:
    """A small client; it logs in when first needed, and again when its token has expired."""

    def __init__(self, url: str, *, user: str, password: str) -> None:
        self.url = url.rstrip("/")
        self.user = user
        self.password = password
        self._session = requests.Session()
        self._session.trust_env = False  # No proxy stands between us and this machine.

    def health(self) -> dict[str, datetime | None]:
        """Return the newest heartbeat of each Airflow server that is healthy, by its name in the API."""
        answer = self._send("GET", "/api/v2/monitor/health", authenticated=False)
        return {
            name: _moment(part.get(f"latest_{name}_heartbeat"))
            for name, part in answer.items()
            if isinstance(part, dict) and part.get("status") == "healthy"
        }

    def dags(self) -> dict[str, Dag]:
        """Return the parsed Dags by their id."""
        entries: list[Mapping[str, Any]] = []
        while True:
            params = {"limit": PAGE, "offset": len(entries), "exclude_stale": True, "order_by": "dag_id"}
            page = self._send("GET", "/api/v2/dags", params=params)["dags"]
            entries += page
            if len(page) < PAGE:
                break
        return {
            d["dag_id"]: Dag(d["dag_id"], bool(d["is_paused"]), _moment(d.get("next_dagrun_run_after")))
            for d in entries
        }

    def import_errors(self) -> tuple[DagFileError, ...]:
        """Return what could not be parsed of each Dag file."""
        errors = self._send("GET", "/api/v2/importErrors", params={"limit": 20})["import_errors"]
        return tuple(DagFileError(e["filename"], e["stack_trace"]) for e in errors)

    def pools(self) -> frozenset[str]:
        """Name the pools that there are."""
        return frozenset(p["name"] for p in self._send("GET", "/api/v2/pools", params={"limit": PAGE})["pools"])

    def create_pool(self, name: str, *, slots: int, description: str) -> None:
        """Create a pool; nothing changes if there is one of this name."""
        body = {"name": name, "slots": slots, "description": description}
        self._send("POST", "/api/v2/pools", json=body, tolerate=(409,))

    def unpause(self, dag_id: str) -> None:
        """Let a Dag run; nothing changes if it may already."""
        self._send("PATCH", f"/api/v2/dags/{quote(dag_id)}", json={"is_paused": False})

    def trigger(self, dag_id: str, *, run_id: str, conf: Mapping[str, object]) -> None:
        """Create a run; nothing changes if one with this id exists already."""
        body = {"dag_run_id": run_id, "logical_date": None, "conf": dict(conf)}
        self._send("POST", f"/api/v2/dags/{quote(dag_id)}/dagRuns", json=body, tolerate=(409,))

    def runs(self, dag_id: str | None = None, *, model: str | None = None, limit: int = 50) -> tuple[Run, ...]:
        """Return the newest runs of a Dag, or of all of a model's Dags, or of all Dags, newest first."""
        params: dict[str, Any] = {"limit": limit, "order_by": "-run_after"}
        if model is not None:
            params["dag_id_prefix_pattern"] = f"{model}."
        response = self._send("GET", f"/api/v2/dags/{quote(dag_id or '~')}/dagRuns", params=params)
        runs = (
            Run(
                dag_id=r["dag_id"],
                run_id=r["dag_run_id"],
                state=r["state"],
                partition_key=r.get("partition_key"),
                started_at=_moment(r.get("start_date")),
                ended_at=_moment(r.get("end_date")),
            )
            for r in response["dag_runs"]
        )
        return tuple(run for run in runs if model in {None, run.model})

    def tasks(self, run: Run) -> dict[str, str]:
        """Return the state of each task of a run, by task id."""
        response = self._send("GET", f"{_run_path(run)}/taskInstances", params={"limit": 100})
        return {t["task_id"]: t["state"] or "none" for t in response["task_instances"]}

    def returned(self, run: Run, task_id: str) -> object:
        """Return what a task returned (its XCom); None if it returned nothing."""
        entry = self._send(
            "GET",
            f"{_run_path(run)}/taskInstances/{quote(task_id)}/xcomEntries/return_value",
            tolerate=(404,),
        )
        return entry.get("value")

    def _log_in(self) -> None:
        answer = self._send(
            "POST",
            "/auth/token",
            json={"username": self.user, "password": self.password},
            authenticated=False,
        )
        self._session.headers["Authorization"] = f"Bearer {answer['access_token']}"

    def _send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Mapping[str, Any] | None = None,
        authenticated: bool = True,
        tolerate: tuple[int, ...] = (),
    ) -> dict[str, Any]:
        if authenticated and "Authorization" not in self._session.headers:
            self._log_in()
        try:
            answer = self._session.request(method, self.url + path, params=params, json=json, timeout=TIMEOUT_SECONDS)
        except requests.RequestException as err:
            raise Unavailable(f"Airflow does not answer at {self.url} ({type(err).__name__})") from err
        if answer.status_code == 401 and authenticated:
            del self._session.headers["Authorization"]
            return self._send(method, path, params=params, json=json, tolerate=tolerate)
        if answer.status_code >= 500:
            raise Unavailable(f"{method} {path}: Airflow answered {answer.status_code}")
        if answer.status_code in tolerate:
            return {}
        if not answer.ok:
            raise Refused(f"{method} {path}: Airflow answered {answer.status_code}: {answer.text[:300]}")
        body: dict[str, Any] = answer.json()
        return body


def _run_path(run: Run) -> str:
    return f"/api/v2/dags/{quote(run.dag_id)}/dagRuns/{quote(run.run_id, safe='')}"


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
