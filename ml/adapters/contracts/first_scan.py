"""Find in one scan of a large day which expectations every row meets, so that its rows need not be asked for them.

Of a row by itself an expectation says what it says of any other row with the same values. So Great Expectations is
asked of the distinct values of a column, which are few in most columns: what all of them meet, all rows meet. Only
columns with many values, and relations between columns, are asked of all rows, batch by batch. What is not met here is
asked of the rows themselves by `ml.adapters.contracts.day_files`, which finds the bad ones.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ml.adapters import rows
from ml.adapters.contracts import Contracts
from ml.adapters.contracts.distinct_values import DistinctValues
from ml.adapters.contracts.judge import TYPE_EXPECTATIONS, KeyMatch, judge, with_typed_nulls
from ml.adapters.contracts.outcomes import UNIQUE_EXPECTATIONS, Outcome
from ml.adapters.contracts.parts import OF_EACH_ROW
from ml.adapters.contracts.suite import DERIVED, Entry
from ml.adapters.engine import LOCAL, Engine, FileRows, Part, cut

OF_VALUES = OF_EACH_ROW | frozenset(TYPE_EXPECTATIONS)
"""What depends on the values of a row, or on the types of columns."""
ONE_ROW = pd.DataFrame({"row": [0]})


@dataclass(frozen=True)
class _Questions:
    """What is asked of every part of a table: ``of_column`` of its own values, ``of_rows`` of several columns."""

    contracts: Contracts
    asset: str
    key: tuple[str, ...]
    parameters: Mapping[str, object]
    schema: pa.Schema
    floats: tuple[str, ...]
    size: int
    of_column: Mapping[str, Sequence[Entry]]
    of_rows: Sequence[Entry]
    named: frozenset[str]

    def ask(self, entries: Sequence[Entry], table: pa.Table) -> tuple[list[Outcome], bool]:
        """Ask expectations of some rows, and whether any model could use these."""
        if not table.num_columns:
            return [], True
        frame = with_typed_nulls(self.contracts.suite(self.asset), rows.exact_frame(table, self.key))
        outcomes = judge(entries, frame, self.parameters, None)[0] if entries else []
        return outcomes, not self.contracts.unusable(self.asset, frame, (), np.arange(len(frame)))

    def with_whole_keys(self, table: pa.Table) -> pa.Table:
        """Leave out the rows that are not judged: see `ml.core.data.row_checks.whole_keys`."""
        for name in self.contracts.used.key:
            is_number = name in table.column_names and pa.types.is_integer(table.schema.field(name).type)
            if is_number and table[name].null_count:
                table = table.filter(pc.is_valid(table[name]))
        return table


_Answer = tuple[list[Outcome], bool, DistinctValues | None, pa.Table | None]
"""Outcomes, and whether all rows are usable; at the end of a part also its distinct values, and one of its rows."""


def _scan_part(questions: _Questions, part: Part) -> Iterator[_Answer]:
    """Read some rows once; columns with few values are left to whoever has those of all parts."""
    (file,) = part.files
    schema, of_column = questions.schema, questions.of_column
    distinct, first_row = DistinctValues(schema), None
    for batch in rows.batches(file.path, questions.size, part=file.rows):
        read = rows.as_floats(batch, questions.floats).cast(schema)
        table = questions.with_whole_keys(read)
        if table.num_rows < read.num_rows:
            yield [], False, None, None
        if not table.num_rows:
            continue
        many = [name for name in schema.names if name not in distinct.columns]
        of_many = [entry for name in many for entry in of_column.get(name, ())]
        wanted = [name for name in schema.names if name in questions.named or name in many]
        yield *questions.ask([*questions.of_rows, *of_many], table.select(wanted)), None, None
        for name, values in distinct.add(table).items():
            yield *questions.ask(of_column.get(name, ()), values), None, None
        first_row = table.take([0]) if first_row is None else first_row
    yield [], True, distinct, first_row


class FirstScan:
    """What one scan of a file says of its rows that have whole keys.

    ``rows_are_usable`` says whether `Contracts.unusable` would have nothing to say of any row, nor of the table.
    """

    def __init__(self, contracts: Contracts, asset: str, key: Sequence[str], parameters: Mapping[str, object]) -> None:
        self.contracts, self.asset, self.key, self.parameters = contracts, asset, key, parameters
        self.rows_are_usable = True
        self._outcomes: dict[int, list[Outcome]] = defaultdict(list)

    def met(self, entry: Entry) -> Outcome | None:
        """Return what became of an expectation that every row meets; None if some do not, or it was not asked."""
        outcomes = self._outcomes[entry.number]
        return outcomes[0] if outcomes and all(outcome.status == "met" for outcome in outcomes) else None

    def run(self, path: Path, entries: Sequence[Entry], *, size: int, all_unique: bool, engine: Engine = LOCAL) -> None:
        """Read a file once, ``size`` rows at a time.

        Parameters
        ----------
        entries
            What can be asked of parts of the table, see `ml.adapters.contracts.parts.can_be_parted`.
        all_unique
            Whether no two rows have the same key.
        """
        floats = numbers_with_nulls(path, self.key)
        schema = rows.as_floats(rows.types_of(path).empty_table(), floats).schema
        by_value = [entry for entry in entries if entry.type in OF_VALUES and set(entry.columns) <= set(schema.names)]
        of_column: dict[str, list[Entry]] = defaultdict(list)
        of_rows: list[Entry] = []
        for entry in by_value:
            alone = len(entry.columns) == 1 and entry.kwargs.get("row_condition") is None
            (of_column[entry.columns[0]] if alone else of_rows).append(entry)
        conditional = any(entry.kwargs.get("row_condition") is not None for entry in of_rows)
        named = set(schema.names) if conditional else {name for entry in of_rows for name in entry.columns}
        questions = _Questions(
            self.contracts,
            self.asset,
            tuple(self.key),
            dict(self.parameters),
            schema,
            tuple(floats),
            size,
            dict(of_column),
            of_rows,
            frozenset(named),
        )
        self.contracts.suite(self.asset)  # read here: a worker has no folder of suites
        distinct, first_row = DistinctValues(schema), None
        ranges = cut(engine, rows.count_rows(path), multiple_of=size)
        for outcomes, usable, of_part, row in engine.map(
            _scan_part, (Part(None, (FileRows(path, part),)) for part in ranges), shared=questions
        ):
            self._keep(outcomes, usable)
            if of_part is not None:
                for name, values in distinct.join(of_part).items():
                    self._keep(*questions.ask(of_column[name], values))
            first_row = row if first_row is None else first_row
        if first_row is not None:
            for name in distinct.columns:
                self._keep(*questions.ask(of_column[name], distinct.table(name)))
            alike = [e for e in entries if e not in by_value and set(e.columns) <= set(schema.names)]
            self._keep(*questions.ask([e for e in alike if all_unique or e.type not in UNIQUE_EXPECTATIONS], first_row))

    def ask_of_known_keys(self, entries: Sequence[Entry], match: KeyMatch) -> None:
        """Ask what is asked of whether a key is among those of the inputs, where all are: one stands for all."""
        about_keys = [entry for entry in entries if set(entry.columns) & set(DERIVED)]
        if match.is_known is not None and match.is_known.all():
            all_known = replace(match, is_known=np.ones(1, dtype=bool))
            self._keep(judge(about_keys, ONE_ROW, self.parameters, all_known)[0], True)

    def _keep(self, outcomes: Sequence[Outcome], usable: bool) -> None:
        self.rows_are_usable &= usable
        for outcome in outcomes:
            self._outcomes[outcome.entry.number].append(outcome)


def numbers_with_nulls(path: Path, key: Sequence[str]) -> list[str]:
    """Return the columns of whole numbers, none of the key, that are floating-point numbers as soon as one is null."""
    nulls = rows.null_counts(path)
    return [field.name for field in rows.types_of(path) if field.name not in key and nulls[field.name]]
