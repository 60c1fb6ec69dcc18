"""Gather what one loop brought about, say it as a table, and judge whether all of it is there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlparse

from pydantic import ValidationError
from tabulate import tabulate

from embedded.airflow_api import AirflowApi, Run
from ml.records import Decision, Record, Scoring

REPORT_FIELDS = ("report_uri", "result_uri")
Kind = TypeVar("Kind", bound=Record)


@dataclass(frozen=True)
class Champion:
    """Who serves, as ``evergreen champion --json`` says; ``version`` None is nobody.

    ``metrics`` were measured of ``judged_version`` where that is given: the champion is its refit.
    """

    version: int | None
    run_id: str | None
    metrics: dict[str, float]
    judged_version: int | None = None

    @classmethod
    def read(cls, answer: Mapping[str, object]) -> Champion:
        version, run_id, metrics, judged = (
            answer.get(key) for key in ("version", "run_id", "metrics", "judged_version")
        )
        return cls(
            version=int(str(version)) if version is not None else None,
            run_id=str(run_id) if run_id else None,
            metrics={k: float(v) for k, v in metrics.items()} if isinstance(metrics, Mapping) else {},
            judged_version=int(str(judged)) if judged is not None and judged != version else None,
        )

    def sentence(self, metric: str) -> str:
        """Return how good the champion is on its holdout, beside the base rate where that is known."""
        sentence = f"champion v{self.version}"
        own = self.metrics.get(metric, self.metrics.get(f"challenger_{metric}"))
        base = self.metrics.get(f"base_rate_{metric}", self.metrics.get(f"{metric}_base_rate"))
        if own is not None:
            sentence += f": {metric.replace('_', ' ')} {own:.3f}"
        if own is not None and base is not None:
            sentence += f" vs {base:.3f} for the base rate"
        if self.judged_version is not None:
            sentence += f", judged as version {self.judged_version}, refitted as {self.version}"
        return sentence


@dataclass(frozen=True)
class Evidence:
    """What the loop left: its runs, what their tasks returned, the files and the mails."""

    runs: tuple[Run, ...]
    champion: Champion
    scoring: Scoring | None
    decision: Decision | None
    reports: tuple[str, ...]
    mails: int


def gather(
    api: AirflowApi, runs: tuple[Run, ...], *, score: Run, monitor: Run, champion: Champion, mails: int
) -> Evidence:
    """Ask Airflow what the tasks of the loop returned; ``mails`` is how many were sent so far."""
    reports: dict[str, None] = {}
    for run in runs:
        for answer in answers(api, run).values():
            reports.update(dict.fromkeys(_reports(answer)))
    return Evidence(
        runs=runs,
        champion=champion,
        scoring=served_predictions(api, score),
        decision=first_record(api, monitor, Decision),
        reports=tuple(reports),
        mails=mails,
    )


def answers(api: AirflowApi, run: Run) -> dict[str, object]:
    """Return what each task of a run returned, by task id."""
    returned = {task: api.returned(run, task) for task, state in api.tasks(run).items() if state == "success"}
    return {task: answer for task, answer in returned.items() if answer is not None}


def records(api: AirflowApi, run: Run, kind: type[Kind]) -> tuple[Kind, ...]:
    """Return the records of this kind among what a run's tasks returned."""
    matches = []
    for answer in answers(api, run).values():
        try:
            matches.append(kind.model_validate(answer))
        except ValidationError:
            continue
    return tuple(matches)


def first_record(api: AirflowApi, run: Run, kind: type[Kind]) -> Kind | None:
    """Return one record of this kind that a run's tasks returned; None if there is none."""
    return next(iter(records(api, run, kind)), None)


def served_predictions(api: AirflowApi, run: Run) -> Scoring | None:
    """Return what a run published, and not what it only staged; None if it published nothing."""
    return next((scoring for scoring in records(api, run, Scoring) if scoring.published), None)


def missing(evidence: Evidence) -> tuple[str, ...]:
    """Name everything that a whole loop should have left and this one did not; empty is success."""
    lacks = [f"{r.verb} {r.run_id} is {r.state}" for r in evidence.runs if r.state != "success"]
    seen = {run.verb for run in evidence.runs}
    lacks += [f"no run of {verb}" for verb in ("ingest", "score", "monitor") if verb not in seen]
    if evidence.champion.version is None:
        lacks.append("no champion")
    if evidence.scoring is None:
        lacks.append("score published no predictions")
    elif (local := local_path(evidence.scoring.uri)) and not _filled(local):
        lacks.append(f"no predictions at {local}")
    if evidence.decision is None:
        lacks.append("monitor returned no decision")
    return tuple(lacks)


def table(evidence: Evidence, *, metric: str, parts: Mapping[str, float], unit: str) -> str:
    """Draw the evidence for a terminal or a log, without colours."""
    runs = [
        (r.verb, r.partition_key or r.run_id, r.state, f"{r.seconds:.1f}" if r.seconds is not None else "")
        for r in evidence.runs
    ]
    facts = [("champion", evidence.champion.sentence(metric))]
    if evidence.scoring:
        facts.append(("predictions", f"{evidence.scoring.rows:,} {unit} in {evidence.scoring.uri}"))
    if evidence.decision:
        facts.append(("monitoring", drift_sentence(evidence.decision)))
    facts += [("report" if i == 0 else "", uri) for i, uri in enumerate(evidence.reports)]
    facts.append(("mails sent", str(evidence.mails)))
    return "\n\n".join(
        [
            tabulate(runs, headers=["Dag", "partition or run", "state", "seconds"], disable_numparse=True),
            tabulate(facts, tablefmt="plain", disable_numparse=True),
            times(parts),
        ]
    )


def times(parts: Mapping[str, float]) -> str:
    """Draw how many seconds each part took."""
    rows = [(part, f"{seconds:.1f}") for part, seconds in parts.items()]
    return tabulate(rows, headers=["part", "seconds"], colalign=("left", "right"), disable_numparse=True)


def drift_sentence(decision: Decision) -> str:
    """Return what monitoring found, and what it asked for, in one line."""
    state = "drift" if decision.alarm else "no drift"
    if decision.action == "retrain":
        return f"{state}; a challenger is requested: {'; '.join(decision.reasons)}"
    return f"{state}; {'; '.join(decision.reasons)}" if decision.reasons and decision.alarm else state


def count_mails(mail: Path) -> int:
    """Count the mails in a Maildir, read or not."""
    return sum(1 for folder in ("new", "cur") for file in (mail / folder).glob("*") if file.is_file())


def local_path(uri: str) -> Path | None:
    """Return the file behind a path or a ``file://`` URI; None for anything remote."""
    parsed = urlparse(uri)
    if parsed.scheme == "file":
        return Path(unquote(parsed.path))
    return Path(uri) if not parsed.scheme else None


def _filled(path: Path) -> bool:
    return path.exists() and (path.is_dir() or path.stat().st_size > 0)


def _reports(answer: object) -> Iterator[str]:
    if isinstance(answer, Mapping):
        for key, value in answer.items():
            if key in REPORT_FIELDS and isinstance(value, str):
                yield value
            else:
                yield from _reports(value)
    elif isinstance(answer, list):
        for item in answer:
            yield from _reports(item)
