"""Search for better ``fit.args`` inside the training part; the holdout is never read."""

from __future__ import annotations

import json
import logging
import math
import sys
import warnings
from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

from ml.errors import SettingsError
from ml.records import Tuned, Window
from ml.settings import Settings
from ml.steps.retrain.search_result import TUNED
from ml.steps.retrain.stage import stage_main
from ml.wiring import Services

if TYPE_CHECKING:
    import pandas as pd

    from ml.adapters.hyperparameter_search import Tried
    from ml.core.training.folds import Fold

logger = logging.getLogger(__name__)


def run(window: Window, *, settings: Settings, services: Services) -> Tuned:
    """Search over ``tune.space`` and write down the best arguments; a finished search is used again.

    Every point is scored by the mean row loss of ``gate.metric`` (of ``rmse``: its square) over
    time-ordered folds of the training part. The arguments of ``params.yaml`` are tried first, so none that
    do worse on that score can win. With a budget of ``tune.minutes`` the machine's speed decides how many
    points are tried: what is written down is what the fit uses, and what a reproduction uses.

    Turned off, it only writes down ``fit.args``.

    Raises
    ------
    SettingsError
        If ``tune.space`` names what the estimator does not take.
    DataRejected
        If the training part has too few days for ``tune.folds``.
    """
    run_dir = services.workspace(window.workspace)
    if not settings.tune.enabled:
        tuned = Tuned(fingerprint=window.fingerprint, enabled=False, args=settings.fit.args)
        run_dir.write_json(TUNED, tuned.model_dump(mode="json"))
        logger.info("tune: off, fit.args as they are")
        return tuned
    if run_dir.has(TUNED):
        tuned = Tuned.model_validate(run_dir.read_json(TUNED))
        if tuned.enabled and tuned.fingerprint == window.fingerprint:
            logger.info("tune: this fingerprint was searched already, in run %s", tuned.run_id)
            return tuned
    logger.info("tune: up to %d trials for %s", settings.tune.trials, window.fingerprint[:12])
    tuned = _search(window, run_dir.read_table("parts/train.parquet"), settings, services)
    run_dir.write_json(TUNED, tuned.model_dump(mode="json"))
    return tuned


def _search(window: Window, train: pd.DataFrame, settings: Settings, services: Services) -> Tuned:
    from ml.adapters.hyperparameter_search import search
    from ml.core.training.folds import time_ordered

    tune, tracking, name = settings.tune, services.tracking, window.fingerprint
    first = _first(settings)
    days = [date.fromisoformat(day) for day in train["day"].unique()]
    folds = time_ordered(days, folds=tune.folds, longest=settings.split.holdout_days)
    search_id = tracking.open_search(
        name,
        {
            "estimator": settings.fit.estimator,
            "metric": settings.gate.metric,
            "seed": str(settings.fit.seed),
            **{f"tune.{key}": json.dumps(value) for key, value in tune.model_dump(mode="json").items()},
        },
    )

    def score(number: int, args: dict[str, Any]) -> float | None:
        loss, message = _loss(train, folds, _with_args(settings, args))
        if loss is None:
            logger.warning("tune: trial %d with %s failed (%s)", number, args, message)
        tracking.log_trial(search_id, number, fingerprint=name, params=_texts(args), loss=loss, message=message)
        return loss

    tried = search(
        score,
        tune.space,
        first=first,
        trials=tune.trials,
        seed=settings.fit.seed,
        seconds=None if tune.minutes is None else tune.minutes * 60,
        show_progress=sys.stderr.isatty(),
    )
    best = _best(tried)
    args = settings.fit.args | best.args if best is not tried[0] else settings.fit.args
    losses = {"best_loss": best.loss, "default_loss": tried[0].loss}
    tracking.close_search(search_id, params=_texts(args), metrics={k: v for k, v in losses.items() if v is not None})
    if best.loss is None:
        logger.warning("tune: all %d trials failed, so fit.args stay as they are: %s", len(tried), args)
    else:
        logger.info("tune: %s, loss %s against %s by default", args, best.loss, tried[0].loss)
    return Tuned(fingerprint=name, enabled=True, args=args, trials=len(tried), run_id=search_id, **losses)


def _first(settings: Settings) -> dict[str, Any]:
    """Return the point that ``fit.args``, and else the estimator's own defaults, take in the space."""
    from ml.core.training.estimators import build

    estimator = build(settings.task, settings.features, settings.fit).named_steps["estimator"]
    defaults = estimator.get_params(deep=False) | settings.fit.args
    strange = sorted(set(settings.tune.space) - set(defaults))
    if strange:
        raise SettingsError(
            f"tune.space names {', '.join(strange)}, which {settings.fit.estimator} does not take; "
            f"name any of {', '.join(sorted(defaults))}"
        )
    return {name: defaults[name] for name in settings.tune.space}


def _with_args(settings: Settings, args: Mapping[str, Any]) -> Settings:
    fit = settings.fit.model_copy(update={"args": settings.fit.args | dict(args)})
    return settings.model_copy(update={"fit": fit})


def _loss(train: pd.DataFrame, folds: tuple[Fold, ...], settings: Settings) -> tuple[float | None, str]:
    """Return the mean row loss over all folds, None if it has none, and what there is to say of it."""
    import numpy as np

    from ml.core.metrics import row_loss
    from ml.core.training.estimators import predict
    from ml.core.training.features import matrix
    from ml.steps.retrain.pipelines import fit_pipeline

    losses, task = [], settings.task
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            for fold in folds:
                fitted, scored = (
                    train.loc[train["day"].isin([day.isoformat() for day in days])]
                    for days in (fold.fitted_on, fold.scored_on)
                )
                pipeline, seen = fit_pipeline(fitted, settings), matrix(scored, settings.features)
                prediction = predict(pipeline, seen, task.kind, len(task.classes))
                losses.append(row_loss(scored[settings.task.target], prediction, settings.gate.metric))
        except Exception as err:  # noqa: BLE001  an estimator may refuse a point of the space in any way
            return None, f"{type(err).__name__}: {err}"
    loss = float(np.concatenate(losses).mean())
    warned = "; ".join(sorted({f"{w.category.__name__}: {w.message}" for w in caught}))
    return (loss, warned) if math.isfinite(loss) else (None, f"the loss is {loss}")


def _best(tried: list[Tried]) -> Tried:
    """Return the first of those with the smallest loss; the very first of all if none has one."""
    scored = [(trial.loss, number) for number, trial in enumerate(tried) if trial.loss is not None]
    return tried[min(scored)[1]] if scored else tried[0]


def _texts(args: Mapping[str, Any]) -> dict[str, str]:
    return {name: json.dumps(value, default=str) for name, value in args.items()}


def main(argv: list[str] | None = None) -> int:
    """Tune on a local workspace; the ``tune`` stage of ``dvc.yaml``."""
    return stage_main(__doc__, run, argv)


if __name__ == "__main__":
    sys.exit(main())
