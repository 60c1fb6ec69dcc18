"""All model versions, one of them in full, and two side by side."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ml.adapters import layout
from ml.adapters.tracking.decision_log import merged
from ml.core.champions.tenures import judged_version
from ml.core.monitoring.day_summary import plain
from ml.errors import EvergreenError, MissingArtifact
from ml.next_moves import retrain
from ml.records import Logged
from ml.views import charts, decision_view
from ml.views.page.cache import MEMORY
from ml.views.page.decision_list import card_of
from ml.views.page.sources import decided, hint, registered, replayed
from ml.views.page.timeline import about_metric
from ml.wiring import Services

if TYPE_CHECKING:
    from ml.adapters.tracking.model_registry import Version

logger = logging.getLogger(__name__)
LINEAGE, IMPORTANCE = "lineage/lineage.json", "card/importance.json"
FOLDERS = ("card", "lineage", "evaluation", "monitoring")
KEPT_SECONDS = 600.0
AT_ONCE = 50
"""So many versions are listed at once."""

ABOUT_VERSIONS = ("hold", "rejection", "adoption")
"""Decisions about a version that leave the champion."""

WITHOUT_CARD = ("judged", "registered")
"""What became of versions that have no card: it is written of the version that a decision is about, so of the refit."""

CLOCKS = timedelta(days=1)
"""By so much the clocks of those who register and decide may differ."""


def models(services: Services, *, count: int = AT_ONCE, before: int | None = None) -> dict[str, Any]:
    """List registered versions, newest first; a version that was judged in the place of its refit is in that one's row.

    Parameters
    ----------
    before
        What ``next`` said of the versions before; None begins with the newest, and adds older ones that have an alias.

    Returns
    -------
    dict
        ``next``, below which version the older ones begin (None if there are none);
        ``task``: name, kind, target, and the gate's metric; ``versions``: each with ``version``, ``aliases``,
        ``outcome`` (`ml.views.decision_view.outcome`), ``created_at``, ``requested_by``, ``run_id``, ``fingerprint``,
        ``data_version``, ``code_version``, ``window`` (first and last day), ``train_last_day``, ``judged_version``
        (another one if it is a refit: ``metrics`` are that one's), ``metrics`` on the holdout, ``base_rate``, what
        the gate's metric is there for the base rate (None if unknown), ``champion_tenures``
        and ``card`` (a name for `ml.views.page.file`); ``hint``, what to do if there is none.
    """
    older = [
        model_version for model_version in registered(services) if before is None or model_version.version < before
    ]
    batch = older[:count]
    named = [model_version for model_version in older[count:] if model_version.aliases and before is None]
    log = decided(services)
    parts = [log.changes, log.about(*(model_version.version for model_version in named))]
    if batch:  # no decision about a version is older than it
        parts.append(log.since(min(model_version.created_at for model_version in batch) - CLOCKS, kinds=ABOUT_VERSIONS))
    decisions = merged(*parts)
    twins = decision_view.twins(decisions)
    rows = [_row(one, decisions, services) for one in [*batch, *named] if one.version not in twins]
    nothing = None if older else hint(services, f"No model was registered yet: {retrain()}.")
    facts: dict[str, Any] = plain(
        {
            "task": about_task(services),
            "versions": rows,
            "next": batch[-1].version if len(older) > count else None,
            "hint": nothing,
        }
    )
    return facts


def model(services: Services, version: int) -> dict[str, Any]:
    """Describe one version in full.

    Returns
    -------
    dict
        What `models` says of it (``card`` None if there is none), ``refit``, the version that it became after it was
        judged (None if there is none: the refit's card and importance are its own), and ``figures`` (metrics beside
        base rate and champion of then), ``holdout`` (rows and days), ``decisions`` about it (newest first),
        ``rulings`` and ``slices`` of the newest gate, ``importance`` (None if it was not kept), ``lineage``, ``files``
        (``name``, and ``file`` for `ml.views.page.file`) and ``problems``: what could not be read, each ``part`` and
        ``message``.

    Raises
    ------
    MissingArtifact
        If there is no such version.
    """
    model_version = find_version(version, services)
    log = decided(services)
    about = log.about(version)
    decisions = merged(log.changes, about)
    measured = _measured(model_version, decisions, services)
    judged = [decision_view.opened(entry, services.settings.gate) for entry in about if entry.payload.get("verdict")]
    rulings = judged[-1]["rulings"] if judged else []
    problems: list[dict[str, str]] = []
    files = _files(model_version, services, problems)
    refit = decision_view.refit_of(version, decisions)
    described = model_version if refit is None else find_version(refit, services)
    with_card = files if refit is None else _files(described, services, problems)
    card = card_of(described.version)
    past = replayed(services)
    facts: dict[str, Any] = plain(
        {
            **_row(model_version, decisions, services),
            "card": card if card in [file["file"] for file in with_card] else None,
            "refit": refit,
            "figures": decision_view.figures(measured, metric=services.settings.gate.metric),
            "holdout": {"rows": measured.get("holdout_rows"), "days": measured.get("holdout_days")},
            "decisions": [
                decision_view.row(entry, services.settings.gate, replayed=past.decided(entry))
                for entry in reversed(about)
            ],
            "rulings": rulings,
            "slices": decision_view.slices(rulings),
            "importance": stored(described, IMPORTANCE, services, problems),
            "lineage": decision_view.lineage(stored(model_version, LINEAGE, services, problems) or {}),
            "files": files,
            "problems": problems,
        }
    )
    return facts


def compare(services: Services, a: int, b: int) -> dict[str, Any]:
    """Put two versions side by side.

    Returns
    -------
    dict
        ``a`` and ``b``: what `models` says of them; ``metrics`` (``best`` is ``a``, ``b`` or None) with
        ``same_holdout``, and a ``note`` of what these figures can tell; ``paired``: the newest gate in which both
        were weighed on the same rows, None if they never met; ``facts`` of their lineages; ``importance`` by
        feature; ``problems`` as in `model`.

    Raises
    ------
    MissingArtifact
        If one of them is no version.
    """
    first, second = find_version(a, services), find_version(b, services)
    problems: list[dict[str, str]] = []
    traced = [
        decision_view.lineage(stored(model_version, LINEAGE, services, problems) or {})
        for model_version in (first, second)
    ]
    leaned = [_increases(stored(model_version, IMPORTANCE, services, problems)) for model_version in (first, second)]
    same, note = _comparable(traced)
    log = decided(services)
    decisions = merged(log.changes, log.about(a, b))
    rows = [_row(model_version, decisions, services) for model_version in (first, second)]
    metrics = [_measured(model_version, decisions, services) for model_version in (first, second)]
    weighed = {row["judged_version"] for row in rows} - {a, b}
    met = merged(decisions, log.about(*weighed)) if weighed else decisions
    facts: dict[str, Any] = plain(
        {
            "a": rows[0],
            "b": rows[1],
            "metrics": decision_view.compared_metrics(*metrics, metric=services.settings.gate.metric),
            "same_holdout": same,
            "note": note,
            "paired": decision_view.paired(a, b, met, services.settings.gate),
            "facts": decision_view.compared_facts(*traced),
            "importance": [
                {"feature": name, "a": leaned[0].get(name), "b": leaned[1].get(name)}
                for name in dict.fromkeys([*leaned[0], *leaned[1]])
            ],
            "problems": problems,
        }
    )
    return facts


def about_task(services: Services) -> dict[str, Any]:
    """Name the task, and the metric that its gate judges by."""
    task = services.settings.task
    return {"name": task.name, "kind": task.kind, "target": task.target, **about_metric(services)}


def find_version(version: int, services: Services) -> Version:
    """Find a registered version; raises MissingArtifact if there is none."""
    for model_version in registered(services):
        if model_version.version == version:
            return model_version
    raise MissingArtifact(f"there is no version {version} of {services.settings.task.name}; go back to the list")


def _measured(version: Version, decisions: Sequence[Logged], services: Services) -> dict[str, float]:
    """Return what the run of the version that was weighed in its place has measured."""
    return _judged(version, decisions, services).metrics


def _judged(version: Version, decisions: Sequence[Logged], services: Services) -> Version:
    """Return the version that was weighed in the place of a refit; any other version itself."""
    judged = judged_version(version.version, decisions)
    return next((other for other in registered(services) if other.version == judged), version)


def _row(version: Version, decisions: Sequence[Logged], services: Services) -> dict[str, Any]:
    outcome = decision_view.outcome(version.version, decisions)
    return {
        "version": version.version,
        "aliases": list(version.aliases),
        "outcome": outcome,
        "created_at": version.created_at,
        "requested_by": version.tags.get("requested_by"),
        "run_id": version.run_id,
        "fingerprint": version.tags.get("fingerprint"),
        "data_version": version.tags.get("data_version"),
        "code_version": version.tags.get("code_version"),
        "window": {"first_day": version.tags.get("window_first_day"), "last_day": version.tags.get("window_last_day")},
        "train_last_day": _judged(version, decisions, services).tags.get("train_last_day"),
        "judged_version": judged_version(version.version, decisions),
        "metrics": decision_view.metrics_of(_measured(version, decisions, services)),
        "base_rate": _measured(version, decisions, services).get(f"base_rate_{services.settings.gate.metric}"),
        "champion_tenures": [
            {"first_day": tenure["first_day"], "last_day": tenure["last_day"]}
            for tenure in charts.champion_tenures(decisions)
            if tenure["version"] == version.version
        ],
        "card": None if outcome in WITHOUT_CARD else card_of(version.version),
    }


def stored(version: Version, name: str, services: Services, problems: list[dict[str, str]]) -> dict[str, Any] | None:
    """Read facts kept with a version's run; what is not there is named under ``problems``."""

    def fetch() -> dict[str, Any]:
        content = services.tracking.read_file(version.version, name, lambda path: json.loads(path.read_text("utf-8")))
        if not isinstance(content, dict):
            raise ValueError("no JSON object")
        return content

    try:
        return MEMORY.remembered((name, services.environment.tracking, version.run_id), KEPT_SECONDS, fetch)
    except (EvergreenError, OSError, ValueError) as err:
        logger.warning("overview: version %d has no %s: %s", version.version, name, err)
        absent = isinstance(err, MissingArtifact | OSError)
        message = f"{name} is not kept with version {version.version}" if absent else f"{name} cannot be read: {err}"
        problems.append({"part": name, "message": message})
        return None


def _files(version: Version, services: Services, problems: list[dict[str, str]]) -> list[dict[str, str]]:
    try:
        names = [name for folder in FOLDERS for name in services.tracking.file_names(version.run_id, folder)]
    except EvergreenError as err:
        problems.append({"part": "files", "message": str(err)})
        return []
    return [{"name": name, "file": layout.training.artifact(version.version, name)} for name in names]


def _increases(importance: Mapping[str, Any] | None) -> dict[str, Any]:
    features = (importance or {}).get("features") or ()
    return {str(entry.get("feature")): entry.get("increase") for entry in features if isinstance(entry, Mapping)}


def _comparable(traced: list[list[dict[str, Any]]]) -> tuple[bool | None, str]:
    """Return whether both were measured on the same days of the same data, and what follows."""
    days, data = (
        [{fact["what"]: fact["value"] for fact in side}.get(what) for side in traced]
        for what in ("holdout", "data version")
    )
    if None in days:
        return None, "Nobody knows on which days one of them was measured: these figures cannot tell which is better."
    if days[0] == days[1] and data[0] == data[1]:
        return True, f"Both were measured on the same holdout, {days[0]}."
    message = f"Each was measured on a holdout of its own ({days[0]}; {days[1]})"
    return False, f"{message}: other days, other figures. Only a gate in which both met can tell which is better."
