"""Day files that were damaged in many ways, each with what must become of it: the inputs of `bench.fuzz`.

A mutation makes a file of a healthy day, and says what is right: *accepted* with these very rows, *rejected* by name,
or *either* (nobody can know, so if it is accepted its rows must be the healthy ones, or as many).
"""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import parquet

Right = Literal["accepted", "rejected", "either"]
Check = Literal["values", "rows", "prefix", "no row twice"]
Draw = np.random.Generator
ROWS = 24


@dataclass(frozen=True)
class Mutated:
    """A file, its ending, what must become of it, and what of its rows is compared if it is accepted."""

    name: str
    content: bytes
    ending: str
    right: Right
    healthy: pd.DataFrame
    check: Check = "values"
    manifest: bytes | None = None


def healthy_day(day: date, draw: Draw) -> pd.DataFrame:
    """Make a day that every contract accepts: a key, numbers, a category and a text, some of them null."""
    number = np.round(draw.normal(50, 9, ROWS), 3)
    number[draw.integers(ROWS)] = np.nan
    notes = draw.choice(np.array(["fine", "call back", "a, b", "naïve", None], dtype=object), ROWS)
    notes[0] = "text"
    return pd.DataFrame(
        {
            "day": day.isoformat(),
            "id": draw.permutation(ROWS) + 1,
            "code": draw.choice(["A1", "B2", "007x"], ROWS),
            "amount": number,
            "note": pd.array(list(notes), "str"),
        }
    )


def mutate(day: date, draw: Draw) -> Mutated:
    """Draw one mutation of one healthy day."""
    frame = healthy_day(day, draw)
    name = str(draw.choice(sorted(MUTATIONS)))
    return MUTATIONS[name](name, frame, draw)


def _csv(frame: pd.DataFrame, **how: Any) -> bytes:
    text: str = frame.to_csv(index=False, **how)
    return text.encode()


def _parquet(frame: pd.DataFrame | pa.Table, **how: Any) -> bytes:
    buffer = io.BytesIO()
    table = frame if isinstance(frame, pa.Table) else pa.Table.from_pandas(frame, preserve_index=False)
    parquet.write_table(table, buffer, **how)
    return buffer.getvalue()


Mutation = Callable[[str, pd.DataFrame, Draw], Mutated]
MUTATIONS: dict[str, Mutation] = {}


def _bytes(name: str, right: Right, make: Callable[[bytes, Draw], bytes], check: Check = "values") -> None:
    """Add a mutation of a CSV file's bytes."""

    def mutation(name: str, frame: pd.DataFrame, draw: Draw) -> Mutated:
        return Mutated(name, make(_csv(frame), draw), "csv", right, frame, check)

    MUTATIONS[f"csv: {name}"] = mutation


def _packed(name: str, right: Right, make: Callable[[bytes, Draw], bytes], check: Check = "rows") -> None:
    """Add a mutation of a Parquet file's bytes."""

    def mutation(name: str, frame: pd.DataFrame, draw: Draw) -> Mutated:
        return Mutated(name, make(_parquet(frame), draw), "parquet", right, frame, check)

    MUTATIONS[f"parquet: {name}"] = mutation


def _table(
    name: str,
    right: Right,
    make: Callable[[pd.DataFrame, Draw], pd.DataFrame | pa.Table],
    check: Check = "values",
    endings: tuple[str, ...] = ("csv", "parquet"),
) -> None:
    """Add a mutation of the rows or columns, in each format."""
    for ending in endings:

        def mutation(name: str, frame: pd.DataFrame, draw: Draw, ending: str = ending) -> Mutated:
            changed = make(frame, draw)
            content = _csv(changed) if ending == "csv" else _parquet(changed)
            return Mutated(name, content, ending, right, frame, check)

        MUTATIONS[f"{ending}: {name}"] = mutation


def _lines(change: Callable[[list[bytes], Draw], None]) -> Callable[[bytes, Draw], bytes]:
    def make(content: bytes, draw: Draw) -> bytes:
        lines = content.splitlines()
        change(lines, draw)
        return b"\n".join(lines) + b"\n"

    return make


def _marks(count: int) -> Callable[[bytes, Draw], bytes]:
    def make(content: bytes, draw: Draw) -> bytes:
        text = content.replace(b'"', b"").replace(b"a, b", b"ab")
        for place in sorted(draw.integers(0, len(text) - 1, count), reverse=True):
            text = text[:place] + b'"' + text[place:]
        return text

    return make


def _flip(count: int) -> Callable[[bytes, Draw], bytes]:
    def make(content: bytes, draw: Draw) -> bytes:
        changed = bytearray(content)
        for place in draw.integers(0, len(changed), count):
            changed[place] ^= 1 << int(draw.integers(8))
        return bytes(changed)

    return make


def _cut(content: bytes, draw: Draw) -> bytes:
    return content[: int(draw.integers(len(content)))]


def _pad(content: bytes, draw: Draw) -> bytes:
    return content + draw.bytes(int(draw.integers(1, 40)))


def _append(line: bytes) -> Callable[[list[bytes], Draw], None]:
    def change(lines: list[bytes], draw: Draw) -> None:
        place = int(draw.integers(1, len(lines)))
        lines[place] = lines[place] + line

    return change


def _cut_field(lines: list[bytes], draw: Draw) -> None:
    place = int(draw.integers(1, len(lines)))
    lines[place] = lines[place].split(b",")[0]


_bytes("healthy", "accepted", lambda content, _: content)
_bytes("windows line ends", "accepted", lambda content, _: content.replace(b"\n", b"\r\n"))
_bytes("a byte order mark", "accepted", lambda content, _: b"\xef\xbb\xbf" + content)
_bytes("no last line end", "accepted", lambda content, _: content.rstrip(b"\n"))
_bytes("blank lines", "accepted", _lines(lambda lines, draw: lines.insert(int(draw.integers(1, len(lines))), b"")))
_bytes("utf-16", "rejected", lambda content, _: content.decode().encode("utf-16"))
_bytes("latin-1", "rejected", lambda content, _: content.replace(b"text", "Zürich".encode("latin-1")))
_bytes("gzip", "rejected", lambda content, _: gzip.compress(content))
_bytes("gzip twice", "rejected", lambda content, _: gzip.compress(gzip.compress(content)))
_bytes("semicolons", "rejected", lambda content, _: content.replace(b",", b";"))
_bytes("no bytes", "rejected", lambda content, _: b"")
_bytes("a header alone", "rejected", lambda content, _: content.splitlines()[0] + b"\n")
_bytes("zeros", "rejected", lambda content, draw: content[:50] + b"\0" * int(draw.integers(1, 9)) + content[50:])
_bytes("one more field in a row", "rejected", _lines(_append(b",x")))
_bytes("a row that is cut", "rejected", _lines(_cut_field))
_bytes("one open mark", "rejected", _marks(1))
_bytes("two open marks", "either", _marks(2))
_bytes("three open marks", "rejected", _marks(3))
_bytes("four open marks", "either", _marks(4))
_bytes("a bit flipped", "either", _flip(1), "rows")
_bytes("bits flipped", "either", _flip(3), "rows")
_bytes("cut", "either", _cut, "prefix")
_bytes("padded with noise", "either", _pad, "prefix")
_bytes("a page of HTML", "rejected", lambda content, _: b"<!doctype html>\n<p>Please log in</p>\n")
_bytes("twice the header", "either", lambda content, _: content.splitlines()[0] + b"\n" + content, "rows")
_packed("a bit flipped", "either", _flip(1))
_packed("bits flipped", "either", _flip(5))
_packed("cut", "rejected", _cut)
_packed("padded with noise", "rejected", _pad)
_packed("gzip", "rejected", lambda content, _: gzip.compress(content))
_packed("a CSV file under a false name", "rejected", lambda content, _: b"day,id\n2013-04-01,1\n")


def _with(column: str, value: Any) -> Callable[[pd.DataFrame, Draw], pd.DataFrame]:
    def change(frame: pd.DataFrame, draw: Draw) -> pd.DataFrame:
        changed = frame.astype({column: object})
        changed.loc[int(draw.integers(len(frame))), column] = value
        return changed.infer_objects()

    return change


def _renamed(frame: pd.DataFrame, draw: Draw) -> pd.DataFrame:
    return frame.rename(columns={str(draw.choice(["day", "id", "amount"])): "other"})


def _named_twice(frame: pd.DataFrame, _: Draw) -> pd.DataFrame:
    return pd.concat([frame, frame[["amount"]]], axis=1)


def _contradicted(frame: pd.DataFrame, draw: Draw) -> pd.DataFrame:
    return pd.concat([frame, frame.sample(1, random_state=int(draw.integers(99))).assign(amount=-1.0)])


def _column(value: Callable[[int], pa.Array]) -> Callable[[pd.DataFrame, Draw], pa.Table]:
    def change(frame: pd.DataFrame, draw: Draw) -> pa.Table:
        table = pa.Table.from_pandas(frame, preserve_index=False)
        where = table.column_names.index(str(draw.choice(["id", "code", "amount", "note"])))
        return table.set_column(where, table.column_names[where], value(len(frame)))

    return change


def _as(column: str, kind: pa.DataType) -> Callable[[pd.DataFrame, Draw], pa.Table]:
    def change(frame: pd.DataFrame, _: Draw) -> pa.Table:
        table = pa.Table.from_pandas(frame, preserve_index=False)
        where = table.column_names.index(column)
        return table.set_column(where, column, table[column].cast(kind))

    return change


OURS = ("__position__", "reasons", "key_known", "input_coverage", "prediction", "__index_level_0__")
_table("healthy", "accepted", lambda frame, _: frame, endings=("parquet",))
_table("columns in another order", "accepted", lambda frame, draw: frame[list(draw.permutation(frame.columns))])
_table("rows in another order", "accepted", lambda frame, draw: frame.sample(frac=1, random_state=1))
_table("a column renamed", "rejected", _renamed)
_table("a column left out", "rejected", lambda frame, draw: frame.drop(columns=str(draw.choice(["day", "id", "code"]))))
_table("a column named twice", "rejected", _named_twice, endings=("csv",))
_table("a column of another name", "either", lambda frame, draw: frame.assign(**{str(draw.choice(OURS)): "mine"}))
_table("copies of rows", "accepted", lambda frame, draw: pd.concat([frame, frame.sample(2, random_state=1)]))
_table("a contradiction", "either", _contradicted, "no row twice")
_table("rows of another day", "either", _with("day", "1999-01-01"), "rows")
_table("the day padded", "either", lambda frame, _: frame.assign(day=" " + frame["day"] + " "), "rows")
_table("all of another day", "rejected", lambda frame, _: frame.assign(day="1999-01-01"))
_table("no key", "either", _with("id", None), "rows")
_table("an infinite value", "either", lambda f, _: f.assign(amount=f["amount"].where(f["id"] > 1, np.inf)), "rows")
_table("a huge number", "either", lambda f, _: f.assign(amount=f["amount"].where(f["id"] > 1, 1e300)), "rows")
_table("text among numbers", "either", lambda f, _: f.assign(amount=f["amount"].astype(str) + "x"), "rows")
_table("an all-null column", "either", lambda frame, _: frame.assign(amount=None), "rows")
_table("a column of lists", "rejected", _column(lambda n: pa.array([[1]] * n)), endings=("parquet",))
_table("a column of structs", "rejected", _column(lambda n: pa.array([{"a": 1}] * n)), endings=("parquet",))
_table("a column of decimals", "either", _column(lambda n: pa.array([Decimal("1.5")] * n)), "rows", ("parquet",))
_table("a column of bytes", "either", _column(lambda n: pa.array([b"\xff"] * n)), "rows", ("parquet",))
_table("a column of nulls", "either", _column(pa.nulls), "rows", ("parquet",))
_table("a column of booleans", "either", _column(lambda n: pa.array([True] * n)), "rows", ("parquet",))
_table("a column of times", "either", _column(lambda n: pa.array([5] * n, pa.timestamp("us"))), "rows", ("parquet",))
_table(
    "a column of huge integers", "either", _column(lambda n: pa.array([2**63] * n, pa.uint64())), "rows", ("parquet",)
)
_table("a dictionary", "accepted", _as("code", pa.dictionary(pa.int8(), pa.string())), endings=("parquet",))
_table("large strings", "accepted", _as("note", pa.large_string()), endings=("parquet",))
_table("small integers", "accepted", _as("id", pa.int16()), endings=("parquet",))
_table("dates as days", "accepted", lambda f, _: f.assign(day=pd.to_datetime(f["day"]).dt.date), endings=("parquet",))


def _half(name: str, frame: pd.DataFrame, draw: Draw) -> Mutated:
    """Cut a file at the end of a line, with a manifest that states its rows."""
    lines = _csv(frame).splitlines(keepends=True)
    content = b"".join(lines[: int(draw.integers(2, ROWS))])
    return Mutated(name, content, "csv", "rejected", frame, manifest=json.dumps({"rows": ROWS}).encode())


def _line_ends_in_text(name: str, frame: pd.DataFrame, draw: Draw) -> Mutated:
    changed = frame.assign(note=frame["note"].replace("call back", "line one\nline two"))
    return Mutated(name, _csv(changed), "csv", "accepted", changed)


def _row_groups(name: str, frame: pd.DataFrame, draw: Draw) -> Mutated:
    packing = str(draw.choice(["none", "snappy", "gzip", "zstd", "lz4"]))
    content = _parquet(frame, row_group_size=int(draw.integers(1, 9)), compression=packing)
    return Mutated(name, content, "parquet", "accepted", frame)


MUTATIONS |= {
    "csv: half a file, with a manifest": _half,
    "csv: line ends in text": _line_ends_in_text,
    "parquet: row groups and packing": _row_groups,
}
