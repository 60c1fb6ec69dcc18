"""Let an earlier champion serve again: the same one alias move, backwards, and the bad version barred.

``settle → claim → drop previous_champion → tag → champion (the commit point) → close the decision``

Predictions that were served stay as they are; days from the effective day on are scored by the one that returns.
"""

from __future__ import annotations

import getpass
import logging
import sys

from ml.adapters.journal import DOCTOR, Move
from ml.core import history
from ml.errors import EvergreenError
from ml.records import Logged, Rollback, RollbackRequest
from ml.settings import Settings
from ml.steps import recorded_models, succession, withdraw_champion
from ml.steps.command import execute, parser
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
    logger.info("rollback: to version %s, asked by %s: %s", request.to_version, request.asked_by, request.why)
    start = succession.look(services)
    pending = succession.claimed(start, services)
    ours = (pending is not None and _asks(request, pending.kind, pending.payload)) or (
        start.reign is not None and not start.reign.finished and _is_done(request, start.reign)
    )
    bad = start.version if request.to_version is None and request.from_version is None else request.from_version
    won: str | None = None
    while True:
        seat = succession.settle(services, won=won, strict=False)
        reign = seat.reign
        if seat.last is None:
            raise EvergreenError("nothing was promoted yet: there is nothing to roll back; run the retrain Dag first")
        if reign is not None and _is_done(request, reign):
            return _done(reign, moved=ours or won == reign.key) if seat.alias == seat.version else _keep(seat, services)
        if bad is not None and seat.version != bad:
            return _stays(seat, f"version {bad} serves no more: version {seat.version} does")
        target = _target(request, seat, services)
        if target.payload["version"] == seat.version:
            return _keep(seat, services)
        move = _move(request, seat, seat.last, target, services)
        won = move.key if succession.claim(move, seat, services) else won


def _asks(request: RollbackRequest, kind: str, payload: dict[str, object]) -> bool:
    """Say whether a move was made for this very request."""
    return (
        kind == "rollback"
        and request.to_version in (None, payload.get("version"))
        and request.from_version in (None, payload.get("from_version"))
        and (request.asked_by, request.why, request.evidence)
        == (payload.get("asked_by"), payload.get("why"), payload.get("evidence"))
    )


def _is_done(request: RollbackRequest, reign: Logged) -> bool:
    return _asks(request, reign.kind, reign.payload)


def _target(request: RollbackRequest, seat: succession.Seat, services: Services) -> Logged:
    """Find the reign to return to: the newest one of the version asked for, or the champion before; it can serve."""
    crowned = history.crownings(seat.decisions)
    if request.to_version is None:
        before, lost = withdraw_champion.last_good(seat, services)
        if before is None:
            passed_over = "".join(f"; {each}" for each in lost)
            raise EvergreenError(
                f"no champion before version {seat.version} is left to return to{passed_over}; {_champions(crowned)}"
            )
        return before
    found = [entry for entry in crowned if entry.payload["version"] == request.to_version]
    if not found:
        raise EvergreenError(
            f"version {request.to_version} was never champion, and only those have passed the gate; "
            f"{_champions(crowned)}"
        )
    problem = withdraw_champion.cannot_serve(found[-1], services)
    if problem is not None and request.to_version == seat.version:
        raise EvergreenError(f"{problem}; run '{DOCTOR}': the champion before it then serves again, or nobody")
    if problem is not None:
        raise EvergreenError(f"{problem}; nothing was moved. {_champions(crowned)}")
    return found[-1]


def _champions(crowned: list[Logged]) -> str:
    said = ", ".join(f"{entry.payload['version']} (from {entry.effective_day})" for entry in crowned)
    return f"champions were: {said}; ask for one of these with --to"


def _move(request: RollbackRequest, seat: succession.Seat, last: Logged, target: Logged, services: Services) -> Move:
    newest = max(services.registry.days("inputs"))
    to = target.payload["version"]
    recorded_models.promoted(int(to), services)
    return Move.after(
        newest,
        kind="rollback",
        key=f"roll back to version {to} from {seat.version}, reign {succession.digest_of(last)}",
        fingerprint=target.fingerprint,
        payload={
            "version": to,
            "from_version": seat.version,
            "previous_version": seat.version,
            "window_last_day": target.payload["window_last_day"],
            "barred_fingerprint": last.fingerprint,
            "judged_on": newest.isoformat(),
            "why": request.why,
            "asked_by": request.asked_by,
            "evidence": request.evidence,
            **({"withdrawn_version": seat.version} if succession.is_gone(seat.version, services) else {}),
        },
        model=withdraw_champion.recorded_model(target),
    )


def _done(reign: Logged, *, moved: bool) -> Rollback:
    to, bad = reign.payload["version"], reign.payload["from_version"]
    reason = f"version {to} serves again from {reign.effective_day} on instead of version {bad}: {reign.payload['why']}"
    if not moved:
        reason = f"done already on {reign.decided_at:%Y-%m-%d}: {reason}"
    return _told(reason, reign, moved=moved, version=to, from_version=bad)


def _keep(seat: succession.Seat, services: Services) -> Rollback:
    """Leave the champion where it is, and fetch its alias back if somebody moved it by hand."""
    if seat.alias == seat.version or seat.version is None:
        return _stays(seat, f"version {seat.version} is champion already")
    services.tracking.move_alias("champion", seat.version)
    where = f"from version {seat.alias}" if seat.alias is not None else "from nowhere"
    reason = f"the alias was moved by hand; it is back {where} to version {seat.version}, which the decisions name"
    return _told(reason, seat.reign, moved=True, version=seat.version, from_version=seat.alias)


def _stays(seat: succession.Seat, reason: str) -> Rollback:
    return _told(reason, seat.reign, moved=False, version=seat.version, from_version=seat.version)


def _told(reason: str, reign: Logged | None, *, moved: bool, version: int | None, from_version: int | None) -> Rollback:
    logger.info("rollback: %s%s", "" if moved else "nothing moved: ", reason)
    return Rollback(
        moved=moved,
        version=version,
        from_version=from_version,
        decision_id=reign.decision_id if reign else None,
        reason=reason,
    )


def main(argv: list[str] | None = None) -> int:
    """Roll back by hand and print who serves."""
    arguments = parser(__doc__)
    arguments.add_argument("--to", type=int, metavar="N", help="a version that was champion; default: the one before")
    arguments.add_argument("--why", required=True, help="one sentence for the decision log")
    arguments.add_argument("--by", default=None, help="who asks; default: the name you are logged in by")
    options = arguments.parse_args(argv)

    def work() -> Rollback:
        services = open_services()
        request = RollbackRequest(asked_by=options.by or getpass.getuser(), why=options.why, to_version=options.to)
        return run(request, settings=services.settings, services=services)

    return execute(work)


if __name__ == "__main__":
    sys.exit(main())
