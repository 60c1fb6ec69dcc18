"""Let an earlier champion serve again: the same one alias move, backwards, and the bad version blocked.

``reconcile → claim → drop previous_champion → tag → champion (the commit point) → close the decision``

Predictions that were served stay as they are; days from the effective day on are scored by the one that returns.
"""

from __future__ import annotations

import getpass
import logging
import sys

from ml.adapters.champion_changes import DOCTOR, ChampionChange
from ml.champions import promotion_protocol, recorded_models, serving_state, withdrawal
from ml.command_line import execute, parser
from ml.core.champions import tenures
from ml.errors import EvergreenError
from ml.next_moves import retrain
from ml.records import Logged, Rollback, RollbackRequest
from ml.settings import Settings
from ml.wiring import Services, open_services

logger = logging.getLogger(__name__)


def run(request: RollbackRequest, *, settings: Settings, services: Services) -> Rollback:
    """Return to a version that was champion before.

    The same request (who, why, evidence) carried out a second time moves nothing more, even where it
    names no version. One that names ``from_version``, or no version at all, moves nothing if another
    was promoted meanwhile. The version that serves already gets its alias back if that was moved by hand.

    Raises
    ------
    EvergreenError
        If nothing serves, or the version asked for was never champion; the message lists those that were.
    """
    del settings
    logger.info("rollback: to version %s, asked by %s: %s", request.to_version, request.requested_by, request.reason)
    start = serving_state.read_serving(services)
    pending = promotion_protocol.claimed(start, services)
    ours = (pending is not None and _asks(request, pending.kind, pending.payload)) or (
        start.tenure is not None and not start.tenure.finished and _is_done(request, start.tenure)
    )
    bad = start.version if request.to_version is None and request.from_version is None else request.from_version
    won: str | None = None
    while True:
        serving = promotion_protocol.reconcile(services, won=won, strict=False)
        tenure = serving.tenure
        if serving.last is None:
            raise EvergreenError(f"nothing was promoted yet: there is nothing to roll back; {retrain()} first")
        if tenure is not None and _is_done(request, tenure):
            return (
                _done(tenure, moved=ours or won == tenure.key)
                if serving.alias == serving.version
                else _keep(serving, services)
            )
        if bad is not None and serving.version != bad:
            return _stays(serving, f"version {bad} serves no more: version {serving.version} does")
        target = _target(request, serving, services)
        if target.payload["version"] == serving.version:
            return _keep(serving, services)
        change = _move(request, serving, serving.last, target, services)
        won = change.key if promotion_protocol.claim(change, serving, services) else won


def _asks(request: RollbackRequest, kind: str, payload: dict[str, object]) -> bool:
    """Return whether a move was made for this very request."""
    return (
        kind == "rollback"
        and request.to_version in (None, payload.get("version"))
        and request.from_version in (None, payload.get("from_version"))
        and (request.requested_by, request.reason, request.evidence)
        == (payload.get("requested_by"), payload.get("reason"), payload.get("evidence"))
    )


def _is_done(request: RollbackRequest, tenure: Logged) -> bool:
    return _asks(request, tenure.kind, tenure.payload)


def _target(request: RollbackRequest, serving: serving_state.ServingState, services: Services) -> Logged:
    """Find the reign to return to: the newest one of the version asked for, or the champion before; it can serve."""
    promoted = tenures.promotions_and_returns(serving.decisions)
    if request.to_version is None:
        before, lost = withdrawal.last_good(serving, services)
        if before is None:
            passed_over = "".join(f"; {problem}" for problem in lost)
            raise EvergreenError(
                f"no champion before version {serving.version} is left to return to{passed_over}; "
                f"{_champions(promoted, serving)}"
            )
        return before
    entries = [entry for entry in promoted if entry.payload["version"] == request.to_version]
    if not entries:
        raise EvergreenError(
            f"version {request.to_version} was never champion, and only those have passed the gate; "
            f"{_champions(promoted, serving)}"
        )
    problem = withdrawal.cannot_serve(entries[-1], services)
    if problem is not None and request.to_version == serving.version:
        raise EvergreenError(f"{problem}; run '{DOCTOR}': the champion before it then serves again, or nobody")
    if problem is not None:
        raise EvergreenError(f"{problem}; nothing was moved. {_champions(promoted, serving)}")
    return entries[-1]


def _champions(promoted: list[Logged], serving: serving_state.ServingState) -> str:
    """Return who was champion, and what to do: without an earlier champion only a challenger can take over."""
    champions = ", ".join(f"{entry.payload['version']} (from {entry.effective_day})" for entry in promoted)
    if all(entry.payload["version"] == serving.version for entry in promoted):
        return (
            f"champions were: {champions}, which serves: there is no earlier champion to return to; "
            f"{retrain()}: a challenger that passes the gate takes its place"
        )
    return f"champions were: {champions}; choose one of these with --to"


def _move(
    request: RollbackRequest, serving: serving_state.ServingState, last: Logged, target: Logged, services: Services
) -> ChampionChange:
    newest = serving_state.newest_day(serving, services)
    to = target.payload["version"]
    return ChampionChange.after(
        newest,
        kind="rollback",
        key=f"roll back to version {to} from {serving.version}, tenure {promotion_protocol.digest_of(last)}",
        fingerprint=target.fingerprint,
        payload={
            "version": to,
            "from_version": serving.version,
            "previous_version": serving.version,
            "window_last_day": target.payload["window_last_day"],
            "blocked_fingerprint": last.fingerprint,
            "judged_on": newest.isoformat(),
            "reason": request.reason,
            "requested_by": request.requested_by,
            "evidence": request.evidence,
            **({"withdrawn_version": serving.version} if serving_state.is_gone(serving.version, services) else {}),
        },
        model=recorded_models.promoted(int(to), services),
    )


def _done(tenure: Logged, *, moved: bool) -> Rollback:
    to, bad = tenure.payload["version"], tenure.payload["from_version"]
    reason = (
        f"version {to} serves again from {tenure.effective_day} on instead of version {bad}: {tenure.payload['reason']}"
    )
    if not moved:
        reason = f"done already on {tenure.decided_at:%Y-%m-%d}: {reason}"
    return _outcome(reason, tenure, moved=moved, version=to, from_version=bad)


def _keep(serving: serving_state.ServingState, services: Services) -> Rollback:
    """Leave the champion where it is, and fetch its alias back if somebody moved it by hand."""
    if serving.alias == serving.version or serving.version is None:
        return _stays(serving, f"version {serving.version} is champion already")
    services.tracking.move_alias("champion", serving.version)
    where = f"from version {serving.alias}" if serving.alias is not None else "from nowhere"
    reason = f"the alias was moved by hand; it is back {where} to version {serving.version}, which the decisions name"
    return _outcome(reason, serving.tenure, moved=True, version=serving.version, from_version=serving.alias)


def _stays(serving: serving_state.ServingState, reason: str) -> Rollback:
    return _outcome(reason, serving.tenure, moved=False, version=serving.version, from_version=serving.version)


def _outcome(
    reason: str, tenure: Logged | None, *, moved: bool, version: int | None, from_version: int | None
) -> Rollback:
    logger.info("rollback: %s%s", "" if moved else "nothing moved: ", reason)
    return Rollback(
        moved=moved,
        version=version,
        from_version=from_version,
        decision_id=tenure.decision_id if tenure else None,
        reason=reason,
    )


def main(argv: list[str] | None = None) -> int:
    """Roll back by hand and print who serves."""
    arguments = parser(__doc__)
    arguments.add_argument("--to", type=int, metavar="N", help="a version that was champion; default: the one before")
    arguments.add_argument("--reason", required=True, help="one sentence for the decision log")
    arguments.add_argument("--by", default=None, help="who asks; default: the name you are logged in by")
    options = arguments.parse_args(argv)

    def work() -> Rollback:
        services = open_services()
        request = RollbackRequest(
            requested_by=options.by or getpass.getuser(), reason=options.reason, to_version=options.to
        )
        return run(request, settings=services.settings, services=services)

    return execute(work)


if __name__ == "__main__":
    sys.exit(main())
