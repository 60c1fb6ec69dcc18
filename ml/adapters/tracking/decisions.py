"""Write decisions down, read them, and say which of them count.

Decisions are the audit trail, the cooldown state and the champion history. One decision is one
run of the experiment ``<name>-decisions``, found again by its ``key``; it counts once it is
FINISHED, and a promotion or a rollback also counts from the moment at which its alias has moved.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from mlflow.entities import Run, RunTag, ViewType
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from ml.adapters.champion_changes import Journal
from ml.adapters.tracking.connection import ABSENT, terms, translate_errors
from ml.adapters.tracking.decision_tags import (
    PREFIX,
    UNTAGGED,
    drop_doubles,
    explains,
    in_force,
    logged,
    payload_tags,
    prefixed,
    search_tags,
)
from ml.adapters.tracking.model_registry import CHAMPION, ModelRegistry
from ml.core.champions.tenures import CHAMPION_CHANGES, OTHER_KINDS
from ml.errors import Unavailable
from ml.records import Logged

MOMENT = timedelta(milliseconds=1)
"""The shortest time between two instants that MLflow distinguishes."""

UNRECORDED = "unrecorded"
"""The kind of a decision that counts no more, since the storage does not record it."""

TAGGED_AT_ONCE = 100
"""So many of those get their tags each time that a decision is written."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Decisions(ModelRegistry):
    """The decisions of one task, and the alias that the changes of the champion move.

    Attributes
    ----------
    journal
        The storage's record of who was promoted, for changes whose run MLflow has lost; None looks at MLflow only.
    """

    journal: Journal | None = None

    def open_decision(
        self,
        kind: str,
        key: str,
        *,
        fingerprint: str | None,
        effective_day: date | None,
        payload: Mapping[str, Any],
        not_before: datetime | None = None,
        decided_at: datetime | None = None,
    ) -> Logged:
        """Write a decision down, not yet finished; the same ``key`` finds the first one again.

        Several callers at once may write one each, of which one is read. Whoever must be sure settles on one
        of those that were given, and drops the others: `drop_other_decisions`.

        Parameters
        ----------
        not_before
            When the decision before it in the same chain was made: clocks of two machines differ,
            and the order of decisions is that of their instants. None asks the clock only.
        decided_at
            When it was decided, of a decision that is written down again; None means now.
        """
        with self.connected(f"record the decision {key}") as client:
            first_run = self._decision(client, key)
            if first_run is not None:
                return logged(first_run)
            tags = {"kind": kind, "key": key, **payload_tags(payload)}
            tags |= {"fingerprint": fingerprint} if fingerprint else {}
            tags |= {"effective_day": effective_day.isoformat()} if effective_day else {}
            now = decided_at or datetime.now(UTC)
            if not_before is not None:
                now = max(now, not_before + MOMENT)
            tags |= search_tags(effective_day, now, payload)
            run = client.create_run(
                self._experiment(client, f"{self.name}-decisions"),
                start_time=int(now.timestamp() * 1000),
                tags=prefixed(tags),
                run_name=key[:250],
            )
            return logged(self._decision(client, key) or run)  # if somebody else was quicker: theirs

    def decision(self, decision_id: str) -> Logged:
        """Read one decision by its id, finished or not; MissingArtifact if there is none."""
        with self.connected(f"read the decision {decision_id}") as client:
            return logged(client.get_run(decision_id))

    def recover_decision(self, decision_id: str) -> Logged | None:
        """Read one decision by its id, and restore its run if that was deleted; None if MLflow has no such run."""
        client = self.client
        try:
            run = client.get_run(decision_id)
            if run.info.lifecycle_stage != "active":
                logger.warning("the run of the decision %s was deleted in MLflow; it is restored", decision_id)
                client.restore_run(decision_id)
                run = client.get_run(decision_id)
        except MlflowException as err:
            if err.error_code in ABSENT:
                return None
            raise Unavailable(f"read the decision {decision_id}: MLflow did not answer ({err.message})") from err
        return logged(run)

    def drop_other_decisions(self, decision: Logged) -> None:
        """Remove what others wrote down under the same key at the same moment."""
        with self.connected(f"remove the doubles of the decision {decision.decision_id}") as client:
            for run in self._runs(client, f"{self.name}-decisions", {"key": decision.key}):
                if run.info.run_id != decision.decision_id:
                    _forget(client, run)

    def close_decision(self, decision: Logged) -> None:
        """Mark a decision as carried out."""
        with self.connected(f"close the decision {decision.decision_id}") as client:
            client.log_dict(decision.decision_id, decision.payload, "decision.json")
            client.set_terminated(decision.decision_id, "FINISHED")
            self._tag_for_search(client)

    def discount_decision(self, decision: Logged) -> None:
        """Discount a decision: its run stays, as one of the kind ``unrecorded`` with a key of its own."""
        client = self.client
        tags = {"kind": UNRECORDED, "key": f"{UNRECORDED} {decision.decision_id}: {decision.key}", "was": decision.kind}
        self._retag(client, decision, tags)

    def discounted(self) -> list[Logged]:
        """List the decisions that `discount_decision` left out, as they were, oldest first."""
        with self.connected("read the decisions that were left out") as client:
            runs = self._decision_runs(client, {}, (UNRECORDED,))
        decisions = []
        for run in runs:
            entry, was = logged(run), run.data.tags.get(PREFIX + "was")
            key = entry.key.removeprefix(f"{UNRECORDED} {entry.decision_id}: ")
            if was:
                decisions.append(entry.model_copy(update={"kind": was, "key": key}))
        return sorted(decisions, key=lambda entry: (entry.decided_at, entry.decision_id))

    def count_decision(self, decision: Logged) -> None:
        """Count a decision again, as `discounted` returns it."""
        self._retag(self.client, decision, {"kind": decision.kind, "key": decision.key})

    def _retag(self, client: MlflowClient, decision: Logged, tags: Mapping[str, str]) -> None:
        with translate_errors(f"change what the decision {decision.decision_id} counts for"):
            client.log_batch(decision.decision_id, tags=[RunTag(PREFIX + name, value) for name, value in tags.items()])

    def has_book(self) -> bool:
        """Return whether the decisions experiment exists, without making one."""
        with self.connected("look at the decisions experiment") as client:
            return client.get_experiment_by_name(f"{self.name}-decisions") is not None

    def book(self) -> str:
        """Return a name of the decisions experiment that no other one ever has, for what refers to it."""
        with self.connected("open the decisions experiment") as client:
            experiment = self._opened_experiment(client, f"{self.name}-decisions")
        return f"{self.name}-{experiment.creation_time}"

    def pages_of_decisions(self, filter_string: str = "", *, page_size: int = 1000) -> Iterator[list[Logged]]:
        """Yield the decisions that a filter of MLflow finds, newest first, in pages; also the unfinished, and doubles.

        `ml.adapters.tracking.decision_log` says which of them count.
        """
        with self.connected("read the decisions") as client:
            for page in self._pages(client, f"{self.name}-decisions", filter_string, page_size=page_size):
                yield [logged(run) for run in page]

    def decisions(self, *, kinds: Sequence[str] = (), fingerprint: str | None = None) -> list[Logged]:
        """List what was decided, oldest first; one half-done counts if its champion alias has moved.

        A move of the champion whose run was deleted counts as long as the alias stands where it has put it: deleting
        a record undoes nothing.
        """
        client = self.client
        tags = {"fingerprint": fingerprint} if fingerprint else {}
        with translate_errors("read the decisions"):
            champion = self.alias(CHAMPION)  # first: a move made between the two is then seen whole, or not yet
            entries = [logged(run) for run in self._decision_runs(client, tags, kinds)]
            decisions = in_force(drop_doubles(entries), champion)
            if (
                not fingerprint
                and (not kinds or set(kinds) & set(CHAMPION_CHANGES))
                and not explains(decisions, champion)
            ):
                entries += self._lost_changes(client, {entry.key for entry in entries})
                decisions = in_force(drop_doubles(entries), champion)
        decisions = [entry for entry in decisions if not kinds or entry.kind in kinds]
        return sorted(decisions, key=lambda entry: (entry.decided_at, entry.decision_id))

    def _tag_for_search(self, client: MlflowClient) -> None:
        """Write to some decisions of older releases the tags by which they are found without reading all."""
        try:
            old = next(self._pages(client, f"{self.name}-decisions", UNTAGGED, page_size=TAGGED_AT_ONCE), [])
            for entry in map(logged, old):
                tags = search_tags(entry.effective_day, entry.decided_at, entry.payload)
                client.log_batch(entry.decision_id, tags=[RunTag(PREFIX + name, text) for name, text in tags.items()])
        except MlflowException as err:  # the next one that is written tries again, and until then they are read
            logger.warning("decisions of an older release stay without the tags that find them: %s", err.message)

    def _lost_changes(self, client: MlflowClient, keys: set[str]) -> list[Logged]:
        """Read the changes of the champion whose runs are deleted, or that only the journal holds."""
        runs = self._decision_runs(client, {}, CHAMPION_CHANGES, ViewType.DELETED_ONLY)
        deleted = [entry for entry in map(logged, runs) if entry.kind in CHAMPION_CHANGES and entry.key not in keys]
        keys = keys | {entry.key for entry in deleted}
        changes = self.journal.changes() if self.journal else []
        return deleted + [change.logged() for change in changes if change.key not in keys]

    def _decision_runs(
        self, client: MlflowClient, tags: Mapping[str, str], kinds: Sequence[str], view: int = ViewType.ACTIVE_ONLY
    ) -> list[Run]:
        """List the runs of decisions of these kinds (none named: of all); MLflow's tags know no IN, so one search each.

        Changes of the champion are read together, by one search for what is of no other kind: which of them count
        depends on the others. A key names its kind, so that doubles are of one kind.
        """
        terms_of_tags = terms(tags)
        searches = [[*terms_of_tags, *terms({"kind": kind})] for kind in sorted(set(kinds) - set(CHAMPION_CHANGES))]
        if set(kinds) & set(CHAMPION_CHANGES):
            searches.append([*terms_of_tags, *(f"tags.`{PREFIX}kind` != '{kind}'" for kind in OTHER_KINDS)])
        book = f"{self.name}-decisions"
        return [
            run
            for terms in searches or [terms_of_tags]
            for run in self._search(client, book, " and ".join(terms), view)
        ]

    def _decision(self, client: MlflowClient, key: str) -> Run | None:
        runs = self._runs(client, f"{self.name}-decisions", {"key": key})
        return min(runs, key=lambda run: (run.info.start_time, run.info.run_id), default=None)


def _forget(client: MlflowClient, run: Run) -> None:
    """Delete a run that somebody else may be deleting too."""
    try:
        client.delete_run(run.info.run_id)
    except MlflowException as err:
        if err.error_code not in ABSENT:
            raise
