"""Draw the evaluation as pictures for MLflow; the door to matplotlib."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl

mpl.use("agg")
import matplotlib.pyplot as plt
import pandas as pd

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
        As `ml.core.card.calibration_table` gives it: ``predicted``, ``observed``, ``low``, ``high``.

    Returns
    -------
    bytes
        The same for the same table.
    """
    ink, faint, line = ("#e6e8eb", "#7d858f", "#6fb1ff") if dark else ("#1b1f24", "#8a929c", "#1f5fbf")
    style = {"text.color": ink, "axes.labelcolor": ink, "xtick.color": ink, "ytick.color": ink, "axes.edgecolor": faint}
    with mpl.rc_context({**style, "font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        figure, axes = plt.subplots(figsize=(5.4, 4.2), layout="constrained")
        edges = table[["predicted", "observed"]].to_numpy()
        bottom, top = float(edges.min()), float(edges.max())
        axes.plot([bottom, top], [bottom, top], linestyle=(0, (4, 3)), linewidth=1, color=faint)
        axes.vlines(table["predicted"], table["low"], table["high"], color=line, alpha=0.45, linewidth=2)
        axes.plot(table["predicted"], table["observed"], marker="o", markersize=5, linewidth=1.5, color=line)
        observed = "observed rate" if kind == "classification" else "observed mean"
        axes.set(xlabel="mean prediction", ylabel=observed)
        picture = io.BytesIO()
        figure.savefig(picture, format="png", dpi=160, transparent=True, metadata={"Software": None})
        plt.close(figure)
    return picture.getvalue()
