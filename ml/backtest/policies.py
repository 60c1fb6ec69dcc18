"""What is compared: fragments of ``params.yaml`` laid over it, the built-in ones and a team's own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ml import settings as settings_module
from ml.errors import SettingsError
from ml.settings import Section, Settings, Task

NO_ASKING = {
    "on_drift": False,
    "on_decay": False,
    "on_gain": False,
    "on_past_gain": False,
    "max_age_days": None,
    "min_new_days": None,
}
BY_THE_CALENDAR = {**NO_ASKING, "cooldown_days": 0, "max_retrains_per_week": 7}
BUILT_IN: dict[str, dict[str, Any]] = {
    "never": {"retrain": NO_ASKING, "score": {"adapt": "none"}, "rollback": {"automatic": False}},
    "weekly": {
        "retrain": {**BY_THE_CALENDAR, "min_new_days": 7},
        "score": {"adapt": "none"},
        "rollback": {"automatic": False},
        "backtest": {"gate": False, "monitor": False},
    },
    "monthly": {
        "retrain": {**BY_THE_CALENDAR, "min_new_days": 28},
        "score": {"adapt": "none"},
        "rollback": {"automatic": False},
        "backtest": {"gate": False, "monitor": False},
    },
    "drift": {"retrain": {**NO_ASKING, "on_drift": True}, "score": {"adapt": "none"}},
    "adapt": {"retrain": NO_ASKING, "score": {"adapt": "intercept"}, "rollback": {"automatic": False}},
    "evergreen": {},
}
"""Each laid over ``params.yaml``; ``evergreen`` is that file as it is."""


class Replayed(Section):
    """How a policy is replayed, in the key ``backtest`` of its fragment.

    Without a ``gate`` each model serves as soon as it is fitted, on all labelled days: what a schedule does.
    Without a ``monitor`` nobody measures drift and decay, and nobody is alarmed.
    """

    gate: bool = True
    monitor: bool = True


@dataclass(frozen=True)
class Policy:
    """One way to keep a model fresh."""

    name: str
    settings: Settings
    replayed: Replayed = Replayed()  # noqa: RUF009  frozen

    @property
    def key(self) -> str:
        """Name what determines its course, beside the data: two names of the same settings share it."""
        facts = {"settings": self.settings.model_dump(mode="json"), "replayed": self.replayed.model_dump()}
        for elsewhere in ("source", "notify", "land"):
            facts["settings"].pop(elsewhere)
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def suited(task: Task) -> list[str]:
    """Name the built-in policies that a task can be replayed under: scores of several classes are not adapted."""
    return [
        name
        for name, fragment in BUILT_IN.items()
        if not task.classes or fragment.get("score", {}).get("adapt", "none") == "none"
    ]


def choose(names: Sequence[str], files: Sequence[Path], base: Mapping[str, Any]) -> list[Policy]:
    """Build the policies that were asked for, in that order: built-in ones by name, others by file.

    Each is laid over ``base``, the settings as they are written.

    Raises
    ------
    SettingsError
        If a name is not built in, a file cannot be read, or a fragment does not suit ``params.yaml``; the
        message names the file and the key.
    """
    unknown = [name for name in names if name not in BUILT_IN]
    if unknown:
        raise SettingsError(
            f"no policy is called {', '.join(unknown)}: choose among {', '.join(BUILT_IN)}, or give a file of your "
            "own with --policy mine.yaml"
        )
    every = settings_module.parse(base).land.every_days if names else 1
    chosen = [make(name, _on_schedule(BUILT_IN[name], every), base, origin=f"policy {name}") for name in names]
    chosen += [make(path.stem, settings_module.read(path), base, origin=str(path)) for path in files]
    twice = sorted({policy.name for policy in chosen if [p.name for p in chosen].count(policy.name) > 1})
    if twice:
        raise SettingsError(f"two policies are called {', '.join(twice)}: rename the file, its name is the policy's")
    if not chosen:
        raise SettingsError("no policy was asked for: give --policies or --policy")
    return chosen


def _on_schedule(fragment: Mapping[str, Any], every_days: int) -> Mapping[str, Any]:
    """Return a built-in policy for data of every so many days: a week of them holds fewer new days than seven."""
    days = fragment.get("retrain", {}).get("min_new_days")
    return (
        fragment
        if days is None
        else settings_module.overlaid(fragment, {"retrain": {"min_new_days": max(1, days // every_days)}})
    )


def make(name: str, fragment: object, base: Mapping[str, Any], *, origin: str) -> Policy:
    """Lay a fragment over ``params.yaml`` and check what comes of it."""
    if fragment is None:
        fragment = {}
    if not isinstance(fragment, Mapping) or not all(isinstance(key, str) for key in fragment):
        raise SettingsError(f"{origin}: must hold sections of params.yaml, such as retrain: {{max_age_days: 7}}")
    own = dict(fragment)
    try:
        replayed = Replayed.model_validate(own.pop("backtest", None) or {})
    except ValidationError as err:
        problem = err.errors(include_url=False)[0]
        where = ".".join(["backtest", *map(str, problem["loc"])])
        raise SettingsError(f"{origin} is wrong:\n  {where}: {problem['msg']}; it knows gate and monitor") from err
    settings = settings_module.parse(settings_module.overlaid(base, own), origin=origin)
    return Policy(name, _replayable(settings, replayed, origin), replayed)


def _replayable(settings: Settings, replayed: Replayed, origin: str) -> Settings:
    """Leave out what speaks of a machine or of people: the package's speed, approvals."""
    if settings.tune.enabled:
        raise SettingsError(f"{origin}: tune.enabled cannot be replayed; put what the search found into fit.args")
    rules = {name: rule for name, rule in settings.gate.rules.items() if rule.replayed}
    if replayed.gate and not any(rule.compares for rule in rules.values()):
        raise SettingsError(
            f"{origin}: gate.rules hold no rule of kind champion, so nobody would ever be replaced; declare one, or "
            "say 'backtest: {gate: false}' for promotions without a gate"
        )
    gate = settings.gate.model_copy(update={"rules": rules, "approval": "none", "anchor": None})
    return settings.model_copy(update={"gate": gate})
