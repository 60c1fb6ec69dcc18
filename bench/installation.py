"""A small real Evergreen for benchmarks: real flights in a real registry, a champion in a real MLflow, large days.

A large day is real rows drawn again and again, each with a flight number of its own, so that its keys are unique.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ml.settings import PROJECT_ROOT, Environment, Settings, dump, load, parse, read
from ml.wiring import Services

FIRST_DAY, LAST_DAY = date(2013, 5, 1), date(2013, 6, 14)


@dataclass(frozen=True)
class Installation:
    """An installation below ``home``."""

    home: Path

    @property
    def settings(self) -> Settings:
        return load(self.home / "params.yaml")

    def services(self, **sections: dict[str, Any]) -> Services:
        """Build new services; the keys of a section are laid over its own."""
        params = read(self.home / "params.yaml")
        for name, section in sections.items():
            params[name] |= section
        given = {"EVERGREEN_HOME": str(self.home), "EVERGREEN_DEVELOPMENT": "1"}
        if (self.home / "expectations").exists():
            given["EVERGREEN_EXPECTATIONS"] = str(self.home / "expectations")
        return Services(parse(params), Environment.load(given))


def build(home: Path) -> Installation:
    """Land 45 days of 2013 and let a first champion serve."""
    from ml.records import RetrainRequest
    from ml.steps.ingest import seed
    from ml.steps.retrain import check, evaluate, fit, gate, promote, pull, register, split, tune, validate

    home.mkdir(parents=True)
    params = read(PROJECT_ROOT / "params.yaml")
    params["source"] = {"kind": "demo", "replay": False}
    params["pull"]["min_days"] = 21
    params["split"]["holdout_days"] = 10
    (home / "params.yaml").write_text(dump(params), encoding="utf-8")
    installed = Installation(home)
    services = installed.services()
    given: dict[str, Any] = {"settings": services.settings, "services": services}
    seed.run(FIRST_DAY, LAST_DAY, **given)
    window = pull.run(RetrainRequest(requested_by="a benchmark", reasons=("to measure",)), **given)
    for step in (validate, split, tune, fit):
        step.run(window, **given)
    challenger = register.run(window, evaluate.run(window, meet_champion=True, **given), **given)
    check.run(window, challenger=challenger, **given)
    promoted = promote.run(window, gate.run(window, challenger=challenger, **given), **given)
    if not promoted.promoted:
        raise SystemExit(f"no champion: {promoted.reason}")
    return installed


def large_inputs(day: date, rows: int, *, seed: int = 1) -> pd.DataFrame:
    """Draw the inputs of a day from four weeks of real ones."""
    from ml.adapters.sources.demo import DemoSource

    source = DemoSource(replay=False)
    real = pd.concat([source.inputs(FIRST_DAY + timedelta(days=n)) for n in range(28)], ignore_index=True)
    chosen = np.random.default_rng([seed, day.toordinal()]).integers(0, len(real), rows)
    return real.iloc[chosen].reset_index(drop=True).assign(day=day.isoformat(), flight=np.arange(1, rows + 1))


def large_labels(inputs: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """Return outcomes to some inputs, one in five of them late."""
    late = np.random.default_rng(2).random(len(inputs)) < 0.2
    return inputs[list(settings.task.key)].assign(**{settings.task.target: late.astype(float)})


def put(installed: Installation, files: dict[tuple[str, date], pd.DataFrame]) -> str:
    """Commit frames to the registry past every contract."""
    from ml.adapters.workspace import write_parquet

    paths: dict[Any, Path] = {}
    for (asset, day), frame in files.items():
        paths[asset, day] = installed.home / f"{asset}-{day}.parquet"
        write_parquet(frame, paths[asset, day])
    version = installed.services().registry.commit(paths, message="Add large days")
    for path in paths.values():
        path.unlink()
    return version.rev


@dataclass(frozen=True)
class Measured:
    """What some work took in a process of its own: seconds (also of the processor), and the peak above its start.

    ``peak`` is that of the whole process, libraries included, in MB as well.
    """

    seconds: float
    busy: float
    megabytes: float
    peak: float
    result: Any


def apart(work: Callable[..., Any], *given: Any) -> Measured:
    """Run something in a new process and measure it; its imports are not counted."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return Measured(**pool.submit(_measured, work, given).result())


def _measured(work: Callable[..., Any], given: tuple[Any, ...]) -> dict[str, Any]:
    work(*given, warm=True)
    _forget_peak()
    before, busy, started = _peak(), time.process_time(), time.perf_counter()
    result = work(*given)
    return {
        "seconds": time.perf_counter() - started,
        "busy": time.process_time() - busy,
        "megabytes": _peak() - before,
        "peak": _peak(),
        "result": result,
    }


def _forget_peak() -> None:
    """Let the kernel count the peak of this process's memory from now on."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _peak() -> float:
    """Return the largest resident size of this process so far, in MB."""
    (line,) = [each for each in Path("/proc/self/status").read_text().splitlines() if each.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def machine() -> str:
    """Return what was measured on."""
    load = os.getloadavg()[0]
    return f"Python {sys.version.split()[0]}, {os.cpu_count()} cores, load {load:.1f} at the start"


def show(facts: Any) -> str:
    """Write facts as JSON for whoever reads them by program."""
    return json.dumps(facts, indent=2, default=str)
