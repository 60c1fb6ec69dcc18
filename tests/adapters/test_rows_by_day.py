"""A text file that is asked for many days is read twice, and gives each day what reading it for that day gives."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.adapters.sources import rows_by_day, table_texts
from ml.adapters.sources.local_day import LocalDay, NoTime
from ml.adapters.sources.table_files import TableFile
from ml.adapters.sources.table_texts import cut_csv, cut_json
from ml.errors import DataRejected, EmptyDelivery

FIRST, ZONE = date(2024, 3, 28), ZoneInfo("Europe/Berlin")
DAYS = [FIRST + timedelta(days=number) for number in range(6)]
ROWS = (
    '2024-03-28,a,1\n2024-03-30T23:30:00Z,"b, or c",2\n2024-03-29,d,3\r\n2024-03-31T21:59:00Z,é,4\n'
    '2024-03-31T22:00:00Z,"two\nlines",5\n2024-03-28 23:59,f,6\n'
)


@pytest.fixture(autouse=True)
def _nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_by_day, "_by_day", type(rows_by_day._by_day)())
    monkeypatch.setattr(rows_by_day, "_asked", type(rows_by_day._asked)())


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note each time that the rows of a file are read."""
    seen: list[str] = []
    real = table_texts.checked_rows

    def counted(*args: Any, **options: Any) -> Any:
        seen.append(options["origin"])
        return real(*args, **options)

    monkeypatch.setattr(table_texts, "checked_rows", counted)
    return seen


@pytest.fixture
def cut(tmp_path: Path) -> Callable[..., tuple[list[str], list[str]]]:
    """Cut a day out of a text; with ``state`` as a file that is known to be the same."""

    def ask(text: str, day: date, *, state: str | None, header: str = "at,name,n", limit: int = 1 << 20) -> Any:
        path = tmp_path / "rows.csv"
        path.write_text(f"{header}\n{text}", encoding="utf-8", newline="")
        return cut_csv(path, TableFile("rows.csv", "csv", None, {}, state), "at", LocalDay(day, ZONE), limit=limit)

    return ask


def test_each_day_is_what_reading_for_it_gives_and_the_file_is_read_twice(
    cut: Callable[..., Any], reads: list[str]
) -> None:
    plain = {day: cut(ROWS, day, state=None) for day in DAYS}
    assert sum(len(rows) for _, rows in plain.values()) == 6 and len(reads) == len(DAYS)
    reads.clear()
    for _ in range(3):
        assert {day: cut(ROWS, day, state="1") for day in DAYS} == plain
    assert len(reads) == 2


def test_a_file_that_changed_is_read_anew(cut: Callable[..., Any]) -> None:
    for day in DAYS:
        cut(ROWS, day, state="1")
    more = ROWS + "2024-03-29,g,7\n"
    assert len(cut(ROWS, DAYS[1], state="1")[1]) == 1
    for _ in range(3):
        assert len(cut(more, DAYS[1], state="2")[1]) == 2


@pytest.mark.parametrize("broken", ["2024-03-30,only two\n", "never,x,1\n", "2024-03-30,\0,1\n"])
def test_a_file_that_is_broken_anywhere_gives_no_day_however_often_it_is_asked(
    cut: Callable[..., Any], broken: str
) -> None:
    messages = set()
    for state in (None, "1", "1", "1"):
        with pytest.raises(DataRejected) as refused:
            cut(ROWS + broken, DAYS[0], state=state)
        messages.add(str(refused.value))
    assert len(messages) == 1 and not rows_by_day._by_day


@pytest.mark.parametrize("own", ["2024-04-09", "no day"])
def test_a_row_whose_own_day_is_another_refuses_its_day_alone(cut: Callable[..., Any], own: str) -> None:
    text = f"2024-03-28,2024-03-28\n2024-03-29,{own}\n"
    for state in (None, "1", "1", "1"):
        with pytest.raises(DataRejected):
            cut(text, DAYS[1], state=state, header="at,day")
        assert len(cut(text, DAYS[0], state=state, header="at,day")[1]) == 1


def test_a_day_that_is_too_large_is_refused_and_the_others_are_not(cut: Callable[..., Any]) -> None:
    large = "".join(f"2024-03-29,d,{number}\n" for number in range(50))
    for state in (None, "1", "1", "1"):
        with pytest.raises(DataRejected, match="MB"):
            cut(ROWS + large, DAYS[1], state=state, limit=400)
        assert len(cut(ROWS + large, DAYS[0], state=state, limit=400)[1]) == 2


def test_a_file_larger_than_what_is_kept_is_read_for_each_day(
    cut: Callable[..., Any], reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows_by_day, "MOST_BYTES", 20)
    plain = cut(ROWS, DAYS[0], state=None)
    assert [cut(ROWS, DAYS[0], state="1") for _ in range(3)] == [plain] * 3
    assert len(reads) == 1 + 1 + 2 + 1


@pytest.mark.parametrize("fails", ["mkstemp", "write"])
def test_where_the_temporary_folder_takes_nothing_the_file_is_read_for_each_day(
    cut: Callable[..., Any], reads: list[str], monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    plain = cut(ROWS, DAYS[0], state=None)
    monkeypatch.setattr(rows_by_day.tempfile if fails == "mkstemp" else rows_by_day.os, fails, full)
    assert [cut(ROWS, DAYS[0], state="1") for _ in range(3)] == [plain] * 3
    assert len(reads) >= 4


def test_the_oldest_file_is_given_up_first(cut: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_by_day, "MOST_FILES", 2)
    for state in ("1", "2", "3"):
        for _ in range(2):
            cut(ROWS, DAYS[0], state=state)
    assert [key[1] for key in rows_by_day._by_day] == ["2", "3"]


OBJECTS = """{"at": "2024-03-28", "name": "a", "n": 1}
{"at": "2024-03-30T23:30:00Z", "n": 2.5, "late": null}

{"at": "2024-03-29", "name": "\\ud83d\\ude00 é", "n": 12345678901234567}\r
{"at": "2024-03-31T21:59:00Z", "flag": true}
{"at": "2024-03-28 23:59", "n": 1e3}"""


@pytest.fixture
def cut_objects(tmp_path: Path) -> Callable[..., tuple[list[str], list[dict[str, Any]]]]:
    def ask(text: str, day: date, *, state: str | None, limit: int = 1 << 20, folders: Any = None) -> Any:
        path = tmp_path / "rows.jsonl"
        path.write_text(text, encoding="utf-8", newline="")
        file = TableFile("rows.jsonl", "json", None, folders or {}, state)
        return cut_json(path, file, "at", LocalDay(day, ZONE), limit=limit)

    return ask


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note each line of JSON that is read and checked."""
    seen: list[str] = []
    real = table_texts.read_object

    def counted(line: str, where: str) -> Any:
        seen.append(line)
        return real(line, where)

    monkeypatch.setattr(table_texts, "read_object", counted)
    return seen


class TestJsonLines:
    """Of JSON lines the same holds, and each day knows the columns of all lines."""

    def test_each_day_is_what_reading_for_it_gives_and_the_file_is_read_twice(
        self, cut_objects: Callable[..., Any], parsed: list[str]
    ) -> None:
        plain = {day: cut_objects(OBJECTS, day, state=None) for day in DAYS}
        assert [len(rows) for _, rows in plain.values()] == [2, 1, 0, 2, 0, 0]
        assert all(names == ["at", "name", "n", "late", "flag"] for names, _ in plain.values())
        assert len(parsed) == 5 * len(DAYS)
        parsed.clear()
        for _ in range(3):
            assert {day: cut_objects(OBJECTS, day, state="1") for day in DAYS} == plain
        assert len(parsed) == 2 * 5

    def test_a_file_that_changed_is_read_anew(self, cut_objects: Callable[..., Any]) -> None:
        for day in DAYS:
            cut_objects(OBJECTS, day, state="1")
        more = OBJECTS + '\n{"at": "2024-03-29", "new": 1}\n'
        for _ in range(3):
            names, rows = cut_objects(more, DAYS[1], state="2")
            assert len(rows) == 2 and names[-1] == "new"

    @pytest.mark.parametrize(
        "broken",
        [
            "no JSON",
            "[1]",
            '{"at": 5}',
            '{"at": null}',
            '{"n": 5}',
            '{"at": "2024-03-28", "n": NaN}',
            '{"at": "2024-03-28", "n": [1]}',
            '{"at": "2024-03-28", "n": 1, "n": 2}',
            '{"at": "2024-03-28", "": 1}',
        ],
    )
    def test_a_file_that_is_broken_anywhere_gives_no_day_however_often_it_is_asked(
        self, cut_objects: Callable[..., Any], broken: str
    ) -> None:
        messages = set()
        for state in (None, "1", "1", "1"):
            with pytest.raises(DataRejected) as refused:
                cut_objects(f"{OBJECTS}\n{broken}\n", DAYS[1], state=state)
            messages.add(str(refused.value))
        assert len(messages) == 1 and not rows_by_day._by_day

    @pytest.mark.parametrize("text", ['{"n": 1}\n', "\n"])
    def test_lines_without_a_time_and_no_lines_are_refused_each_time(
        self, cut_objects: Callable[..., Any], text: str
    ) -> None:
        for state in (None, "1", "1", "1"):
            with pytest.raises((DataRejected, EmptyDelivery)):
                cut_objects(text, DAYS[0], state=state)

    @pytest.mark.parametrize("own", ["2024-04-09", "no day", 7, None])
    def test_a_line_whose_own_day_is_another_refuses_its_day_alone(
        self, cut_objects: Callable[..., Any], own: object
    ) -> None:
        lines = [{"at": "2024-03-28", "day": "2024-03-28"}, {"at": "2024-03-29", "day": own}]
        text = "\n".join(map(json.dumps, lines))
        for state in (None, "1", "1", "1"):
            with pytest.raises(DataRejected, match="line 2"):
                cut_objects(text, DAYS[1], state=state)
            assert cut_objects(text, DAYS[0], state=state) == (["at", "day"], lines[:1])

    def test_a_day_that_is_too_large_is_refused_and_the_others_are_not(self, cut_objects: Callable[..., Any]) -> None:
        large = "".join(f'\n{{"at": "2024-03-29", "n": {number}}}' for number in range(50))
        for state in (None, "1", "1", "1"):
            with pytest.raises(DataRejected, match="MB"):
                cut_objects(OBJECTS + large, DAYS[1], state=state, limit=400)
            assert len(cut_objects(OBJECTS + large, DAYS[0], state=state, limit=400)[1]) == 2

    def test_a_folder_that_names_the_time_tells_the_day_of_lines_without_one(
        self, cut_objects: Callable[..., Any]
    ) -> None:
        text = '{"n": 1}\n{"n": 2}\n'
        for state in (None, "1", "1"):
            assert len(cut_objects(text, DAYS[0], state=state, folders={"at": "2024-03-28"})[1]) == 2
            assert cut_objects(text, DAYS[1], state=state, folders={"at": "2024-03-28"})[1] == []


@settings(max_examples=200, deadline=None)
@given(
    st.datetimes(datetime(1990, 1, 1), datetime(2030, 1, 1)).map(lambda moment: moment.replace(microsecond=0)),
    st.sampled_from(["", "Z", "+05:30", "-03:00"]),
    st.sampled_from(["UTC", "Europe/Berlin", "America/Sao_Paulo", "America/Havana", "Asia/Beirut", "Pacific/Apia"]),
)
def test_the_day_of_an_instant_is_the_one_that_has_it(moment: datetime, offset: str, zone: str) -> None:
    text = moment.isoformat(sep=" ") + offset
    day = LocalDay.of(text, ZoneInfo(zone))
    assert day.has(text)
    for shift in (-1, 1):
        assert not LocalDay(day.day + timedelta(days=shift), day.zone).has(text)


def test_what_is_no_instant_has_no_day() -> None:
    for text in ("", "31.12.2024", None, 5):
        with pytest.raises(NoTime):
            LocalDay.of(text, ZONE)
