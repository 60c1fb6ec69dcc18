"""Damage day files in many ways, and see that none is accepted wrongly, stops with a raw error, or takes too long.

Each file takes the way of a real one: from the source it is landed, screened against a light contract by the real
Great Expectations, and committed to a real data registry, from which the rows are read again. `bench.fuzz_days` says
what each must come to. The exit code is 1 if one does not: an error that is none of Evergreen's own, more than
``--seconds``, rows that were lost or changed, an acceptance of what must be rejected, or a rejection of what must be
accepted.

    python -m bench.fuzz --mutations 5000 --seed 1
"""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.fuzz_days import Mutated, healthy_day, mutate
from ml.errors import EvergreenError
from ml.settings import Environment, parse
from ml.steps.ingest import day_screening, source_day
from ml.wiring import Services

FIRST_DAY = date(2000, 1, 1)
AT_ONCE = (7, 10_000)
"""Rows screened at once: a third of a day, and more than it has."""
BATCH = 50
"""So many accepted days are one commit."""

COLUMNS = ["day", "id", "code", "amount", "note"]
PARAMS: dict[str, Any] = {
    "task": {
        "name": "fuzz",
        "kind": "regression",
        "target": "outcome",
        "key": ["day", "id"],
        "label_delay_days": 1,
    },
    "features": {"categorical": ["code"], "numeric": ["amount"]},
    "fit": {"estimator": "sklearn.linear_model.Ridge"},
    "gate": {"metric": "rmse"},
    "screen": {"max_quarantined_share": 0.2},
}
CONTRACT = [
    {"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "day", "value_set": {"$PARAMETER": "days"}}},
    {"type": "expect_compound_columns_to_be_unique", "kwargs": {"column_list": ["day", "id"]}},
    {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "code"}},
    {"type": "expect_column_to_exist", "kwargs": {"column": "amount"}, "meta": {"level": "table"}},
]


@dataclass
class Tally:
    """What became of the files so far; ``faults`` describe those that came to something else than they must."""

    outcomes: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    slowest: float = 0.0


@dataclass(frozen=True)
class Accepted:
    """A file that is about to be committed, and what its rows were in the source."""

    mutated: Mutated
    day: date
    path: Path
    quarantined: int


class TooSlowError(Exception):
    """A file took longer than it may."""


def run(mutations: int, seed: int, *, home: Path, seconds: float = 10.0) -> Tally:
    """Fuzz in an empty folder; the same seed gives the same files."""
    tally, waiting = Tally(), []
    services = {rows: installation(home, rows) for rows in AT_ONCE}
    one = services[AT_ONCE[0]]
    one.registry.create()
    known = learn_types(one, home)
    for number in range(mutations):
        draw = np.random.default_rng([seed, number])
        day = FIRST_DAY + timedelta(days=number)
        mutated = mutate(day, draw)
        began = time.perf_counter()
        try:
            with _deadline(seconds):
                waiting.append(take(mutated, day, services[int(draw.choice(AT_ONCE))], home, known))
        except EvergreenError as err:
            _note_rejection(tally, mutated, day, str(err))
        except Exception as err:  # noqa: BLE001 - to find these is what this is for
            tally.outcomes["raw errors"] += 1
            where = traceback.extract_tb(err.__traceback__)[-1]
            tally.faults.append(f"{day} {mutated.name}: {type(err).__name__} at {where.filename}:{where.lineno}: {err}")
        tally.slowest = max(tally.slowest, time.perf_counter() - began)
        if len(waiting) >= BATCH or number == mutations - 1:
            _commit(waiting, one, tally)
            waiting = []
    return tally


def installation(home: Path, rows_at_once: int) -> Services:
    """Build the services of one installation, whose source follows the ending of a day's file."""
    (home / "expectations").mkdir(exist_ok=True)
    for asset in ("inputs", "labels"):
        entries = [{"meta": {"level": "row"}} | entry for entry in CONTRACT]
        suite = {"name": asset, "expectations": entries}
        (home / "expectations" / f"{asset}.json").write_text(json.dumps(suite), encoding="utf-8")
    params = PARAMS | {"screen": PARAMS["screen"] | {"rows_at_once": rows_at_once}}
    params["source"] = _source(home, "csv")
    settings = parse(params)
    places = {"EVERGREEN_HOME": str(home), "EVERGREEN_DEVELOPMENT": "1"}
    places["EVERGREEN_EXPECTATIONS"] = str(home / "expectations")
    return Services(settings, Environment.load(places))


def _source(home: Path, ending: str, *, manifest: bool = False) -> dict[str, Any]:
    patterns = {asset: f"{home}/source/{asset}/{{day}}.{ending}" for asset in ("inputs", "labels")}
    complete = {"complete": {"manifest": f"{home}/source/inputs/{{day}}.json"}} if manifest else {}
    return {"kind": "files", **patterns, **complete}


def learn_types(services: Services, home: Path) -> Any:
    """Commit a healthy day, and return the types that the registry learns from it."""
    day = FIRST_DAY - timedelta(days=1)
    path = home / "healthy.parquet"
    healthy_day(day, np.random.default_rng(0)).to_parquet(path, index=False)
    services.registry.commit({("inputs", day): path}, message="A healthy day")
    return services.registry.schema()


def take(mutated: Mutated, day: date, services: Services, home: Path, known: Any) -> Accepted:
    """Land and screen a file as the steps do; raises if it is rejected."""
    folder = home / "source" / "inputs"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{day}.{mutated.ending}").write_bytes(mutated.content)
    if mutated.manifest is not None:
        (folder / f"{day}.json").write_bytes(mutated.manifest)
    params = {"source": _source(home, mutated.ending, manifest=mutated.manifest is not None)}
    settings = services.settings.model_copy(update={"source": type(services.settings.source)(**params["source"])})
    own = Services(settings, services.environment)
    own.__dict__["contracts"] = services.contracts  # suites are read once
    work = home / "work" / str(day)
    work.mkdir(parents=True)
    path = work / "day.parquet"
    source_day.fetch("inputs", day, path, own, learned=known)
    found = day_screening.screen_day(own, "inputs", day, path, recent=[], known_keys=None)
    found.screened.raise_if_rejected("no report", f"inputs of {day}")
    if found.accepted is None:
        raise AssertionError("accepted without any row")
    return Accepted(mutated, day, found.accepted, int(found.screened.result["quarantined_rows"]))


@contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    def late(*_: object) -> None:
        raise TooSlowError(f"more than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _note_rejection(tally: Tally, mutated: Mutated, day: date, message: str) -> None:
    tally.outcomes["rejected by name"] += 1
    if mutated.right == "accepted":
        tally.faults.append(f"{day} {mutated.name}: rejected, though nothing is wrong: {message}")


def _commit(accepted: list[Accepted], services: Services, tally: Tally) -> None:
    """Commit what was accepted, and compare what the registry then holds."""
    groups = [accepted] if accepted else []
    while groups:
        group = groups.pop()
        try:
            services.registry.commit({("inputs", each.day): each.path for each in group}, message="Fuzzed days")
        except EvergreenError as err:
            if len(group) == 1:
                _note_rejection(tally, group[0].mutated, group[0].day, str(err))
            else:
                groups += [[each] for each in group]
            continue
        for each in group:
            _compare(each, services, tally)


def _compare(accepted: Accepted, services: Services, tally: Tally) -> None:
    mutated, day = accepted.mutated, accepted.day
    held = pd.read_parquet(services.registry.open("inputs", first_day=day, last_day=day)[day])
    tally.outcomes["accepted"] += 1
    fault = "accepted, though it must be rejected" if mutated.right == "rejected" else _difference(held, accepted)
    if fault:
        tally.faults.append(f"{day} {mutated.name}: {fault}")


def _difference(held: pd.DataFrame, accepted: Accepted) -> str | None:
    """Return what is wrong with accepted rows; None if they are those of the source."""
    healthy, check = accepted.mutated.healthy, accepted.mutated.check
    rows = len(held) + accepted.quarantined
    if check == "no row twice":
        return None if not held["id"].duplicated().any() and rows == len(healthy) + 1 else f"{rows} rows"
    if check == "prefix":
        wanted = texts_of(healthy.head(max(len(held) - 1, 0)))
        return None if texts_of(held.head(len(wanted))) == wanted else "values changed"
    if check == "rows":
        twice = int("twice the header" in accepted.mutated.name)
        return None if rows - twice == len(healthy) else f"{rows} of {len(healthy)} rows"
    return None if sorted(texts_of(held)) == sorted(texts_of(healthy)) else f"values changed ({rows} rows)"


def texts_of(frame: pd.DataFrame) -> list[tuple[str, ...]]:
    """Return the rows as texts, whatever types the columns have."""
    shown = frame[COLUMNS].astype(object).where(frame[COLUMNS].notna(), "")
    return [tuple(map(_text, row)) for row in shown.itertuples(index=False, name=None)]


def _text(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value)


def main(argv: list[str] | None = None) -> int:
    """Fuzz, print the counts, and return 1 if anything came to what it must not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutations", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10.0, help="the longest that one file may take")
    asked = parser.parse_args(argv)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        tally = run(asked.mutations, asked.seed, home=Path(folder), seconds=asked.seconds)
    print(f"{asked.mutations:,} mutations, seed {asked.seed}, {time.perf_counter() - began:.0f} s")
    for outcome, count in sorted(tally.outcomes.items()):
        print(f"{count:>7,} {outcome}")
    print(f"{len(tally.faults):>7,} faults; the slowest file took {tally.slowest:.1f} s")
    for fault in tally.faults[:50]:
        print(f"  {fault[:300]}")
    return 1 if tally.faults else 0


if __name__ == "__main__":
    sys.exit(main())
