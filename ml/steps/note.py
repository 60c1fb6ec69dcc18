"""Write a note beside an alarm or a decision: acknowledge an alarm, snooze it until a day, or comment on a decision.

``evergreen acknowledge --note "..."``, ``evergreen snooze --until DAY --note "..."``,
``evergreen comment DECISION "..."``. The notes are in the decision log, on the page, and in the mails of the alarm. A
snooze keeps mails of that alarm back until the day comes, it gets worse, or it is over; nothing else is silenced, and
the policy goes on.
"""

from __future__ import annotations

import getpass
import hashlib
import logging
import sys
from collections.abc import Sequence
from typing import Any

from ml.adapters import layout
from ml.adapters.tracking.decision_log import DecisionLog
from ml.command_line import execute, iso_day, parser, with_model
from ml.core.monitoring.episodes import FAMILIES, Episode, Family
from ml.errors import EvergreenError, MissingArtifact
from ml.records import Logged, Note, NoteRequest
from ml.settings import Settings
from ml.wiring import Services, open_services

logger = logging.getLogger(__name__)


def run(request: NoteRequest, *, settings: Settings, services: Services) -> Note:
    """Write a note down, once: the same again is the same note.

    Raises
    ------
    MissingArtifact
        If no such alarm stands, several do and none is named, or there is no such decision.
    EvergreenError
        If the note is empty, or a snooze has no day after the newest one on which the alarm was looked at.
    """
    del settings
    text = " ".join(request.note.split())
    if not text:
        raise EvergreenError("the note is empty: write what others should know")
    payload: dict[str, Any] = {"note": text, "requested_by": request.requested_by}
    if request.kind == "comment":
        decision = _decision(request.decision or "", services)
        payload |= {"about": decision.decision_id, "about_kind": decision.kind}
        subject, day = f"the {decision.kind.replace('_', ' ')} {decision.decision_id[:10]}", decision.effective_day
    else:
        episode = _chosen(request.alarm, services)
        payload |= {"episode": episode.id, "family": episode.family, **_until(request, episode)}
        subject, day = episode.subject or f"{episode.family} since {episode.first_day}", episode.day
    digest = hashlib.sha256(repr(sorted(payload.items())).encode()).hexdigest()[:16]
    key = f"{request.kind} {payload.get('episode') or payload.get('about')} {digest}"
    entry = services.tracking.open_decision(request.kind, key, fingerprint=None, effective_day=day, payload=payload)
    if not entry.finished:
        services.tracking.close_decision(entry)
    logger.info("note: %s of %s: %s", request.kind, subject, text)
    return Note(decision_id=entry.decision_id, kind=request.kind, subject=subject, note=text, until=request.until)


def _until(request: NoteRequest, episode: Episode) -> dict[str, str]:
    if request.kind != "snooze":
        return {}
    if request.until is None or request.until <= episode.day:
        raise EvergreenError(
            f"a snooze ends on a day after {episode.day}, the newest on which this alarm was looked at, not on "
            f"{request.until or 'none'}: name a later day"
        )
    return {"until": request.until.isoformat()}


def _open_episodes(services: Services) -> list[Episode]:
    """Read the alarms that stand, as people were notified of them."""
    episodes = []
    for family in FAMILIES:
        stored = services.storage_folder(layout.alerts.episodes(family))
        names = stored.names()
        if names and (episode := Episode.model_validate(stored.read_json(names[-1]))).open:
            episodes.append(episode)
    return episodes


def _chosen(family: Family | None, services: Services) -> Episode:
    episodes = _open_episodes(services)
    wanted = [episode for episode in episodes if family in (None, episode.family)]
    if len(wanted) == 1:
        return wanted[0]
    if wanted:
        raise MissingArtifact(f"several alarms stand: name one of {', '.join(episode.family for episode in wanted)}")
    which = f"no alarm of {family} stands" if family else "no alarm stands"
    others = f"; one of {episodes[0].family} does" if episodes else ": there is nothing to acknowledge or snooze"
    raise MissingArtifact(which + others)


def _decision(decision_id: str, services: Services) -> Logged:
    """Find a decision by its id, or by how that begins, as pages and tables show it."""
    log = DecisionLog(services.tracking)
    entry = log.find(decision_id)
    if entry is not None:
        return entry
    matching = [other for other in log.newest_first() if decision_id and other.decision_id.startswith(decision_id)]
    if len(matching) != 1:
        what = "several decisions begin so" if matching else "there is no such decision"
        raise MissingArtifact(f"{decision_id!r}: {what}; 'evergreen history --json' lists their ids")
    return matching[0]


def main(argv: Sequence[str] | None = None) -> int:
    """Write the note that is asked for; the first argument says which kind."""
    arguments = parser(__doc__)
    actions = arguments.add_subparsers(dest="kind", required=True)
    for kind, words in (("acknowledgement", "say that you know of an alarm"), ("snooze", "keep its mails back")):
        action = actions.add_parser(kind, help=words, prog=arguments.prog)
        action.add_argument("alarm", nargs="?", choices=FAMILIES, help="which alarm, if several stand")
        action.add_argument("--note", required=True, help="what others should know; on the page, and in its mails")
        if kind == "snooze":
            action.add_argument("--until", required=True, type=iso_day, help="on this day it is mailed again")
    commenting = actions.add_parser("comment", help="write a note beside a decision", prog=arguments.prog)
    commenting.add_argument("decision", help="its id, or how that begins")
    commenting.add_argument("note", help="what others should know")
    for action in actions.choices.values():
        with_model(action).add_argument("--by", help="who says so; without it your user name")
    options = vars(arguments.parse_args(None if argv is None else list(argv)))

    def work() -> Note:
        services = open_services()
        fields = {name: value for name, value in options.items() if name in NoteRequest.model_fields}
        by = options["by"] or getpass.getuser()
        return run(NoteRequest(requested_by=by, **fields), settings=services.settings, services=services)

    return execute(work)


if __name__ == "__main__":
    sys.exit(main())
