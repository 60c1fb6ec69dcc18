"""Screen a day by its contract once, whoever asks: an answer is kept under all that determines it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ml.adapters import layout
from ml.adapters.rows import read_exact
from ml.adapters.workspace import Workspace
from ml.core.data.contracts import DayProfile, Failure
from ml.core.data.row_checks import UsedColumns
from ml.records import Asset
from ml.settings import Screen

if TYPE_CHECKING:
    from ml.adapters.contracts import Contracts
    from ml.adapters.contracts.many_tables import RowMetrics


@dataclass(frozen=True, eq=False)
class Screened:
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
    cache_dir: Workspace
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
        asset: Asset,
        day: date,
        path: Path,
        *,
        clashes: Sequence[Failure],
        recent: Sequence[DayProfile],
        known_keys: pd.DataFrame | None,
        row_metrics: Callable[[], RowMetrics | None],
    ) -> Screened:
        """Screen a day's table by its suite, with limits from its recent past.

        Parameters
        ----------
        clashes
            The columns that are of other types than before.
        row_metrics
            Asked, if no answer is known, for what `Contracts.row_metrics` finds of this very table.
        """
        frame = pd.read_parquet(path)
        digest = digest_of(frame)
        if self.trusted_before is not None and day < self.trusted_before:
            return Screened(frame, 0, "", digest)
        name = layout.backtest.cached_screening(asset, self._key(asset, day, digest, clashes, recent, known_keys))
        if not self.cache_dir.has(name):
            exact = read_exact(path, self.contracts.used.key)
            parameters = {"day": day.isoformat(), **self.contracts.baselines(asset, recent, day=day)}
            result = self.contracts.screen(
                asset, exact, parameters=parameters, known_keys=known_keys, clashes=clashes, row_metrics=row_metrics()
            )
            bad = sorted({position for failure in result.failures for position in failure.positions})
            self.cache_dir.write_json(name, {"reason": result.reason, "positions": bad})
        answer = self.cache_dir.read_json(name)
        if not answer["positions"]:
            return Screened(frame, 0, answer["reason"], digest)
        accepted = frame.drop(index=answer["positions"]).reset_index(drop=True)
        return Screened(accepted, len(answer["positions"]), answer["reason"], digest_of(accepted))

    def _key(
        self,
        asset: str,
        day: date,
        digest: str,
        clashes: Sequence[Failure],
        recent: Sequence[DayProfile],
        known_keys: pd.DataFrame | None,
    ) -> str:
        past = sorted((str(profile.day), profile.rows, sorted(profile.null_counts.items())) for profile in recent)
        suite = (self.expectations / f"{asset}.json").read_bytes()
        keys = None if known_keys is None else digest_of(known_keys)
        facts = [
            str(day),
            digest,
            [failure.as_dict() for failure in clashes],
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
