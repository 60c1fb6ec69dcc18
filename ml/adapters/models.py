"""Pipelines as files: written and read in the skops format, never unpickled.

A skops file says itself which types it holds; whether they may be loaded is decided here, by a list in code
(`ml.adapters.trusted`) and by ``fit.trusted_types`` of this installation's settings. What a model file or its MLflow
entry calls trusted does not count.
"""

from __future__ import annotations

import tempfile
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path

with warnings.catch_warnings():
    # It looks for SciPy's functions in every module that is loaded, Airflow's too, and so touches
    # each deprecated name: thousands of warnings that say nothing of us.
    warnings.simplefilter("ignore")
    import skops.io as sio

from sklearn.pipeline import Pipeline

from ml import own_code
from ml.adapters.trusted import TRUSTED_TYPES
from ml.core.training.boosting import INSTALL, package_of
from ml.errors import MissingArtifact, SettingsError

MODEL_FILE = "model.skops"
"""What MLflow calls a pipeline's file in the folder of a model."""


def save(pipeline: Pipeline, path: Path, *, trusted: Sequence[str] = ()) -> None:
    """Write a fitted pipeline, and make sure that it can be loaded again.

    Raises
    ------
    SettingsError
        If the estimator holds what skops cannot write, or types that are neither in `TRUSTED_TYPES` nor in ``trusted``.
    """
    try:
        sio.dump(pipeline, path)
    except Exception as err:
        estimator = type(pipeline.steps[-1][1])
        raise SettingsError(
            f"a fitted {estimator.__module__}.{estimator.__qualname__} cannot be written as a skops file ({err}); "
            "choose another fit.estimator, or other fit.args"
        ) from err
    load(path, trusted=trusted)


def load(path: Path, *, trusted: Sequence[str] = ()) -> Pipeline:
    """Read a fitted pipeline; other types are refused before anything is built.

    Parameters
    ----------
    trusted
        ``fit.trusted_types`` of this installation's own settings, never of those that came with the model. One that is
        pinned to a hash of its code is trusted while the code has it.
    """
    if not path.exists():
        raise MissingArtifact(f"{path}: no such model file; train again or choose another version")
    try:
        held = sio.get_untrusted_types(file=path)
    except (zipfile.BadZipFile, KeyError, TypeError, ValueError, EOFError) as err:
        raise MissingArtifact(
            f"{path.name} cannot be read as a model ({err}); train again or choose another version"
        ) from err
    allowed = [*TRUSTED_TYPES, *own_code.reviewed(trusted, held)]
    unknown = sorted(set(held) - set(allowed))
    if unknown:
        raise SettingsError(
            f"{path.name} holds types that are not trusted: {', '.join(unknown)}; choose another "
            "fit.estimator, or review them and name them under fit.trusted_types in params.yaml: "
            f"[{', '.join(map(own_code.pinned, unknown))}]"
        )
    try:
        pipeline = sio.load(path, trusted=allowed)
    except ImportError as err:
        raise SettingsError(
            f"{path.name} holds a model of a package that is not installed here ({err}); {INSTALL}, or choose another "
            "version"
            if package_of(err.name or "")
            else f"{path.name} holds a type that cannot be imported here ({err}); install its package wherever models "
            "are trained and scored, or choose another version"
        ) from err
    if not isinstance(pipeline, Pipeline):
        raise MissingArtifact(f"{path.name} holds no pipeline of ours; train again or choose another version")
    return pipeline


def refuse_untrusted(pipeline: Pipeline, *, trusted: Sequence[str] = ()) -> None:
    """Raise as `save` does, and keep nothing."""
    with tempfile.TemporaryDirectory() as folder:
        save(pipeline, Path(folder) / "model.skops", trusted=trusted)
