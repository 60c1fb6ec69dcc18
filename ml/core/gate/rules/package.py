"""Ask for a model that works as it is packaged, within its budgets."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from ml.core.gate.rule import Evidence, GateRule, finite
from ml.next_moves import read_log
from ml.records import PackageCheck, Ruling
from ml.settings import Gate


class PackageRule(GateRule):
    """The registered model works in a fresh process, fast (in processor time) and small enough."""

    replayed: ClassVar[bool] = False
    advice: ClassVar[str] = f"The model does not work where it has to run: {read_log('check')}."

    kind: Literal["package"]
    max_ms_per_1000_rows: float = Field(default=1000.0, gt=0)
    """How much processor time 1,000 rows may take, in milliseconds."""
    max_megabytes: float = Field(default=500.0, gt=0)
    """How many megabytes the model may have."""

    def judge(self, name: str, gate: Gate, evidence: Evidence) -> Ruling:
        return judge_package(name, self, evidence.package)


def judge_package(name: str, rule: PackageRule | None, check: PackageCheck | None) -> Ruling:
    """Return whether a packaged model works in a fresh process, and within its budgets.

    Parameters
    ----------
    name
        What the ruling is called.
    rule
        The budgets; None sets none, and the package only has to work.
    check
        None if it was not tried: missing evidence, which does not pass.
    """
    budget: dict[str, float | None] = {}
    if rule is not None:
        budget = {"max_ms_per_1000_rows": rule.max_ms_per_1000_rows, "max_megabytes": rule.max_megabytes}
    passed, reason, figures = _judged(rule, check)
    return Ruling(rule=name, kind="package", passed=passed, evidence={**figures, **budget}, reason=reason)


def package_rulings(check: PackageCheck, declared: Gate) -> tuple[Ruling, ...]:
    """Judge the refit's package by each rule of kind ``package``; without any it has to work, at any speed and size."""
    rules: dict[str, PackageRule | None] = {
        name: rule for name, rule in declared.rules.items() if isinstance(rule, PackageRule)
    }
    rulings = [judge_package(f"refit's {name}", rule, check) for name, rule in (rules or {"package": None}).items()]
    return tuple(ruling.model_copy(update={"reason": f"of the refit: {ruling.reason}"}) for ruling in rulings)


def _judged(rule: PackageRule | None, check: PackageCheck | None) -> tuple[bool | None, str, dict[str, float | None]]:
    if check is None:
        return None, "the packaged model was not tried in a fresh process", {}
    speed, size = finite(check.ms_per_1000_rows), finite(check.megabytes)
    figures = {"ms_per_1000_rows": speed, "megabytes": size, "rows": float(check.rows)}
    if check.problem is not None:
        return False, f"the packaged model does not work: {check.problem}", figures
    if speed is None or size is None or check.rows < 1:
        return None, "speed and size of the packaged model could not be measured", figures
    problems = []
    if not check.identical:
        problems.append("the packaged model does not predict what it predicted in training")
    if not check.refuses_bad_input:
        problems.append("the packaged model accepts input that breaks its signature")
    if rule is not None and speed > rule.max_ms_per_1000_rows:
        problems.append(f"it takes {speed:.0f} ms per 1,000 rows, at most {rule.max_ms_per_1000_rows:g}")
    if rule is not None and size > rule.max_megabytes:
        problems.append(f"it is {size:.1f} MB large, at most {rule.max_megabytes:g}")
    calm = f"in a fresh process it predicts {check.rows} kept rows bit-identically, {speed:.0f} ms per 1,000 rows"
    calm += f", {size:.2f} MB, and refuses what breaks its signature"
    return not problems, "; ".join(problems) or calm, figures


RULE = PackageRule
