"""A past period of files or of a table, served as if it were now."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pyarrow import parquet
from pydantic import ValidationError

from ml.adapters.sources import DescribedSource, LargeSource, Source, SourceKind, TypedSource
from ml.errors import MissingArtifact
from ml.settings import SOURCES, Replay, Task

FIRST = date(2011, 1, 1)
PAST, TODAY = date(2011, 1, 10), date(2026, 6, 8)
"""Both are Mondays; with a period of two weeks the one is served as the other."""
REPLAY = {"from": "2011-01-01", "to": "2011-01-16"}
TASK = Task(name="rentals", kind="regression", target="count", key=("day", "hour"), label_delay_days=1)
ROWS = pd.DataFrame(
    {
        "day": [day.isoformat() for day in (FIRST + timedelta(days=n) for n in range(16)) for _ in range(3)],
        "hour": [0, 1, 2] * 16,
        "at": "x",
        "count": range(48),
    }
)


def _kind(folder: Path, kind: str, ending: str, **options: Any) -> SourceKind:
    if kind == "files":
        for day, rows in ROWS.groupby("day"):
            for asset in ("inputs", "labels"):
                path = folder / f"{asset}-{day}.{ending}"
                rows.to_csv(path, index=False) if ending == "csv" else rows.to_parquet(path)
        section: dict[str, Any] = {a: f"{folder}/{a}-{{day}}.{ending}" for a in ("inputs", "labels")}
    else:
        path = folder / f"table.{ending}"
        ROWS.to_csv(path, index=False) if ending == "csv" else ROWS.to_parquet(path)
        section = {"inputs": str(path), "time": "day"}
    section = {"kind": kind, "replay": REPLAY, **section, **options}
    source_kind = SOURCES.load(kind).model_validate(section)
    assert isinstance(source_kind, SourceKind)
    return source_kind


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("kind", ["files", "table"])
def test_a_past_day_is_served_as_one_of_the_same_weekday(tmp_path: Path, kind: str, ending: str) -> None:
    section = _kind(tmp_path, kind, ending)
    source: Source = section.open_for(TASK)
    assert (PAST.weekday(), section.replay.source_day(TODAY)) == (TODAY.weekday(), PAST)  # type: ignore[attr-defined]
    past: Source = section.of_history().open_for(TASK)  # type: ignore[attr-defined]
    for served, original in ((source.inputs(TODAY), past.inputs(PAST)), (source.labels(TODAY), past.labels(PAST))):
        assert served["day"].tolist() == ["2026-06-08"] * 3
        pd.testing.assert_frame_equal(served.drop(columns="day"), original.drop(columns="day"))
    assert isinstance(source, LargeSource)
    assert isinstance(source, TypedSource)
    source = source.with_types({"labels": {"hour": "string"}})
    assert isinstance(source, LargeSource)
    for rows_at_once in (1, 100):
        source.write("labels", TODAY, tmp_path / "out", rows_at_once=rows_at_once)
        assert parquet.read_table(tmp_path / "out")["day"].to_pylist() == ["2026-06-08"] * 3
        assert parquet.read_table(tmp_path / "out")["hour"].to_pylist() == (
            ["0", "1", "2"] if ending == "csv" else [0, 1, 2]
        )


def test_a_row_of_another_day_keeps_it_for_the_contract_to_find(tmp_path: Path) -> None:
    source = _kind(tmp_path, "files", "csv").open_for(TASK)
    ROWS.assign(day=["2011-01-10"] * 47 + ["2011-01-11"]).to_csv(tmp_path / "inputs-2011-01-10.csv", index=False)
    assert source.inputs(TODAY)["day"].tolist() == ["2026-06-08"] * 47 + ["2011-01-11"]
    assert isinstance(source, LargeSource)
    source.write("inputs", TODAY, tmp_path / "out", rows_at_once=100)
    assert parquet.read_table(tmp_path / "out")["day"].to_pylist()[-2:] == ["2026-06-08", "2011-01-11"]


def test_a_day_that_the_period_lacks_is_missing(tmp_path: Path) -> None:
    source = _kind(tmp_path, "files", "csv").open_for(TASK)
    (tmp_path / "inputs-2011-01-10.csv").unlink()
    with pytest.raises(MissingArtifact, match="nothing for 2011-01-10"):
        source.inputs(TODAY)
    assert isinstance(source, DescribedSource)
    assert source.stat("inputs", TODAY) is None


def test_a_period_is_cut_to_whole_weeks_and_repeated() -> None:
    replay = Replay.model_validate(REPLAY)
    days = [replay.source_day(FIRST + timedelta(days=n)) for n in (-1, 0, 13, 14, 14 * 400)]
    assert days == [date(2011, 1, 14), FIRST, date(2011, 1, 14), FIRST, FIRST]
    assert Replay.model_validate({"from": "2011-01-01"}).days == 364
    with pytest.raises(ValidationError, match="less than a week"):
        Replay.model_validate({"from": "2011-01-01", "to": "2011-01-05"})


def test_settings_come_back_as_they_were_and_history_is_read_by_its_own_days(tmp_path: Path) -> None:
    section = _kind(tmp_path, "table", "csv")
    dumped = section.model_dump(mode="json")
    assert dumped["replay"] == REPLAY
    assert type(section).model_validate(dumped) == section
    assert section.of_history().replay is None  # type: ignore[attr-defined]
    assert section.caveats() == ("All of its data are of 2011-01-01 to 2011-01-14, shown as if they were now.",)
    assert section.of_history().caveats() == ()
