"""Judgements after which the champion stays, as the decision log keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from ml.records import Approval, Judgement, Window
from ml.wiring import Services


def record_hold(judgement: Judgement, window: Window, services: Services) -> str:
    """Write a hold down, once, and give the decision's id."""
    key = f"hold version {judgement.version} against {judgement.champion_version or 'none'}"
    return record("hold", key, judgement, window, services, requested=requested(window, services))


def requested(window: Window, services: Services, approval: Approval | None = None) -> dict[str, Any]:
    """Return who asked for the training and why, and who approved of its result or did not."""
    facts: dict[str, Any] = {} if approval is None else {"approval": approval.model_dump(mode="json")}
    run_dir = services.workspace(window.workspace)
    if run_dir.has("request.json"):
        request = run_dir.read_json("request.json")
        facts |= {"requested_by": request.get("requested_by"), "requested_because": request.get("reasons")}
    return facts


def record(
    kind: str,
    key: str,
    judgement: Judgement,
    window: Window,
    services: Services,
    *,
    requested: Mapping[str, Any] | None = None,
) -> str:
    """Write down a judgement after which the champion stays, once a ``key``, and give the decision's id.

    Parameters
    ----------
    requested
        Who asked for the training and who was asked for approval; None says nothing of either.
    """
    facts = evidence(judgement, window, max(services.registry.days("inputs")))
    decision = services.tracking.open_decision(
        kind,
        key,
        fingerprint=judgement.fingerprint,
        effective_day=None,
        payload={"champion_version": judgement.champion_version, **facts, **(requested or {})},
    )
    services.tracking.close_decision(decision)
    return decision.decision_id


def evidence(judgement: Judgement, window: Window, judged_on: date) -> dict[str, Any]:
    """Return what the decision log keeps of a judgement, whichever way it went."""
    return {
        "version": judgement.version,
        **({"judged_version": judgement.judged_version} if judgement.judged_version is not None else {}),
        "judged_on": judged_on.isoformat(),
        "window_last_day": window.last_day.isoformat(),
        "verdict": judgement.verdict.model_dump(mode="json"),
    }
