"""Measure scoring end to end beside bare ``predict_proba``, with the memory that it takes.

Each size is a day of so many rows in a real registry. One after the other: ``predict_proba`` on a matrix in
memory, in the batches and with the BLAS threads of scoring; *predict* (read, features, predict, write a staged
file); the whole step chain (plan, predict each shard, publish: contract, keys, one file). Then two processes share
the shards. Memory is the peak above that of the process before it began, in a process of its own. *ratio* is by the
clock; *of processor* compares processor seconds, of which a machine with other work takes nothing away.

    python -m bench.scoring [--rows 100000 1000000 10000000] [--home DIR] [--json]

``--home`` keeps the installation that is measured (45 days of 2013 and a champion), so that the next run is sooner.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.installation import LAST_DAY, Installation, apart, build, large_inputs, machine, put, show
from ml.core.training.estimators import predict as bare_predict
from ml.core.training.features import matrix
from ml.records import Plan, Scoring, Shard

BARE_ROWS = 1_000_000
"""So many rows are held for bare ``predict_proba``; more are those again."""


def bare(home: str, day: Any, rows: int, *, warm: bool = False) -> tuple[float, float]:
    """Return the seconds a row of ``predict_proba`` alone, by the clock and of the processor."""
    from ml.adapters.rows import batches
    from ml.steps.score import resolve
    from ml.steps.score.scorer import scorer_of

    services = Installation(Path(home)).services()
    champion = resolve.run(day, settings=services.settings, services=services)
    scorer = scorer_of(int(champion.version or 0), day, services, rev=champion.data_version)
    source = services.registry.open("inputs", rev=champion.data_version, first_day=day, last_day=day)[day]
    held = [batch.to_pandas() for batch in batches(source, BARE_ROWS if not warm else 1000)][:1]
    seen = matrix(scorer.aggregates.add_to(held[0]), scorer.own.features)
    seen = pd.DataFrame({name: seen[name].copy() for name in seen})
    step = services.settings.score.batch_rows
    parts = [seen.iloc[first : first + step] for first in range(0, len(seen), step)]
    started, busy, done = time.perf_counter(), time.process_time(), 0
    with scorer.steady():  # more BLAS threads are hardly quicker, and wait for each other by spinning
        while done < (rows if not warm else 1):
            for part in parts:
                bare_predict(scorer.pipeline, part, scorer.own.task.kind)
                done += len(part)
    return (time.perf_counter() - started) / done, (time.process_time() - busy) / done


def planned(home: str, day: Any, shards: int, *, warm: bool = False) -> Plan:
    from ml.steps.score import plan, resolve
    from ml.steps.score.scorer import whole_day

    del warm
    services = Installation(Path(home)).services()
    champion = resolve.run(day, settings=services.settings, services=services)
    whole = whole_day(champion, services.settings, services)
    wanted = {"rows_per_shard": -(-whole.day_rows // shards)} if shards else {}
    services = Installation(Path(home)).services(score=wanted)
    return plan.run(champion, settings=services.settings, services=services)


def predicted(home: str, shards: list[Shard], *, warm: bool = False) -> list[Scoring]:
    from ml.steps.score import predict

    services = Installation(Path(home)).services()
    if warm:  # imports, and the model once
        shards = [shards[0].model_copy(update={"rows": min(shards[0].rows, 1000)})]
    return [predict.run(shard, settings=services.settings, services=services) for shard in shards]


def published(home: str, plan: Plan, scorings: list[Scoring], *, warm: bool = False) -> Scoring | None:
    from ml.steps.score import publish

    services = Installation(Path(home)).services()
    if warm:
        services.contracts.screen(
            "predictions", pd.DataFrame({"day": ["x"]}), parameters={"days": [], "expected_rows": 1}
        )
        return None
    return publish.run(plan, scorings, settings=services.settings, services=services)


def by_two(home: str, shards: list[Shard], workers: int) -> float:
    """Return the seconds in which so many processes, already warm, score all shards."""
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        list(pool.map(_warm, [home] * workers, [shards[:1]] * workers))
        started = time.perf_counter()
        list(pool.map(predicted, [home] * len(shards), [[shard] for shard in shards]))
        return time.perf_counter() - started


def _warm(home: str, shards: list[Shard]) -> None:
    predicted(home, shards, warm=True)
    time.sleep(1)  # the other worker gets its own


def measure(installed: Installation, rows: int, number: int) -> dict[str, Any]:
    """Measure a day of so many rows."""
    day = LAST_DAY + timedelta(days=1 + number)
    put(installed, {("inputs", day): large_inputs(day, rows)})
    home = str(installed.home)
    plan = planned(home, day, 0)
    alone = apart(bare, home, day, rows)
    scored = apart(predicted, home, list(plan.shards))
    again = apart(bare, home, day, rows)  # before and after: the machine may have other work
    done = apart(published, home, plan, scored.result)
    clock, busy = np.mean([alone.result, again.result], axis=0)
    halves = planned(home, day, 8 if rows >= 8 * 65_536 else 2)
    one, two = (by_two(home, list(halves.shards), workers) for workers in (1, 2))
    return {
        "rows": rows,
        "shards": len(plan.shards),
        "bare rows/s": round(1 / clock),
        "predict rows/s": round(rows / scored.seconds),
        "ratio": round(rows * clock / scored.seconds, 2),
        "of processor": round(rows * busy / scored.busy, 2),
        "predict MB": round(scored.megabytes),
        "publish rows/s": round(rows / done.seconds),
        "publish MB": round(done.megabytes),
        "chain rows/s": round(rows / (scored.seconds + done.seconds)),
        "2 workers": round(one / two, 2),
    }


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--home", type=Path, default=None)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        home = (asked.home or Path(folder) / "home").absolute()
        installed = Installation(home) if (home / "params.yaml").exists() else build(home)
        print(machine())
        table = []
        for number, rows in enumerate(asked.rows):
            table.append(measure(installed, rows, number))
            print(show(table[-1]) if asked.json else pd.DataFrame(table[-1:]).to_string(index=False), flush=True)
    if not asked.json:
        print()
        print(pd.DataFrame(table).to_string(index=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
