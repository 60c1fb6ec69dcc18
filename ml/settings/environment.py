"""Read from the environment where things are."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from ml.errors import SettingsError
from ml.settings.models import PROJECT_ROOT, ConfiguredModel, find_model

PLACEHOLDER = "{model}"
"""Stands in a URL of the environment for the name of the model."""


class Environment(BaseModel):
    """Where things of one model are, in paths and URLs; none of it changes a result.

    Attributes
    ----------
    model
        The name of the model that these places belong to.
    is_top
        Whether it is the model at the top of the project.
    stage
        The name of the environment (``EVERGREEN_ENV``, such as ``staging``), whose ``params.<stage>.yaml`` is laid over
        the settings; empty if it has no name.
    cluster
        Where the cluster is that ``engine.kind: cluster`` works on; empty starts one on this machine.
    starting
        A file that is there while `make up` lands the history and trains the first champion: it holds the process.
    development
        Lets a model be registered whose code no commit holds, so that nobody can rebuild it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    is_top: bool = True
    stage: str = ""
    home: Path
    params: Path
    expectations: Path
    storage: str
    registry: str
    registry_remote: str
    cache: Path
    tracking: str
    cluster: str = ""
    starting: Path | None = None
    development: bool = False

    @classmethod
    def load(cls, environ: Mapping[str, str] = os.environ, *, model: str | None = None) -> Environment:
        """Read ``EVERGREEN_*`` and ``MLFLOW_TRACKING_URI``; every default lies under ``var/``.

        Parameters
        ----------
        model
            The name of a model; None means ``EVERGREEN_MODEL``, else the one at the top, or the only one.

        Raises
        ------
        SettingsError
            If there is no such model, or if a variable is wrong.
        """
        chosen = find_model(model or environ.get("EVERGREEN_MODEL") or None, environ)
        top = Path(environ.get("EVERGREEN_HOME") or PROJECT_ROOT / "var").absolute()
        home = top if chosen.is_top else top / "models" / chosen.name
        return cls(
            model=chosen.name,
            is_top=chosen.is_top,
            stage=_stage(environ),
            home=home,
            params=chosen.params,
            expectations=chosen.expectations,
            storage=_place("EVERGREEN_STORAGE", home / "storage", chosen, environ),
            registry=_place("EVERGREEN_REGISTRY", home / "registry.git", chosen, environ),
            registry_remote=_place("EVERGREEN_REGISTRY_REMOTE", home / "registry-remote", chosen, environ),
            cache=Path(_place("EVERGREEN_CACHE", home / "cache", chosen, environ)),
            tracking=environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{top / 'mlflow' / 'mlflow.db'}",
            cluster=environ.get("EVERGREEN_CLUSTER_ADDRESS", ""),
            starting=top / "starting",
            development=environ.get("EVERGREEN_DEVELOPMENT", "0") not in {"", "0"},
        )


def _stage(environ: Mapping[str, str]) -> str:
    stage = environ.get("EVERGREEN_ENV", "")
    if stage and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}", stage):
        raise SettingsError(f"EVERGREEN_ENV is {stage!r}: an environment's name has letters, digits, - and _ only")
    return stage


def _place(variable: str, default: Path, model: ConfiguredModel, environ: Mapping[str, str]) -> str:
    """Return what a variable names for a model: each has a place of its own.

    Examples
    --------
    >>> churn = ConfiguredModel("churn", Path("params.yaml"), Path("expectations"))
    >>> for value in ("s3://bucket", "s3://bucket/live", "git@host:team/data.git", "/srv/{model}/storage"):
    ...     print(_place("EVERGREEN_STORAGE", Path(), churn, {"EVERGREEN_STORAGE": value}))
    s3://bucket/churn
    s3://bucket/live-churn
    git@host:team/data-churn.git
    /srv/churn/storage
    """
    value = environ.get(variable)
    if not value:
        return str(default)
    if PLACEHOLDER in value:
        return value.replace(PLACEHOLDER, model.name)
    if model.is_top:
        return value
    value = value.rstrip("/")
    if re.fullmatch(r"[a-z0-9]+://[^/]+", value):  # a bucket: what is in it is a folder
        return f"{value}/{model.name}"
    base = value.removesuffix(".git")
    return f"{base}-{model.name}{value[len(base) :]}"
