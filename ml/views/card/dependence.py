"""Lay out how a model's prediction depends on its strongest features, beside the champion's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ml.views.card.render import Block, Picture, Prose, Section, Table
from ml.views.card.sections import NONE, number

PREDICTED = {
    "classification": "mean predicted probability",
    "multiclass": "mean predicted probability of each class",
    "regression": "mean prediction",
}


def section(
    curves: Sequence[Mapping[str, Any]],
    kind: str,
    champion_version: int | None,
    pictures: Sequence[tuple[bytes, bytes]] = (),
) -> Section:
    """Show the mean prediction if all rows had one value of a feature, value by value.

    Parameters
    ----------
    curves
        As `ml.core.gate.dependence.dependence` gives them.
    pictures
        Each curve drawn, for a light and for a dark page; none for the tables only.
    """
    title = "Dependence on the strongest features"
    if not curves:
        return Section(title, (Prose("Shuffling no feature made this model worse, so that none is shown here."),))
    explanation = (
        f"The {PREDICTED[kind]} if all of {curves[0]['rows']:,} rows of the holdout had this value and kept their "
        "others (partial dependence; Friedman 2001, doi:10.1214/aos/1013203451). Of features that move together it "
        "shows values that do not occur together."
    )
    if champion_version is not None and not any(curve["champion_lines"] for curve in curves):
        explanation += f" Champion v{champion_version} could not be asked, or knows none of these features."
    blocks: list[Block] = [Prose(explanation)]
    for at, curve in enumerate(curves):
        if pictures:
            described = f"{PREDICTED[kind].capitalize()} by {curve['feature']}; the numbers are in the table below."
            blocks.append(Picture(*pictures[at], described))
        blocks.append(_table(curve, champion_version))
    return Section(title, tuple(blocks))


def _table(curve: Mapping[str, Any], champion_version: int | None) -> Table:
    """Put the values of one feature into rows, with a column for each model and class."""
    models = [("this model", curve["lines"]), (f"champion v{champion_version}", curve["champion_lines"])]
    lines = [(f"{name}, {line['name']}" if line["name"] else name, line["mean"]) for name, of in models for line in of]
    rows = tuple(
        (f"{value:g}" if curve["numeric"] else value or NONE, *(number(mean[at]) for _, mean in lines))
        for at, value in enumerate(curve["values"])
    )
    return Table(("value", *(name for name, _ in lines)), rows, caption=curve["feature"])
