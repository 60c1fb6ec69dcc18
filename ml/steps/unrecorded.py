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
from ml.adapters.journal import Move
from ml.core import history
from ml.errors import EvergreenError, MissingArtifact
from ml.records import JudgedModel, Logged
from ml.steps import promotion_record, recorded_models, succession
from ml.wiring import Services

logger = logging.getLogger(__name__)


def changes(seat: succession.Seat, services: Services) -> list[Logged]:
    """List the changes of the champion that MLflow holds and the storage does not record, oldest first.

    One whose version the storage records with another run is not among these: that version was pointed elsewhere.
    """
    return [
        entry
        for entry in history.changes(seat.decisions)
        if entry.decision_id
        and not (
            recorded_models.is_recorded(entry, services)
            and promotion_record.is_known(entry.payload["version"], services)
        )
    ]


def rebuildable(entries: Sequence[Logged], services: Services) -> list[Move]:
    """Find the claims in the storage that hold what the records of ``entries`` held."""
    wanted = {(entry.key, entry.effective_day, entry.payload.get("version")) for entry in entries}
    return [
        move
        for move in services.journal.moves()
        if (move.key, move.effective_day, move.version) in wanted
        and (move.model is not None or promotion_record.is_known(move.version, services))
    ]


def rebuild(moves: Sequence[Move], services: Services) -> None:
    """Write again what a claim says was judged."""
    for move in moves:
        if move.model is not None:
            promotion_record.write(move.model, services)
        recorded_models.write_decision(move.key, move.effective_day, move.payload, services)


def leave_out(entries: Sequence[Logged], seat: succession.Seat, services: Services) -> None:
    """Let ``entries`` count no more: the champion by the other decisions serves again, or nobody does.

    Their runs stay in MLflow, as decisions of the kind ``unrecorded``. The alias goes first: killed after it, a second
    call does the rest.
    """
    ids = {entry.decision_id for entry in entries}
    left = history.crowned_on(None, [entry for entry in seat.decisions if entry.decision_id not in ids])
    version = int(left.payload["version"]) if left else None
    if version is None:
        services.tracking.drop_alias("previous_champion")
    if version is None or succession.is_gone(version, services):
        services.tracking.drop_alias("champion")
    else:
        services.tracking.move_alias("champion", version)
    for entry in entries:
        services.tracking.discount_decision(entry)


def in_words(entries: Sequence[Logged], services: Services) -> str:
    """Name decisions, and of each version what a person would vouch for."""
    versions = dict.fromkeys(int(entry.payload["version"]) for entry in entries if entry.payload.get("version"))
    said = []
    for version in versions:
        try:
            model = services.tracking.servable(version)
        except MissingArtifact as err:
            said.append(f"version {version} cannot be adopted ({err})")
        else:
            said.append(f"version {version} is run {model.run_id}, model file SHA-256 {model.model_sha256}")
    return "; ".join([", ".join(f"'{entry.key}'" for entry in entries), *said])


def adopt(version: int, services: Services) -> JudgedModel:
    """Record a version in the storage as MLflow holds it now, since a person vouches for it.

    Who did is written into the decision log, with the hashes. A second call changes nothing.

    Raises
    ------
    EvergreenError
        If no change of the champion that is not recorded names the version, or the storage records another model of it.
    """
    entries = [entry for entry in changes(succession.look(services), services) if entry.payload["version"] == version]
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
            f"adopt version {version} of run {model.run_id}, after {succession.digest_of(entries[-1])}",
            fingerprint=None,
            effective_day=None,
            payload={
                "version": version,
                "asked_by": who,
                "why": f"{who} vouches for run {model.run_id}, model file SHA-256 {model.model_sha256}",
                "model": model.model_dump(mode="json"),
            },
        )
        promotion_record.write(model, services)
        for entry in entries:
            recorded_models.write_decision(entry.key, entry.effective_day, entry.payload, services)
        services.tracking.close_decision(decision)
    logger.warning("doctor: version %d is adopted (run %s, %s)", version, model.run_id, model.model_sha256)
    return recorded or model


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
