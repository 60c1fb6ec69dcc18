"""Show a backtest: one page that needs nothing else, and one picture."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import jinja2
import matplotlib as mpl

mpl.use("agg")
import matplotlib.pyplot as plt
import pandas as pd

TEMPLATES = Path(__file__).parent / "templates"
COLOURS = ("#555555", "#0072b2", "#56b4e9", "#e69f00", "#cc79a7", "#009e73", "#d55e00", "#8c6bb1")
"""Colour-blind people can distinguish them too (Okabe and Ito 2008); the first is the reference's."""
MARKS = {"promoted": ("^", "promoted"), "held": ("x", "held"), "rolled back": ("v", "rolled back")}
INK, FAINT = "#1b1f24", "#8a929c"


@dataclass(frozen=True, eq=False)
class Line:
    """One policy's course, ready to be drawn.

    Attributes
    ----------
    loss, gain : Series indexed by day
        Mean loss over the trailing days, and how much lower it is than the reference's; ``gain`` is None for the
        reference itself.
    events
        Days on which something was ``promoted``, ``held`` or ``rolled back``.
    alarms
        First and last days of the episodes of alarm.
    rejected
        Days on which nothing could be scored.
    """

    name: str
    loss: pd.Series
    gain: pd.Series | None
    events: Mapping[str, Sequence[date]]
    alarms: Sequence[tuple[date, date]] = ()
    rejected: Sequence[date] = ()


@dataclass(frozen=True, eq=False)
class Picture:
    """All lines, what they are measured in, and the days of injected faults."""

    lines: Sequence[Line]
    reference: str
    metric: str
    days: int
    first_day: date
    last_day: date
    faults: Sequence[tuple[str, date, date]] = field(default_factory=tuple)


def draw(picture: Picture) -> Any:
    """Draw loss, gain over the reference, and what happened when, one below the other."""
    style = {
        "text.color": INK,
        "axes.labelcolor": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "axes.edgecolor": FAINT,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "font.size": 10,
        "svg.fonttype": "none",
        "svg.hashsalt": "evergreen",
    }
    with mpl.rc_context(style):
        strip = 0.35 * len(picture.lines) + 0.4
        figure, axes = plt.subplots(
            3, 1, figsize=(10, 5.6 + strip), sharex=True, layout="constrained", height_ratios=[2.0, 2.6, strip]
        )
        for line, colour in zip(picture.lines, _colours(picture), strict=True):
            axes[0].plot(line.loss.index, line.loss, color=colour, linewidth=1.4, label=line.name)
            if line.gain is not None:
                axes[1].plot(line.gain.index, line.gain, color=colour, linewidth=1.6, label=line.name)
                _mark_promotions(axes[1], line, colour)
        axes[1].axhline(0, color=FAINT, linewidth=1)
        caption = f"{picture.metric.replace('_', ' ')}, trailing {picture.days} days"
        axes[0].set(ylabel="loss", title=f"How hard the days were: {caption}")
        axes[1].set(ylabel="lower than it by", title=f"Gain over “{picture.reference}”, {caption}")
        for panel in axes[:2]:
            panel.grid(axis="y", color="#e4e7ea", linewidth=0.8)
            panel.title.set_size(10.5)
            panel.title.set_horizontalalignment("left")
            panel.title.set_x(0)
        axes[0].legend(ncols=4, frameon=False, loc="lower right", bbox_to_anchor=(1, 0.98), fontsize=9, borderaxespad=0)
        axes[2].set_xlim(pd.Timestamp(picture.first_day), pd.Timestamp(picture.last_day) + pd.Timedelta(days=1))
        _strip(axes[2], picture)
        for number, (name, first, last) in enumerate(picture.faults):
            for panel in axes:
                panel.axvspan(pd.Timestamp(first), pd.Timestamp(last), color="#d55e00", alpha=0.1, linewidth=0)
            at = (pd.Timestamp(first), 0.93 - 0.08 * (number % 3))
            axes[1].annotate(
                name.split(" from ")[0], at, xycoords=("data", "axes fraction"), fontsize=8, color="#a04000"
            )
    return figure


def _colours(picture: Picture) -> list[str]:
    others = [line.name for line in picture.lines if line.name != picture.reference]
    return [
        COLOURS[0] if line.name == picture.reference else COLOURS[1 + others.index(line.name) % (len(COLOURS) - 1)]
        for line in picture.lines
    ]


def _mark_promotions(axes: Any, line: Line, colour: str) -> None:
    if line.gain is None:
        return
    at = [pd.Timestamp(day) for day in line.events.get("promoted", ())]
    heights = [line.gain.get(day, float("nan")) for day in at]
    axes.plot(at, heights, linestyle="none", marker="^", markersize=5, color=colour)


def _strip(axes: Any, picture: Picture) -> None:
    """Draw a row for each policy: bars of alarm, and what was decided."""
    for row, (line, colour) in enumerate(zip(picture.lines, _colours(picture), strict=True)):
        for first, last in line.alarms:
            begin, width = mpl.dates.date2num(first), (last - first).days + 1
            axes.broken_barh([(begin, width)], (row - 0.28, 0.56), color="#d62728", alpha=0.35, linewidth=0)
        for kind, (marker, _) in MARKS.items():
            days = [pd.Timestamp(day) for day in line.events.get(kind, ())]
            size = 4 if kind == "held" else 6
            axes.plot(days, [row] * len(days), linestyle="none", marker=marker, markersize=size, color=colour)
        if line.rejected:
            days = [pd.Timestamp(day) for day in line.rejected]
            axes.plot(days, [row + 0.33] * len(days), linestyle="none", marker="s", markersize=2.5, color=INK)
    axes.set_yticks(range(len(picture.lines)), [line.name for line in picture.lines])
    axes.set_ylim(len(picture.lines) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.set_title("▲ promoted   × held   ▼ rolled back   red: alarm   ■ data rejected", loc="left", fontsize=9)


def png(picture: Picture) -> bytes:
    """Draw as PNG; the same for the same picture."""
    return _saved(picture, format="png", dpi=130, metadata={"Software": None})


def svg(picture: Picture) -> str:
    """Draw as SVG, ready to stand in a page; the same for the same picture."""
    text = _saved(picture, format="svg", metadata={"Date": None, "Creator": None}).decode("utf-8")
    return text[text.index("<svg") :]


def _saved(picture: Picture, **how: Any) -> bytes:
    figure = draw(picture)
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "evergreen"}):
        buffer = io.BytesIO()
        figure.savefig(buffer, facecolor="white", **how)
    plt.close(figure)
    return buffer.getvalue()


def page(picture: Picture, *, title: str, facts: Mapping[str, Any]) -> str:
    """Write the page: what was replayed, the table, the picture, and what became of each fault."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined
    )
    template = environment.get_template("backtest.html")
    return str(template.render(title=title, svg=svg(picture), **facts))
