"""The one client of Optuna: propose hyper-parameters, learn from their losses, propose better ones."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ml.errors import SettingsError
from ml.settings import Span

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True)
class Tried:
    """One point of the space and its loss; None if it has none."""

    args: dict[str, Any]
    loss: float | None


def search(
    score: Callable[[int, dict[str, Any]], float | None],
    space: Mapping[str, Span],
    *,
    first: Mapping[str, Any],
    trials: int,
    seed: int,
    seconds: float | None = None,
    show_progress: bool = False,
) -> list[Tried]:
    """Try ``first``, then what a tree-structured Parzen estimator proposes (Bergstra et al. 2011).

    The same arguments and the same losses give the same proposals. What ``score`` raises ends the search.

    Parameters
    ----------
    score
        Gives the loss (smaller is better) of a numbered point; None for a failed trial, which the
        estimator learns nothing from.
    first
        A value for each name of ``space``; it is tried even where it lies outside.
    trials
        How many points, ``first`` included.
    seconds
        No trial begins later; ``first`` always does. None is no limit, and then nothing depends on the clock.
    show_progress
        Draws a bar on standard error.

    Raises
    ------
    SettingsError
        If a range of whole numbers holds none.

    Returns
    -------
    list of Tried
        In the order of trying, at least one.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.CRITICAL)  # a failed trial is the caller's to report
    bounds = {name: _bounds(name, span) for name, span in space.items()}
    started = time.monotonic()
    tried: list[Tried] = []

    def attempt(args: dict[str, Any]) -> float:
        loss = score(len(tried), args)
        tried.append(Tried(args, loss))
        return math.nan if loss is None else loss  # Optuna counts it as failed

    def objective(trial: optuna.Trial) -> float:
        return attempt({name: _suggest(trial, name, span, *bounds[name]) for name, span in space.items()})

    study = optuna.create_study(direction="minimize", sampler=optuna.samplers.TPESampler(seed=seed))
    if all(_holds(span, first[name]) for name, span in space.items()):
        study.enqueue_trial({name: _code(span, first[name]) for name, span in space.items()})
        study.optimize(objective, n_trials=1)
    else:
        attempt({name: first[name] for name in space})
    seconds_left = None if seconds is None else seconds - (time.monotonic() - started)
    if trials > 1 and (seconds_left is None or seconds_left > 0):
        study.optimize(objective, n_trials=trials - 1, timeout=seconds_left, show_progress_bar=show_progress)
    return tried


def _bounds(name: str, span: Span) -> tuple[float, float]:
    """Return the lowest and the highest number to propose; a choice is proposed by its position."""
    if span.choices is not None:
        return 0, len(span.choices) - 1
    assert span.low is not None and span.high is not None
    if not span.integer:
        return span.low, span.high
    low, high = math.ceil(span.low), math.floor(span.high)
    if low > high:
        raise SettingsError(f"tune.space.{name}: no whole number lies from {span.low} to {span.high}; widen the range")
    return low, high


def _suggest(trial: optuna.Trial, name: str, span: Span, low: float, high: float) -> Any:
    if span.choices is not None:
        return span.choices[trial.suggest_categorical(name, range(len(span.choices)))]
    if span.integer:
        return trial.suggest_int(name, int(low), int(high), log=span.log)
    return trial.suggest_float(name, low, high, log=span.log)


def _holds(span: Span, value: Any) -> bool:
    """Return whether a value is a point of the space, so that it can be learnt from."""
    if span.choices is not None:
        return value in span.choices
    assert span.low is not None and span.high is not None
    number = isinstance(value, int if span.integer else int | float) and not isinstance(value, bool)
    return number and span.low <= value <= span.high


def _code(span: Span, value: Any) -> Any:
    return value if span.choices is None else span.choices.index(value)
