"""Draw where the time of screening a day, of a retrain and of scoring a day goes, as flame graphs.

Each work is done in a process of its own, imports done, and sampled by py-spy, which is no part of the development
requirements (``uv pip install py-spy`` into any environment of the path; it has to be allowed to look at a child).

    python -m bench.flames [--rows 1000000] [--works screening retrain scoring] [--folder docs/images]
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from bench import ingest, scoring
from bench.installation import LAST_DAY, build, large_inputs, put
from ml.settings import PROJECT_ROOT, Environment, load
from ml.wiring import Services

SAMPLES_A_SECOND = 200
TITLE = re.compile(r'(<text id="title"[^>]*>)[^<]*<')
SCRIPT = re.compile(
    r'<script.*?</script>| onload="init\(evt\)"|<text id="(?:search|unzoom|matched)".*?</text>', re.DOTALL
)
"""Searches and zooms in a browser, and is not ours; what each frame is shows under the pointer without it."""
TITLES = {
    "screening": "screening {rows:,} inputs and as many labels",
    "retrain": "a retrain of the demo, from the request to the champion serving",
    "scoring": "scoring {rows:,} rows",
}
Work = Callable[[], object]


def screening(home: Path, rows: int) -> Work:
    """Land a day, and return what screens its inputs and labels."""
    installed = ingest.installation(home / "screening")
    ingest.deliver(installed, ingest.DAY, rows)
    where = str(installed.home)
    landing = ingest.landed(where)
    ingest.screened(where, landing, warm=True)
    return lambda: ingest.screened(where, landing)


def retrain(home: Path, rows: int) -> Work:
    """Land the demo's history, and return what trains and promotes a first champion: of 90 days, whatever ``rows``."""
    del rows
    from ml.adapters import contracts, tracking  # noqa: F401  imports are not what is drawn
    from ml.cli.replayed_day import retrain_steps
    from ml.records import RetrainRequest
    from ml.steps.retrain import describe, fit, promote  # noqa: F401

    given = {"EVERGREEN_HOME": str(home / "retrain"), "EVERGREEN_DEVELOPMENT": "1"}
    os.environ.update(given)
    command = [sys.executable, "-m", "ml.steps.ingest.seed"]
    subprocess.run(command, cwd=PROJECT_ROOT, check=True, capture_output=True)
    settings, environment = load(), Environment.load(given)

    def call(run: Callable[..., Any], *records: Any, workspace: str | None = None, **options: Any) -> Any:
        return run(*records, settings=settings, services=Services(settings, environment), **options)

    return lambda: retrain_steps(RetrainRequest(requested_by="a benchmark", reasons=("to draw it",)), call)


def score(home: Path, rows: int) -> Work:
    """Train a champion, bring a large day, and return what scores it."""
    installed = build(home / "scoring")
    day = LAST_DAY + timedelta(days=1)
    put(installed, {("inputs", day): large_inputs(day, rows)})
    where = str(installed.home)
    plan = scoring.planned(where, day, 0)
    scoring.predicted(where, list(plan.shards), warm=True)
    return lambda: scoring.predicted(where, list(plan.shards))


WORKS: dict[str, Callable[[Path, int], Work]] = {"screening": screening, "retrain": retrain, "scoring": score}


def draw(name: str, rows: int, folder: Path) -> float:
    """Write ``flame-NAME.svg``; return the seconds that the work took while it was sampled."""
    command = [sys.executable, "-m", "bench.flames", "--rows", str(rows), "--only", name]
    with subprocess.Popen(command, cwd=PROJECT_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin is not None and child.stdout is not None
        while (line := child.stdout.readline()) != "ready\n":
            if not line:
                raise SystemExit(f"{name} ended before it began")
        options = ["--pid", str(child.pid), "--rate", str(SAMPLES_A_SECOND), "--format", "flamegraph", "--function"]
        target = folder / f"flame-{name}.svg"
        sampler = subprocess.Popen(["py-spy", "record", *options, "--output", str(target)], stderr=subprocess.DEVNULL)
        time.sleep(2)  # it looks for the child's interpreter first
        child.stdin.write("\n")
        child.stdin.close()
        seconds = float(child.stdout.read().split()[-1])
    sampler.wait(timeout=120)
    drawn = SCRIPT.sub("", target.read_text(encoding="utf-8"))
    target.write_text(TITLE.sub(rf"\g<1>{TITLES[name].format(rows=rows)}<", drawn, count=1), encoding="utf-8")
    return seconds


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the day that is screened, or scored")
    parser.add_argument("--works", nargs="+", choices=WORKS, default=list(WORKS))
    parser.add_argument("--folder", type=Path, default=PROJECT_ROOT / "docs" / "images")
    parser.add_argument("--only", choices=WORKS, help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    if given.only:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
            work = WORKS[given.only](Path(home), given.rows)
            print("ready", flush=True)
            sys.stdin.readline()
            started = time.perf_counter()
            work()
            print(time.perf_counter() - started, flush=True)
        return 0
    if shutil.which("py-spy") is None:
        raise SystemExit("py-spy is not there; install it (uv pip install py-spy)")
    for name in given.works:
        print(f"{name}: {draw(name, given.rows, given.folder):.1f} s, sampled", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
