"""Days out of Delta and Iceberg tables, where what reads them is installed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from ml import settings
from ml.adapters.sources import DescribedSource, LargeSource, Source
from ml.errors import MissingArtifact, SettingsError

pytestmark = pytest.mark.filterwarnings("ignore")  # of theirs
DAY = date(2024, 4, 1)
AT = [datetime(2024, 3, 31, 21, 30), datetime(2024, 3, 31, 22, 30), datetime(2024, 4, 1, 10), datetime(2024, 4, 1, 22)]
ROWS = pa.table(
    {
        "at": pa.array([at.replace(tzinfo=UTC) for at in AT], pa.timestamp("us", tz="UTC")),
        "station": ["007", "NA", "007", "007"],
        "temp": [1.5, None, 3.0, 4.0],
        "count": [1, 2, 3, 4],
    }
)
EXPECTED = pd.DataFrame(
    {
        "day": ["2024-04-01"] * 2,
        "at": pd.to_datetime([AT[2], AT[1]]).tz_localize("UTC").astype("datetime64[us, UTC]"),
        "station": ["007", "NA"],
        "temp": [3.0, None],
        "count": [3, 2],
    }
)
Write = Callable[[pa.Table], None]


@pytest.fixture(params=["delta", "iceberg"])
def lake(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[dict[str, Any], Write]:
    """Give the settings of a source, and what writes its table."""
    if request.param == "delta":
        delta = pytest.importorskip("deltalake", reason="deltalake is not installed (make lake)")
        path = str(tmp_path / "rentals")
        return {"kind": "delta", "inputs": path}, lambda rows: delta.write_deltalake(path, rows, mode="append")
    catalogs = pytest.importorskip("pyiceberg.catalog", reason="pyiceberg is not installed (make lake)")
    monkeypatch.setenv("PYICEBERG_CATALOG__LAKE__URI", f"sqlite:///{tmp_path / 'catalog.db'}")
    monkeypatch.setenv("PYICEBERG_CATALOG__LAKE__TYPE", "sql")
    monkeypatch.setenv("PYICEBERG_CATALOG__LAKE__WAREHOUSE", f"file://{tmp_path}")
    monkeypatch.setattr(catalogs, "_ENV_CONFIG", type(catalogs._ENV_CONFIG)())  # the environment, read again

    def write(rows: pa.Table) -> None:
        catalog = catalogs.load_catalog("lake")
        catalog.create_namespace_if_not_exists("sales")
        catalog.create_table_if_not_exists("sales.rentals", schema=rows.schema).append(rows)
        catalog.close()

    return {"kind": "iceberg", "catalog": "lake", "inputs": "sales.rentals"}, write


def _source(section: dict[str, Any], **options: Any) -> Source:
    parsed = settings.parse(
        {
            "task": {
                "name": "rentals", "kind": "regression", "target": "count", "key": ["day", "station", "at"],
                "label_delay_days": 1, "timezone": "Europe/Berlin",
            },
            "source": {"time": "at", **section, **options},
            "features": {"numeric": ["temp"]},
            "fit": {"estimator": "sklearn.linear_model.Ridge"},
            "gate": {"metric": "rmse", "rules": {}},
        }
    )  # fmt: skip
    source: Source = parsed.source.open_in(parsed)  # type: ignore[attr-defined]
    return source


def test_a_table_of_a_lake_gives_a_local_day_in_the_order_of_its_key(lake: Any, tmp_path: Path) -> None:
    section, write = lake
    write(ROWS)
    source = _source(section)
    assert isinstance(source, LargeSource) and isinstance(source, DescribedSource)
    pd.testing.assert_frame_equal(source.inputs(DAY), EXPECTED.drop(columns="count"), check_dtype=False)
    labels = source.labels(DAY)
    pd.testing.assert_frame_equal(labels, EXPECTED[["day", "station", "at", "count"]], check_dtype=False)
    source.write("inputs", DAY, tmp_path / "out", rows_at_once=1)
    assert pd.read_parquet(tmp_path / "out")["station"].tolist() == ["007", "NA"]
    before = source.stat("labels", DAY)
    write(ROWS.slice(0, 1))
    assert source.stat("labels", DAY) != before
    replayed = _source(section, replay={"from": "2024-04-01", "to": "2024-04-07"})
    assert replayed.inputs(date(2024, 6, 10))["day"].tolist() == ["2024-06-10"] * 2


def test_what_is_wrong_is_named_as_the_table_is_called(lake: Any) -> None:
    section, write = lake
    with pytest.raises(SettingsError, match=f"there is no {section['kind']} table {section['inputs']}"):
        _source(section).inputs(DAY)
    write(ROWS.set_column(3, "count", pa.nulls(4, pa.int64())))
    with pytest.raises(MissingArtifact, match=f"nothing for 2024-05-01: {section['inputs']} has no row"):
        _source(section).inputs(date(2024, 5, 1))
    with pytest.raises(MissingArtifact, match=f"{section['inputs']} has rows of that day, but none has a count yet"):
        _source(section).labels(DAY)
    with pytest.raises(SettingsError, match="has no column 'when' .*but at, station"):
        _source({**section, "time": "when"}).inputs(DAY)
    with pytest.raises(SettingsError, match="neither an instant nor a date"):
        _source({**section, "time": "temp"}).inputs(DAY)


def test_a_lake_without_its_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "deltalake", None)
    with pytest.raises(SettingsError, match="is not installed; run 'make lake'"):
        _source({"kind": "delta", "inputs": "/nowhere"}).inputs(DAY)
