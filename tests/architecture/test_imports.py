"""Who may import what: the contracts of pyproject.toml, and one door for each vendor."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
ROOMS = ("dags", "plugins", "ml", "embedded")
DOORS = {
    "argcomplete": ("ml/cli/completion.py", "ml/steps/command.py"),
    "airflow": ("dags/*.py", "plugins/evergreen_plugin.py", "plugins/evergreen/*.py"),
    "boto3": ("ml/adapters/objects.py",),
    "botocore": ("ml/adapters/objects.py", "ml/adapters/sources/s3.py"),
    "evidently": ("ml/adapters/drift.py",),
    "fastapi": ("plugins/evergreen/page.py",),
    "great_expectations": ("ml/adapters/contract_suite.py", "ml/adapters/contract_judge.py"),
    "jinja2": (
        "ml/adapters/backtest_report.py",
        "ml/adapters/card.py",
        "ml/adapters/contract_report.py",
        "plugins/evergreen/notifications.py",
    ),
    "matplotlib": ("ml/adapters/backtest_report.py", "ml/adapters/plots.py"),
    "mlflow": ("ml/adapters/tracking.py", "ml/adapters/package.py"),  # the latter in a process of its own
    "optuna": ("ml/adapters/search.py",),
    "psutil": ("embedded/*.py",),
    "pyarrow": (
        "ml/adapters/column_types.py",
        "ml/adapters/contract_files.py",
        "ml/adapters/rows.py",
        "ml/adapters/tallies.py",
        "ml/adapters/sources/csv_types.py",
        "ml/adapters/sources/tables.py",
        "ml/adapters/sources/unpacked.py",
        "ml/adapters/workspace.py",
        "ml/steps/predict.py",
    ),
    "ruamel": ("ml/yaml_file.py",),
    "requests": ("ml/adapters/sources/http.py", "ml/adapters/tracking.py", "embedded/*.py"),
    "s3transfer": ("ml/adapters/objects.py",),
    "scipy": ("ml/core/*.py",),
    "skops": ("ml/adapters/models.py",),
    "sklearn": (
        "ml/core/*.py",
        "ml/adapters/models.py",
        "ml/adapters/tracking.py",
        "ml/steps/fit.py",
        "ml/steps/predict.py",
        "ml/steps/recorded_models.py",
        "ml/steps/replay/fits.py",
    ),
    "sqlalchemy": ("plugins/evergreen/notes.py",),  # of Airflow: a note joins the transaction that ends the run
    "tabulate": (
        "embedded/summary.py",
        "ml/steps/command.py",
        "ml/steps/history.py",
        "ml/steps/replay/report.py",
        "ml/steps/reproduce.py",
    ),
    "threadpoolctl": ("ml/adapters/code.py", "ml/adapters/package.py", "ml/steps/fit.py", "ml/steps/predict.py"),
    "tqdm": ("ml/steps/backtest.py",),
    "urllib3": ("ml/adapters/sources/http.py",),
    "yaml": ("ml/adapters/registry/manifest.py",),
}
"""A vendor, and the files that may import it."""

EVERYWHERE = {"numpy", "pandas", "pendulum", "pydantic"}
OURS = {"ml", "evergreen", "embedded"}
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


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def name(path: Path) -> str:
    return path.relative_to(PROJECT).as_posix()


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
    users = {name(path) for path in sources(*ROOMS) if vendor in set(imported(parse(path)))}
    allowed = {name(path) for pattern in DOORS[vendor] for path in PROJECT.glob(pattern)}
    assert users <= allowed
    for pattern in DOORS[vendor]:
        assert users & {name(path) for path in PROJECT.glob(pattern)}, f"{pattern} no longer needs {vendor}"


@pytest.mark.parametrize("path", sources(*ROOMS), ids=name)
def test_every_vendor_has_a_door(path: Path) -> None:
    known = EVERYWHERE | OURS | set(DOORS) | set(sys.stdlib_module_names)
    assert set(imported(parse(path))) <= known


@pytest.mark.parametrize("path", sources("dags", "plugins"), ids=name)
def test_dags_and_plugins_import_nothing_heavy_at_their_top(path: Path) -> None:
    assert set(at_top(parse(path))) <= LIGHT | set(sys.stdlib_module_names)


def test_the_package_of_plugins_is_not_run_file_by_file() -> None:
    ignored = (PROJECT / "plugins" / ".airflowignore").read_text(encoding="utf-8").split()
    packages = [path.name for path in (PROJECT / "plugins").iterdir() if (path / "__init__.py").is_file()]
    assert [pattern.rstrip("/") for pattern in ignored] == packages == ["evergreen"]
