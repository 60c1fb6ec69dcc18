"""The settings that a registered version was trained with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, TypeVar

from ml.champions import recorded_models
from ml.champions.recorded_models import LINEAGE
from ml.errors import MissingArtifact
from ml.settings import Settings, parse
from ml.wiring import Services

T = TypeVar("T")


def settings_of(version: int, services: Services) -> Settings:
    """Return the settings that a version was trained with: its features are computed by its own.

    Raises
    ------
    MissingArtifact
        If they are not kept with it, as of versions registered before they were.
    SettingsError
        If they are none that this code knows.
    """
    return _of_lineage(version, services, lambda lineage: _settings_in(lineage, version))


def training_of(version: int, services: Services) -> tuple[Settings, date]:
    """Return the settings that a version was trained with, and the last day of its window; raises as `settings_of`."""
    return _of_lineage(
        version,
        services,
        lambda lineage: (_settings_in(lineage, version), date.fromisoformat(lineage["window"]["last_day"])),
    )


def _settings_in(lineage: Mapping[str, Any], version: int) -> Settings:
    return parse(lineage["settings"], origin=f"the lineage of version {version}")


def _of_lineage(version: int, services: Services, read: Callable[[Mapping[str, Any]], T]) -> T:
    try:
        return read(recorded_models.lineage_of(version, services))
    except MissingArtifact as err:
        raise MissingArtifact(
            f"version {version} has no {LINEAGE}, so that nobody knows the settings it was trained with ({err}); "
            "roll back to a version that has one, or add the file to its run in MLflow"
        ) from err


def has_other_classes(version: int, settings: Settings, services: Services) -> bool:
    """Return whether a version was trained on other ``task.classes``: what is kept with it then means other classes."""
    return bool(settings.task.classes) and settings_of(version, services).task.classes != settings.task.classes
