"""Lead out of a storage that is older than MLflow: what it does not record is rebuilt, adopted, or left out.

A change of the champion that only MLflow holds looks the same whether the storage was restored to an earlier moment or
somebody forged it. So nothing is taken from MLflow alone, unless a person vouches for a version.
"""

from __future__ import annotations

import getpass
import logging
from collections.abc import Sequence
from pathlib import Path

from ml.adapters import rows
from ml.adapters.champion_changes import ChampionChange
from ml.champions import promotion_protocol, promotion_record, recorded_models, serving_state
from ml.core.champions import tenures
from ml.errors import EvergreenError, MissingArtifact
from ml.records import JudgedModel, Logged
from ml.wiring import Services

logger = logging.getLogger(__name__)


def changes(serving: serving_state.ServingState, services: Services) -> list[Logged]:
    """List the changes of the champion that MLflow holds and the storage does not record, oldest first.

    One whose version the storage records with another run is not among these: that version was pointed elsewhere.
    """
    return [
        entry
        for entry in tenures.changes(serving.decisions)
        if entry.decision_id
        and not (
            recorded_models.is_recorded(entry, services)
            and promotion_record.is_known(entry.payload["version"], services)
        )
    ]


def rebuildable(entries: Sequence[Logged], services: Services) -> list[ChampionChange]:
    """Find the claims in the storage that hold what the records of ``entries`` held."""
    wanted = {(entry.key, entry.effective_day, entry.payload.get("version")) for entry in entries}
    return [
        change
        for change in services.journal.changes()
        if (change.key, change.effective_day, change.version) in wanted
        and (change.model is not None or change.version is None)
    ]


def rebuild(claimed: Sequence[ChampionChange], services: Services) -> None:
    """Write the storage's records of ``claimed`` again."""
    for change in claimed:
        recorded_models.write_change(change, services)


def without(entries: Sequence[Logged], serving: serving_state.ServingState) -> serving_state.ServingState:
    """Return the serving state as it is without ``entries``."""
    ids = {entry.decision_id for entry in entries}
    decisions = tuple(entry for entry in serving.decisions if entry.decision_id not in ids)
    return serving_state.ServingState(tenures.promoted_on(None, decisions), serving.alias, decisions)


def leave_out(entries: Sequence[Logged], serving: serving_state.ServingState, services: Services) -> None:
    """Let ``entries`` count no more: the champion by the other decisions serves again, or nobody does.

    Their runs stay in MLflow, as decisions of the kind ``unrecorded``. The alias goes first: killed after it, a second
    call does the rest.
    """
    version = without(entries, serving).version
    if version is None:
        services.tracking.drop_alias("previous_champion")
    if version is None or serving_state.is_gone(version, services):
        services.tracking.drop_alias("champion")
    else:
        services.tracking.move_alias("champion", version)
    for entry in entries:
        services.tracking.discount_decision(entry)


def in_words(entries: Sequence[Logged], services: Services) -> str:
    """Name decisions, and of each version what a person would vouch for."""
    versions = dict.fromkeys(int(entry.payload["version"]) for entry in entries if entry.payload.get("version"))
    descriptions = []
    for version in versions:
        try:
            model = services.tracking.servable(version)
        except MissingArtifact as err:
            descriptions.append(f"version {version} cannot be adopted ({err})")
        else:
            descriptions.append(f"version {version} is run {model.run_id}, model file SHA-256 {model.model_sha256}")
    return "; ".join([", ".join(f"'{entry.key}'" for entry in entries), *descriptions])


def adopt(version: int, services: Services) -> JudgedModel:
    """Record a version in the storage as MLflow holds it now, since a person vouches for it.

    Who did is written into the decision log, with the hashes. A second call changes nothing.

    Raises
    ------
    EvergreenError
        If no change of the champion that is not recorded names the version, or the storage records another model of it.
    """
    serving = serving_state.read_serving(services)
    left_out = _left_out(version, serving, services)
    entries = [entry for entry in changes(serving, services) if entry.payload["version"] == version] + left_out
    model = _as_it_is(version, services)
    recorded = promotion_record.read(version, model.run_id, services)
    if not entries and recorded is None:
        raise EvergreenError(
            f"version {version} cannot be adopted: no decision in MLflow lets it serve; train a challenger instead"
        )
    if recorded is not None and recorded.model_sha256 != model.model_sha256:
        raise EvergreenError(
            f"version {version} cannot be adopted: the storage records another model file of it (SHA-256 "
            f"{recorded.model_sha256[:12]}) than MLflow holds ({model.model_sha256[:12]})"
        )
    if entries:
        who = getpass.getuser()
        decision = services.tracking.open_decision(
            "adoption",
            f"adopt version {version} of run {model.run_id}, after {promotion_protocol.digest_of(entries[-1])}",
            fingerprint=None,
            effective_day=None,
            payload={
                "version": version,
                "requested_by": who,
                "reason": f"{who} vouches for run {model.run_id}, model file SHA-256 {model.model_sha256}",
                "model": model.model_dump(mode="json"),
            },
        )
        promotion_record.write(model, services)
        for entry in entries:
            recorded_models.write_decision(entry.key, entry.effective_day, entry.payload, services)
        for entry in left_out:
            services.tracking.count_decision(entry)
        services.tracking.close_decision(decision)
    logger.warning("doctor: version %d is adopted (run %s, %s)", version, model.run_id, model.model_sha256)
    return recorded or model


def _left_out(version: int, serving: serving_state.ServingState, services: Services) -> list[Logged]:
    """List the decisions for a version that `leave_out` took out of the count, and that nothing has replaced since."""
    keys = {entry.key for entry in serving.decisions}
    return [
        entry
        for entry in services.tracking.discounted()
        if entry.payload.get("version") == version and entry.key not in keys
    ]


def _as_it_is(version: int, services: Services) -> JudgedModel:
    """Describe a version as MLflow holds it now."""
    model, tags = services.tracking.servable(version), services.tracking.version_tags(version)
    facts = {"data_version": tags.get("data_version"), "code_version": tags.get("code_version")}
    try:
        facts["lineage_sha256"] = services.tracking.read_file(version, recorded_models.LINEAGE, _hash)
    except MissingArtifact as err:
        logger.warning("doctor: %s", err)
    return model.model_copy(update=facts)


def _hash(path: Path) -> str:
    return rows.sha256(path)
