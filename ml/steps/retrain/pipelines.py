"""Fits of a pipeline by settings: the one that *fit* logs, those of a search and of folds, and a rehearsal."""

from __future__ import annotations

import json
import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from typing import Any

import pandas as pd
from sklearn.pipeline import Pipeline
from threadpoolctl import ThreadpoolController, threadpool_limits

from ml import own_code
from ml.adapters import models, streamed_fit
from ml.adapters.engine import LOCAL, Engine
from ml.adapters.streamed_fit import Source
from ml.core.training import estimators, sample_weights
from ml.core.training.features import matrix
from ml.errors import EvergreenError, SettingsError
from ml.settings import Settings

logger = logging.getLogger(__name__)
MOST_REHEARSED = 256


def fit_pipeline(
    train: pd.DataFrame, settings: Settings, *, source: Source | None = None, engine: Engine = LOCAL
) -> Pipeline:
    """Fit a new pipeline on rows that carry their history features and the target.

    Parameters
    ----------
    source
        With ``fit.stream``, all rows to learn from, of which ``train`` is a sample; None means ``train`` itself.
    engine
        With ``fit.stream.workers``, what works on their shares; wherever that is, the model is the same.
    """
    pipeline = estimators.build(settings.task, settings.features, settings.fit)
    if settings.fit.stream:
        with _naming_what_does_not_suit(settings, len(train)), threadpool_limits(settings.fit.threads):
            return streamed_fit.fit(pipeline, train, source or streamed_fit.of_frame(train), settings, engine=engine)
    target = train[settings.task.target]
    typed = target.astype("int64") if settings.task.kind != "regression" else target.astype("float64")
    columns = matrix(train, settings.features)
    weighted = sample_weights.fit_arguments(pipeline, train, settings.fit.sample_weight)
    with _naming_what_does_not_suit(settings, len(train)), threadpool_limits(settings.fit.threads):
        return pipeline.fit(columns, typed, **weighted)


@contextmanager
def _naming_what_does_not_suit(settings: Settings, rows: int) -> Iterator[None]:
    """Turn what an estimator raises into an error that names it and its arguments."""
    try:
        yield
    except (MemoryError, OSError, EvergreenError):  # of the machine or of the data, not of the settings
        raise
    except Exception as err:
        problem = " ".join(str(err).split())
        raise SettingsError(
            f"{settings.fit.estimator} with fit.args {settings.fit.args} cannot be fitted on {rows} training "
            f"rows ({problem[:500]}); choose other fit.args, features or another fit.estimator"
        ) from err


def steady(settings: Settings) -> AbstractContextManager[Any]:
    """Keep to one number of BLAS threads: the last bits of a prediction depend on it."""
    limiter: AbstractContextManager[Any] = _thread_pools(len(sys.modules)).limit(
        limits=settings.fit.threads, user_api="blas"
    )
    return limiter


@lru_cache(maxsize=1)
def _thread_pools(modules: int) -> ThreadpoolController:
    """Find the libraries that have threads, anew once modules were loaded: it takes as long as a small prediction."""
    return ThreadpoolController()


def rehearse(settings: Settings) -> None:
    """Refuse an estimator that could not be built, or whose fitted form could not be loaded again.

    It is fitted on a few made-up rows, before any data are read. That they do not suit it says nothing: only what
    would hold for every fit is refused.

    Raises
    ------
    SettingsError
        If a fit by these settings could never serve; the message names the types to review.
    """
    own = own_code.hashes(settings.code_paths())
    recipe = settings.model_dump_json(include={"task", "features", "fit"}) + json.dumps(own, sort_keys=True)
    if recipe in _rehearsed:
        return
    pipeline = estimators.build(settings.task, settings.features, settings.fit)
    rows, target = estimators.stand_in(settings.task, settings.features)
    try:
        with warnings.catch_warnings(), threadpool_limits(settings.fit.threads):
            warnings.simplefilter("ignore")
            pipeline.fit(rows, target)
    except Exception as err:  # noqa: BLE001  real rows may suit it
        logger.info("fit: %s could not be tried on made-up rows (%s)", settings.fit.estimator, err)
        return
    models.refuse_untrusted(pipeline, trusted=settings.fit.trusted_types)
    if len(_rehearsed) < MOST_REHEARSED:
        _rehearsed.add(recipe)


_rehearsed: set[str] = set()
"""Recipes that went well in this process: what is fitted later is looked at again when it is written."""
