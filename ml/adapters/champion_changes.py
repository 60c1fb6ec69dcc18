"""Keep each change of the champion in the storage: who claimed to succeed which decision, created once and whole.

``claims/BOOK/after=DIGEST.json`` is the change that follows a decision, ``after=DIGEST.1.json`` the one that was
claimed after the first was withdrawn (``withdrawn=…`` says why), ``decision=DIGEST`` the run of MLflow that mirrors a
change. Nothing here is ever replaced; only what is damaged is moved away, by `quarantine`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any, Literal, Self

from pydantic import ValidationError

from ml.adapters import layout
from ml.adapters.storage import Objects
from ml.errors import EvergreenError, MissingArtifact
from ml.records import JudgedModel, Logged, Record

logger = logging.getLogger(__name__)
DOCTOR = "evergreen doctor --repair"


class ChampionChange(Record):
    """A change of the champion that was decided; ``payload`` is what the decision log keeps of it.

    ``payload`` names ``version`` and ``previous_version``; of a rollback also ``reason``. ``model`` is what was judged;
    None of a withdrawal.
    """

    kind: Literal["promotion", "rollback", "withdrawal"]
    key: str
    fingerprint: str | None
    effective_day: date
    payload: dict[str, Any]
    claimed_at: datetime
    model: JudgedModel | None = None

    @classmethod
    def after(
        cls,
        newest: date,
        *,
        kind: Literal["promotion", "rollback", "withdrawal"],
        key: str,
        fingerprint: str | None,
        payload: dict[str, Any],
        model: JudgedModel | None = None,
    ) -> Self:
        """Make a change, now, that takes effect on the day after ``newest``, the registry's newest day.

        Days that had arrived before it belong to the champion before it.
        """
        return cls(
            kind=kind,
            key=key,
            fingerprint=fingerprint,
            effective_day=newest + timedelta(days=1),
            payload=payload,
            claimed_at=datetime.now(UTC),
            model=model,
        )

    @property
    def version(self) -> int | None:
        """Return the version that serves after this change; None after a withdrawal."""
        version = self.payload.get("version")
        return None if version is None else int(version)

    def logged(self) -> Logged:
        """Return the change as the decision that MLflow should hold of it; it has no run, so its id is empty."""
        return Logged(
            decision_id="",
            kind=self.kind,
            decided_at=self.claimed_at,
            fingerprint=self.fingerprint,
            effective_day=self.effective_day,
            payload=self.payload,
            finished=False,
            key=self.key,
        )


@dataclass(frozen=True)
class Claim:
    """One claim as it lies in the storage; ``change`` is None if damaged, ``withdrawn`` says why it holds no more."""

    name: str
    change: ChampionChange | None
    withdrawn: str | None = None

    @property
    def after(self) -> str:
        """Return the digest of the decision that it follows, or ``none``."""
        return layout.champions.after_of(self.name)


@dataclass(frozen=True)
class Journal:
    """The claims of the model ``name`` in a storage; a book is what `ml.adapters.tracking.Tracking.book` names."""

    objects: Objects
    name: str

    def slot(self, book: str, after: str | None) -> str:
        """Return the name of the claim in force after the decision of key ``after`` (None: first), or the next one."""
        for number in count():
            name = layout.champions.claim(book, after, number)
            if not self.objects.exists(layout.champions.withdrawal(name)):
                return name
        raise AssertionError

    def claim(self, book: str, after: str | None, change: ChampionChange) -> bool:
        """Claim to succeed a decision; of several callers exactly one gets True."""
        return self.objects.create_bytes(self.slot(book, after), change.model_dump_json(indent=2).encode())

    def claimed(self, book: str, after: str | None) -> ChampionChange | None:
        """Read the claim in force after a decision; None if there is none.

        Raises
        ------
        EvergreenError
            If the claim cannot be read.
        """
        name = self.slot(book, after)
        if not self.objects.exists(name):
            return None
        claim = self._read(name)
        if claim.change is None:
            raise EvergreenError(
                f"{self.objects.uri(name)} is not a readable claim; run '{DOCTOR}', which moves it away, or remove it: "
                "what it was about is judged again"
            )
        return claim.change

    def is_succeeded(self, book: str, key: str) -> bool:
        """Return whether a claim, of whatever state, follows a decision with this key."""
        return self.objects.exists(layout.champions.claim(book, key))

    def withdraw(self, name: str, reason: str) -> None:
        """Withdraw the claim of that name, and what was claimed after it; the next one gets a name of its own.

        The last goes first: killed half-way, a second call does the rest.
        """
        book = layout.champions.book_of(name)
        chain = [name]
        while (change := self._read(chain[-1]).change) is not None:
            following = self.slot(book, change.key)
            if following in chain or not self.objects.exists(following):
                break
            chain.append(following)
        for claim_name in reversed(chain):
            self.objects.create_bytes(layout.champions.withdrawal(claim_name), reason.encode())

    def quarantine(self, name: str) -> None:
        """Move a damaged claim, or record of a model, under ``damaged/``; somebody quicker may have done it."""
        with suppress(MissingArtifact):
            self.objects.put_bytes(layout.champions.damaged(name), self.objects.get_bytes(name))
        self.objects.delete(name)

    def agreed(self, book: str, key: str, number: int, decision_id: str) -> str:
        """Agree on the run that mirrors a change: the first id that was offered for this key and number wins."""
        name = layout.champions.mirroring_run(book, key, number)
        if self.objects.create_bytes(name, decision_id.encode()):
            return decision_id
        return self.objects.get_bytes(name).decode(errors="replace").strip()

    def mirrors(self, book: str, key: str) -> Iterator[str]:
        """Yield the ids of the runs that callers agreed on for a change, in their order."""
        for number in count():
            name = layout.champions.mirroring_run(book, key, number)
            if not self.objects.exists(name):
                return
            yield self.objects.get_bytes(name).decode(errors="replace").strip()

    def claims(self) -> dict[str, list[Claim]]:
        """Read every claim of this model by its book; the claims of each are ordered by name."""
        by_book: dict[str, list[Claim]] = {}
        for name in self.objects.list(layout.champions.claims(self.name)):
            if layout.champions.is_claim(name, self.name):
                by_book.setdefault(layout.champions.book_of(name), []).append(self._read(name))
        return by_book

    def changes(self) -> list[ChampionChange]:
        """List the changes of every book that were not withdrawn, and can be read; oldest first."""
        claims = [claim for book in self.claims().values() for claim in book]
        changes = [claim.change for claim in claims if claim.change is not None and claim.withdrawn is None]
        return sorted(changes, key=lambda change: change.claimed_at)

    def _read(self, name: str) -> Claim:
        mark = layout.champions.withdrawal(name)
        reason = self.objects.get_bytes(mark).decode(errors="replace") if self.objects.exists(mark) else None
        try:
            return Claim(name, ChampionChange.model_validate_json(self.objects.get_bytes(name)), reason)
        except ValidationError as err:
            logger.warning("claim %s cannot be read: %d errors", self.objects.uri(name), err.error_count())
            return Claim(name, None, reason)
