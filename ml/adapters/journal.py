"""Keep each change of the champion in the storage: who claimed to succeed which decision, created once and whole.

``claims/BOOK/after=DIGEST.json`` is the move that follows a decision, ``after=DIGEST.1.json`` the one that was claimed
after the first was withdrawn (``withdrawn=…`` says why), ``decision=DIGEST`` the run of MLflow that mirrors a move.
Nothing here is ever replaced; only a damaged claim is put aside, by `set_aside`.
"""

from __future__ import annotations

import hashlib
import logging
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any, Literal, Self

from pydantic import ValidationError

from ml.adapters.objects import Objects
from ml.errors import EvergreenError
from ml.records import JudgedModel, Logged, Record

logger = logging.getLogger(__name__)
DOCTOR = "evergreen doctor --repair"


class Move(Record):
    """A change of the champion that was decided; ``payload`` is what the decision log keeps of it.

    ``payload`` names ``version`` and ``previous_version``; of a rollback also ``why``. ``model`` is what was judged;
    None in claims of older releases, and of a rollback to a version that they promoted.
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
        """Make a move, now, that takes effect on the day after ``newest``, the registry's newest day.

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
        """Give the version that serves after this move; None after a withdrawal."""
        version = self.payload.get("version")
        return None if version is None else int(version)

    def logged(self) -> Logged:
        """Give the move as the decision that MLflow should hold of it; it has no run, so its id is empty."""
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
    """One claim as it lies in the storage; ``move`` is None if damaged, ``withdrawn`` says why it holds no more."""

    name: str
    move: Move | None
    withdrawn: str | None = None


@dataclass(frozen=True)
class Journal:
    """The claims of the model ``name`` in a storage; a book is what `ml.adapters.tracking.Tracking.book` names."""

    objects: Objects
    name: str

    def slot(self, book: str, after: str | None) -> str:
        """Name the claim in force after the decision with key ``after`` (None: the first), or the next free name."""
        for number in count():
            name = _numbered(f"claims/{book}/after={digest(after) if after is not None else 'none'}", number)
            if not self.objects.exists(_withdrawal(name)):
                return name
        raise AssertionError

    def claim(self, book: str, after: str | None, move: Move) -> bool:
        """Claim to succeed a decision; of several callers exactly one gets True."""
        return self.objects.create_bytes(self.slot(book, after), move.model_dump_json(indent=2).encode())

    def claimed(self, book: str, after: str | None) -> Move | None:
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
        if claim.move is None:
            raise EvergreenError(
                f"{self.objects.uri(name)} is no readable claim; run '{DOCTOR}', which puts it aside, or remove it: "
                "what it was about is judged again"
            )
        return claim.move

    def withdraw(self, name: str, why: str) -> None:
        """Let the claim of that name hold no more; the next one gets a name of its own."""
        self.objects.create_bytes(_withdrawal(name), why.encode())

    def set_aside(self, name: str) -> None:
        """Put a damaged claim out of the way, under ``damaged/``, and free its name."""
        self.objects.put_bytes(f"damaged/{name}", self.objects.get_bytes(name))
        self.objects.delete(name)

    def agreed(self, book: str, key: str, number: int, decision_id: str) -> str:
        """Agree on the run that mirrors a move: the first id that was offered for this key and number wins."""
        name = f"claims/{book}/decision={digest(key)}" + (f".{number}" if number else "")
        if self.objects.create_bytes(name, decision_id.encode()):
            return decision_id
        return self.objects.get_bytes(name).decode(errors="replace").strip()

    def claims(self) -> dict[str, list[Claim]]:
        """Read every claim of this model by its book; the claims of each are ordered by name."""
        found: dict[str, list[Claim]] = {}
        pattern = re.compile(rf"claims/({re.escape(self.name)}-\d+)/after=[^/]+\.json")
        for name in self.objects.list(f"claims/{self.name}-"):
            if match := pattern.fullmatch(name):
                found.setdefault(match[1], []).append(self._read(name))
        return found

    def moves(self) -> list[Move]:
        """List the moves of every book that were not withdrawn, and can be read; oldest first."""
        claims = [claim for book in self.claims().values() for claim in book]
        moves = [claim.move for claim in claims if claim.move is not None and claim.withdrawn is None]
        return sorted(moves, key=lambda move: move.claimed_at)

    def _read(self, name: str) -> Claim:
        mark = _withdrawal(name)
        why = self.objects.get_bytes(mark).decode(errors="replace") if self.objects.exists(mark) else None
        try:
            return Claim(name, Move.model_validate_json(self.objects.get_bytes(name)), why)
        except ValidationError as err:
            logger.warning("claim %s cannot be read: %d errors", self.objects.uri(name), err.error_count())
            return Claim(name, None, why)


def digest(text: str) -> str:
    """Shorten a key to what a name in the storage can hold."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _numbered(stem: str, number: int) -> str:
    return f"{stem}.{number}.json" if number else f"{stem}.json"


def _withdrawal(name: str) -> str:
    return name.replace("/after=", "/withdrawn=")
