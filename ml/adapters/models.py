"""Pipelines as files: written and read in the skops format, never unpickled.

A skops file says itself which types it holds; whether they may be loaded is decided here, by a
list in code. What a model file or its MLflow entry calls trusted does not count.
"""

from __future__ import annotations

import warnings
from pathlib import Path

with warnings.catch_warnings():
    # It looks for SciPy's functions in every module that is loaded, Airflow's too, and so touches
    # each deprecated name: thousands of warnings that say nothing of us.
    warnings.simplefilter("ignore")
    import skops.io as sio

from sklearn.pipeline import Pipeline

from ml.errors import MissingArtifact, SettingsError

MODEL_FILE = "model.skops"
"""What MLflow calls a pipeline's file in the folder of a model."""

TRUSTED_TYPES = [
    "functools.partial",
    "numpy.dtype",
    "scipy._lib.array_api_compat.numpy._aliases.asarray",
    "scipy.interpolate._bsplines.BSpline",
    "scipy.interpolate._bsplines._BSpline",  # since SciPy 1.18
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.utils.validation.check_array",
]


def save(pipeline: Pipeline, path: Path) -> None:
    """Write a fitted pipeline, and make sure that it can be loaded again.

    Raises
    ------
    SettingsError
        If the estimator holds types that are not in `TRUSTED_TYPES`.
    """
    sio.dump(pipeline, path)
    load(path)


def load(path: Path) -> Pipeline:
    """Read a fitted pipeline; types outside `TRUSTED_TYPES` are refused before anything is built."""
    if not path.exists():
        raise MissingArtifact(f"{path}: no such model file; train again or choose another version")
    unknown = sorted(set(sio.get_untrusted_types(file=path)) - set(TRUSTED_TYPES))
    if unknown:
        raise SettingsError(
            f"{path.name} holds types that are not trusted: {', '.join(unknown)}; choose another "
            "fit.estimator, or review them and add them to TRUSTED_TYPES in ml/adapters/models.py"
        )
    return sio.load(path, trusted=TRUSTED_TYPES)
