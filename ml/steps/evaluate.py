"""Score candidate and champion on the same holdout, each through its own full pipeline."""

from __future__ import annotations

import logging
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from ml.adapters import models
from ml.adapters.arrived import open_earlier, seen_by
from ml.adapters.workspace import Workspace
from ml.core import leakage, metrics
from ml.core.arrivals import as_seen
from ml.core.estimators import as_trained, predict, trained_kinds
from ml.core.features import add_history, feature_columns, history_names, join_labels, lookback_days, matrix
from ml.core.lineage import same_recipe
from ml.errors import DataRejected, MissingArtifact, SettingsError
from ml.records import Candidate, Evaluation, Parts, Window
from ml.settings import Settings, parse
from ml.steps import recorded_models
from ml.steps.recorded_models import LINEAGE
from ml.steps.stage import stage_main
from ml.steps.tune import tuned_settings
from ml.wiring import Services

logger = logging.getLogger(__name__)
T = TypeVar("T")


def run(window: Window, *, settings: Settings, services: Services, meet_champion: bool = False) -> Evaluation:
    """Measure the candidate on the holdout, beside the base rate and the serving champion.

    Writes ``evaluation/holdout.parquet`` (day, target, challenger and, if one serves, champion and
    whether it had seen that day), metrics, and the points of the plots.

    Parameters
    ----------
    meet_champion
        Whether to ask MLflow for a champion. ``dvc repro`` does not: what a stage gives must
        follow from its dependencies.
    """
    place = services.workspace(window.workspace)
    candidate = Candidate.model_validate(place.read_json("model/candidate.json"))
    parts = Parts.model_validate({"fingerprint": window.fingerprint, **place.read_json("parts/parts.json")})
    logger.info("evaluate: run %s on %d rows", candidate.run_id, parts.holdout_rows)
    holdout = place.read_table("parts/holdout.parquet")
    scored = _candidate_scores(place, holdout, settings)
    champion = services.tracking.alias("champion") if meet_champion else None
    made = None if champion is None else _made_of(champion, services)
    is_refresh = False
    if champion is not None and made is not None:
        own, last_day = made
        scored = _with_champion(scored, champion, own, window, holdout, settings, services)
        is_refresh = window.last_day > last_day and same_recipe(own, tuned_settings(place, settings))
    measured = {
        name: metrics.measure(scored["target"], scored[name], settings.task.kind)
        for name in ("challenger", "base_rate", "champion")
        if name in scored
    }
    evaluation = Evaluation(
        fingerprint=window.fingerprint,
        run_id=candidate.run_id,
        holdout_rows=len(scored),
        holdout_days=int(scored["day"].nunique()),
        challenger=measured["challenger"],
        base_rate=measured["base_rate"],
        champion=measured.get("champion"),
        champion_version=champion,
        is_refresh=is_refresh,
    )
    _write(place, scored, evaluation, settings, services)
    logger.info("evaluate: %s", {name: found.get(settings.gate.metric) for name, found in measured.items()})
    return evaluation


def _candidate_scores(place: Workspace, holdout: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """Score the holdout as the candidate and the base rate do, and look for leaks from train into it."""
    task = settings.task
    columns = list(dict.fromkeys([*task.key, *feature_columns(settings.features), task.target]))
    train = place.read_table("parts/train.parquet", columns=columns)
    _look_for_leaks(place, train, holdout, settings)
    with place.local("model/pipeline.skops") as path:
        pipeline = models.load(path, trusted=settings.fit.trusted_types)
    return pd.DataFrame(
        {
            "day": holdout["day"],
            "target": holdout[task.target].astype(float),
            "challenger": predict(pipeline, matrix(holdout, settings.features), task.kind),
            "base_rate": metrics.base_prediction(train[task.target].to_numpy()),
        }
    )


def _look_for_leaks(place: Workspace, train: pd.DataFrame, holdout: pd.DataFrame, settings: Settings) -> None:
    """Write down what each feature alone explains, and what train and holdout share."""
    task = settings.task
    found = leakage.look(
        train,
        holdout,
        feature_columns(settings.features),
        target=task.target,
        key=task.key,
        kind=task.kind,
        label_columns=[name for name in place.read_json("data/window.json")["label_columns"] if name not in task.key],
    )
    place.write_json("evaluation/leakage.json", found.model_dump(mode="json"))


def _made_of(version: int, services: Services) -> tuple[Settings, date] | None:
    """Give the settings of the champion and the last day of its window.

    None if they are not kept: that is missing evidence, and the gate will hold.
    """
    try:
        return _of_lineage(
            version,
            services,
            lambda lineage: (_settings_in(lineage, version), date.fromisoformat(lineage["window"]["last_day"])),
        )
    except (MissingArtifact, SettingsError) as err:
        logger.warning("evaluate: champion v%d cannot be compared with: %s", version, err)
        return None


def _with_champion(
    scored: pd.DataFrame,
    version: int,
    own: Settings,
    window: Window,
    holdout: pd.DataFrame,
    settings: Settings,
    services: Services,
) -> pd.DataFrame:
    """Add the champion's scores; where it cannot give any, evidence is missing and the gate will hold.

    Data that the registry should have and has not are no such case: they fail.
    """
    try:
        _refuse_other_question(own, settings)
        added = history_names(settings.features.history)
        return scored.join(_champion_scores(version, own, window, holdout, added, services))
    except (DataRejected, SettingsError) as err:
        logger.warning("evaluate: champion v%d cannot score this holdout: %s", version, err)
        return scored


def _refuse_other_question(own: Settings, settings: Settings) -> None:
    mine, theirs = (
        (task.kind, task.target, 1 if task.positive is None else task.positive) for task in (settings.task, own.task)
    )
    if mine != theirs:
        raise SettingsError(f"it predicts another target or class: {' '.join(map(str, theirs))}")


def _champion_scores(
    version: int, own: Settings, window: Window, holdout: pd.DataFrame, added: Sequence[str], services: Services
) -> pd.DataFrame:
    """Score the same rows as the champion would, with its own features and its own history.

    Parameters
    ----------
    added
        The history features of the challenger, which ``holdout`` carries.
    """
    train_last_day = services.tracking.version_tags(version)["train_last_day"]
    first, last = (date.fromisoformat(str(edge)) for edge in (holdout["day"].min(), holdout["day"].max()))
    plain = holdout.drop(columns=[name for name in added if name in holdout])
    rows = add_history(
        plain,
        labelled_before(first, last, own, services, rev=window.data_version),
        own.features.history,
        target=own.task.target,
        label_delay_days=own.task.label_delay_days,
    )
    pipeline = recorded_models.load(version, services)
    seen = as_trained(matrix(rows, own.features), trained_kinds(pipeline, own.features))
    return pd.DataFrame(
        {
            "champion": predict(pipeline, seen, own.task.kind),
            "champion_had_seen": (rows["day"] <= train_last_day).to_numpy(),
        },
        index=holdout.index,
    )


def labelled_before(first: date, last: date, own: Settings, services: Services, *, rev: str | None) -> pd.DataFrame:
    """Read the labelled rows that the history features of ``first`` to ``last`` look back on.

    Parameters
    ----------
    own
        The settings of the model that is asked: its features reach back as far as they do,
        whatever another model's window holds.

    Returns
    -------
    DataFrame of shape (n_labelled, n_columns)
        The key, every column named in ``by``, and the target; as each day could see it (`ml.core.arrivals`).
    """
    key, target = own.task.key, own.task.target
    columns = list(dict.fromkeys([*key, *(name for feature in own.features.history for name in feature.by)]))
    reach = lookback_days(own.features.history, label_delay_days=own.task.label_delay_days)
    if not reach:
        return pd.DataFrame(columns=[*columns, target])
    oldest, newest = first - timedelta(days=reach), last - timedelta(days=max(own.task.label_delay_days, 1))
    inputs, labels = (
        services.registry.open(asset, rev=rev, first_day=oldest, last_day=newest) for asset in ("inputs", "labels")
    )
    parts = [
        join_labels(
            pd.read_parquet(inputs[day], columns=columns),
            pd.read_parquet(labels[day]),
            key=key,
            target=target,
            positive=own.task.positive,
        )
        for day in sorted(set(inputs) & set(labels))
    ]
    if not parts:
        return pd.DataFrame(columns=[*columns, target])
    held = services.registry.days("labels", rev)
    files = [held[day] for day in sorted(set(inputs) & set(labels))]
    contents = seen_by(first, last, files, own, services.registry, rev=rev or services.registry.head())
    earlier = {
        md5: join_labels(
            pd.read_parquet(inputs[day], columns=columns),
            pd.read_parquet(path),
            key=key,
            target=target,
            positive=own.task.positive,
        )
        for md5, (day, path) in open_earlier(contents, files, services.registry).items()
    }
    return as_seen(pd.concat(parts, ignore_index=True), earlier, contents)


def settings_of(version: int, services: Services) -> Settings:
    """Give the settings that a version was trained with: its features are computed by its own.

    Raises
    ------
    MissingArtifact
        If they are not kept with it, as of versions registered before they were.
    SettingsError
        If they are none that this code knows.
    """
    return _of_lineage(version, services, lambda lineage: _settings_in(lineage, version))


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


def _write(
    place: Workspace, scored: pd.DataFrame, evaluation: Evaluation, settings: Settings, services: Services
) -> None:
    tables: dict[str, pd.DataFrame] = {}
    if settings.task.kind == "classification":
        tables |= metrics.curves(scored["target"], scored["challenger"])
    tables["loss_by_day"] = pd.concat(
        metrics.by_day(scored["day"], scored["target"], scored[name], settings.gate.metric).assign(model=name)
        for name in ("challenger", "base_rate", "champion")
        if name in scored
    )
    flat = dict(evaluation.challenger)
    metric = settings.gate.metric
    if metric in evaluation.base_rate:
        flat[f"base_rate_{metric}"] = evaluation.base_rate[metric]
    if evaluation.champion and metric in evaluation.champion:
        flat[f"champion_{metric}"] = evaluation.champion[metric]
    flat |= {"holdout_rows": float(evaluation.holdout_rows), "holdout_days": float(evaluation.holdout_days)}
    place.write_table("evaluation/holdout.parquet", scored)
    place.write_json("evaluation/metrics.json", {name: round(value, 6) for name, value in flat.items()})
    for name, table in tables.items():
        place.write_text(f"plots/{name}.csv", table.to_csv(index=False, float_format="%.6g"))
    with tempfile.TemporaryDirectory() as folder:
        from ml.adapters import plots

        plots.draw(tables, Path(folder))
        services.tracking.log_results(evaluation.run_id, flat, Path(folder))
    place.write_json("evaluation/evaluation.json", evaluation.model_dump(mode="json"))


def main(argv: list[str] | None = None) -> int:
    """Evaluate a local workspace; the ``evaluate`` stage of ``dvc.yaml``."""
    return stage_main(__doc__, run, argv)


if __name__ == "__main__":
    sys.exit(main())
