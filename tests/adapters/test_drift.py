"""Limits computed in the core and scores computed by Evidently are in one unit."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml.adapters.drift_page import with_summary
from ml.core.monitoring.drift import distance
from ml.core.monitoring.drift_methods import HELLINGER, JENSEN_SHANNON, WASSERSTEIN
from ml.errors import EvergreenError
from ml.records import Limit
from ml.settings import Methods
from tests import builders
from tests.installed import install

measure = pytest.importorskip("ml.adapters.drift").measure
OTHERS = Methods(numeric=JENSEN_SHANNON, categorical=HELLINGER)


def limits(*columns: str, limit: float = 0.1) -> dict[str, Limit]:
    return {column: Limit(limit=limit, baseline_range=0.07, blocks=9) for column in columns}


def sides(seed: int, rows: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Draw a reference and a smaller current side that differ, with nulls and a category only one has."""
    chance = np.random.default_rng(seed)

    def draw(size: int, moved: float, codes: str) -> pd.DataFrame:
        frame = pd.DataFrame(
            {
                "normal": chance.normal(moved, 2.0, size),
                "skewed": chance.exponential(1.0 + moved, size),
                "count": chance.poisson(3 + moved, size),
                "constant": 5.0,
                "nullable": pd.array(chance.integers(0, 9 + int(4 * moved), size), dtype="Int64"),
                "code": chance.choice(list(codes), size),
                "named": pd.Categorical(chance.choice(list("XYZ"), size)),
                "flag": chance.uniform(size=size) < 0.3 + moved / 4,
            }
        )
        holes = chance.uniform(size=size) < 0.1
        holey = {name: frame[name].mask(holes) for name in ("normal", "nullable", "code", "named")}
        endless = frame["skewed"].mask(chance.uniform(size=size) < 0.01, np.inf)
        return frame.assign(**holey, skewed=endless, flag=frame["flag"].astype(object).mask(holes))

    return draw(rows, 0.0, "ABCDE"), draw(rows // 4, chance.uniform(0, 1), "BCDEF")


@pytest.mark.parametrize("methods", [Methods(), OTHERS], ids=["default", "others"])
@pytest.mark.parametrize(("seed", "rows"), [(0, 200), (1, 900), (2, 1100), (3, 5000)])
def test_the_distance_is_evidentlys_own_whatever_the_number_of_rows(seed: int, rows: int, methods: Methods) -> None:
    reference, current = sides(seed, rows)
    found = measure(reference, current, limits(*reference.columns), methods=methods)
    for column in reference.columns:
        expected = distance(reference[column], current[column], methods)
        assert found.scores[column] == pytest.approx(expected, abs=1e-7), column


def test_the_methods_are_named_by_the_type_of_the_column() -> None:
    columns = ("normal", "count", "nullable", "code", "flag", "named")
    numbers = ("normal", "count", "nullable")
    for methods in (Methods(), OTHERS):
        found = measure(*sides(0, 200), limits(*columns), methods=methods)
        assert found.methods == {c: methods.numeric if c in numbers else methods.categorical for c in columns}
    assert Methods() == Methods(numeric=WASSERSTEIN, categorical=JENSEN_SHANNON)


@pytest.mark.parametrize("side", [0, 1])
def test_a_column_without_a_value_on_either_side_scores_none(side: int) -> None:
    frames = list(sides(0, 200))
    frames[side] = frames[side].assign(normal=np.nan)
    found = measure(*frames, limits("normal", "code", "absent"))
    assert (found.scores["normal"], found.scores["absent"]) == (None, None)
    assert found.scores["code"] is not None


def test_numbers_that_came_as_words_score_none() -> None:
    reference, current = sides(0, 200)
    found = measure(reference, current.assign(count="many"), limits("count", "code"))
    assert found.scores["count"] is None
    assert found.scores["code"] is not None


def test_the_report_is_a_page_and_the_result_is_plain() -> None:
    import json

    found = measure(*sides(0, 200), limits("normal", "code"))
    assert "<html" in found.html.lower()
    assert json.loads(json.dumps(found.result, allow_nan=False)) == found.result


def test_the_page_judges_by_our_limits_and_shows_them_beside_the_no_change_range() -> None:
    known = {**limits("normal", limit=0.01), **limits("code", limit=0.8), **limits("count", limit=0.001)}
    found = measure(*sides(0, 900), known, roles={"normal": "structural"}, loud=["normal"])
    tests = {test["metric_config"]["params"]["column"]: test for test in found.result["tests"]}
    assert "FAIL" in str(tests["normal"]["status"])
    assert "SUCCESS" in str(tests["code"]["status"])
    assert "WARNING" in str(tests["count"]["status"])
    said = f"{found.scores['normal']:.2f}; baseline range up to 0.07, limit 0.01"
    assert said in tests["normal"]["description"] and said in found.html
    assert "normal (structural) is within its limit 0.01" in found.html
    metrics = {entry["config"]["column"]: entry["config"]["threshold"] for entry in found.result["metrics"]}
    assert metrics == {"normal": 0.01, "code": 0.8, "count": 0.001}


def test_the_page_starts_with_shares_and_names_distance_and_limit_of_each_column() -> None:
    known = {**limits("normal", limit=0.01), **limits("code", limit=0.8)}
    found = measure(*sides(0, 900), known)
    assert f"Distance {found.scores['normal']:.3f} (" in found.html and "normal: above its limit" in found.html
    assert "code: within its limit" in found.html and "not detected" not in found.html
    assert found.html.count("Percent of rows") == 2


def test_the_top_of_the_page_says_what_it_is_about_and_lists_the_furthest_off_first() -> None:
    columns = [
        builders.column("calm", 0.1, 0.2),
        builders.column("<b>moved</b>", 0.6, 0.2),
        builders.column("unmeasured", None, None),
    ]
    page = with_summary("<html><head></head><body><p>rest</p></body></html>", "Drift of <m>", ["It <moved>."], columns)
    assert "<title>Drift of &lt;m&gt;</title>" in page and "It &lt;moved&gt;." in page
    assert page.index("&lt;b&gt;moved&lt;/b&gt;") < page.index(">calm<") < page.index("<p>rest</p>")
    assert "3.0 times its limit" in page and "unmeasured" not in page
    assert with_summary("nothing", "title", [], columns) == "nothing"


MARKUP = (
    "</script><script>alert(1)</script>",
    "</ScRiPt ><img src=x onerror=alert(1)>",
    "<!--<script>",
    "]]>",
    "a\u2028b\u2029c",
    "'\"`${alert(1)}\\",
    "&lt;/script&gt;&amp;",
)


class _Scripts(HTMLParser):
    """Collect what a browser would run, and which elements the page has."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self.tags: list[str] = []
        self.inside = False

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)
        self.inside = tag == "script"
        if self.inside:
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.scripts[-1] += data


def parsed(html: str) -> _Scripts:
    scripts = _Scripts()
    scripts.feed(html)
    return scripts


@pytest.mark.parametrize("markup", MARKUP)
def test_markup_in_a_category_or_a_column_name_stays_data(markup: str) -> None:
    """What the page's own scripts read is the very text, and nothing of it becomes an element."""

    def page(name: str, value: str) -> str:
        frame = pd.DataFrame({name: [value, "b"] * 150, "x": np.arange(300.0)})
        return str(measure(frame, frame.iloc[:200], limits(name, "x")).html)

    plain, odd = parsed(page("name", "value")), parsed(page(f"name {markup}", f"value {markup}"))
    assert odd.tags == plain.tags
    data = odd.scripts[0]
    assert not set(data) & set("<>&\u2028\u2029")
    lines = [line.split(" = ", 1)[1].removesuffix(";") for line in data.splitlines() if " = " in line]
    texts = "".join(map(str, map(json.loads, lines)))
    assert repr(markup)[1:-1] in texts or markup in texts


def test_a_page_that_is_built_in_another_way_is_refused() -> None:
    from ml.adapters.drift import escape_data

    with pytest.raises(EvergreenError, match="not built as expected"):
        escape_data("<html><head><script>var a = {};</script></head></html>")


def test_a_method_of_another_package_is_measured_by_evidently_as_by_us(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = """
import numpy as np
from ml.core.monitoring.drift_method import DriftMethod
VARIATION = DriftMethod("total_variation", ("categorical",), lambda points, p, q: np.abs(p - q).sum(axis=-1) / 2)
"""
    points = "[evergreen.drift_methods]\ntotal_variation = variation:VARIATION\n"
    install(tmp_path, monkeypatch, code={"variation": code}, entry_points=points)
    reference, current = sides(0, 400)
    chosen = Methods(categorical="total_variation")
    found = measure(reference, current, limits(*reference.columns), methods=chosen)
    named = [column for column, name in found.methods.items() if name == "total_variation"]
    assert named
    for column in named:
        assert found.scores[column] == pytest.approx(distance(reference[column], current[column], chosen))
