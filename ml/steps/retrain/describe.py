"""Write the model card of a judged version: what it is for, how it did, and what it cannot show."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from ml.core.gate import day_resampling, holdout_charts, holdout_tables, model_limits
from ml.core.monitoring.day_summary import plain
from ml.core.training.importance import Importance
from ml.core.training.intervals import calibrated_by_day
from ml.errors import EvergreenError, Unavailable
from ml.records import Card, Judgement, Window
from ml.settings import Settings
from ml.steps.retrain.judged_run import JudgedRun
from ml.views.card import calibration, dependence, intervals, sections
from ml.views.card.render import Cell, Page, Section, render
from ml.wiring import Services

logger = logging.getLogger(__name__)
T = TypeVar("T")
HTML, MARKDOWN, IMPORTANCE = "model_card.html", "model_card.md", "importance.json"
CHARTS = "charts.json"
MOST_DRAWN = 6
"""Of so many classes the card draws how predictions depend on features; of more it has the tables only."""

NOT_COMPUTED = (EvergreenError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What a part may fail with and leave the rest of the card as it is; storage that does not answer is no such thing."""


def run(window: Window, judgement: Judgement, *, settings: Settings, services: Services) -> Card:
    """Write the card, and keep it with the version's run as ``card/model_card.html`` and ``.md``.

    ``card/importance.json`` and ``card/charts.json`` are kept beside them. A part that cannot be computed is
    named in the card with the reason. The same judgement gives the same bytes.

    Raises
    ------
    Unavailable
        If MLflow or the storage did not answer: run it again.
    """
    run_dir = services.workspace(window.workspace)
    facts = JudgedRun(window, judgement, run_dir, settings, services)
    logger.info("describe: version %s", judgement.version)
    run_id = facts.run_id
    page, importance = _page(facts, run_id)
    html, markdown = render(page)
    texts = {HTML: html, MARKDOWN: markdown}
    if importance is not None:
        texts[IMPORTANCE] = json.dumps(importance.facts(), indent=2, sort_keys=True) + "\n"
    if (charts := _charts(facts)) is not None:
        texts[CHARTS] = json.dumps(plain(charts), sort_keys=True, separators=(",", ":"), allow_nan=False) + "\n"
    with tempfile.TemporaryDirectory() as folder:
        for name, text in texts.items():
            run_dir.write_text(f"card/{name}", text)
            (Path(folder) / name).write_text(text, encoding="utf-8", newline="\n")
        uri = services.tracking.keep_files(run_id, Path(folder), "card")
    logger.info("describe: the card of version %s is with run %s", judgement.version, run_id)
    return Card(version=judgement.version, run_id=run_id, html_uri=f"{uri}/{HTML}", markdown_uri=f"{uri}/{MARKDOWN}")


def _page(facts: JudgedRun, run_id: str) -> tuple[Page, Importance | None]:
    settings, judgement = facts.settings, facts.judgement
    parts: dict[str, Callable[[], Section]] = {
        "Purpose": lambda: sections.purpose(settings),
        "Data": lambda: sections.data(facts.parts, facts.window.data_version, facts.files),
        "Gate": lambda: sections.verdict(judgement.verdict),
        "Metrics on the holdout": lambda: sections.metrics(
            facts.evaluation, facts.intervals, settings, day_resampling.N_RESAMPLES
        ),
        "Calibration": lambda: _calibration(facts),
        **({"Prediction intervals": lambda: _intervals(facts)} if settings.fit.intervals else {}),
        "Slices": lambda: sections.slices(
            holdout_tables.slice_tables(facts.holdout, facts.scored, settings),
            settings,
            champion_version=judgement.champion_version,
        ),
        "Features by importance": lambda: sections.importance(facts.importance),
        "Dependence": lambda: _dependence(facts),
        "Features": lambda: sections.features(facts.train, settings),
        "Estimator": lambda: _estimator(facts),
        "Known limits": lambda: sections.limits(
            model_limits.limits(facts.train, facts.holdout, facts.scored, settings, unlabelled=_unlabelled(facts))
        ),
        "Lineage": lambda: sections.lineage(facts.lineage, run_id),
    }
    decided = judgement.verdict.decision
    version = f"version {judgement.version}" if judgement.version is not None else "not registered"
    page = Page(
        title=f"{settings.task.name}, {version}",
        subtitle=f"Model card. {_window_words(facts)}",
        verdict=Cell(f"Gate: {decided}", {"promote": "good", "hold": "bad"}[decided]),
        figures=_or_none(lambda: sections.figures(facts.evaluation, facts.intervals, settings)) or (),
        notice=_notice(judgement),
        sections=tuple(_part(title, compute) for title, compute in parts.items()),
    )
    return page, _or_none(lambda: facts.importance)


def _charts(facts: JudgedRun) -> dict[str, Any] | None:
    """Build what the page draws; None where it cannot be computed, which the log names."""
    try:
        charts = holdout_charts.charts(
            facts.scored,
            facts.holdout,
            facts.settings,
            facts.judgement.verdict,
            compared=facts.evaluation.compared,
        )
        return charts | {"dependence": _or_none(lambda: facts.dependence) or []}
    except Unavailable:
        raise
    except NOT_COMPUTED as err:
        logger.warning("describe: no charts: %s", err)
        return None


def _part(title: str, compute: Callable[[], Section]) -> Section:
    """Compute a part of the card, or say in its place why it cannot be."""
    try:
        return compute()
    except Unavailable:
        raise
    except NOT_COMPUTED as err:
        logger.warning("describe: no %s: %s", title, err)
        return sections.absent(title, str(err) if isinstance(err, EvergreenError) else f"{type(err).__name__}: {err}")


def _or_none(compute: Callable[[], T]) -> T | None:
    try:
        return compute()
    except Unavailable:
        raise
    except NOT_COMPUTED:
        return None


def _window_words(facts: JudgedRun) -> str:
    window = facts.window
    return f"{window.first_day} to {window.last_day}, {window.rows:,} labelled rows of {window.days} days."


def _notice(judgement: Judgement) -> str:
    judged = judgement.judged_version
    if judged is None or judged == judgement.version:
        return ""
    return (
        f"This version is version {judged} fitted again, same recipe, on the whole window. All that is measured here "
        f"was measured of version {judged}, on a holdout that this one was trained on."
    )


def _calibration(facts: JudgedRun) -> Section:
    from ml.views import plots

    settings = facts.settings
    if settings.task.quantile is not None:
        return _quantile(facts, settings.task.quantile)
    table = holdout_tables.calibration_table(facts.scored, confidence=settings.gate.confidence, seed=settings.fit.seed)
    light, dark = (plots.calibration_png(table, kind=settings.task.kind, dark=dark) for dark in (False, True))
    classes = holdout_tables.class_table(facts.scored, settings)
    return calibration.section(table, settings, (light, dark), classes)


def _dependence(facts: JudgedRun) -> Section:
    from ml.views import plots

    curves, champion = facts.dependence, facts.evaluation.champion_version
    drawn = [curve for curve in curves if len(curve["lines"]) <= MOST_DRAWN]
    pictures = [
        (
            plots.dependence_png(curve, champion=champion, dark=False),
            plots.dependence_png(curve, champion=champion, dark=True),
        )
        for curve in drawn
    ]
    return dependence.section(curves, facts.settings.task.kind, champion, pictures)


def _intervals(facts: JudgedRun) -> Section:
    assert facts.settings.fit.intervals is not None
    return intervals.section(calibrated_by_day(facts.scored, facts.settings.fit.intervals))


def _quantile(facts: JudgedRun, quantile: float) -> Section:
    gate, seed = facts.settings.gate, facts.settings.fit.seed
    below = facts.scored.assign(target=(facts.scored["target"] <= facts.scored["challenger"]).astype(float))
    table = holdout_tables.calibration_table(below, confidence=gate.confidence, seed=seed)
    return calibration.quantile_section(table, quantile, gate.confidence)


def _estimator(facts: JudgedRun) -> Section:
    fitted = facts.pipeline.named_steps["estimator"]
    defaults = _or_none(lambda: type(fitted)().get_params(deep=False)) or {}
    return sections.estimator(facts.settings, fitted.get_params(deep=False), defaults)


def _unlabelled(facts: JudgedRun) -> str:
    """Return how many rows of the window have no outcome; only the registry holds them."""
    window, settings = facts.window, facts.settings
    try:
        files = facts.services.registry.open(
            "inputs", rev=window.data_version, first_day=window.first_day, last_day=window.last_day
        )
        days = set(facts.files["days"])
        rows = sum(
            len(pd.read_parquet(path, columns=["day"])) for day, path in files.items() if day.isoformat() in days
        )
    except Unavailable:
        raise
    except NOT_COMPUTED as err:
        return f"How many rows of the window have no outcome is not available: {err}"
    without = rows - window.rows
    return (
        f"{without:,} of the window's {rows:,} rows ({without / max(rows, 1):.2%}) have no outcome "
        f"({settings.task.target} is null or never came, as of what was cancelled): they are scored in service, "
        "but were neither fitted nor judged on."
    )
