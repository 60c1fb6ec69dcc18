"""Try estimates without labels on days whose labels are known, beside what would be expected without them.

Labelled days are cut into blocks in the order of time. Each block is estimated by what the blocks before it teach,
with the method that was best on those (prequential; Dawid 1984, doi:10.2307/2981683). Next to it stands what somebody
without an estimate would expect: the same as before.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pandas as pd

from ml.core.gate.comparison import mean_by_day
from ml.core.metrics import attempt, find, measured_of
from ml.core.monitoring import calibrations, loss_models
from ml.core.monitoring.calibrations import AnyCalibration
from ml.core.monitoring.drift import sample_days
from ml.core.monitoring.loss_models import LossModel
from ml.core.predictions import array
from ml.settings import Settings

BLOCKS = 5
MIN_DAYS = 10
MOST_ROWS = 50_000
"""No calibration is learnt from more rows than these, the same share of every day."""
WITHIN = 0.9
"""The share of past days on which the error was within `PastError.reach`."""
WEIGHTED = ", weighted by density ratio"

Model = AnyCalibration | LossModel

MOST_LEARNT = 64
_LEARNT: OrderedDict[bytes, Model] = OrderedDict()
"""What was learnt of late, by what it was learnt from: a replay tries the same blocks every day."""


@dataclass(frozen=True)
class PastError:
    """How wrong the estimates of a metric were on past labelled days, and what would be expected without them.

    Attributes
    ----------
    error, constant_error
        The mean absolute error by day of the estimates, and of the better constant: the performance on all days
        before, or the mean of the newest ones before.
    gain, low, high
        By how much the error is smaller than the constant's, with its interval over days.
    served_gain
        The gain on the days that the champion itself served; None for fewer than ``performance.min_days`` of these.
    reach
        The error that was not exceeded on nine days of ten.
    """

    days: int
    error: float
    constant_error: float
    gain: float
    low: float
    high: float
    served_gain: float | None
    reach: float

    @property
    def shown(self) -> bool:
        """Return whether estimates beat the constant beyond noise, and are no worse on the champion's own days."""
        return self.days >= MIN_DAYS and self.low > 0 and (self.served_gain is None or self.served_gain >= 0)


@dataclass
class Trial:
    """Blocks of labelled days in the order of time, each estimated by what came before it."""

    blocks: Sequence[pd.DataFrame]
    n_reference: int
    settings: Settings
    table: pd.DataFrame = field(default_factory=pd.DataFrame)
    best: str = ""
    _samples: dict[int, pd.DataFrame] = field(default_factory=dict)

    @classmethod
    def of(cls, reference: pd.DataFrame, served: pd.DataFrame, settings: Settings) -> Trial | None:
        """Try every method on every block that enough precedes; None if there is no such block."""
        columns = ["day", "prediction", "target"]
        days = np.sort(reference["day"].unique())
        blocks = [reference.loc[reference["day"].isin(part), columns] for part in np.array_split(days, BLOCKS)]
        blocks = [block for block in blocks if len(block)]
        trial = cls([*blocks, *([served[columns]] if len(served) else [])], len(blocks), settings)
        tables = list(trial._tables())
        if not tables:
            return None
        trial.table = pd.concat(tables, ignore_index=True)
        return trial

    @property
    def methods(self) -> list[str]:
        if self.settings.task.kind == "regression":
            return list(loss_models.METHODS)
        names = list(calibrations.methods_for(self.blocks[0]["prediction"]))
        weighted = names[1:] if self.settings.task.kind == "classification" else []
        return [*names, *(name + WEIGHTED for name in weighted)]

    def estimated(self, prediction: pd.Series) -> dict[str, float]:
        """Return the metrics expected of rows with these predictions, by the best method, learnt from all blocks."""
        return self.fit(self.best, len(self.blocks), prediction).expected(prediction)

    def fit(self, method: str, end: int, wanted: pd.Series) -> Model:
        """Learn a method from the first ``end`` blocks, for rows with the ``wanted`` predictions."""
        settings, earlier = self.settings, self._before(end)
        p, y = array(earlier["prediction"]), earlier["target"].to_numpy(dtype=float)
        if settings.task.kind == "regression":
            return loss_models.fit_loss_model(method, p, y, losses_of(settings), seed=settings.fit.seed)
        name = method.removesuffix(WEIGHTED)
        weight = calibrations.density_ratio(p, array(wanted)) if name != method else None
        known = _digest(name, p, y, weight)
        if known not in _LEARNT:
            _LEARNT[known] = calibrations.methods_for(earlier["prediction"])[name](p, y, weight)
        _LEARNT.move_to_end(known)
        while len(_LEARNT) > MOST_LEARNT:
            _LEARNT.popitem(last=False)
        return _LEARNT[known]

    def _before(self, end: int) -> pd.DataFrame:
        if end not in self._samples:
            earlier = pd.concat(self.blocks[:end], ignore_index=True)
            self._samples[end] = sample_days(earlier, rows=MOST_ROWS, seed=self.settings.fit.seed)
        return self._samples[end]

    def _tables(self) -> Iterator[pd.DataFrame]:
        """Yield of each block that can be tried what came, what was estimated and the constants, by day."""
        learnable = (loss_models if self.settings.task.kind == "regression" else calibrations).learnable
        surprises: list[dict[str, float]] = []
        for number, block in enumerate(self.blocks[1:], start=1):
            earlier = self._before(number)
            if (
                not learnable(earlier["prediction"], earlier["target"])
                or not np.isfinite(array(block["prediction"])).all()
            ):
                continue
            models = {name: self.fit(name, number, block["prediction"]) for name in self.methods}
            if self.best:
                yield self._by_day(block, models[self.best], number)
            p, y, size = block["prediction"], block["target"], len(block)
            surprises.append({name: size * model.surprise(p, y) for name, model in models.items()})
            self.best = _best(surprises)

    def _by_day(self, block: pd.DataFrame, model: Model, number: int) -> pd.DataFrame:
        before = pd.concat(self.blocks[:number], ignore_index=True)
        trailing_days = np.sort(before["day"].unique())[-self.settings.performance.window_days :]
        newest = before.loc[before["day"].isin(trailing_days)]
        trailing = pd.DataFrame([self._came(rows) for _, rows in newest.groupby("day")]).mean()
        overall = self._came(before)
        entries = []
        for day, rows in block.groupby("day", sort=True):
            came, expected = self._came(rows), model.expected(rows["prediction"])
            entry = {"day": day, "served": number >= self.n_reference}
            entry["mean loss"] = model.expected_losses(rows["prediction"], self.settings.gate.metric).mean()
            for name in came.keys() & expected.keys() & overall.keys():
                entry |= {
                    f"came {name}": came[name],
                    f"estimated {name}": expected[name],
                    f"overall {name}": overall[name],
                    f"trailing {name}": trailing[name],
                }
            entries.append(entry)
        return pd.DataFrame(entries)

    def _came(self, rows: pd.DataFrame) -> dict[str, float]:
        y, p = rows["target"].to_numpy(dtype=float), array(rows["prediction"])
        values: dict[str, float | None] = {
            name: attempt(find(name), partial(find(name).compute, y, p)) for name in losses_of(self.settings)
        }
        kind = self.settings.task.kind
        if kind == "classification":
            values["prevalence"] = float(y.mean())
            values["roc_auc"] = calibrations.expected_auc(p, y) if 0 < y.mean() < 1 else None
        elif kind == "multiclass":
            values["roc_auc"] = attempt(find("roc_auc"), partial(find("roc_auc").compute, y, p))
        return {name: value for name, value in values.items() if value is not None}

    def proved(self, errors: Mapping[str, PastError]) -> list[str]:
        """Name the metrics that may be shown; none where ``gate.metric`` is not one of these."""
        names = [name for name, error in errors.items() if error.shown]
        return names if self.settings.gate.metric in names else []

    def errors(self) -> dict[str, PastError]:
        """Return of each metric how wrong its estimates and the constants were."""
        names = [name for column in self.table if (name := str(column).removeprefix("came ")) != column]
        errors = {name: self._error(name) for name in names}
        return {name: error for name, error in errors.items() if error is not None}

    def _error(self, name: str) -> PastError | None:
        table = self.table.dropna(subset=[f"came {name}"])
        came = table[f"came {name}"]
        error = (table[f"estimated {name}"] - came).abs()
        constants = [(table[f"{constant} {name}"] - came).abs() for constant in ("overall", "trailing")]
        constant = min(constants, key=lambda values: values.mean())
        settings = self.settings
        mean = mean_by_day(
            table["day"],
            (constant - error).to_numpy(),
            confidence=settings.performance.confidence,
            n_resamples=settings.gate.bootstrap_rounds,
            seed=settings.fit.seed,
        )
        if mean is None:
            return None
        of_served = (constant - error)[table["served"].astype(bool)]
        rank = min(int(np.ceil((len(error) + 1) * WITHIN)), len(error))
        return PastError(
            days=mean.days,
            error=float(error.mean()),
            constant_error=float(constant.mean()),
            gain=mean.value,
            low=mean.low,
            high=mean.high,
            served_gain=float(of_served.mean()) if len(of_served) >= settings.performance.min_days else None,
            reach=float(np.sort(error)[rank - 1]),
        )


def _digest(name: str, *parts: np.ndarray | None) -> bytes:
    """Name what a method is learnt from by its bytes."""
    digest = hashlib.blake2b(name.encode())
    for part in parts:
        digest.update(b"none" if part is None else repr((part.dtype.str, part.shape)).encode())
        digest.update(b"" if part is None else np.ascontiguousarray(part).tobytes())
    return digest.digest()


def _best(surprises: Sequence[dict[str, float]]) -> str:
    """Choose the method that followed the outcomes best over all blocks, weighted if that was better on every one."""
    plain = [name for name in surprises[0] if not name.endswith(WEIGHTED)]
    best = min(plain, key=lambda name: sum(block[name] for block in surprises))
    weighted = best + WEIGHTED
    return weighted if all(block.get(weighted, np.inf) < block[best] for block in surprises) else best


def losses_of(settings: Settings) -> tuple[str, ...]:
    """Name the losses of a task, the gate's first."""
    measured = measured_of(settings.task.kind, settings.task.quantile)
    names = [metric.name for metric in measured if metric.is_loss]
    return tuple(dict.fromkeys([settings.gate.metric, *names]))
