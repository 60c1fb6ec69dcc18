"""Tasks and the parsing of Dag files start warm, and without a thread."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT / "plugins"))

from evergreen import warm  # noqa: E402

from embedded.config import Stack  # noqa: E402
from embedded.prepare import prepare  # noqa: E402
from embedded.servers import describe_server  # noqa: E402
from ml import yaml_file  # noqa: E402
from ml.settings import load_models  # noqa: E402

ON = {"EVERGREEN_WARM_TASKS": "1"}


@pytest.fixture
def imported(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note what would be imported, instead of importing it."""
    names: list[str] = []
    monkeypatch.setattr("importlib.import_module", names.append)
    monkeypatch.setattr(warm, "read_settings", lambda: names.append("settings"))
    monkeypatch.setattr(warm.own_modules, "watch", lambda: names.append("watched"))
    for parent in warm.PARENTS:
        monkeypatch.setitem(warm.PARENTS, parent, (f"no_such_module_of_{parent[-1]}",))
    return names


@pytest.mark.parametrize("program", ["/x/bin/airflow", "/x/airflow/__main__.py", "-m"])
def test_the_scheduler_is_warmed_up_however_it_is_started(program: str, imported: list[str]) -> None:
    assert warm.warm_if_parent([program, "scheduler", "--skip-serve-logs"], ON) is not None
    assert imported == ["no_such_module_of_scheduler", "settings", "watched"]


def test_so_is_a_celery_worker(imported: list[str]) -> None:
    assert warm.warm_if_parent(["/x/bin/airflow", "celery", "worker", "--skip-serve-logs"], ON) is not None
    assert imported == ["no_such_module_of_worker", "settings", "watched"]


def test_the_dag_processor_imports_what_dag_files_need_and_nothing_more(imported: list[str]) -> None:
    assert warm.warm_if_parent(["/x/bin/airflow", "dag-processor"], ON) is not None
    assert imported == ["no_such_module_of_dag-processor", "settings", "watched"]
    assert not {"mlflow", "sklearn", "great_expectations"} & {name.split(".")[0] for name in warm.DAG_MODULES}


@pytest.mark.parametrize(
    "argv",
    [
        ["airflow", "celery", "flower"],
        ["airflow", "celery"],
        ["airflow", "api-server"],
        ["airflow", "triggerer"],
        ["airflow", "tasks", "test", "scheduler"],
        ["airflow"],
        ["pytest", "scheduler"],
        [],
    ],
)
def test_no_other_process_is(argv: list[str], imported: list[str]) -> None:
    assert warm.warm_if_parent(argv, ON) is None
    assert imported == []


@pytest.mark.parametrize("environ", [{}, {"EVERGREEN_WARM_TASKS": "0"}, {"EVERGREEN_WARM_TASKS": ""}])
def test_it_is_asked_for_or_left(environ: dict[str, str], imported: list[str]) -> None:
    assert warm.warm_if_parent(["airflow", "scheduler"], environ) is None
    assert imported == []


def test_a_task_whose_own_modules_were_forgotten_imports_none_ahead(
    imported: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(warm.PARENTS, ("scheduler",), ("json", "ml.no_such_module"))
    assert warm.warm_if_parent(["airflow", "scheduler"], ON) is None
    assert imported == []


def test_what_is_forked_finds_the_settings_parsed_and_wrong_ones_stop_no_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (PROJECT / "params.yaml").read_text(encoding="utf-8")
    (tmp_path / "params.yaml").write_text(text + "# of this test\n", encoding="utf-8")
    monkeypatch.setenv("EVERGREEN_PARAMS", str(tmp_path / "params.yaml"))
    warm.read_settings()
    before = yaml_file._parsed.cache_info().misses
    load_models()
    assert yaml_file._parsed.cache_info().misses == before
    (tmp_path / "params.yaml").write_text("task: [", encoding="utf-8")
    warm.read_settings()


def test_a_missing_module_is_told_and_the_rest_imported(caplog: pytest.LogCaptureFixture) -> None:
    warmth = warm.import_all(("no_such_module_at_all", "json"))
    assert warmth.missing == ("no_such_module_at_all",)
    assert "no_such_module_at_all" in caplog.text


def test_a_thread_that_appears_is_named_loudly(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    monkeypatch.setattr("importlib.import_module", lambda _: thread.start())
    try:
        warmth = warm.import_all(("anything",))
    finally:
        over.set()
        thread.join()
    assert len(warmth.threads) == 1
    assert "EVERGREEN_WARM_TASKS=0" in caplog.text


@pytest.mark.parametrize(
    ("server", "modules"),
    [("scheduler", "HEAVY_MODULES + warm.DAG_MODULES + warm.STEP_MODULES"), ("dag-processor", "DAG_MODULES")],
)
def test_airflow_itself_warms_what_forks_and_starts_no_thread(server: str, modules: str, tmp_path: Path) -> None:
    """Airflow with our plugin, as that server of the embedded stack would load it."""
    stack = Stack.load({"EVERGREEN_HOME": str(tmp_path)})
    prepare(stack)
    program = f"""
import sys
sys.argv = ["airflow", "{server}"]
import airflow
from airflow import plugins_manager
plugins, errors = plugins_manager._get_plugins()
from evergreen import warm
assert not errors, errors
assert "warm" not in sys.modules, "plugins/.airflowignore does not keep the package out"
print(sorted(set(warm.{modules}) - set(sys.modules)), sorted(warm.running_threads().values()))
sys.exit(len(warm.running_threads()) - 1)
"""
    env = describe_server(stack, server, os.environ).env
    ended = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, timeout=280, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.strip().splitlines()[-1].startswith("[] ")
