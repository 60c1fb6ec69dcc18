"""``evergreen adopt`` on data where they lie: databases, files a day, S3, and the web; what it writes gives days."""

from __future__ import annotations

import gzip
import io
import json
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import date, timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa

from ml.adapters.sources.patterns import named
from ml.adapters.sources.sampling_days import read_days
from ml.adapters.sources.sampling_sql import read_database
from ml.cli import adopt
from ml.cli.adopt_reading import Address, read_both
from ml.core.adoption.answers import Answers
from ml.errors import AccessDenied, DataRejected, MissingArtifact, SettingsError
from ml.settings import Settings, parse, read
from ml.steps.ingest import seed
from ml.wiring import Environment, Services
from tests.adapters.conftest import s3_root, s3_server
from tests.cli.quick_adoption import quick_adoption
from tests.postgres import PASSWORD, Postgres, postgres

__all__ = ["postgres", "quick_adoption", "s3_root", "s3_server"]
DAYS = 45
LAST = pd.Timestamp.now("UTC").normalize().tz_localize(None) - pd.Timedelta(days=2)
"""The newest day: data of today, so that no past period is replayed."""


def orders() -> pd.DataFrame:
    """Forty orders a day, at minutes of their own, with an amount that follows from weight and shop."""
    chance = np.random.default_rng(8)
    day = pd.date_range(end=LAST, periods=DAYS)
    at = (day.repeat(40) + pd.to_timedelta(np.tile(np.arange(40) * 30 + 60, DAYS), unit="min")).as_unit("us")
    weight = chance.gamma(2, 3, len(at)).round(2)
    shop = chance.choice(["007", "045", "101"], len(at))
    return pd.DataFrame(
        {
            "order_id": np.arange(len(at)) + 10_000,
            "created at": at,
            "shop": shop,
            "weight": weight,
            "amount": (5 * weight + 10 * (shop == "045") + chance.normal(0, 1, len(at))).round(2),
        }
    )


def adopted(address: Address, *, target: str = "amount", **answers: Any) -> tuple[Settings, Services, str]:
    """Adopt, and open the model that was written as its Dags do."""
    facts = adopt.run(address, Answers(target=target, **answers), take=False, ask=False)
    settings = parse(read(Path(facts["folder"]) / "params.yaml"))
    return settings, Services(settings, Environment.load(model=facts["model"])), facts["summary"]


def check_days(services: Services, *, day: date | None = None) -> None:
    """Both tables of a day are as they were made; the target is in the labels only."""
    day = day or (LAST - pd.Timedelta(days=3)).date()
    own = orders().loc[lambda table: table["created at"].dt.date == day]
    inputs = services.source.inputs(day)
    labels = services.source.labels(day)
    assert len(inputs) == 40 and "amount" not in inputs and set(inputs["shop"]) == set(own["shop"])
    assert sorted(inputs["weight"]) == sorted(own["weight"])
    assert sorted(labels["amount"].astype(float).round(2)) == sorted(own["amount"])


class TestDatabase:
    @pytest.fixture(params=["sqlite", "postgresql"])
    def url(self, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
        """Give the URL of a database that holds the orders, and whose connection is called ``warehouse``."""
        if request.param == "postgresql":
            server: Postgres = request.getfixturevalue("postgres")
            url = server.new()
        else:
            sqlite3.connect(tmp_path / "data.db").close()
            url = f"sqlite:///{tmp_path}/data.db"
        monkeypatch.setenv("EVERGREEN_CONNECTION_WAREHOUSE", url)
        self.store(url, "orders", orders())
        return url

    def store(self, url: str, name: str, table: pd.DataFrame) -> None:
        kinds = {"created at": sa.DateTime(), "shop": sa.Text(), "weight": sa.Float(), "amount": sa.Numeric(10, 2)}
        if url.startswith("sqlite"):
            table = table.assign(**{"created at": table["created at"].dt.strftime("%Y-%m-%d %H:%M:%S")})
            kinds |= {"created at": sa.Text(), "amount": sa.Float()}
        engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
        table.to_sql(name, engine, index=False, dtype={k: v for k, v in kinds.items() if k in table})
        engine.dispose()

    def test_a_table_becomes_a_model_that_asks_the_database_for_its_days(self, url: str, tmp_path: Path) -> None:
        settings, services, shown = adopted(Address("warehouse", table="orders"))
        source = settings.source.model_dump(mode="json")
        assert (source["kind"], source["database"]) == ("sql", "warehouse")
        assert source["inputs"]["table"] == "orders" and source["inputs"]["time"] == "created at"
        assert settings.task.name == "orders" and settings.task.key == ("day", "order_id")
        assert "minute_of_day" in source["time_parts"] and "replay" not in shown
        check_days(services)
        written = "".join(p.read_text() for p in (tmp_path / "models").rglob("*") if p.is_file())
        assert PASSWORD not in written and "@" not in settings.source.model_dump_json()

    def test_a_query_for_all_rows_becomes_one_for_a_day(self, url: str) -> None:
        query = """
            SELECT order_id, "created at", shop, weight, amount -- all of them
            FROM orders WHERE shop <> 'x\\:y';
        """
        settings, services, _ = adopted(Address("warehouse", query=query), name="orders")
        source = settings.source.model_dump(mode="json")
        assert ":day" in source["inputs"]["query"] and "amount" not in source["inputs"]["query"].split("FROM (")[0]
        check_days(services)
        inputs = services.source.inputs((LAST - pd.Timedelta(days=3)).date())
        assert inputs["created at_minute_of_day"].min() == 60

    def test_labels_of_a_table_of_their_own(self, url: str) -> None:
        table = orders()
        newest = table["created at"].dt.normalize() > LAST - pd.Timedelta(days=3)
        self.store(url, "parcels", table.drop(columns="amount"))
        self.store(url, "invoices", table.loc[~newest, ["order_id", "created at", "amount"]])
        settings, services, _ = adopted(Address("warehouse", table="parcels", labels="invoices"))
        assert settings.task.label_delay_days == 3
        check_days(services)
        with pytest.raises(MissingArtifact):
            services.source.labels(LAST.date())
        query = "SELECT * FROM invoices"
        _, services, _ = adopted(Address("warehouse", table="parcels", labels=query), name="by-query")
        check_days(services)

    def test_the_newest_rows_of_a_large_table_are_read(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("ml.adapters.sources.sampling_sql.PEEKED_ROWS", 100)
        monkeypatch.setattr("ml.adapters.sources.sampling_sql.MAX_ROWS", 400)
        for rows, option in (("orders", "--table"), ("SELECT * FROM orders", "--query")):
            read = read_database("warehouse", rows, option, time=None, leave_out=["amount"])
            assert len(read.table) == 400
            assert sorted(read.table["order_id"]) == sorted(orders()["order_id"])[-400:]
        if url.startswith("postgresql"):
            assert read.table["amount"].dtype == "float64"  # decimals are numbers

    def test_what_cannot_be_is_said_with_its_option(self, url: str) -> None:
        for address, words in (
            (Address("warehouse", table="order"), "database warehouse has no table order; correct --table"),
            (Address("warehouse", query="SELECT * FROM orders WHERE day = :day"), "the query has :day"),
            (Address("warehouse", query="orders"), "--query: it begins with neither"),
            (Address("warehouse", query="SELECT * FROM nowhere"), "correct --query"),
            (Address("nowhere", table="orders"), "set EVERGREEN_CONNECTION_NOWHERE"),
            (Address("warehouse", table="orders", query="SELECT 1"), "either --table or --query"),
        ):
            with pytest.raises(SettingsError, match=words):
                read_both(address, Answers(target="amount"))
        with pytest.raises(SettingsError, match="--time when: there is no such column"):
            read_both(Address("warehouse", table="orders"), Answers(target="amount", time="when"))

    def test_rows_that_the_source_cannot_use_are_no_copy_that_grows_old(self, url: str) -> None:
        self.store(url, "odd", orders().assign(day="Monday"))
        with pytest.raises(SettingsError, match=r"--table: the source cannot use .*day is no ISO day.*--query"):
            adopted(Address("warehouse", table="odd"))


def test_instants_of_postgres_are_of_the_day_of_the_zone(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    url = postgres.new()
    monkeypatch.setenv("EVERGREEN_CONNECTION_WAREHOUSE", url)
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    table = orders().assign(**{"created at": lambda t: t["created at"].dt.tz_localize("Asia/Tokyo")})
    table.to_sql("orders", engine, index=False)
    engine.dispose()
    for name, address in (
        ("by-table", Address("warehouse", table="orders")),
        ("by-query", Address("warehouse", query="SELECT * FROM orders")),
    ):
        settings, services, _ = adopted(address, name=name, timezone="Asia/Tokyo")
        check_days(services)
        inputs = services.source.inputs((LAST - pd.Timedelta(days=3)).date())
        assert inputs["created at_minute_of_day"].min() == 60 and settings.task.timezone == "Asia/Tokyo"


def test_a_password_in_the_address_is_refused_and_not_shown(postgres: Postgres) -> None:
    with pytest.raises(SettingsError, match="the URL holds a password; name a connection") as err:
        read_database(postgres.url(), "orders", "--table", time=None)
    assert PASSWORD not in str(err.value)


def test_a_wrong_password_is_said(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERGREEN_CONNECTION_WAREHOUSE", postgres.url(password="wrong"))
    with pytest.raises(AccessDenied, match="does not let us in"):
        read_database("warehouse", "orders", "--table", time=None)


def test_columns_of_bytes_and_json_are_left_out_and_said(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    url = postgres.new()
    monkeypatch.setenv("EVERGREEN_CONNECTION_WAREHOUSE", url)
    name = url.rpartition("/")[2]
    postgres.execute(
        "CREATE TABLE t (id int, at date, b bytea, j jsonb, a int[])",
        "INSERT INTO t VALUES (1, '2024-05-01', '\\x00', '{}', '{1}')",
        name=name,
    )
    read = read_database("warehouse", "t", "--table", time=None)
    assert list(read.table) == ["id", "at"] and read.notes[0].startswith("b, j, a: bytes")


def write_days(put: Any, *, packed: bool, with_day: bool = True, late: int = 0) -> None:
    """Put a file of inputs and one of labels for each day; ``put`` takes a name and bytes."""
    table = orders()
    for day, of_day in table.groupby(table["created at"].dt.strftime("%Y-%m-%d")):
        shown = {"created at": of_day["created at"].dt.strftime("%Y-%m-%d %H:%M"), **({"day": day} if with_day else {})}
        rows = of_day.assign(**shown)
        parts = {"inputs": rows.drop(columns="amount"), "labels": rows.drop(columns=["created at", "shop", "weight"])}
        for name, part in parts.items():
            if name == "labels" and str(day) > (LAST - pd.Timedelta(days=late)).strftime("%Y-%m-%d"):
                continue
            if packed:
                put(f"{name}/{day}.csv.gz", gzip.compress(part.to_csv(index=False).encode()))
            else:
                content = io.BytesIO()
                part.to_parquet(content, index=False)
                put(f"{name}/{day}.parquet", content.getvalue())


def _parquet(table: pd.DataFrame) -> bytes:
    content = io.BytesIO()
    table.to_parquet(content, index=False)
    return content.getvalue()


class TestFilesOfDays:
    def put(self, folder: Path, name: str, content: bytes) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)

    @pytest.mark.parametrize(("packed", "with_day"), [(False, True), (True, True), (True, False), (False, False)])
    def test_patterns_become_a_source_of_files(self, tmp_path: Path, packed: bool, with_day: bool) -> None:
        write_days(partial(self.put, tmp_path / "in"), packed=packed, with_day=with_day, late=4)
        ending = "csv.gz" if packed else "parquet"
        address = Address(*(f"{tmp_path}/in/{name}/{{day}}.{ending}" for name in ("inputs", "labels")))
        settings, services, _ = adopted(address)
        source = settings.source.model_dump(mode="json")
        assert (source["kind"], source["inputs"]) == ("files", address.data) and source["time"] == "created at"
        assert settings.task.name == "inputs" and settings.task.label_delay_days == 4
        check_days(services, day=(LAST - pd.Timedelta(days=6)).date())
        inputs = services.source.inputs(LAST.date())
        assert set(inputs["day"]) == {LAST.strftime("%Y-%m-%d")} and inputs["shop"].iloc[0] in {"007", "045", "101"}
        assert inputs["created at_minute_of_day"].min() == 60
        for rows_at_once in (10, 1000):
            out = tmp_path / "out.parquet"
            services.source.write("inputs", LAST.date(), out, rows_at_once=rows_at_once)  # type: ignore[attr-defined]
            landed = pd.read_parquet(out)
            assert sorted(landed["created at_minute_of_day"]) == sorted(inputs["created at_minute_of_day"])
            assert set(landed["day"]) == {LAST.strftime("%Y-%m-%d")}

    @pytest.mark.parametrize("name", ["{year}/{month}/{day}", "{year}{month}{day_of_month}"])
    def test_json_lines_below_years_and_months_are_a_source_of_files(self, tmp_path: Path, name: str) -> None:
        def put(of_day: str, content: bytes) -> None:
            folder, _, file = of_day.partition("/")
            rows = pd.read_csv(io.BytesIO(gzip.decompress(content)), dtype={"shop": "str"})
            text = rows.to_json(orient="records", lines=True).encode()
            day = date.fromisoformat(file.partition(".")[0])
            self.put(tmp_path / "in" / folder, f"{named(name, day)}.jsonl.gz", gzip.compress(text))

        write_days(put, packed=True, with_day=False)
        address = Address(*(f"{tmp_path}/in/{folder}/{name}.jsonl.gz" for folder in ("inputs", "labels")))
        settings, services, _ = adopted(address)
        source = settings.source.model_dump(mode="json")
        assert (source["kind"], source["inputs"]) == ("files", address.data) and settings.task.name == "inputs"
        check_days(services)
        landed = seed.run((LAST - pd.Timedelta(days=20)).date(), LAST.date(), settings=settings, services=services)
        assert landed["rejected"] == [] and landed["days"] == 21

    @pytest.mark.parametrize("packed", [True, False])
    def test_columns_that_are_left_out_reject_no_day_and_need_not_come(self, tmp_path: Path, packed: bool) -> None:
        ending = "csv.gz" if packed else "parquet"

        def put(name: str, content: bytes) -> None:
            table = (
                pd.read_csv(io.BytesIO(gzip.decompress(content)), dtype={"shop": "str"})
                if packed
                else pd.read_parquet(io.BytesIO(content))
            )
            if LAST.strftime("%Y-%m-%d") not in name:  # an invoice is written once the outcome is known
                known = {"invoice": table["amount"] * 2} if "amount" in table else {"branch": "north"}
                table = table.assign(**known)
            text = gzip.compress(table.to_csv(index=False).encode()) if packed else b""
            self.put(tmp_path / "in", name, text or _parquet(table))

        write_days(put, packed=packed)
        address = Address(*(f"{tmp_path}/in/{name}/{{day}}.{ending}" for name in ("inputs", "labels")))
        settings, services, shown = adopted(address)
        assert "branch has one value" in shown
        first, last = (LAST - pd.Timedelta(days=20)).date(), LAST.date()
        landed = seed.run(first, last, settings=settings, services=services)
        assert landed["rejected"] == [] and landed["days"] == 21
        services.source.write("inputs", first, tmp_path / "out.parquet", rows_at_once=10)  # type: ignore[attr-defined]
        assert "branch" not in pd.read_parquet(tmp_path / "out.parquet")

    def test_ugly_files_become_a_copy_of_one_table(self, tmp_path: Path) -> None:
        table = orders()
        for day, rows in table.groupby(table["created at"].dt.strftime("%Y-%m-%d")):
            for name, part in (("i", rows.drop(columns="amount")), ("l", rows[["order_id", "amount"]])):
                text = part.to_csv(index=False, sep=";", decimal=",").encode()
                self.put(tmp_path, f"{name}-{day}.csv", text)
        settings, services, shown = adopted(Address(f"{tmp_path}/i-{{day}}.csv", f"{tmp_path}/l-{{day}}.csv"))
        assert settings.source.kind == "table" and "decimal commas" in shown
        check_days(services)

    @pytest.mark.parametrize(("name", "ending"), [("%Y/%m/%Y-%m-%d", "csv"), ("%Y%m%d", "jsonl"), ("%Y/%m/%d", "csv")])
    @pytest.mark.parametrize("together", [True, False])
    def test_files_whose_names_alone_say_the_day_are_a_table(
        self, tmp_path: Path, name: str, ending: str, together: bool
    ) -> None:
        table = orders().drop(columns="created at").assign(day=orders()["created at"].dt.normalize())
        parts = (
            [("in", table)]
            if together
            else [("in", table.drop(columns="amount")), ("out", table[["order_id", "day", "amount"]])]
        )
        for folder, part in parts:
            for day, rows in part.groupby("day"):
                plain = rows.drop(columns="day")
                text = plain.to_csv(index=False) if ending == "csv" else plain.to_json(orient="records", lines=True)
                self.put(tmp_path / folder, f"{day:{name}}.{ending}", text.encode())
        address = Address(f"{tmp_path}/in", None if together else f"{tmp_path}/out")
        settings, services, shown = adopted(address)
        assert settings.task.key == ("day", "order_id") and "the day of a row is in the name of its file only" in shown
        check_days(services)

    def test_a_day_in_a_name_counts_for_nothing_beside_a_time_of_the_rows(self, tmp_path: Path) -> None:
        for month, rows in orders().groupby(orders()["created at"].dt.to_period("M")):
            self.put(tmp_path / "in", f"export-{month}-28.csv", rows.to_csv(index=False).encode())
        settings, services, _ = adopted(Address(f"{tmp_path}/in"))
        assert settings.source.time == "created at"  # type: ignore[attr-defined]
        check_days(services)

    def test_a_pattern_that_no_source_reads_is_answered_with_the_folder(self, tmp_path: Path) -> None:
        self.put(tmp_path / "in", "2026/05/2026-05-01.csv", b"n\n1\n")
        for pattern in ("{week}/{day}.csv", "{day}.txt"):
            with pytest.raises(SettingsError, match=f"or give the folder \\({tmp_path}/in\\) as one table"):
                read_both(Address(f"{tmp_path}/in/{pattern}", f"{tmp_path}/in/{pattern}"), Answers(target="y"))

    def test_what_cannot_be_is_said_with_its_option(self, tmp_path: Path) -> None:
        write_days(partial(self.put, tmp_path), packed=True)
        inputs, labels = (f"{tmp_path}/{name}/{{day}}.csv.gz" for name in ("inputs", "labels"))
        for address, target, words in (
            (Address(labels), "amount", "the files hold the target amount"),
            (Address(inputs), "amount", "--labels is missing"),
            (Address(inputs, f"{tmp_path}/labels"), "amount", "both files a day"),
            (Address(f"{tmp_path}/inputs/{{day}}.csv", labels), "amount", "there is no .* for any day"),
            (Address(f"{tmp_path}/nowhere/{{day}}.csv", labels), "amount", "there is no folder"),
            (Address("https://host/{day}.csv", labels), "amount", "kind: http has to be written by hand"),
            (Address(f"{tmp_path}/{{week}}/{{day}}.csv", labels), "amount", "braces beside"),
            (Address(f"{tmp_path}/{{year}}/{{month}}.csv", labels), "amount", "one file holds many days"),
            (Address(f"{tmp_path}/{{day}}.xlsx", labels), "amount", "does not end in .parquet, .csv"),
        ):
            with pytest.raises(SettingsError, match=words):
                read_both(address, Answers(target=target))

    def test_a_row_of_another_day_than_its_file_is_no_guess(self, tmp_path: Path) -> None:
        (tmp_path / "2024-05-01.csv").write_text("day,n\n2024-05-02,1\n")
        with pytest.raises(SettingsError, match=r"'day' holds 2024-05-02, and the file is that of 2024-05-01"):
            read_days(f"{tmp_path}/{{day}}.csv", "DATA")

    def test_folders_of_days_and_the_newest_files_are_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for day in ("2024-05-01", "2024-05-02", "2024-05-03"):
            self.put(tmp_path, f"{day}/in-{day}.csv", b"n\n1\n2\n")
        self.put(tmp_path, "2024-05-03/in-2024-05-04.csv", b"n\n9\n")
        monkeypatch.setattr("ml.adapters.sources.sampling_days.MAX_ROWS", 3)
        read = read_days(f"{tmp_path}/{{day}}/in-{{day}}.csv", "DATA")
        assert read.table["day"].tolist() == ["2024-05-02"] * 2 + ["2024-05-03"] * 2

    def test_a_packed_file_that_is_cut_or_too_large_is_rejected(self, tmp_path: Path) -> None:
        from ml.adapters.sources.files import DatedFiles

        pattern = f"{tmp_path}/{{day}}.csv.gz"
        path = tmp_path / "2024-05-01.csv.gz"
        path.write_bytes(gzip.compress(b"n\n" + b"1\n" * 100_000))
        day = date(2024, 5, 1)
        assert len(DatedFiles(pattern, pattern).inputs(day)) == 100_000
        with pytest.raises(DataRejected, match="larger than 0.1 MB unpacked"):
            DatedFiles(pattern, pattern, max_megabytes=0.1).inputs(day)
        path.write_bytes(path.read_bytes()[:-9])
        with pytest.raises(DataRejected, match="no whole gzip file"):
            DatedFiles(pattern, pattern).inputs(day)


class TestS3:
    def put(self, root: str, name: str, content: bytes) -> None:
        bucket, _, key = f"{root}/{name}".removeprefix("s3://").partition("/")
        boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=content)

    def test_an_object_and_a_prefix_are_tables(self, s3_root: str) -> None:
        table = orders()
        self.put(s3_root, "orders.csv", table.to_csv(index=False).encode())
        settings, services, _ = adopted(Address(f"{s3_root}/orders.csv"))
        assert settings.source.inputs == f"{s3_root}/orders.csv" and settings.task.name == "orders"  # type: ignore[attr-defined]
        check_days(services)
        for number, part in enumerate((table.iloc[:900], table.iloc[900:])):
            content = io.BytesIO()
            part.to_parquet(content, index=False)
            self.put(s3_root, f"parts/{number}.parquet", content.getvalue())
        settings, services, _ = adopted(Address(f"{s3_root}/parts"))
        assert settings.source.inputs == f"{s3_root}/parts"  # type: ignore[attr-defined]
        check_days(services)

    def test_packed_files_of_days(self, s3_root: str) -> None:
        write_days(partial(self.put, s3_root), packed=True)
        address = Address(f"{s3_root}/inputs/{{day}}.csv.gz", f"{s3_root}/labels/{{day}}.csv.gz")
        settings, services, _ = adopted(address)
        assert settings.source.kind == "files" and settings.source.inputs == address.data  # type: ignore[attr-defined]
        check_days(services)

    def test_an_ugly_object_becomes_a_copy(self, s3_root: str, tmp_path: Path) -> None:
        self.put(s3_root, "ugly.csv", orders().to_csv(index=False, sep=";", decimal=",").encode())
        settings, services, shown = adopted(Address(f"{s3_root}/ugly.csv"))
        assert settings.source.inputs.endswith("models/ugly/data/table.parquet") and "copy" in shown  # type: ignore[attr-defined]
        check_days(services)

    def test_what_is_not_there_is_said(self, s3_root: str) -> None:
        with pytest.raises(SettingsError, match="DATA: there is no object"):
            read_both(Address(f"{s3_root}/none.csv"), Answers(target="y"))
        with pytest.raises(SettingsError, match="for any day"):
            read_both(Address(f"{s3_root}/none/{{day}}.csv", f"{s3_root}/none/{{day}}.csv"), Answers(target="y"))


@pytest.mark.parametrize(
    "form", ["csv", "ugly csv", "german dates", "jsonl", "parquet", "sqlite", "postgresql", "days"]
)
def test_days_of_a_whole_number_are_landed_in_every_form(
    form: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A target of 0 and 1, a column of whole numbers with some nulls, and one that is null on whole days."""
    chance = np.random.default_rng(2)
    table = orders().drop(columns="amount")
    table = table.assign(
        late=(chance.random(len(table)) < 0.2 + 0.6 * (table["shop"] == "007")).astype(int),
        pieces=pd.Series(chance.integers(0, 50, len(table))).where(chance.random(len(table)) > 0.1),
        voucher=np.where(table["created at"].dt.dayofweek < 5, 5.5, np.nan) + chance.integers(0, 3, len(table)),
    )
    address = Address(str(tmp_path / f"orders.{form}"))
    if form == "german dates":  # of days alone, so that the key is another column
        table = table.assign(**{"created at": table["created at"].dt.strftime("%d.%m.%Y")})
    if form in ("csv", "ugly csv", "german dates"):
        address = Address(str(tmp_path / "orders.csv"))
        table.to_csv(address.data, index=False, sep="," if form == "csv" else ";")
    elif form == "jsonl":
        shown = table.assign(**{"created at": table["created at"].dt.strftime("%Y-%m-%dT%H:%M:%S")})
        shown.to_json(address.data, orient="records", lines=True)
    elif form == "parquet":
        table.to_parquet(address.data, index=False)
    elif form == "days":
        for name, columns in (("in", ["late"]), ("out", ["created at", "shop", "weight", "pieces", "voucher"])):
            (tmp_path / name).mkdir()
            for day, rows in table.groupby(table["created at"].dt.strftime("%Y-%m-%d")):
                rows.drop(columns=columns).to_csv(tmp_path / name / f"{day}.csv.gz", index=False)
        address = Address(f"{tmp_path}/in/{{day}}.csv.gz", f"{tmp_path}/out/{{day}}.csv.gz")
    else:
        url = request.getfixturevalue("postgres").new() if form == "postgresql" else f"sqlite:///{tmp_path}/data.db"
        monkeypatch.setenv("EVERGREEN_CONNECTION_WAREHOUSE", url)
        engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
        table.to_sql("orders", engine, index=False)
        engine.dispose()
        address = Address("warehouse", table="orders")
    settings, services, _ = adopted(address, target="late", name="orders")
    last = (LAST - pd.Timedelta(days=2)).date()
    landed = seed.run(last - timedelta(days=9), last, settings=settings, services=services)
    assert landed["rejected"] == [] and landed["days"] == 10 and landed["rows"] == 400


class Files(SimpleHTTPRequestHandler):
    """Serve a folder; what is below ``/denied`` needs a password that nobody has."""

    def do_GET(self) -> None:
        if self.path.startswith("/denied"):
            self.send_error(403)
        else:
            super().do_GET()

    def log_message(self, *args: Any) -> None:
        """Print nothing."""


@pytest.fixture
def web(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Serve a folder on a free port of 127.0.0.1."""
    folder = tmp_path / "served"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Files, directory=str(folder)))
    with closing(server.socket):
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", folder
        server.shutdown()
        thread.join(10)


class TestWeb:
    @pytest.mark.parametrize("ending", ["csv", "csv.gz", "parquet", "jsonl"])
    def test_a_url_becomes_a_copy_that_says_where_it_comes_from(self, web: tuple[str, Path], ending: str) -> None:
        url, folder = web
        table = orders().assign(**{"created at": lambda t: t["created at"].dt.strftime("%Y-%m-%dT%H:%M:%S")})
        path = folder / f"orders.{ending}"
        if ending == "parquet":
            table.to_parquet(path, index=False)
        elif ending == "jsonl":
            table.to_json(path, orient="records", lines=True)
        else:
            table.to_csv(path, index=False)
        settings, services, shown = adopted(Address(f"{url}/orders.{ending}?token=secret-in-url"))
        assert settings.task.name == "orders" and f"{url}/orders.{ending}" in shown
        assert settings.source.inputs.endswith("models/orders/data/table.parquet")  # type: ignore[attr-defined]
        files = Path(os.environ["EVERGREEN_MODELS"]).rglob("*")
        written = b"".join(path.read_bytes() for path in files if path.is_file())
        assert "secret-in-url" not in shown and b"secret-in-url" not in written
        check_days(services)

    def test_what_the_server_does_not_give_is_said(
        self, web: tuple[str, Path], capsys: pytest.CaptureFixture[str]
    ) -> None:
        url, folder = web
        (folder / "page.csv").write_text("<!doctype html><html><body>Log in</body></html>")
        (folder / "data.csv").write_text(json.dumps([{"a": 1}]))
        for path in ("none.csv", "denied/orders.csv", "page.csv", "data.csv"):
            code = adopt.main([f"{url}/{path}", "--target", "amount", "--yes"])
            said = capsys.readouterr().err
            assert code in (1, 2, 3) and "Traceback" not in said and said.count("error:") == 1, (path, said)
            assert f"{url}/{path}" in said or path in said, (path, said)
