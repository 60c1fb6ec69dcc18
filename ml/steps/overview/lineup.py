"""All model versions, one of them in full, and two side by side."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ml.core import dossier, overview
from ml.core.daybook import plain
from ml.errors import EvergreenError, MissingArtifact
from ml.steps.champion import judged_version
from ml.steps.overview.course import about_metric
from ml.steps.overview.log import card_of
from ml.steps.overview.memory import MEMORY
from ml.steps.overview.sources import decided, registered
from ml.wiring import Services

if TYPE_CHECKING:
    from ml.adapters.tracking import Version

logger = logging.getLogger(__name__)
LINEAGE, IMPORTANCE = "lineage/lineage.json", "card/importance.json"
FOLDERS = ("card", "lineage", "evaluation", "monitoring")
KEPT_SECONDS = 600.0


def models(services: Services) -> dict[str, Any]:
    """List all registered versions, newest first.

    Returns
    -------
    dict
        ``task``: name, kind, target, and the gate's metric; ``versions``: each with ``version``, ``aliases``,
        ``outcome`` (`ml.core.dossier.outcome`), ``created_at``, ``asked_by``, ``run_id``, ``fingerprint``,
        ``data_version``, ``code_version``, ``window`` (first and last day), ``train_last_day``, ``judged_version``
        (another one if it is a refit: ``metrics`` are that one's), ``metrics`` on the holdout, ``reigns`` and ``card``
        (a name for `ml.steps.overview.file`); ``hint``, what to do if there is none.
    """
    found = registered(services)
    rows = [_row(one, services) for one in found]
    hint = None if rows else "No model was registered yet: trigger Retrain."
    facts: dict[str, Any] = plain({"task": about_task(services), "versions": rows, "hint": hint})
    return facts


def model(services: Services, version: int) -> dict[str, Any]:
    """Tell one version in full.

    Returns
    -------
    dict
        What `models` says of it (``card`` None if there is none), and ``figures`` (metrics beside base rate and
        champion of then), ``holdout`` (rows and days), ``decisions`` about it (newest first), ``rulings`` and
        ``slices`` of the newest gate, ``importance`` (None if it was not kept), ``lineage``, ``files`` (``name``, and
        ``file`` for `ml.steps.overview.file`) and ``problems``: what could not be read, each ``part`` and ``said``.

    Raises
    ------
    MissingArtifact
        If there is no such version.
    """
    one = _named(version, services)
    decisions, measured = decided(services), _measured(one, services)
    about = dossier.about(version, decisions)
    judged = [dossier.opened(entry) for entry in about if entry.payload.get("verdict")]
    rulings = judged[-1]["rulings"] if judged else []
    problems: list[dict[str, str]] = []
    files = _files(one, services, problems)
    facts: dict[str, Any] = plain(
        {
            **_row(one, services),
            "card": card_of(version) if card_of(version) in [kept["file"] for kept in files] else None,
            "figures": dossier.figures(measured, metric=services.settings.gate.metric),
            "holdout": {"rows": measured.get("holdout_rows"), "days": measured.get("holdout_days")},
            "decisions": [dossier.row(entry) for entry in reversed(about)],
            "rulings": rulings,
            "slices": dossier.slices(rulings),
            "importance": _kept(one, IMPORTANCE, services, problems),
            "lineage": dossier.lineage(_kept(one, LINEAGE, services, problems) or {}),
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
    first, second = _named(a, services), _named(b, services)
    problems: list[dict[str, str]] = []
    traced = [dossier.lineage(_kept(one, LINEAGE, services, problems) or {}) for one in (first, second)]
    leaned = [_increases(_kept(one, IMPORTANCE, services, problems)) for one in (first, second)]
    same, note = _comparable(traced)
    rows = [_row(one, services) for one in (first, second)]
    metrics = [_measured(one, services) for one in (first, second)]
    facts: dict[str, Any] = plain(
        {
            "a": rows[0],
            "b": rows[1],
            "metrics": dossier.compared_metrics(*metrics, metric=services.settings.gate.metric),
            "same_holdout": same,
            "note": note,
            "paired": dossier.paired(rows[0]["judged_version"], rows[1]["judged_version"], decided(services))
            or dossier.paired(a, b, decided(services)),
            "facts": dossier.compared_facts(*traced),
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


def _named(version: int, services: Services) -> Version:
    for one in registered(services):
        if one.version == version:
            return one
    raise MissingArtifact(f"there is no version {version} of {services.settings.task.name}; go back to the list")


def _measured(one: Version, services: Services) -> dict[str, float]:
    """Give what the run of the version that was weighed in its place has measured."""
    judged = judged_version(one.version, decided(services))
    found = next((other for other in registered(services) if other.version == judged), one)
    return found.metrics


def _row(one: Version, services: Services) -> dict[str, Any]:
    decisions = decided(services)
    return {
        "version": one.version,
        "aliases": list(one.aliases),
        "outcome": dossier.outcome(one.version, decisions),
        "created_at": one.created_at,
        "asked_by": one.tags.get("asked_by"),
        "run_id": one.run_id,
        "fingerprint": one.tags.get("fingerprint"),
        "data_version": one.tags.get("data_version"),
        "code_version": one.tags.get("code_version"),
        "window": {"first_day": one.tags.get("window_first_day"), "last_day": one.tags.get("window_last_day")},
        "train_last_day": one.tags.get("train_last_day"),
        "judged_version": judged_version(one.version, decisions),
        "metrics": dossier.metrics_of(_measured(one, services)),
        "reigns": [
            {"first_day": reign["first_day"], "last_day": reign["last_day"]}
            for reign in overview.reigns(decisions)
            if reign["version"] == one.version
        ],
        "card": card_of(one.version),
    }


def _kept(one: Version, name: str, services: Services, problems: list[dict[str, str]]) -> dict[str, Any] | None:
    """Read facts kept with a version's run; what is not there is named under ``problems``."""

    def fetch() -> dict[str, Any]:
        found = services.tracking.read_file(one.version, name, lambda path: json.loads(path.read_text("utf-8")))
        if not isinstance(found, dict):
            raise ValueError("no JSON object")
        return found

    try:
        return MEMORY.remembered((name, services.environment.tracking, one.run_id), KEPT_SECONDS, fetch)
    except (EvergreenError, OSError, ValueError) as err:
        logger.warning("overview: version %d has no %s: %s", one.version, name, err)
        absent = isinstance(err, MissingArtifact | OSError)
        said = f"{name} is not kept with version {one.version}" if absent else f"{name} cannot be read: {err}"
        problems.append({"part": name, "said": said})
        return None


def _files(one: Version, services: Services, problems: list[dict[str, str]]) -> list[dict[str, str]]:
    try:
        names = [name for folder in FOLDERS for name in services.tracking.file_names(one.run_id, folder)]
    except EvergreenError as err:
        problems.append({"part": "files", "said": str(err)})
        return []
    return [{"name": name, "file": f"version={one.version}/{name}"} for name in names]


def _increases(importance: Mapping[str, Any] | None) -> dict[str, Any]:
    features = (importance or {}).get("features") or ()
    return {str(entry.get("feature")): entry.get("increase") for entry in features if isinstance(entry, Mapping)}


def _comparable(traced: list[list[dict[str, Any]]]) -> tuple[bool | None, str]:
    """Say whether both were measured on the same days of the same data, and what follows."""
    days, data = (
        [{fact["what"]: fact["value"] for fact in side}.get(what) for side in traced]
        for what in ("holdout", "data version")
    )
    if None in days:
        return None, "Nobody knows on which days one of them was measured: these figures cannot tell which is better."
    if days[0] == days[1] and data[0] == data[1]:
        return True, f"Both were measured on the same holdout, {days[0]}."
    said = f"Each was measured on a holdout of its own ({days[0]}; {days[1]})"
    return False, f"{said}: other days, other figures. Only a gate in which both met can tell which is better."
