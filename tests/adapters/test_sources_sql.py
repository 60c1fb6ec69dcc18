"""Days out of a SQL database: SQLite, and a real PostgreSQL."""

from __future__ import annotations

import logging
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
import sqlalchemy as sa
from pyarrow import parquet

from ml import settings
from ml.adapters.sources import LargeSource, TypedSource
from ml.adapters.sources.kinds.sql import SqlSource
from ml.adapters.sources.replayed import ReplayedSource
from ml.adapters.sources.sql import SqlRows
from ml.adapters.sql import problems
from ml.errors import AccessDenied, DataRejected, EvergreenError, MissingArtifact, SettingsError, Unavailable
from tests.postgres import PASSWORD, Postgres, free_port, postgres

__all__ = ["postgres"]
DAY = date(2024, 4, 1)
NOW = datetime(2024, 6, 1, tzinfo=UTC)
TASK: dict[str, Any] = {
    "name": "rentals",
    "kind": "regression",
    "target": "count",
    "key": ["day", "station", "at"],
    "label_delay_days": 1,
    "timezone": "Europe/Berlin",
}
AT = [
    datetime(2024, 3, 31, 21, 30, tzinfo=UTC),
    datetime(2024, 3, 31, 22, 30, tzinfo=UTC),
    datetime(2024, 4, 1, 10, 0, tzinfo=UTC),
    datetime(2024, 4, 1, 22, 0, tzinfo=UTC),
]
ROWS = [
    {"at": AT[3], "station": "007", "temp": 3.0, "count": 4},
    {"at": AT[2], "station": "NA", "temp": None, "count": 3},
    {"at": AT[1], "station": "007", "temp": 2.0, "count": 2},
    {"at": AT[0], "station": "007", "temp": 1.5, "count": 1},
]
OF_DAY = pd.DataFrame(
    {
        "day": ["2024-04-01"] * 2,
        "at": pd.to_datetime([AT[1], AT[2]]).astype("datetime64[us, UTC]"),
        "station": ["007", "NA"],
        "temp": [2.0, None],
        "count": [2, 3],
    }
)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give the URL of an empty database."""
    if request.param == "postgresql":
        made: str = request.getfixturevalue("postgres").new()
        return made
    path = tmp_path / "data.db"
    sqlite3.connect(path).close()
    return f"sqlite:///{path}"


@pytest.fixture(autouse=True)
def connection(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "url" in request.fixturenames:
        monkeypatch.setenv("EVERGREEN_CONNECTION_WAREHOUSE", request.getfixturevalue("url"))


def _source(inputs: dict[str, Any], labels: dict[str, Any] | None = None, **options: Any) -> SqlRows:
    section = {"kind": "sql", "database": "warehouse", "inputs": inputs, **({"labels": labels} if labels else {})}
    task = {**TASK, **options.pop("task", {})}
    parsed = settings.parse(
        {
            "task": task,
            "source": {**section, **options},
            "land": {"due_hour": 5, "catch_up_days": 7},
            "features": {"numeric": ["temp"]},
            "fit": {"estimator": "sklearn.linear_model.Ridge"},
            "gate": {"metric": "rmse", "rules": {}},
        }
    )
    assert isinstance(parsed.source, SqlSource)
    source = parsed.source.open_in(parsed)
    assert isinstance(source, SqlRows)
    object.__setattr__(source, "now", lambda: NOW)
    return source


def _store(url: str, name: str, rows: list[dict[str, Any]], types: dict[str, Any]) -> None:
    """Write rows to a new table."""
    engine = sa.create_engine(url)
    table = sa.Table(name, sa.MetaData(), *[sa.Column(column, kind) for column, kind in types.items()])
    with engine.begin() as opened:
        table.create(opened)
        opened.execute(table.insert(), rows)
    engine.dispose()


def _rentals(url: str, time: Any = None) -> None:
    texts = url.startswith("sqlite")
    rows = [{**row, "at": row["at"].isoformat()} for row in ROWS] if texts else ROWS
    time = sa.Text() if texts else sa.DateTime(timezone=True)
    _store(url, "rentals", rows, {"at": time, "station": sa.Text(), "temp": sa.Float(), "count": sa.Integer()})


def _timed(frame: pd.DataFrame, url: str) -> pd.DataFrame:
    """Return a frame whose instants are texts, as SQLite has them."""
    return frame.assign(at=frame["at"].map(lambda at: at.isoformat())) if url.startswith("sqlite") else frame


def test_a_table_gives_inputs_without_the_target_and_labels_of_a_local_day(url: str) -> None:
    _rentals(url)
    source = _source({"table": "rentals", "time": "at"})
    assert isinstance(source, LargeSource | TypedSource)
    expected = _timed(OF_DAY, url)
    pd.testing.assert_frame_equal(source.inputs(DAY), expected.drop(columns="count"), check_dtype=False)
    labels = expected[["day", "station", "at", "count"]]
    pd.testing.assert_frame_equal(source.labels(DAY), labels, check_dtype=False)
    with pytest.raises(MissingArtifact, match="nothing for 2024-05-01: database warehouse: rentals .* gives no row"):
        source.inputs(date(2024, 5, 1))


def test_inputs_of_a_table_may_have_the_parts_of_its_time(url: str, tmp_path: Path) -> None:
    _rentals(url)
    source = _source({"table": "rentals", "time": "at"}, time_parts=["hour"])
    assert source.inputs(DAY).filter(like="hour").iloc[:, 0].tolist() == [0, 12]
    for rows_at_once in (1, 10):
        source.write("inputs", DAY, tmp_path / "out", rows_at_once=rows_at_once)
        assert pd.read_parquet(tmp_path / "out").filter(like="hour").iloc[:, 0].tolist() == [0, 12]
    query = "SELECT station, at FROM rentals WHERE at >= :day_start AND at < :day_end"
    if url.startswith("sqlite"):
        query = query.replace("at >=", "datetime(at) >=").replace("at <", "datetime(at) <")
    of_query = {"query": query, "time": "at"}
    asked = _source(of_query, {"table": "rentals", "time": "at"}, time_parts=["hour"])
    assert asked.inputs(DAY).filter(like="hour").iloc[:, 0].tolist() == [0, 12]
    with pytest.raises(SettingsError, match="time_parts need inputs.time"):
        _source({"query": "SELECT 1 WHERE :day = x"}, {"table": "rentals", "time": "at"}, time_parts=["hour"])


def test_a_query_binds_the_day_its_instants_and_nothing_else(url: str) -> None:
    _rentals(url)
    _store(url, "days", [{"on": DAY, "n": 1}, {"on": date(2024, 4, 2), "n": 2}], {"on": sa.Date(), "n": sa.Integer()})
    between = "SELECT station, at, count FROM rentals WHERE at >= :day_start AND at < :day_end AND station <> 'a\\:b'"
    if url.startswith("sqlite"):
        between = between.replace("at >=", "datetime(at) >=").replace("at <", "datetime(at) <")
    dates = "SELECT '007' AS station, 'x' AS at, n AS temp FROM days WHERE \"on\" >= :day AND \"on\" < :next_day;"
    source = _source({"query": dates}, {"query": between})
    assert source.inputs(DAY)["temp"].tolist() == [1]
    assert source.labels(DAY)["count"].tolist() == [2, 3]


def test_a_value_is_never_part_of_the_text(url: str, caplog: pytest.LogCaptureFixture) -> None:
    _rentals(url)
    seen: list[tuple[str, Any]] = []
    query = "SELECT station, temp FROM rentals WHERE CAST(:day AS text) LIKE '20%'"
    source = _source({"query": query}, {"query": query})
    sa.event.listen(source.database.engine, "before_cursor_execute", lambda *a: seen.append((a[2], a[3])))
    with caplog.at_level(logging.DEBUG):
        source.inputs(DAY)
    ((statement, values),) = [(text, values) for text, values in seen if "rentals" in text]
    assert "2024" not in statement and "2024-04-01" in str(
        [str(v) for v in getattr(values, "values", lambda: values)()]
    )


@pytest.mark.parametrize("kind", ["zoned", "local", "date", "text"])
def test_a_day_has_the_hours_that_its_clocks_show(postgres: Postgres, monkeypatch: Any, kind: str) -> None:
    url = postgres.new()
    monkeypatch.setenv("EVERGREEN_CONNECTION_WAREHOUSE", url)
    day = date(2024, 10, 27)
    instants = pd.date_range("2024-10-26", periods=72, freq="h", tz="UTC")
    local = instants.tz_convert("Europe/Berlin")
    forms: dict[str, tuple[Any, list[Any]]] = {
        "zoned": (sa.DateTime(timezone=True), [at.to_pydatetime() for at in instants]),
        "local": (sa.DateTime(), [at.to_pydatetime().replace(tzinfo=None) for at in local]),
        "date": (sa.Date(), [at.date() for at in local]),
        "text": (sa.String(40), [at.isoformat() for at in instants]),
    }
    column, values = forms[kind]
    rows = [{"at": at, "station": str(n), "temp": 1.0, "count": n} for n, at in enumerate(values)]
    _store(url, "rentals", rows, {"at": column, "station": sa.Text(), "temp": sa.Float(), "count": sa.Integer()})
    inputs = _source({"table": "public.rentals", "time": "at"}).inputs(day)
    expected = [str(n) for n, at in enumerate(local) if at.date() == day]
    assert len(expected) == 25 and sorted(inputs["station"]) == sorted(expected)


VALUES = [
    {
        "whole": 7,
        "long": 2**62 + 1,
        "money": Decimal("12.50"),
        "yes": True,
        "on": date(2024, 4, 1),
        "zoned": AT[1],
        "naive": datetime(2024, 4, 1, 0, 30),
        "real": 0.1,
        "name": "ä 'quoted', \"x\"\n",
        "nothing": None,
    },
    dict.fromkeys(["whole", "long", "money", "yes", "on", "zoned", "naive", "real", "name", "nothing"]),
]


def test_values_are_those_of_the_same_rows_in_a_parquet_file(
    postgres: Postgres, monkeypatch: Any, tmp_path: Path
) -> None:
    url = postgres.new()
    monkeypatch.setenv("EVERGREEN_CONNECTION_WAREHOUSE", url)
    rows = [{"station": str(n), **row} for n, row in enumerate(VALUES)]
    types: dict[str, Any] = {
        "station": sa.Text(), "whole": sa.Integer(), "long": sa.BigInteger(), "money": sa.Numeric(12, 2),
        "yes": sa.Boolean(), "on": sa.Date(), "zoned": sa.DateTime(timezone=True), "naive": sa.DateTime(),
        "real": sa.Double(), "name": sa.Text(), "nothing": sa.Float(),
    }  # fmt: skip
    _store(url, "facts", rows, types)
    query = "SELECT CAST(:day AS date) AS day, f.* FROM facts AS f"
    source = _source({"query": query}, {"query": "SELECT 1 AS count WHERE :day IS NULL"})
    source.write("inputs", DAY, tmp_path / "sql.parquet", rows_at_once=1000)

    frame = pa.table(
        {
            "day": pa.array([DAY] * 2),
            "station": ["0", "1"],
            "whole": [7, None],
            "long": [2**62 + 1, None],
            "money": pa.array([Decimal("12.50"), None], pa.decimal128(12, 2)),
            "yes": [True, None],
            "on": pa.array([DAY, None]),
            "zoned": pa.array([AT[1], None], pa.timestamp("us", tz="UTC")),
            "naive": pa.array([VALUES[0]["naive"], None], pa.timestamp("us")),
            "real": [0.1, None],
            "name": [VALUES[0]["name"], None],
            "nothing": pa.nulls(2),
        }
    )
    parquet.write_table(frame, tmp_path / "inputs-2024-04-01.parquet")
    pattern = str(tmp_path / "inputs-{day}.parquet")
    files = settings.parse(
        {
            **source.settings.model_dump(mode="json"),
            "source": {"kind": "files", "inputs": pattern, "labels": pattern},
        }
    )
    files.source.open_in(files).write("inputs", DAY, tmp_path / "files.parquet", rows_at_once=1000)  # type: ignore[attr-defined]
    assert (tmp_path / "sql.parquet").read_bytes() == (tmp_path / "files.parquet").read_bytes()


def test_the_order_of_rows_is_that_of_the_key_whatever_the_database_gives(url: str, tmp_path: Path) -> None:
    def store(name: str, numbers: list[int]) -> None:
        rows = [{"at": "x", "station": f"{n:03}", "temp": n if n % 7 else None, "count": n} for n in numbers]
        kinds = {"at": sa.Text(), "station": sa.Text(), "temp": sa.Integer(), "count": sa.Integer()}
        _store(url, name, rows, kinds)

    def written(table: str, batch_rows: int, rows_at_once: int) -> bytes:
        rows = {"query": f"SELECT station, at, temp FROM {table} WHERE :day IS NOT NULL"}
        if url.startswith("postgresql"):
            rows = {"query": rows["query"].replace(":day", "CAST(:day AS date)")}
        target = tmp_path / "out.parquet"
        source = _source(rows, rows, batch_rows=batch_rows)
        source.write("inputs", DAY, target, rows_at_once=rows_at_once)
        return target.read_bytes()

    store("forwards", [*range(500)])
    store("backwards", [*range(499, -1, -1)])
    whole = written("forwards", 1000, 1000)
    assert written("backwards", 1000, 1000) == whole == written("backwards", 33, 1000)
    parts = written("forwards", 33, 60)
    assert parts == written("backwards", 70, 60)
    (tmp_path / "parts.parquet").write_bytes(parts)
    (tmp_path / "whole.parquet").write_bytes(whole)
    in_parts, at_once = (pd.read_parquet(tmp_path / name) for name in ("parts.parquet", "whole.parquet"))
    pd.testing.assert_frame_equal(in_parts, at_once)
    assert at_once["station"].tolist() == [f"{n:03}" for n in range(500)]


def test_rows_are_fetched_in_batches_and_not_all_at_once(postgres: Postgres, monkeypatch: Any) -> None:
    url = postgres.new()
    monkeypatch.setenv("EVERGREEN_CONNECTION_WAREHOUSE", url)
    _store(url, "numbers", [{"n": n} for n in range(30_000)], {"n": sa.Integer()})
    query = "SELECT a.n AS station, b.n AS at FROM numbers AS a, numbers AS b WHERE CAST(:day AS date) IS NOT NULL"
    source = _source({"query": query}, {"query": query}, batch_rows=100)
    batches = source.database.stream(source._statement("inputs", DAY)[0], rows_at_once=100, setting="source.inputs")
    assert [len(next(batches).rows) for _ in range(3)] == [0, 100, 100]
    batches.close()  # type: ignore[attr-defined]


def test_nothing_is_written_by_a_query(url: str) -> None:
    _rentals(url)
    statement = "DELETE FROM rentals WHERE :day IS NOT NULL RETURNING station, at, temp"
    if url.startswith("postgresql"):
        statement = statement.replace(":day", "CAST(:day AS date)")
    source = _source({"query": statement}, {"query": statement})
    with pytest.raises(EvergreenError):
        source.inputs(DAY)
    assert len(_source({"table": "rentals", "time": "at"}).inputs(DAY)) == 2


def test_history_is_read_as_of_when_a_day_was_due(url: str) -> None:
    def at(day: int, hour: int) -> Any:
        instant = datetime(2024, 4, day, hour, tzinfo=UTC)
        return instant.strftime("%Y-%m-%d %H:%M:%S") if url.startswith("sqlite") else instant

    kind = sa.Text() if url.startswith("sqlite") else sa.DateTime(timezone=True)
    rows = [
        {"station": "a", "temp": 1.0, "count": None, "since": at(1, 2)},
        {"station": "a", "temp": 2.0, "count": 10, "since": at(1, 4)},
        {"station": "a", "temp": 2.0, "count": 11, "since": at(9, 2)},
        {"station": "a", "temp": 2.0, "count": 12, "since": at(9, 4)},
    ]
    _store(url, "kept", rows, {"station": sa.Text(), "temp": sa.Float(), "count": sa.Integer(), "since": kind})
    newest = "FROM kept WHERE since <= :as_of AND :day IS NOT NULL ORDER BY since DESC LIMIT 1"
    if url.startswith("postgresql"):
        newest = newest.replace(":day", "CAST(:day AS date)")
    queries = {"query": f"SELECT station, temp {newest}"}, {"query": f"SELECT station, count {newest}"}
    source = _source(*queries)  # 05:00 in Berlin is 03:00 UTC
    assert source.inputs(DAY)["temp"].tolist() == [1.0]
    assert source.labels(DAY)["count"].tolist() == [11]
    later = _source(*queries, as_of_hours=2)
    assert later.inputs(DAY)["temp"].tolist() == [2.0]
    object.__setattr__(later, "now", lambda: datetime(2024, 4, 2, tzinfo=UTC))
    assert later.labels(DAY)["count"].tolist() == [10]
    with pytest.raises(MissingArtifact, match=r"as of 2024-03-01 04:00 UTC; .* source.as_of_hours"):
        source.inputs(date(2024, 3, 1))


def test_labels_arrive_with_the_first_target(url: str) -> None:
    rows = [{"on": DAY, "station": "a", "count": None}, {"on": DAY, "station": "b", "count": None}]
    _store(url, "rentals", rows, {"on": sa.Date(), "station": sa.Text(), "count": sa.Integer()})
    source = _source({"table": "rentals", "time": "on"}, task={"key": ["day", "station"]})
    assert len(source.inputs(DAY)) == 2
    with pytest.raises(MissingArtifact, match="none has a count yet"):
        source.labels(DAY)
    engine = sa.create_engine(url)
    with engine.begin() as opened:
        opened.execute(sa.text("UPDATE rentals SET count = 5 WHERE station = 'a'"))
    engine.dispose()
    assert source.labels(DAY)["count"].tolist()[0] == 5


def test_a_past_period_is_served_as_if_it_were_now(url: str) -> None:
    _rentals(url)
    replay = {"from": "2024-04-01", "to": "2024-04-07"}
    source = _source({"table": "rentals", "time": "at"})
    section = source.section.model_copy(update={"replay": settings.Replay.model_validate(replay)})
    replayed = section.open_in(source.settings)
    assert isinstance(replayed, ReplayedSource)
    inputs = replayed.inputs(DAY + timedelta(days=70))
    assert inputs["day"].tolist() == ["2024-06-10"] * 2
    assert inputs["station"].tolist() == ["007", "NA"]
    assert section.of_history().replay is None and "2024-04-01" in section.caveats()[0]


def test_types_that_sqlite_has_not_are_taken_from_what_is_known(tmp_path: Path, monkeypatch: Any) -> None:
    path = tmp_path / "data.db"
    monkeypatch.setenv("EVERGREEN_CONNECTION_WAREHOUSE", f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE r (station TEXT, open BOOLEAN, since TEXT, seen TEXT)")
        database.execute("INSERT INTO r VALUES ('a', 1, '2024-03-01', '2024-03-01 10:00:00'), ('b', 0, NULL, NULL)")
        database.commit()
    rows = {"query": "SELECT * FROM r WHERE :day IS NOT NULL"}
    known = {"open": "bool", "since": "date", "seen": "timestamp[us]"}
    _source(rows, rows).with_types({"inputs": known}).write("inputs", DAY, tmp_path / "out", rows_at_once=10)
    kinds = {field.name: str(field.type) for field in parquet.read_schema(tmp_path / "out")}
    assert (kinds["open"], kinds["since"], kinds["seen"]) == ("bool", "date32[day]", "timestamp[us]")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (["1", "'x'"], "column 'temp' holds texts and whole numbers"),
        (["x'00'", "NULL"], "column 'temp' holds bytes"),
    ],
)
def test_values_that_are_no_column_are_rejected_by_name(
    tmp_path: Path, monkeypatch: Any, values: list[str], words: str
) -> None:
    path = tmp_path / "data.db"
    sqlite3.connect(path).close()
    monkeypatch.setenv("EVERGREEN_CONNECTION_WAREHOUSE", f"sqlite:///{path}")
    query = " UNION ALL ".join(f"SELECT {value} AS temp, :day AS station" for value in values)
    for batch_rows in (1, 10):
        with pytest.raises(DataRejected, match=words if batch_rows > 1 or "bytes" in words else "column 'temp'"):
            _source({"query": query}, {"query": query}, batch_rows=batch_rows).inputs(DAY)


def test_what_python_can_hold_becomes_what_a_file_can_hold() -> None:
    from ml.adapters.sql.values import as_array, common_type

    ids = [uuid.uuid4(), None]
    assert as_array(ids, "id", "q").to_pylist() == [str(ids[0]), None]
    assert as_array([2**63, 1], "n", "q").type == pa.uint64()
    assert as_array([2**70, -1], "n", "q").to_pylist() == [Decimal(2**70), Decimal(-1)]
    assert as_array([Decimal("NaN"), Decimal("1E+5"), Decimal("0.001")], "n", "q").to_pylist() == [
        None, Decimal("100000.000"), Decimal("0.001"),
    ]  # fmt: skip
    assert as_array([Decimal("Infinity"), 1], "n", "q").to_pylist() == [float("inf"), 1.0]
    assert as_array([1, 2.5], "n", "q").to_pylist() == [1.0, 2.5]
    assert common_type([pa.null(), pa.int64(), pa.decimal128(4, 2)], "n", "q") == pa.decimal128(22, 2)
    assert common_type([pa.int64(), pa.float64(), pa.decimal128(4, 2)], "n", "q") == pa.float64()
    with pytest.raises(DataRejected, match="holds instants with an offset and instants without one"):
        as_array([AT[0], datetime(2024, 1, 1)], "n", "q")
    with pytest.raises(DataRejected, match="column 'n' holds dict in each row"):
        as_array([{"a": 1}], "n", "q")


# --- what is wrong ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ({"query": "SELECT 1"}, "names no day"),
        ({"query": "SELECT 1 WHERE x = :day AND y = :limit"}, "has :limit, and what can be bound is :day, :next_day"),
        ({"query": "SELECT 1 WHERE x = :day", "table": "t"}, "either query, or table and time"),
        ({}, "either query, or table and time"),
        ({"table": "t"}, "give time beside table"),
        ({"query": "SELECT 1 WHERE x = :day", "columns": ["at"]}, "columns are of a table"),
        ({"query": "SELECT 1 WHERE x = :day"}, "give labels"),
    ],
)
def test_settings_that_cannot_work_are_refused(rows: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        _source(rows)


@pytest.mark.parametrize(
    "database",
    [
        f"postgresql://me:{PASSWORD}@host/db",
        f"snowflake://me@account/db?token={PASSWORD}",
        f"postgresql://host/db?password={PASSWORD}",
        f"what {PASSWORD} is this",
    ],
)
def test_a_secret_in_settings_is_refused_and_not_repeated(database: str) -> None:
    with pytest.raises(SettingsError) as caught:
        _source({"table": "t", "time": "at"}, database=database)
    assert PASSWORD not in str(caught.value) and "source.sql.database" in str(caught.value)


def test_a_connection_that_nobody_has_made_is_named(monkeypatch: Any) -> None:
    monkeypatch.delenv("EVERGREEN_CONNECTION_WAREHOUSE", raising=False)
    with pytest.raises(SettingsError, match="no connection 'warehouse'; set EVERGREEN_CONNECTION_WAREHOUSE"):
        _source({"table": "t", "time": "at"}).inputs(DAY)
    monkeypatch.setenv("EVERGREEN_CONNECTION_WAREHOUSE", f"me:{PASSWORD}@host")
    with pytest.raises(SettingsError, match="EVERGREEN_CONNECTION_WAREHOUSE is not a URL") as caught:
        _source({"table": "t", "time": "at"}).inputs(DAY)
    assert PASSWORD not in str(caught.value)
    monkeypatch.setenv("EVERGREEN_CONNECTION_WAREHOUSE", "nosuch://host/db")
    with pytest.raises(SettingsError, match="no SQLAlchemy dialect 'nosuch' is installed"):
        _source({"table": "t", "time": "at"}).inputs(DAY)
    with pytest.raises(MissingArtifact, match="there is no .*absent.db"):
        _source({"table": "t", "time": "at"}, database="sqlite:///absent.db").inputs(DAY)


def test_what_the_database_does_not_know_is_named(url: str) -> None:
    _rentals(url)
    with pytest.raises(SettingsError, match=r"database warehouse has no table rental; correct source.inputs.table"):
        _source({"table": "rental", "time": "at"}).inputs(DAY)
    with pytest.raises(SettingsError, match=r"rentals has no column 'when' \(source.inputs.time\), but at, station"):
        _source({"table": "rentals", "time": "when"}).inputs(DAY)
    with pytest.raises(SettingsError, match=r"no column 'tmp' \(source.inputs.columns\)"):
        _source({"table": "rentals", "time": "at", "columns": ["station", "tmp"]}).inputs(DAY)
    with pytest.raises(SettingsError, match="'count' of rentals is INTEGER, which is neither an instant nor a date"):
        _source({"table": "rentals", "time": "count"}).inputs(DAY)
    for query in ("SELECT nothing FROM rentals WHERE at = :day", "SELECT 1 FROM nowhere WHERE x = :day", "SELEC :day"):
        with pytest.raises(SettingsError, match="does not know what it is asked for; correct source.inputs"):
            _source({"query": query}, {"query": query}).inputs(DAY)
    leak = "SELECT station, count FROM rentals WHERE CAST(:day AS text) IS NOT NULL"
    with pytest.raises(SettingsError, match="source.inputs gives the target 'count'"):
        _source({"query": leak}, {"query": leak}).inputs(DAY)


def test_a_row_that_contradicts_itself_is_rejected(url: str) -> None:
    _store(url, "r", [{"on": DAY, "day": "2024-04-02"}], {"on": sa.Date(), "day": sa.Text()})
    with pytest.raises(DataRejected, match="column 'day' holds 2024-04-02, but by 'on' the row is of 2024-04-01"):
        _source({"table": "r", "time": "on"}).inputs(DAY)


@pytest.fixture
def asked(postgres: Postgres, monkeypatch: Any) -> Iterator[Any]:
    def ask(url: str) -> None:
        monkeypatch.setenv("EVERGREEN_CONNECTION_WAREHOUSE", url)
        _source({"table": "rentals", "time": "at"}).inputs(DAY)

    return iter([ask])


def test_a_database_that_does_not_answer_is_tried_again(postgres: Postgres, asked: Any, caplog: Any) -> None:
    ask = next(asked)
    with pytest.raises(Unavailable, match="does not answer; see whether it is up") as caught:
        ask(f"postgresql://me:{PASSWORD}@127.0.0.1:{free_port()}/db")
    assert PASSWORD not in str(caught.value) + caplog.text
    with pytest.raises(AccessDenied, match="does not let us in.*password authentication failed"):
        ask(postgres.url(password="wrong-password"))
    with pytest.raises(SettingsError, match="nosuch"):
        ask(postgres.url("nosuch"))


def test_a_table_that_may_not_be_read_is_no_error_of_the_network(postgres: Postgres, asked: Any) -> None:
    url = postgres.new()
    _rentals(url)
    reader = f"reader_{uuid.uuid4().hex[:8]}"
    postgres.execute(f"CREATE ROLE {reader} LOGIN PASSWORD '{PASSWORD}'")
    with pytest.raises(AccessDenied, match="permission denied"):
        next(asked)(postgres.url(url.rpartition("/")[2], user=reader))


@pytest.mark.parametrize(
    ("sentence", "error", "kind"),
    [
        ("(1045, \"Access denied for user 'me'\")", sa.exc.OperationalError, AccessDenied),
        ("250001 (08001): Incorrect username or password was specified", sa.exc.DatabaseError, AccessDenied),
        ('(2003, "Can\'t connect to MySQL server")', sa.exc.OperationalError, Unavailable),
        ("database is locked", sa.exc.OperationalError, Unavailable),
        ("404 Not found: Table flights", sa.exc.DatabaseError, SettingsError),
        ("value out of range", sa.exc.DataError, DataRejected),
        ("something else", sa.exc.DatabaseError, EvergreenError),
    ],
)
def test_sentences_of_other_databases_are_told_apart(sentence: str, error: Any, kind: Any) -> None:
    assert problems.kind_of(error("SELECT", {}, Exception(sentence))) is kind
