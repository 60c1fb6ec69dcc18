"""The examples of docs/extending.md are built, installed and run as they stand there."""

from __future__ import annotations

import doctest
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml import yaml_file
from ml.core.gate.day_resampling import day_intervals
from ml.core.monitoring.limits import limits_of
from ml.records import Limit
from ml.settings import PROJECT_ROOT, Environment, Settings, overlaid, parse
from ml.wiring import Services
from tests.builders import params

PAGE = (PROJECT_ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
MODULES = ("acme_source", "acme_rule", "acme_metrics", "acme_drift", "acme_channel")
DAY = date(2013, 4, 1)


def texts(language: str) -> list[str]:
    return [text for name, text in BLOCKS if name == language]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the page's files, and install the package that they make into a folder of its own."""
    project, site = tmp_path_factory.mktemp("acme"), tmp_path_factory.mktemp("site")
    for text in (*texts("toml"), *texts("python")):
        (project / text.partition("\n")[0].removeprefix("# ")).write_text(text, encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    command = [*pip, "--no-deps", "--no-build-isolation", "--target", str(site), str(project)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return site


@pytest.fixture
def package(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(installed)
    for module in MODULES:
        monkeypatch.delitem(sys.modules, module, raising=False)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "flights.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE inputs (day TEXT, flight INTEGER, carrier TEXT)")
        connection.execute("CREATE TABLE labels (day TEXT, flight INTEGER, late INTEGER)")
        rows = [(DAY.isoformat(), 1, "AA"), (DAY.isoformat(), 2, "UA"), ("2013-04-02", 1, "AA")]
        connection.executemany("INSERT INTO inputs VALUES (?, ?, ?)", rows)
        connection.execute("INSERT INTO labels VALUES (?, ?, ?)", (DAY.isoformat(), 1, 0))
    return path


def with_fragments(*chosen: str) -> Settings:
    """Lay the page's fragments that hold the words over small settings, in their order."""
    raw: dict[str, Any] = params()
    for text in texts("yaml"):
        if any(word in text for word in chosen):
            raw = overlaid(raw, yaml_file.parse(text))
    return parse(raw)


def test_the_page_shows_each_kind_whole() -> None:
    names = [text.partition("\n")[0] for text in texts("python")]
    assert names == [f"# {module}.py" for module in MODULES]
    assert len(texts("yaml")) == len(texts("pycon")) == len(MODULES)


@pytest.mark.usefixtures("package")
class TestExamples:
    @pytest.mark.parametrize("number", range(len(MODULES)), ids=MODULES)
    def test_what_is_shown_is_what_comes_out(self, number: int, database: Path) -> None:
        chosen = with_fragments("worst_day", "total_variation", "json_lines")
        services = Services(chosen, Environment.load({"EVERGREEN_HOME": str(database.parent)}))
        names = {"DATABASE": str(database), "SETTINGS": chosen, "SERVICES": services, "pd": pd}
        example = doctest.DocTestParser().get_doctest(
            texts("pycon")[number], names, MODULES[number], "docs/extending.md", 0
        )
        report: list[str] = []
        outcome = doctest.DocTestRunner(verbose=False).run(example, out=report.append)
        assert outcome.attempted > 0
        assert outcome.failed == 0, "".join(report)

    def test_all_fragments_together_are_settings(self) -> None:
        chosen = with_fragments("kind", "methods", "metric", "channels")
        assert (chosen.source.kind, chosen.gate.metric) == ("sqlite", "late_cost")
        assert {"no bad day", "usual row"} <= set(chosen.gate.rules)
        assert chosen.notify.channels == ("email", "json_lines")
        assert parse(chosen.model_dump(mode="json")) == chosen

    def test_the_source_keeps_the_promises_of_one(self, database: Path) -> None:
        from ml.errors import MissingArtifact, Unavailable
        from ml.settings import SOURCES

        kind: Any = SOURCES.load("sqlite")
        source = kind(kind="sqlite", database=str(database)).open()
        assert source.labels(DAY)["late"].tolist() == [0]
        with pytest.raises(MissingArtifact, match="has no labels of 2013-04-02"):
            source.labels(date(2013, 4, 2))
        with pytest.raises(Unavailable, match=r"check source\.database"):
            kind(kind="sqlite", database=str(database.with_name("nowhere.db"))).open().inputs(DAY)

    def test_the_metrics_get_intervals_and_the_rule_passes_a_good_day(self) -> None:
        from ml.core.gate import Evidence, decide

        chance = np.random.default_rng(0)
        rows = pd.DataFrame({"day": np.repeat([f"2013-04-{day:02d}" for day in range(1, 15)], 80)})
        rows["target"] = chance.integers(0, 2, len(rows)).astype(float)
        rows["challenger"] = np.where(rows["target"] == 1, 0.8, 0.3)
        intervals = day_intervals(rows, "classification", confidence=0.95, seed=0, n_resamples=50)
        assert {"late_cost", "median_error"} <= set(intervals)
        evidence = Evidence({}, {}, holdout_days=14, holdout_rows=1120, against_champion=False, holdout=rows)
        verdict = decide(with_fragments("worst_day").gate, evidence)
        ruling = next(ruling for ruling in verdict.rulings if ruling.kind == "worst_day")
        assert (ruling.passed, ruling.evidence["at_most"]) == (True, 0.7)
        missing = Evidence({}, {}, holdout_days=14, holdout_rows=1120, against_champion=False)
        assert decide(with_fragments("worst_day").gate, missing).rulings[-2].passed is None

    def test_the_drift_method_has_limits_and_evidently_measures_by_it(self) -> None:
        from ml.adapters.drift import measure

        chance = np.random.default_rng(0)
        days = np.repeat([f"2013-0{3 + day // 28}-{1 + day % 28:02d}" for day in range(56)], 40)
        reference = pd.DataFrame({"day": days, "carrier": chance.choice(["AA", "EV", "UA"], len(days))})
        drift = with_fragments("total_variation").drift.model_copy(update={"structural": ("carrier",)})
        limit = limits_of(reference, drift)["carrier"]
        assert drift.min_distance <= limit.limit < 1
        current = reference.iloc[:280].assign(carrier="AA")
        found = measure(reference, current, {"carrier": limit}, methods=drift.methods)
        assert found.methods == {"carrier": "total_variation"}
        assert found.scores["carrier"] == pytest.approx((reference["carrier"] != "AA").mean())
        assert isinstance(limit, Limit)
