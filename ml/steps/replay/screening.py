"""Hold a day against its contract once, whoever asks: an answer is kept under all that determines it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ml.adapters.workspace import Workspace
from ml.core.contracts import DayProfile
from ml.core.row_checks import UsedColumns
from ml.settings import Screen

if TYPE_CHECKING:
    from ml.adapters.contracts import Contracts


@dataclass(frozen=True, eq=False)
class Kept:
    """What a contract let in of one table; ``reason`` says why nothing of it, and is empty otherwise."""

    accepted: pd.DataFrame
    quarantined: int
    reason: str
    digest: str


@dataclass(eq=False)
class Screens:
    """Contracts whose answers are kept on disk.

    Parameters
    ----------
    trusted_before
        What speaks of earlier days is let in unseen: it has been screened before. None trusts nothing.
    """

    expectations: Path
    screen_settings: Screen
    place: Workspace
    trusted_before: date | None = None
    used: UsedColumns | None = None
    _contracts: Contracts | None = field(default=None, init=False)

    @property
    def contracts(self) -> Contracts:
        """Open Great Expectations, which takes seconds: only when an answer is not known yet."""
        if self._contracts is None:
            from ml.adapters.contracts import Contracts

            self._contracts = Contracts(self.expectations, self.screen_settings, self.used)
        return self._contracts

    def screen(
        self,
        asset: str,
        day: date,
        frame: pd.DataFrame,
        *,
        recent: Sequence[DayProfile],
        known_keys: pd.DataFrame | None,
    ) -> Kept:
        """Hold a day's table against its suite, with limits from its recent past."""
        digest = digest_of(frame)
        if self.trusted_before is not None and day < self.trusted_before:
            return Kept(frame, 0, "", digest)
        name = f"screen/{asset}/{self._key(asset, day, digest, recent, known_keys)}.json"
        if not self.place.has(name):
            self.place.write_json(name, self._ask(asset, day, frame, recent, known_keys))
        answer = self.place.read_json(name)
        rows = frame.reset_index(drop=True)
        accepted = rows.drop(index=answer["positions"]).reset_index(drop=True)
        return Kept(accepted, len(answer["positions"]), answer["reason"], digest_of(accepted))

    def _ask(
        self,
        asset: str,
        day: date,
        frame: pd.DataFrame,
        recent: Sequence[DayProfile],
        known_keys: pd.DataFrame | None,
    ) -> dict[str, Any]:
        parameters = {"day": day.isoformat(), **self.contracts.baselines(asset, recent, day=day)}
        said = self.contracts.screen(asset, frame, parameters=parameters, known_keys=known_keys)
        bad = sorted({position for failure in said.failures for position in failure.positions})
        return {"reason": said.reason, "positions": bad}

    def _key(
        self, asset: str, day: date, digest: str, recent: Sequence[DayProfile], known_keys: pd.DataFrame | None
    ) -> str:
        past = sorted((str(known.day), known.rows, sorted(known.null_counts.items())) for known in recent)
        suite = (self.expectations / f"{asset}.json").read_bytes()
        keys = None if known_keys is None else digest_of(known_keys)
        facts = [
            str(day),
            digest,
            past,
            keys,
            hashlib.sha256(suite).hexdigest(),
            self.screen_settings.model_dump_json(),
            None if self.used is None else [self.used.key, sorted(self.used.finite or ())],
        ]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def digest_of(frame: pd.DataFrame) -> str:
    """Hash a table's columns, types and values (SHA-256, 64 hex digits); its index does not count."""
    hashed = hashlib.sha256(json.dumps([[str(name), str(kind)] for name, kind in frame.dtypes.items()]).encode())
    hashed.update(np.ascontiguousarray(pd.util.hash_pandas_object(frame, index=False).to_numpy()).tobytes())
    return hashed.hexdigest()
