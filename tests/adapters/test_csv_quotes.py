"""Quotation marks of a CSV file: wherever they stand, no row is swallowed, and legal text is read."""

from __future__ import annotations

import csv
import io
import itertools
import time

import pandas as pd
import pytest

from ml.adapters.sources.tables import read_table
from ml.errors import DataRejected


def _read(text: str) -> pd.DataFrame:
    return read_table(text.encode(), "csv", origin="x.csv")


def _rejected(text: str) -> str:
    with pytest.raises(DataRejected, match=r"^x\.csv ") as rejected:
        _read(text)
    return str(rejected.value)


FILES = {
    "plain": "day,id,note\n2025-01-01,1,ok\n2025-01-01,2,\n2025-01-01,3,x y\n2025-01-01,4,fine\n",
    "windows line ends": "day,id,note\r\n2025-01-01,1,ok\r\n2025-01-01,2,\r\n2025-01-01,3,x\r\n",
    "a byte order mark": "\ufeffid,note,x\n1,ok,5\n2,,6\n3,good,7\n",
    "quoted commas": 'id,note,x\n1,ok,5\n2,"a, b",6\n3,,7\n4,k,8\n',
    "text in the first column": 'note,id,x\nok,1,5\n"a, b",2,6\n,3,7\nk,4,8\n',
    "one column": "id\n1\n2\n3\n4\n",
    "two columns, last line cut": 'id,note\n1,a\n2,b\n3,"c, d"\n4,e',
    "quoted line ends": 'day,note,x\n2025-01-01,"dear\nme",5\n2025-01-01,"a,b",6\n2025-01-01,,7\n2025-01-01,"x\n",8\n',
    "quoted empty fields": 'id,note,x\n1,"",5\n2,"",6\n3,"",7\n4,k,8\n',
}


@pytest.mark.parametrize("name", FILES)
def test_no_one_or_two_further_marks_anywhere_lose_a_row(name: str) -> None:
    text = FILES[name]
    whole = _values(text)
    places = range(len(text) + 1)
    for first in places:
        assert _lost(text[:first] + '"' + text[first:], whole) is None
    for first, second in itertools.combinations(places, 2):
        marked = text[:first] + '"' + text[first:second] + '"' + text[second:]
        assert _lost(marked, whole) is None, marked


@pytest.mark.parametrize("name", FILES)
def test_no_mark_that_is_left_out_loses_a_row(name: str) -> None:
    text = FILES[name]
    marks = [place for place, letter in enumerate(text) if letter == '"']
    for count in (1, 2):
        for left_out in itertools.combinations(marks, count):
            cut = "".join(letter for place, letter in enumerate(text) if place not in left_out)
            try:
                assert len(_read(cut)) == len(_read(text)), cut
            except DataRejected:
                continue


def _values(text: str) -> list[list[str]]:
    table = _read(text).fillna("").astype(str)
    return [list(table.columns), *(list(row) for row in table.itertuples(index=False))]


def _lost(text: str, whole: list[list[str]]) -> list[list[str]] | None:
    """Give what was read if it is neither rejected nor the same table, but for marks and line ends at a field's end."""
    try:
        found = _values(text)
    except DataRejected:
        return None
    bare = [[[value.strip('"\r\n\ufeff') for value in row] for row in table] for table in (found, whole)]
    return None if bare[0] == bare[1] else found


HEADER = "day,id,note,amount\n"
SWALLOWS = {
    "two marks, rows apart": ('2025-01-01,1,"call back,5\n2025-01-01,2,b,5\n2025-01-01,3,"refund,5\n', 2, "note"),
    "closed at a field's end": ('2025-01-01,1,"call back,5\n2025-01-01,2,b,5\n2025-01-01,3,refund",5\n', 2, "note"),
    "a comma within": ('2025-01-01,1,"call back, please,5\n2025-01-01,2,b,5\n2025-01-01,3,x",5\n', 2, "note"),
    "rows next to each other": ('2025-01-01,1,a,5\n2025-01-01,2,"b, c,5\n2025-01-01,3,x",5\n', 3, "note"),
    "both halves with commas": ('2025-01-01,1,"b, c,5\n2025-01-01,3,x, y",5\n', 2, "note"),
    "in the key": ('2025-01-01,"1,a,5\n2025-01-01,2",a,5\n', 2, "id"),
    "in the last column": ('2025-01-01,1,a,"5\n2025-01-01,2,a,5\n2025-01-01,3,a,"\n', 2, "amount"),
    "a mark inside a field": ('2025-01-01,1,5" pipe,5\n2025-01-01,2,6" pipe,5\n', 2, "note"),
    "text after the closing mark": ('2025-01-01,1,"a"b,5\n2025-01-01,2,"a"b,5\n', 2, "note"),
    "text before the opening mark": ('2025-01-01,1, "a",5\n', 2, "note"),
    "quoted empty fields between": ('2025-01-01,1,"x,5\n2025-01-01,2,"",5\n2025-01-01,3,y",5\n', 2, "note"),
    "open at the end": ('2025-01-01,1,a,5\n2025-01-01,2,"a,5\n', 3, "note"),
}


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("name", SWALLOWS)
def test_a_mark_that_may_swallow_rows_is_rejected_by_line_and_column(name: str, ending: str) -> None:
    rows, line, column = SWALLOWS[name]
    message = _rejected((HEADER + rows).replace("\n", ending))
    assert f"line {line}, column '{column}'" in message
    assert message.endswith("run this again")


def test_an_ambiguous_field_names_the_line_that_reads_as_a_row() -> None:
    message = _rejected(HEADER + '2025-01-01,1,"a\n2025-01-01,2,b,5\n2025-01-01,3,c",5\n')
    assert "opens in line 2, column 'note', and its text runs on to line 4, but line 3 reads as a row" in message


def test_a_header_whose_name_runs_over_a_line_is_rejected() -> None:
    assert "line 1" in _rejected('a,"b\n1",2\n')


LEGAL = [
    "line one\nline two",
    "line one, with a comma\nline two\n\nline four",
    'she said "no"',
    'she said "no",\nand left',
    '"',
    ",",
    "a\r\nb",
    "ends in a line end\n",
]


@pytest.mark.parametrize("column", ["note", "id", "amount"])
@pytest.mark.parametrize("text", LEGAL)
def test_legal_text_with_marks_commas_and_line_ends_is_read_as_written(text: str, column: str) -> None:
    frame = pd.DataFrame({"day": ["2025-01-01"] * 3, "id": list("abc"), "note": list("xyz"), "amount": ["p", "q", "r"]})
    frame.loc[1, column] = text
    for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL):
        pd.testing.assert_frame_equal(_read(frame.to_csv(index=False, quoting=quoting)), frame)


def test_a_long_field_is_read_whatever_its_length() -> None:
    text = "a, b\n" * 100_000
    out = io.StringIO()
    csv.writer(out).writerows([["day", "id", "note"], ["2025-01-01", "k", text]])
    assert _read(out.getvalue().replace("\r\n", "\n"))["note"].tolist() == [text.replace("\r\n", "\n")]


def test_checking_marks_takes_time_in_proportion_to_the_file() -> None:
    def seconds(rows: int) -> float:
        text = HEADER + "".join(f'2025-01-01,{n},"text, {n}",5\n' for n in range(rows))
        began = time.process_time()
        _read(text)
        return time.process_time() - began

    _read(HEADER + '2025-01-01,1,"a",5\n')
    assert seconds(40_000) < 20 * max(seconds(4_000), 0.01)


def test_a_ragged_row_names_its_line_and_column() -> None:
    message = _rejected(HEADER + '2025-01-01,1,"a\nb",5\n\n2025-01-01,2,c\n')
    assert "line 5 has nothing for column 'amount'" in message
    assert "line 2 goes on after the last column, 'amount'" in _rejected(HEADER + "2025-01-01,1,a,5,6\n")


def test_a_packed_file_is_rejected_with_its_next_move() -> None:
    with pytest.raises(DataRejected, match=r"packed by gzip; name it \.csv\.gz .*or deliver it unpacked"):
        read_table(b"\x1f\x8b\x08\x00" + b"\0" * 20, "csv", origin="x.csv")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PK\x03\x04rest", r"a ZIP archive \(.zip, .xlsx\); deliver the CSV that is in it"),
        (b"BZh91AY", "packed by bzip2; deliver it unpacked"),
        (b"\xfd7zXZ\x00", "packed by xz; deliver it unpacked"),
        (b"\x28\xb5\x2f\xfd\x00", r"packed by zstd; name it \.csv\.zst "),
        (b"PAR1\x15\x04", "a Parquet file; name it .parquet"),
        (b"\xd0\xcf\x11\xe0\xa1", "an Excel file; export it as CSV"),
        (b'{"day": "2025-01-01", "id": 1}\n{"day": "2025-01-01", "id": 2}\n', "JSON, not CSV; write CSV"),
        (b'[\n  {"day": "2025-01-01"}]', "JSON, not CSV; write CSV"),
        (b"<html>\n<body>Please log in</body></html>", r"a page \(HTML or XML\), not CSV"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', r"a page \(HTML or XML\), not CSV"),
    ],
)
def test_what_is_another_format_is_named(content: bytes, said: str) -> None:
    with pytest.raises(DataRejected, match=f"f.csv is {said}"):
        read_table(content, "csv", origin="f.csv")


def test_a_mark_that_is_open_in_the_header_is_named_by_the_first_line_of_the_column() -> None:
    with pytest.raises(DataRejected, match="open in line 1, column 'a,note': it is not closed"):
        read_table(b'day,"a,note\n2025-01-01,1\n', "csv", origin="f.csv")
