"""What the page's charts of columns and days draw is read from what monitoring and screening keep."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ml.adapters import layout
from ml.adapters.sources.demo import DemoSource
from ml.adapters.workspace import table_bytes, write_parquet
from ml.core.monitoring import day_summary
from ml.core.monitoring.distributions import distributions
from ml.errors import EvergreenError, MissingArtifact
from ml.records import Decision
from ml.settings import PROJECT_ROOT, Environment, load
from ml.steps.ingest.day_screening import keep, screen_day
from ml.views import page as overview
from ml.views.page.cache import MEMORY
from ml.wiring import Services
from tests import builders

DAY = date(2013, 4, 2)
BEFORE, NOW = pd.Series(["AA", "UA", "UA", "DL"]), pd.Series(["AA", "ZZ"])


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    """Lead to an installation in which nothing was ever ingested."""
    MEMORY.forget()
    yield Services(load(PROJECT_ROOT / "params.yaml"), Environment.load({"EVERGREEN_HOME": str(tmp_path)}))
    MEMORY.forget()


def as_json(facts: Any) -> Any:
    return json.loads(json.dumps(facts, allow_nan=False))


class TestColumn:
    @pytest.fixture
    def monitored(self, services: Services) -> Services:
        """Keep what monitoring keeps of a day on which one column was measured."""
        column = builders.column("carrier", 0.3, 0.2)
        report = builders.drift_report("drift", on=DAY).model_copy(
            update={"champion_version": 3, "columns": (column,), "report_uri": "x"}
        )
        decided = Decision(day=DAY, action="nothing", reasons=("drift",), alarm=False)
        stored = services.storage_folder(layout.monitoring.day_dir(DAY))
        stored.write_text(layout.monitoring.SUMMARY, day_summary.text(day_summary.summarise(decided, report, None)))
        stored.write_json(layout.monitoring.distributions(3), distributions({"carrier": (BEFORE, NOW)}))
        return services

    def test_it_has_both_distributions_and_whose_reference_it_is(self, monitored: Services) -> None:
        facts = overview.drift_column(monitored, day=str(DAY), column="carrier")
        assert as_json(facts) == facts
        assert (facts["version"], facts["message"]) == (3, None)
        assert facts["report"] == f"monitor/day={DAY}/version=3/drift.html"
        counted = facts["distribution"]
        shares = dict(zip(counted["categories"]["names"], counted["categories"]["reference"], strict=True))
        assert shares == {"AA": 0.25, "UA": 0.5, "DL": 0.25, "ZZ": 0.0}
        assert (counted["came"], counted["went"]) == ([["ZZ", 0.5]], [["UA", 0.5], ["DL", 0.25]])

    @pytest.mark.parametrize(
        ("day", "column", "error"),
        [(str(DAY), "nothing", MissingArtifact), ("2001-01-01", "carrier", MissingArtifact),
         ("../..", "carrier", EvergreenError)],
    )  # fmt: skip
    def test_what_was_not_measured_is_not_there(
        self, monitored: Services, day: str, column: str, error: type[Exception]
    ) -> None:
        with pytest.raises(error):
            overview.drift_column(monitored, day=day, column=column)

    @pytest.mark.parametrize("content", ["", "[]", '{"shape": 99}', '{"shape": 1, "columns": {}}'])
    def test_distributions_that_cannot_be_read_say_so(self, monitored: Services, content: str) -> None:
        monitored.storage_folder(layout.monitoring.day_dir(DAY)).write_text(layout.monitoring.distributions(3), content)
        facts = overview.drift_column(monitored, day=str(DAY), column="carrier")
        assert facts["distribution"] is None and facts["message"] and facts["report"]

    def test_days_of_an_earlier_release_say_so(self, monitored: Services, tmp_path: Path) -> None:
        (tmp_path / "storage" / layout.monitoring.day_dir(DAY) / layout.monitoring.distributions(3)).unlink()
        facts = overview.drift_column(monitored, day=str(DAY), column="carrier")
        assert "were not kept" in facts["message"]


class TestQuality:
    @pytest.fixture
    def screened(self, services: Services, tmp_path: Path) -> tuple[Services, pd.DataFrame]:
        """Screen a day of real flights as ingest does, five of whose rows are broken."""
        frame = DemoSource(replay=False).inputs(DAY)
        broken = frame.assign(distance=frame["distance"].where(frame.index >= 5, 99_999))
        path = tmp_path / "landed" / "day.parquet"
        path.parent.mkdir()
        write_parquet(broken, path)
        types: Any = {"inputs": {}, "labels": {}}
        result = screen_day(services, "inputs", DAY, path, recent=[], known_keys=None, learned=types)
        keep(services, "inputs", DAY, path, result)
        return services, broken

    def test_counts_states_reasons_and_ranges_are_those_of_the_contract(
        self, screened: tuple[Services, pd.DataFrame]
    ) -> None:
        services, frame = screened
        facts = overview.data_quality(services, asset="inputs", days=30)
        assert as_json(facts) == facts
        assert facts["days"] == facts["kept_out"] == [str(DAY)]
        assert (facts["rows"], facts["accepted"], facts["quarantined"]) == ([len(frame)], [len(frame) - 5], [5])
        (reason,) = facts["reasons"]
        assert "distance" in reason["reason"] and reason["rows"] == [5]
        suite = json.loads((PROJECT_ROOT / "expectations" / "inputs.json").read_text(encoding="utf-8"))
        assert len(facts["expectations"]) == len(suite["expectations"])
        assert facts["expectations"][0]["column"] == "distance" and facts["expectations"][0]["states"] == "u"
        assert facts["highest_rows"][0] >= len(frame) >= facts["lowest_rows"][0]
        nulls = {one["column"]: (one["share"][0], one["highest"][0]) for one in facts["nulls"]}
        for column, (share, highest) in nulls.items():
            assert share == pytest.approx(frame[column].isna().mean(), abs=1e-5)
            assert share <= highest
        shares = [one for one in suite["expectations"] if "proportion_of_non_null" in one["type"]]
        assert {one["kwargs"]["column"] for one in shares} <= set(nulls)

    def test_the_rows_of_a_day_are_read_and_written_as_csv(self, screened: tuple[Services, pd.DataFrame]) -> None:
        services, frame = screened
        facts = overview.quarantined_rows(services, asset="inputs", day=str(DAY))
        assert as_json(facts) == facts
        (rows,) = facts["tables"]
        assert (rows["what"], rows["total"], len(rows["rows"])) == ("rows", 5, 5)
        assert rows["columns"] == [*frame.columns, "reasons"]
        assert overview.file(services, rows["file"]).data.startswith(b"PAR1")
        text = overview.quarantined_csv(services, asset="inputs", day=str(DAY), what="rows")
        written = list(csv.DictReader(io.StringIO(text)))
        assert [float(row["distance"]) for row in written] == [99999.0] * 5
        assert all("distance" in row["reasons"] for row in written)

    def test_a_text_that_a_spreadsheet_would_run_stays_a_text(self, services: Services) -> None:
        frame = pd.DataFrame({"=name": ["=1+1", "plain"], "number": [-1.5, None]})
        services.storage.put_bytes(f"quarantine/labels/day={DAY}/partition.parquet", table_bytes(frame))
        text = overview.quarantined_csv(services, asset="labels", day=str(DAY), what="partition")
        assert text == "'=name,number\r\n'=1+1,-1.5\r\nplain,\r\n"

    @pytest.mark.parametrize(
        ("asset", "day", "what"),
        [("inputs", "2013-04-03", "rows"), ("nothing", str(DAY), "rows"), ("inputs", str(DAY), "partition"),
         ("inputs", "../../x", "rows"), ("inputs", str(DAY), "../../x")],
    )  # fmt: skip
    def test_what_is_not_in_quarantine_is_not_there(self, services: Services, asset: str, day: str, what: str) -> None:
        services.storage.put_bytes(f"quarantine/inputs/day={DAY}/rows.parquet", table_bytes(pd.DataFrame({"a": [1]})))
        with pytest.raises(EvergreenError):
            overview.quarantined_csv(services, asset=asset, day=day, what=what)

    def test_a_result_that_cannot_be_read_is_named_and_spoils_its_own_day_only(
        self, screened: tuple[Services, pd.DataFrame]
    ) -> None:
        services, frame = screened
        for asset_day in ("2013-04-01", "2013-03-30"):
            services.storage.put_bytes(f"quarantine/inputs/day={asset_day}/rows.parquet", b"rows")
        services.storage.put_bytes("validation/inputs/day=2013-04-01/result.json", b"{}")
        facts = overview.data_quality(services, asset="inputs", days=30)
        assert facts["rows"] == [None, None, None, len(frame)]
        assert [one["day"] for one in facts["unreadable"]] == ["2013-04-01"]

    def test_nothing_yet_says_what_to_do(self, services: Services) -> None:
        assert overview.data_quality(services)["hint"]
