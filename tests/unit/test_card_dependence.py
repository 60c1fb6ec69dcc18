"""The card shows how predictions depend on features: of numbers and categories, of one class and of several."""

from __future__ import annotations

from typing import Any

import pytest

from ml.views import plots
from ml.views.card import dependence
from ml.views.card.render import Cell, Page, Picture, Table, render
from tests.builders_charts import CLASSES

PNG = b"\x89PNG\r\n\x1a\n"
LONG = "a category with $ signs $ and a long <b>name</b>"


def curve(numeric: bool, names: tuple[str, ...] = ("",), *, champion: bool = True) -> dict[str, Any]:
    lines = [{"name": name, "mean": [0.1 + at, 0.2 + at]} for at, name in enumerate(names)]
    others = [{"name": name, "mean": [0.15 + at, 0.25 + at]} for at, name in enumerate(names)]
    values: list[Any] = [5.0, 9.5] if numeric else ["AA", LONG]
    return {"feature": "hour_$x$", "numeric": numeric, "values": values, "rows": 500, "lines": lines,
            "champion_lines": others if champion else []}  # fmt: skip


@pytest.mark.parametrize("names", [("",), CLASSES, ("$1", "$2")])
@pytest.mark.parametrize("numeric", [True, False])
@pytest.mark.parametrize("dark", [True, False])
def test_a_curve_is_drawn_whatever_its_names_are(numeric: bool, names: tuple[str, ...], dark: bool) -> None:
    drawn = plots.dependence_png(curve(numeric, names), champion=3, dark=dark)
    assert drawn.startswith(PNG) and drawn == plots.dependence_png(curve(numeric, names), champion=3, dark=dark)
    assert Picture(drawn, drawn, "x").size == (864, 576)


def test_each_model_and_class_has_a_column_and_what_comes_from_data_stays_text() -> None:
    curves = [curve(True, CLASSES), curve(False, CLASSES, champion=False)]
    section = dependence.section(curves, "multiclass", 3, [(PNG * 4, PNG * 4)] * 2)
    first, second = [block for block in section.blocks if isinstance(block, Table)]
    assert first.headers == (
        "value", *(f"this model, {name}" for name in CLASSES), *(f"champion v3, {name}" for name in CLASSES),
    )  # fmt: skip
    assert first.rows[0][:3] == ("5", "0.1000", "1.1000")
    assert len(second.headers) == 1 + len(CLASSES) and second.rows[1][0] == LONG
    html, _ = render(Page(title="x", subtitle="", verdict=Cell("held"), sections=(section,)))
    assert "<b>" not in html.split("Dependence on the strongest")[1] and "&lt;b&gt;name" in html


def test_without_curves_or_without_the_champions_it_says_why() -> None:
    nothing = str(dependence.section([], "regression", 3).blocks)
    assert "Shuffling no feature" in nothing
    alone = [curve(True, champion=False)]
    assert "Champion v3 could not be asked" in str(dependence.section(alone, "regression", 3).blocks)
    assert "Champion" not in str(dependence.section(alone, "regression", None).blocks)
