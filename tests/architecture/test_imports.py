"""Who may import what: the contracts of pyproject.toml, and one door for each vendor."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
ROOMS = ("dags", "plugins", "ml", "embedded", "deploy")
DOORS = {
    "argcomplete": ("ml/cli/completion.py", "ml/command_line.py"),
    "airflow": (
        "dags/*.py",
        "plugins/evergreen_plugin.py",
        "plugins/evergreen/*.py",
        "plugins/evergreen/alerts/channels/email.py",
        "plugins/evergreen/alerts/http_channel.py",
        "plugins/evergreen/alerts/kinds/*.py",
        "plugins/evergreen/*/*.py",
        "deploy/users.py",
        "embedded/executor.py",  # an executor is a class of Airflow
    ),
    "boto3": ("ml/adapters/s3.py",),
    "botocore": ("ml/adapters/s3.py", "ml/adapters/s3_errors.py"),
    "celery": ("deploy/health.py",),
    "deltalake": ("ml/adapters/sources/lakes.py",),
    "pyiceberg": ("ml/adapters/sources/lakes.py",),
    "evidently": ("ml/adapters/drift.py",),
    "fastapi": (
        "plugins/evergreen/page/__init__.py",
        "plugins/evergreen/page/answers.py",
        "plugins/evergreen/page/actions.py",
        "plugins/evergreen/page/first_look.py",
        "ml/serving/app.py",
        "ml/serving/server.py",
        "ml/serving/streams/server.py",
        "ml/serving/workers.py",
    ),
    "faststream": ("ml/serving/streams/brokers.py",),
    "great_expectations": (
        "ml/adapters/contracts/suite.py",
        "ml/adapters/contracts/judge.py",
        "ml/adapters/contracts/metric_graphs.py",
        "ml/adapters/contracts/own_expectations.py",
        "ml/adapters/contracts/prepared.py",
    ),
    "jinja2": (
        "ml/views/backtest_report.py",
        "ml/views/card/render.py",
        "ml/adapters/contracts/report.py",
        "plugins/evergreen/alerts/rendering.py",
    ),
    "markupsafe": ("plugins/evergreen/alerts/rendering.py",),
    "matplotlib": ("ml/views/backtest_report.py", "ml/views/plots.py"),
    "mlflow": ("ml/adapters/tracking/*.py", "ml/adapters/package.py", "deploy/mlflow_login.py"),
    "cachetools": ("ml/views/page/cache.py",),
    "filelock": ("ml/adapters/tracking/database.py", "ml/backtest/fits.py", "ml/serving/served_version.py"),
    "optuna": ("ml/adapters/hyperparameter_search.py",),
    "orjson": (
        "ml/serving/app.py",
        "ml/serving/request_rows.py",
        "ml/serving/streams/messages.py",
        "ml/serving/streams/server.py",
    ),
    "prometheus_client": ("ml/cli/metrics.py", "ml/serving/metrics.py"),
    "psutil": ("embedded/*.py", "ml/adapters/memory.py", "ml/serving/metrics.py"),
    "psycopg2": ("deploy/health.py",),
    "pyarrow": (
        "ml/adapters/aggregates.py",
        "ml/adapters/coded_batches.py",
        "ml/adapters/column_types.py",
        "ml/adapters/window_rows.py",
        "ml/adapters/contracts/day_files.py",
        "ml/adapters/contracts/distinct_values.py",
        "ml/adapters/contracts/first_scan.py",
        "ml/adapters/contracts/key_rows.py",
        "ml/adapters/contracts/parts.py",
        "ml/adapters/contracts/repeated_keys.py",
        "ml/adapters/contracts/second_scan.py",
        "ml/adapters/day_samples.py",
        "ml/adapters/engine/travel.py",
        "ml/adapters/partitions.py",
        "ml/adapters/request_parts.py",
        "ml/adapters/row_group_layout.py",
        "ml/adapters/rows.py",
        "ml/adapters/sources/columns.py",
        "ml/adapters/sources/csv_tables.py",
        "ml/adapters/sources/csv_types.py",
        "ml/adapters/sources/json_tables.py",
        "ml/adapters/sources/lakes.py",
        "ml/adapters/sources/local_day.py",
        "ml/adapters/sources/packed_texts.py",
        "ml/adapters/sources/parquet_tables.py",
        "ml/adapters/sources/replayed.py",
        "ml/adapters/sources/sampling.py",
        "ml/adapters/sources/sql.py",
        "ml/adapters/sources/table.py",
        "ml/adapters/sources/table_parquet.py",
        "ml/adapters/sources/time_columns.py",
        "ml/adapters/sources/unpacked.py",
        "ml/adapters/sql/predictions.py",
        "ml/adapters/sql/spool.py",
        "ml/adapters/sql/values.py",
        "ml/adapters/table_parts.py",
        "ml/adapters/workspace.py",
        "ml/serving/asked.py",
        "ml/serving/batching.py",
        "ml/serving/challenge.py",
        "ml/serving/day_lookup.py",
        "ml/serving/request_log.py",
        "ml/serving/request_rows.py",
        "ml/serving/served_model.py",
        "ml/serving/traffic.py",
        "ml/steps/score/row_layout.py",
        "ml/steps/score/row_scoring.py",
        "ml/steps/score/scorer.py",
    ),
    "ray": ("ml/adapters/engine/cluster.py", "ml/adapters/engine/worker.py"),
    "redis": ("ml/serving/streams/brokers.py",),
    "ruamel": ("ml/yaml_file.py",),
    "requests": (
        "ml/adapters/sources/download.py",
        "ml/adapters/tracking/connection.py",
        "plugins/evergreen/alerts/http_channel.py",
        "embedded/*.py",
        "deploy/demo.py",
    ),
    "s3transfer": ("ml/adapters/s3_errors.py",),
    "scipy": ("ml/core/*/*.py", "ml/backtest/measures.py"),
    "skops": ("ml/adapters/models.py",),
    "sklearn": (
        "ml/core/*/*.py",
        "ml/core/*.py",
        "ml/adapters/streamed_fit.py",
        "ml/adapters/models.py",
        "ml/adapters/tracking/model_registry.py",
        "ml/adapters/tracking/runs.py",
        "ml/steps/retrain/fit.py",
        "ml/steps/retrain/pipelines.py",
        "ml/steps/score/row_layout.py",
        "ml/steps/score/row_scoring.py",
        "ml/champions/recorded_models.py",
        "ml/serving/explanations.py",
        "ml/serving/served_version.py",
        "ml/backtest/fits.py",
    ),
    "sqlalchemy": (
        "plugins/evergreen/notes.py",  # of Airflow: a note joins the transaction that ends the run
        "plugins/evergreen/connections.py",  # to write the URL of a connection
        "ml/adapters/sql/*.py",
        "ml/adapters/sources/sql.py",
    ),
    "tabulate": (
        "embedded/summary.py",
        "ml/command_line.py",
        "ml/cli/contracts.py",
        "ml/cli/history.py",
        "ml/backtest/report_words.py",
        "ml/cli/models.py",
        "ml/cli/reproduce.py",
    ),
    "threadpoolctl": (
        "ml/adapters/code.py",
        "ml/adapters/package.py",
        "ml/steps/retrain/pipelines.py",
        "ml/steps/score/row_scoring.py",
        "ml/serving/served_model.py",
    ),
    "tqdm": ("ml/backtest/backtest.py",),
    "uvicorn": ("ml/serving/server.py", "ml/serving/streams/server.py", "ml/serving/workers.py"),
    "urllib3": ("ml/adapters/sources/download.py", "plugins/evergreen/alerts/http_channel.py"),
    "yaml": ("ml/adapters/data_registry/manifest.py",),
}
"""A vendor, and the files that may import it."""

EVERYWHERE = {"numpy", "pandas", "pendulum", "pydantic", "pydantic_core"}
OURS = {"ml", "evergreen", "embedded", "deploy"}
LIGHT = {"airflow", "pendulum", "evergreen"}
"""What Dag files and plugins may import at their top, beside the standard library."""


def sources(*rooms: str) -> list[Path]:
    return sorted(path for room in rooms for path in (PROJECT / room).rglob("*.py"))


def imported(tree: ast.AST) -> Iterator[str]:
    """Name the top-level packages that a tree imports, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


def at_top(tree: ast.Module) -> Iterator[str]:
    """Name what is imported when the module is, so neither in functions nor for types only."""
    for node in tree.body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from imported(node)


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def packages(path: Path) -> frozenset[str]:
    return frozenset(imported(parse(path)))


def name(path: Path) -> str:
    return path.relative_to(PROJECT).as_posix()


def module(path: Path) -> str:
    return ".".join(path.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__").removeprefix("plugins.")


def imported_modules(tree: ast.Module, modules: set[str]) -> Iterator[str]:
    """Name those of some modules that are imported when a module is."""
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield from {inner if inner in modules else node.module} & modules


def test_no_modules_import_each_other_in_a_circle() -> None:
    trees = {module(path): parse(path) for path in sources(*ROOMS)}
    graph = {name: set(imported_modules(tree, set(trees))) for name, tree in trees.items()}
    assert "ml.adapters.tracking.connection" in graph["ml.adapters.tracking.runs"]
    TopologicalSorter(graph).prepare()  # CycleError names the circle


def test_the_import_contracts_are_kept() -> None:
    ran = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=PROJECT,
        env={"PYTHONPATH": f"{PROJECT}:{PROJECT / 'plugins'}", "PATH": "/usr/bin:/bin", "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "0 broken" in ran.stdout


@pytest.mark.parametrize("vendor", DOORS)
def test_a_vendor_is_imported_behind_its_door_only(vendor: str) -> None:
    users = {name(path) for path in sources(*ROOMS) if vendor in packages(path)}
    allowed = {name(path) for pattern in DOORS[vendor] for path in PROJECT.glob(pattern)}
    assert users <= allowed
    for pattern in DOORS[vendor]:
        assert users & {name(path) for path in PROJECT.glob(pattern)}, f"{pattern} no longer needs {vendor}"


@pytest.mark.parametrize("path", sources(*ROOMS), ids=name)
def test_every_vendor_has_a_door(path: Path) -> None:
    known = EVERYWHERE | OURS | set(DOORS) | set(sys.stdlib_module_names)
    assert packages(path) <= known


@pytest.mark.parametrize("path", sources("dags", "plugins"), ids=name)
def test_dags_and_plugins_import_nothing_heavy_at_their_top(path: Path) -> None:
    assert set(at_top(parse(path))) <= LIGHT | set(sys.stdlib_module_names)


def test_the_package_of_plugins_is_not_run_file_by_file() -> None:
    ignored = (PROJECT / "plugins" / ".airflowignore").read_text(encoding="utf-8").split()
    packages = [path.name for path in (PROJECT / "plugins").iterdir() if (path / "__init__.py").is_file()]
    assert [pattern.rstrip("/") for pattern in ignored] == packages == ["evergreen"]
