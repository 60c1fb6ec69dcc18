"""Import libraries once, in the processes that tasks and the parsing of Dag files are forked from.

On LocalExecutor a task is a fork of a worker, which is a fork of the scheduler; on CeleryExecutor it is
a fork of a process of the pool, which is a fork of the Celery worker. What the first of them has imported,
every task has. Without this each task pays seconds of imports for a tenth of a second of work.
The Dag processor forks one process a Dag file, twice a minute each: they find imported what reads the settings.
Our own modules are among it for all three, and are imported anew once a file of theirs has changed (`own_modules`).
The settings of all models are parsed too: each task, and each parsing, reads them.

Forking a process that has threads is not safe, so this only imports, looks whether a thread has
appeared (also a native one), and says so loudly. On LocalExecutor it needs no ``gc.freeze``: that freezes
the heap itself while it forks its workers.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import sys
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evergreen import own_modules

log = logging.getLogger(__name__)

SWITCH = "EVERGREEN_WARM_TASKS"
HEAVY_MODULES = (
    "pandas",
    "pyarrow.csv",
    "pyarrow.dataset",
    "pyarrow.parquet",
    "scipy.stats",
    "sklearn.calibration",
    "sklearn.compose",
    "sklearn.ensemble",
    "sklearn.inspection",
    "sklearn.linear_model",
    "sklearn.pipeline",
    "matplotlib.pyplot",
    "mlflow",
    "mlflow.data.pandas_dataset",
    "mlflow.models",
    "mlflow.pyfunc",
    "mlflow.sklearn",
    "mlflow.store.model_registry.rest_store",
    "mlflow.store.tracking.rest_store",
    "skops.io",
    "great_expectations",
    "great_expectations.render.renderer",
    "evidently",
    "evidently.presets",
    "plotly.offline",
    "dvc.api",
    "dvc.repo",
    "dvc_data.index",
    "fsspec.implementations.local",
    "boto3",
    "git",
    "jinja2",
    "yaml",
    "airflow.providers.smtp.hooks.smtp",
    "airflow.providers.standard.operators.python",
    "airflow.providers.standard.operators.trigger_dagrun",
    "airflow.sdk.execution_time.task_runner",
)
# Airflow runs as a script, or as a module: whose name is not yet known while its package is imported.
AIRFLOW_COMMANDS = ("airflow", "__main__.py", "-m")
DAG_MODULES = (
    "packaging.requirements",
    "airflow.providers.standard.decorators.python",
    "airflow.providers.standard.operators.hitl",
    "airflow.providers.standard.operators.trigger_dagrun",
    "evergreen.alerts.kinds.verdict",
    "evergreen.approval",
    "evergreen.forms",
    "evergreen.links",
    "evergreen.models",
    "evergreen.stepping",
    "ml.adapters.sources",
    "ml.adapters.sources.kinds.demo",
    "ml.adapters.sources.kinds.files",
    "ml.adapters.sources.kinds.http",
    "ml.adapters.sources.kinds.sql",
    "ml.adapters.sources.kinds.table",
    "ml.core.built_in_metrics",
    "ml.core.gate.rules",
    "ml.core.monitoring.drift_methods",
    "ml.records",
    "ml.settings",
)
"""What a Dag file needs: nobody's own code, which each parsing imports anew."""

STEP_MODULES = (
    "ml.adapters.contracts",
    "ml.adapters.drift",
    "ml.adapters.tracking",
    "ml.steps.ingest.commit",
    "ml.steps.ingest.land",
    "ml.steps.ingest.screen",
    "ml.steps.monitor.compare_with_previous",
    "ml.steps.monitor.decide",
    "ml.steps.monitor.measure_drift",
    "ml.steps.monitor.measure_performance",
    "ml.steps.monitor.measure_requests",
    "ml.steps.monitor.score_refit",
    "ml.steps.retrain.check",
    "ml.steps.retrain.describe",
    "ml.steps.retrain.evaluate",
    "ml.steps.retrain.fit",
    "ml.steps.retrain.promote",
    "ml.steps.retrain.pull",
    "ml.steps.retrain.refit",
    "ml.steps.retrain.validate",
    "ml.steps.score.plan",
    "ml.steps.score.predict",
    "ml.steps.score.publish",
    "ml.steps.score.resolve",
    "ml.steps.score.shadow",
    "ml.wiring",
)
"""What the tasks of every day, and of a retrain, run."""

PARENTS = {
    ("scheduler",): HEAVY_MODULES + DAG_MODULES + STEP_MODULES,
    ("celery", "worker"): HEAVY_MODULES + DAG_MODULES + STEP_MODULES,
    ("dag-processor",): DAG_MODULES,
}
"""The commands of Airflow whose processes others are forked from, and what these shall find imported."""


@dataclass(frozen=True)
class Warmth:
    """What a warm-up did: modules it could not import, and threads that appeared meanwhile."""

    seconds: float
    missing: tuple[str, ...]
    threads: tuple[str, ...]


def warm_if_parent(argv: Sequence[str], environ: Mapping[str, str]) -> Warmth | None:
    """Warm this process up if tasks or parsings are forked from it and ``EVERGREEN_WARM_TASKS=1`` asks for it.

    Airflow must load plugins eagerly in that process (``AIRFLOW__CORE__LAZY_LOAD_PLUGINS=False``),
    or its workers are forked before this is called.

    Returns
    -------
    Warmth or None
        None in every other process: API server, triggerer, a task's own children.
    """
    if environ.get(SWITCH) != "1" or not argv or Path(argv[0]).name not in AIRFLOW_COMMANDS:
        return None
    modules = next((of for parent, of in PARENTS.items() if tuple(argv[1 : 1 + len(parent)]) == parent), None)
    if modules is None or all(module in sys.modules for module in modules if not own_modules.is_own(module)):
        return None  # The latter is a task, which loads its plugins again, and of ours imports what it needs.
    warmth = import_all(modules)
    read_settings()
    own_modules.watch()
    return warmth


def read_settings() -> None:
    """Parse the settings of all models once: what is forked finds each text parsed that has not changed since.

    Nothing is checked, which would import people's own code here. What is wrong with one is said by whoever needs it.
    """
    from ml.errors import EvergreenError
    from ml.settings import Environment, configured_models, resolve

    with contextlib.suppress(EvergreenError):
        for model in configured_models():
            with contextlib.suppress(EvergreenError):
                resolve(Environment.load(model=model.name))


def import_all(modules: Iterable[str]) -> Warmth:
    """Import modules and say what came of it; a module that is missing makes what is forked slower, no worse."""
    before = running_threads()
    started = time.monotonic()
    missing: dict[str, ImportError] = {}
    chatter = logging.root.manager.disable
    logging.disable(max(chatter, logging.INFO))  # Great Expectations alone would write 400 lines.
    try:
        with warnings.catch_warnings():
            # skops looks for scipy's functions in every module, and so touches each deprecated name.
            warnings.simplefilter("ignore")
            for module in modules:
                try:
                    importlib.import_module(module)
                except ImportError as err:
                    missing[module] = err
    finally:
        logging.disable(chatter)
    for module, reason in missing.items():
        log.warning("Processes forked from this one will import %s themselves: %s", module, reason)
    appeared = tuple(name for tid, name in sorted(running_threads().items()) if tid not in before)
    if appeared:
        log.warning(
            "Warming up started threads (%s), and other processes are forked from this one: "
            "find out which import did it, or set %s=0",
            ", ".join(appeared),
            SWITCH,
        )
    warmth = Warmth(time.monotonic() - started, tuple(missing), appeared)
    log.info("What is forked from here starts warm: libraries imported in %.1f s", warmth.seconds)
    return warmth


def running_threads() -> dict[int, str]:
    """Return every thread of this process by its id, those of native libraries too.

    Where there is no ``/proc`` only Python's own threads can be seen.
    """
    tasks = Path("/proc/self/task")
    if not tasks.is_dir():
        import threading

        return {t.native_id or 0: t.name for t in threading.enumerate()}
    threads = {}
    for task in tasks.iterdir():
        try:
            threads[int(task.name)] = (task / "comm").read_text(encoding="utf-8").strip()
        except (FileNotFoundError, ProcessLookupError):  # It ended while we looked.
            continue
    return threads
