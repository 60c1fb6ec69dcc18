"""Find the models of this installation that can be started, and say what is wrong with the others."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from ml.errors import SettingsError
from ml.settings import LoadedModel, LoadedModels, load_models

DEFAULT_POOL = "default_pool"
"""Airflow's own pool, which is always there."""

POOL_SLOTS = 1
"""How many tasks run at once in a pool that is made for the models that name it: whoever wants more says so."""


def pools_of(models: Iterable[LoadedModel]) -> tuple[str, ...]:
    """Name the pools that the models' work waits in, without Airflow's own."""
    return tuple(sorted({model.settings.schedule.pool for model in models} - {DEFAULT_POOL}))


def startable_models(only: str | None = None, environ: Mapping[str, str] = os.environ) -> LoadedModels:
    """Load the settings of each model, the one at the top first.

    Parameters
    ----------
    only
        The name of the one model that is meant; None means that of ``EVERGREEN_MODEL``, else all.

    Raises
    ------
    SettingsError
        If there is no model of that name, or if no model can be started.
    """
    only = only or environ.get("EVERGREEN_MODEL") or None
    loaded = load_models([only] if only else None, environ)
    if not loaded.models:
        lines = [
            problem if len(loaded.problems) == 1 else f"model {name}: {problem}"
            for name, problem in loaded.problems.items()
        ]
        raise SettingsError("\n".join(lines))
    return loaded
