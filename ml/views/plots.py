"""Draw the evaluation as pictures for MLflow; the door to matplotlib."""

from __future__ import annotations

import io
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("agg")
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

AXES = {
    "roc": ("false_positive_rate", "true_positive_rate", "ROC"),
    "precision_recall": ("recall", "precision", "Precision and recall"),
    "calibration": ("predicted", "observed", "Calibration"),
}


def draw(tables: Mapping[str, pd.DataFrame], folder: Path) -> None:
    """Write one PNG for each known curve, and one for the loss by day.

    Parameters
    ----------
    tables
        By name as `ml.core.metrics.curves` gives them, and ``loss_by_day`` (``day``, ``loss``,
        ``model``).
    """
    for name, (x, y, title) in AXES.items():
        if name not in tables:
            continue
        figure, axes = plt.subplots(figsize=(5, 4), layout="constrained")
        axes.plot(tables[name][x], tables[name][y], marker="o" if name == "calibration" else None)
        if name != "precision_recall":
            top = max(tables[name][x].max(), tables[name][y].max())
            axes.plot([0, top], [0, top], linestyle=":", color="grey")
        axes.set(xlabel=x.replace("_", " "), ylabel=y.replace("_", " "), title=title)
        figure.savefig(folder / f"{name}.png", dpi=110)
        plt.close(figure)
    if "loss_by_day" in tables:
        figure, axes = plt.subplots(figsize=(8, 4), layout="constrained")
        for model, rows in tables["loss_by_day"].groupby("model"):
            axes.plot(pd.to_datetime(rows["day"]), rows["loss"], marker="o", markersize=3, label=str(model))
        axes.set(ylabel="mean loss", title="Holdout loss by day")
        axes.legend()
        figure.autofmt_xdate()
        figure.savefig(folder / "loss_by_day.png", dpi=110)
        plt.close(figure)


def calibration_png(table: pd.DataFrame, *, kind: str, dark: bool) -> bytes:
    """Draw predicted against observed, bin by bin, as a transparent PNG for a light or a dark page.

    Parameters
    ----------
    table
        As `ml.core.gate.holdout_tables.calibration_table` gives it: ``predicted``, ``observed``, ``low``, ``high``.

    Returns
    -------
    bytes
        The same for the same table.
    """
    _, faint, line, _ = _colors(dark)
    with mpl.rc_context(_style(dark)):
        figure, axes = plt.subplots(figsize=(5.4, 4.2), layout="constrained")
        edges = table[["predicted", "observed"]].to_numpy()
        bottom, top = float(edges.min()), float(edges.max())
        axes.plot([bottom, top], [bottom, top], linestyle=(0, (4, 3)), linewidth=1, color=faint)
        axes.vlines(table["predicted"], table["low"], table["high"], color=line, alpha=0.45, linewidth=2)
        axes.plot(table["predicted"], table["observed"], marker="o", markersize=5, linewidth=1.5, color=line)
        observed = "observed mean" if kind == "regression" else "observed rate"
        axes.set(xlabel="mean prediction", ylabel=observed)
        return _card_png(figure)


def dependence_png(curve: Mapping[str, Any], *, champion: int | None, dark: bool) -> bytes:
    """Draw how predictions depend on one feature, lines over numbers and points over categories, as `calibration_png`.

    Parameters
    ----------
    curve
        One of `ml.core.gate.dependence.dependence`. Of several classes each has a colour.
    champion
        The version whose lines are dashed.

    Returns
    -------
    bytes
        The same for the same curve.
    """
    numeric, several = curve["numeric"], len(curve["lines"]) > 1
    places = curve["values"] if numeric else list(range(len(curve["values"])))
    _, _, own, other = _colors(dark)
    sides = (("this model", "lines", own, "-", "o"), (f"champion v{champion}", "champion_lines", other, "--", "D"))
    with mpl.rc_context(_style(dark)):
        figure, axes = plt.subplots(figsize=(5.4, 3.6), layout="constrained")
        for name, lines, color, dash, marker in sides:
            for at, line in enumerate(curve[lines]):
                axes.plot(
                    places,
                    line["mean"],
                    color=f"C{at % 10}" if several else color,
                    linestyle=dash if numeric else "",
                    marker=marker,
                    markersize=4 if numeric else 6,
                    label=_plain(f"{name}, {line['name']}" if line["name"] else name),
                )
        axes.set(xlabel=_plain(curve["feature"]), ylabel="mean probability" if several else "mean prediction")
        if not numeric:
            names = [_plain(value if len(value) <= 16 else f"{value[:15]}…") for value in curve["values"]]
            axes.set_xticks(places, names, rotation=90 if max(map(len, names)) > 3 else 0)
        if curve["champion_lines"] or several:
            figure.legend(loc="outside upper left", ncols=2, frameon=False)
        return _card_png(figure)


def _plain(text: str) -> str:
    """Keep matplotlib from reading a text of the data as a formula."""
    return text.replace("$", r"\$")


def _colors(dark: bool) -> tuple[str, str, str, str]:
    """Return the colours of text, of what is faint, of a model and of the champion beside it."""
    return ("#e6e8eb", "#7d858f", "#6fb1ff", "#f0a35e") if dark else ("#1b1f24", "#8a929c", "#1f5fbf", "#b8500c")


def _style(dark: bool) -> dict[str, Any]:
    ink, faint, _, _ = _colors(dark)
    named = {"text.color": ink, "axes.labelcolor": ink, "xtick.color": ink, "ytick.color": ink, "axes.edgecolor": faint}
    return {**named, "font.size": 10, "axes.spines.top": False, "axes.spines.right": False}


def _card_png(figure: Figure) -> bytes:
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=160, transparent=True, metadata={"Software": None})
    plt.close(figure)
    return picture.getvalue()


MAIL = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "#f6f7f9",
    "axes.facecolor": "#f6f7f9",
    "text.color": "#1b1f24",
    "axes.labelcolor": "#1b1f24",
    "xtick.color": "#3d444d",
    "ytick.color": "#3d444d",
    "axes.edgecolor": "#8a929c",
}
"""A light card of its own: readable whether a mail program turns dark or not."""
LINES = (("#0b62a8", "o"), ("#b8500c", "s"), ("#6b4fa0", "^"))


def distances_png(by_column: Mapping[str, Mapping[date, float]]) -> bytes:
    """Draw how far up to three columns were from what is known, day by day, for a mail.

    Parameters
    ----------
    by_column
        By column and day: distance divided by its limit, so that 1 is the limit of each.
    """
    with mpl.rc_context(MAIL):
        figure, axes = plt.subplots(figsize=(4.2, 2.5), layout="constrained")
        for (column, distances), (color, marker) in zip(by_column.items(), LINES, strict=False):
            days = sorted(distances)
            axes.plot(days, [distances[day] for day in days], color=color, marker=marker, markersize=4, label=column)
        axes.axhline(1.0, color="#c4221a", linewidth=1.2, linestyle=(0, (4, 3)))
        axes.annotate("limit", (0.01, 1.0), xycoords=("axes fraction", "data"), color="#c4221a", va="bottom")
        axes.set_ylim(bottom=0)
        axes.set_ylabel("distance / limit")
        figure.legend(loc="outside upper left", ncols=len(LINES), frameon=False, fontsize=9, columnspacing=1.2)
        return _mail_png(figure, axes)


def gap_png(by_day: Mapping[date, tuple[float, float, float]], *, bound: float, label: str) -> bytes:
    """Draw a live figure with its interval, day by day, between the bounds of what is tolerated, for a mail.

    Parameters
    ----------
    by_day
        Value, lower and upper end by day; both ends are the value where no interval is known.
    """
    with mpl.rc_context(MAIL):
        figure, axes = plt.subplots(figsize=(4.2, 2.5), layout="constrained")
        days = sorted(by_day)
        color, marker = LINES[0]
        axes.vlines(days, [by_day[day][1] for day in days], [by_day[day][2] for day in days], color=color, alpha=0.45)
        axes.plot(days, [by_day[day][0] for day in days], color=color, marker=marker, markersize=4)
        axes.axhline(0.0, color="#8a929c", linewidth=1)
        for edge in (-bound, bound):
            axes.axhline(edge, color="#c4221a", linewidth=1.2, linestyle=(0, (4, 3)))
        axes.annotate("tolerated", (0.01, bound), xycoords=("axes fraction", "data"), color="#c4221a", va="bottom")
        axes.set_ylabel(label)
        return _mail_png(figure, axes)


def _mail_png(figure: Figure, axes: Axes) -> bytes:
    locator = AutoDateLocator(minticks=2, maxticks=5)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=200, metadata={"Software": None})
    plt.close(figure)
    return picture.getvalue()
