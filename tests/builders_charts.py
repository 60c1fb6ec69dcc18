"""What the page's charts draw, computed by the project's own functions of a holdout that is made up."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from ml.core.gate.holdout_charts import charts
from ml.core.monitoring.day_summary import plain
from ml.core.predictions import column
from ml.records import Ruling, Verdict
from ml.settings import Settings
from tests import builders

DAYS, PER_DAY = 14, 150
SLICES = {"kind": "slices", "by": ["carrier"], "max_loss": 0.02, "min_rows": 100, "min_days": 3}
OLD, JUDGED, REGRESSION, MULTICLASS = 2, 3, 4, 1
"""A version without charts, and one of each kind of task."""

CLASSES = ("early", "on time", "<b>late</b>")


def settings_of(kind: str, **task: Any) -> Settings:
    """Build the settings of a task that the holdout is of."""
    metric = "mae" if kind == "regression" else "log_loss"
    return builders.settings(
        task={"kind": kind, **task},
        gate={"metric": metric, "min_rows": 100, "rules": {"slices": SLICES}, "bootstrap_rounds": 300},
    )


def holdout(kind: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make up predictions of two models on the same rows; the champion has seen the first two days."""
    chance = np.random.default_rng(5)
    count = DAYS * PER_DAY
    days = np.repeat([builders.day(number) for number in range(DAYS)], PER_DAY)
    risk = np.clip(chance.beta(2, 3, count), 0.01, 0.99)
    noisy = np.clip(risk + chance.normal(0, 0.12, count), 0.01, 0.99)
    own = np.clip(risk + chance.normal(0, 0.05, count), 0.01, 0.99)
    target: Any = (chance.random(count) < risk).astype(float)
    base: Any = np.full(count, target.mean())
    if kind == "regression":
        target, own, noisy = 40 * risk + chance.normal(0, 4, count), 40 * own, 40 * noisy
        base = np.full(count, target.mean())
    if kind == "multiclass":
        sides = [np.stack([one / 2, (1 - one), one / 2], axis=1) for one in (own, noisy)]
        target = np.where(target == 0, 1.0, np.where(chance.random(count) < 0.5, 0.0, 2.0))
        shares = np.bincount(target.astype(int)) / count
        own, noisy, base = (column(side) for side in (*sides, np.tile(shares, (count, 1))))
    scored = pd.DataFrame({"day": days, "target": target, "challenger": own, "base_rate": base, "champion": noisy})
    scored["champion_had_seen"] = scored["day"] <= builders.day(1)
    return scored, pd.DataFrame({"carrier": chance.choice(["AA", "B6", "<i>UA</i>", "DL"], count)})


def verdict() -> Verdict:
    """Say what the gate compared by."""
    ruling = Ruling(rule="champion", kind="champion", passed=True, evidence={"max_loss": 0.005}, reason="better")
    return Verdict(decision="promote", reasons=(), rulings=(ruling,))


@cache
def dependence_of(kind: str) -> list[dict[str, Any]]:
    """Return how predictions depend on a number and on a category, of several classes with a line for each.

    The champion of the regression knows one of both; of several classes the record is one from before champions had
    curves in it.
    """
    names = CLASSES if kind == "multiclass" else ("",)
    hours, carriers = [5.0, 9.0, 17.0, 22.0], ["UA", "<b>WN</b>", "AA"]

    def lines(values: list[Any], start: float) -> list[dict[str, Any]]:
        return [{"name": name, "mean": [start * (1 + at) + 0.01 * step for step in range(len(values))]}
                for at, name in enumerate(names)]  # fmt: skip

    def champion(values: list[Any]) -> dict[str, Any]:
        if kind == "multiclass":
            return {}
        return {"champion_lines": [] if kind == "regression" and values is carriers else lines(values, 0.12)}

    return [
        {"feature": feature, "numeric": values is hours, "values": values, "rows": 500, "lines": lines(values, 0.1)}
        | champion(values)
        for feature, values in (("hour", hours), ("carrier", carriers))
    ]  # fmt: skip


def facts_of(version: int) -> dict[str, Any]:
    """Return what the page is answered of a version's charts."""
    if version == OLD:
        return {"version": OLD, "judged_version": OLD, "champion": None, "charts": None, "importance": {},
                "message": "There are no charts of version 2: this version was judged before."}  # fmt: skip
    kind = {JUDGED: "classification", REGRESSION: "regression", MULTICLASS: "multiclass"}[version]
    task = {"classes": list(CLASSES)} if kind == "multiclass" else {}
    scored, rows = holdout(kind)
    increase = {f"feature_{number}": 0.04 / (1 + number) for number in range(8)}
    importance = {
        "metric": "log_loss", "repeats": 5,
        "features": [{"feature": name, "increase": value, "sd": value / 8} for name, value in increase.items()],
    }  # fmt: skip
    facts: dict[str, Any] = plain(
        {
            "version": version, "judged_version": version, "champion": OLD, "message": None,
            "charts": charts(scored, rows, settings_of(kind, **task), verdict(), compared="twin")
            | {"dependence": dependence_of(kind)},
            "importance": {"challenger": importance, "champion": importance},
        }
    )  # fmt: skip
    return facts
