"""Check that settings suit what is predicted: what cannot be defined for several classes, or of a quantile."""

from __future__ import annotations

from ml.settings.operation import Score
from ml.settings.task import Task
from ml.settings.training import Features, Fit, Intervals, Split


def refuse_unsuited(task: Task, features: Features, score: Score) -> None:
    """Raise a ValueError that names what is not defined for several classes, for these only, or of a quantile."""
    classes, several = task.classes, task.kind == "multiclass"
    for feature in features.history:
        group = f"the history feature by {', '.join(feature.by) or 'nothing'}"
        if several and feature.of not in classes:
            problem = "has no 'of'" if feature.of is None else f"is of {feature.of!r}, which is none of task.classes"
            raise ValueError(
                f"features.history: {group} {problem}; of multiclass it is the share of one class: set 'of' to any of "
                f"{', '.join(map(str, classes))}"
            )
        if not several and feature.of is not None:
            raise ValueError(
                f"features.history: {group} is of {feature.of!r}, and a {task.kind} has no such classes; remove 'of'"
            )
    if task.quantile is not None and score.adapt != "none":
        raise ValueError(
            f"score.adapt: {score.adapt} closes the gap of the mean, and task.quantile predicts no mean; set it to none"
        )
    if several and score.adapt != "none":
        raise ValueError(
            f"score.adapt: {score.adapt} moves all scores by one number, which multiclass has not; set it to none"
        )


def refuse_intervals(task: Task, intervals: Intervals | None, split: Split) -> None:
    """Raise a ValueError where a prediction has no interval, or the holdout has too few days for the declared one."""
    if intervals is None:
        return
    if task.kind != "regression":
        raise ValueError(f"fit.intervals are of numbers, and the task is a {task.kind}; remove them")
    if task.quantile is not None:
        raise ValueError(
            "fit.intervals are around a mean, and task.quantile predicts one end of an interval by itself; remove one "
            "of the two"
        )
    if intervals.unit == "days" and split.holdout_days < intervals.fewest():
        raise ValueError(
            f"fit.intervals: a coverage of {intervals.coverage:g} by days needs split.holdout_days of at least "
            f"{intervals.fewest()}, and it is {split.holdout_days}; raise it, or lower the coverage"
        )


def refuse_streamed(features: Features, fit: Fit) -> None:
    """Raise a ValueError where rows are to be read some after the others, and features need all of them."""
    if fit.stream and features.python:
        raise ValueError(
            "fit.stream reads some rows after the others, and the results of features.python are held in memory for "
            "all of them; remove one of the two"
        )
