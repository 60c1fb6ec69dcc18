"""Load the settings of every configured model, each for itself."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ml.errors import EvergreenError
from ml.settings.environment import Environment
from ml.settings.file import Settings, load_model
from ml.settings.models import configured_models


@dataclass(frozen=True)
class LoadedModel:
    """A model with its checked settings."""

    name: str
    settings: Settings


@dataclass(frozen=True)
class LoadedModels:
    """The models whose settings are right, and what is wrong with those of the others, by name."""

    models: tuple[LoadedModel, ...]
    problems: Mapping[str, str] = field(default_factory=dict)


def load_models(names: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> LoadedModels:
    """Load the settings of each model; wrong settings of one are its own problem, and stop no other.

    Parameters
    ----------
    names
        The models that are meant; None means all configured ones, the one at the top first.
    """
    models, problems = [], {}
    for name in names or [model.name for model in configured_models(environ)]:
        try:
            models.append(LoadedModel(name, load_model(Environment.load(environ, model=name))))
        except EvergreenError as err:
            problems[name] = str(err)
    return LoadedModels(tuple(models), problems)
