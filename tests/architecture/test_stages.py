"""A stem is the same in all its places: stage, module, section of params.yaml, task."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ml.cli.commands import every
from ml.settings import load

PROJECT = Path(__file__).resolve().parents[2]
STEPS = PROJECT / "ml" / "steps"
SHARED = {
    "__init__",
    "day_screening",
    "days_ahead",
    "deliveries",
    "label_doubts",
    "label_sums",
    "expected_types",
    "interval_width",
    "judged_run",
    "judgements",
    "labelled_rows",
    "out_of_fold",
    "own_features",
    "past_refreshes",
    "compared_models",
    "pipelines",
    "row_layout",
    "row_scoring",
    "scorer",
    "search_result",
    "refit_days",
    "slice_days",
    "source_day",
    "split_days",
    "stage",
    "streamed_parts",
}
"""What steps have in common, and is none itself."""

ONLY_DRAWN = {"act", "alert", "ask", "trigger_retrain", "trigger_rollback"}
"""Tasks that are Airflow's business: branching, mail, triggering."""

ONLY_IN_AIRFLOW = {"register", "refit", "describe", "ask", "approve", "approved", "promote", "alert"}
"""``dvc repro`` registers nothing, asks and alerts nobody, and lets nothing serve."""

WIDE = {
    "ml/errors.py",
    "ml/names.py",
    "ml/records/__init__.py",
    "ml/settings/__init__.py",
    "ml/urls.py",
    "ml/wiring.py",
    "ml/adapters/layout/__init__.py",
    "ml/command_line.py",
    "ml/steps/retrain/stage.py",
}
"""What every step imports: settings are followed by their values, records by what is in the workspace, and
names of files, which never change."""


def stages() -> dict[str, Any]:
    found = yaml.safe_load((PROJECT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    assert isinstance(found, dict)
    return found


def steps() -> list[str]:
    return sorted(path.stem for path in STEPS.rglob("*.py") if path.stem not in SHARED)


def module_of(step: str) -> Path:
    [path] = STEPS.rglob(f"{step}.py")
    return path


def functions(module: Path) -> dict[str, ast.FunctionDef]:
    tree = ast.parse(module.read_text(encoding="utf-8"))
    return {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def dag_tasks() -> dict[str, ast.FunctionDef]:
    """Give every task function of every Dag; a name means one thing everywhere, so later ones may overwrite."""
    found = {}
    for path in sorted((PROJECT / "dags").glob("*.py")):
        for name, function in functions(path).items():
            if any("task" in ast.unparse(decorator) for decorator in function.decorator_list):
                found[f"{path.stem}.{name}"] = function
    return found


def reduce(edges: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Leave out each edge that a longer way makes superfluous."""

    def reaches(start: str, end: str, skipped: tuple[str, str]) -> bool:
        return any(a == start and (b == end or reaches(b, end, skipped)) for a, b in edges - {skipped})

    return {edge for edge in edges if not reaches(*edge, skipped=edge)}


def without(edges: set[tuple[str, str]], nodes: set[str]) -> set[tuple[str, str]]:
    """Contract nodes: what was before one comes right before what was after it."""
    for node in nodes:
        before, after = {a for a, b in edges if b == node}, {b for a, b in edges if a == node}
        edges = {(a, b) for a, b in edges if node not in (a, b)} | {(a, b) for a in before for b in after}
    return edges


def stage_graph() -> set[tuple[str, str]]:
    outs = {out: stage for stage, facts in stages().items() for out in facts["outs"]}
    return {
        (maker, stage)
        for stage, facts in stages().items()
        for dep in facts["deps"]
        for out, maker in outs.items()
        if dep == out or dep.startswith(out + "/")
    }


def retrain_graph() -> set[tuple[str, str]]:
    from airflow.dag_processing.dagbag import DagBag

    dag = DagBag(str(PROJECT / "dags")).dags["flight-delay.retrain"]
    return {(task.task_id, after) for task in dag.tasks for after in task.downstream_task_ids}


def test_dvc_and_airflow_draw_the_same_graph() -> None:
    assert reduce(stage_graph()) == reduce(without(retrain_graph(), ONLY_IN_AIRFLOW))


@pytest.mark.parametrize("stage", sorted(stages()))
def test_a_stage_runs_the_module_of_its_name(stage: str) -> None:
    facts = stages()[stage]
    assert facts["cmd"] == f"python -m ml.steps.retrain.{stage}"
    assert f"ml/steps/retrain/{stage}.py" in facts["deps"]
    assert "main" in functions(STEPS / "retrain" / f"{stage}.py")


@pytest.mark.parametrize("stage", sorted(stages()))
def test_what_a_stage_depends_on_is_there(stage: str) -> None:
    facts = stages()[stage]
    for dep in facts["deps"]:
        assert dep.startswith("var/") or (PROJECT / dep).exists(), dep
    for key in [key for tracked in facts.get("params", ()) for key in tracked["var/workspace/params.json"]]:
        section: Any = load(PROJECT / "params.yaml").model_dump(mode="json")
        for part in key.split("."):
            assert part in section, key
            section = section[part]


def imported(module: str) -> set[str]:
    """Return the files of ``ml`` that a file imports, wherever in it."""
    tree = ast.parse((PROJECT / module).read_text(encoding="utf-8"))
    paths = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("ml"):
            continue
        for name in node.names:
            base = (node.module or "").replace(".", "/")
            candidates = (
                f"{base}/{name.name}.py",
                f"{base}/{name.name}/__init__.py",
                f"{base}.py",
                f"{base}/__init__.py",
            )
            paths |= {next(path for path in candidates if (PROJECT / path).exists())}
    return paths


def depended_on(step: str) -> set[str]:
    """Return a step's module, what it imports itself, and all of ``ml.core`` that these decisions rest on."""
    paths = {f"ml/steps/retrain/{step}.py"} | (imported(f"ml/steps/retrain/{step}.py") - WIDE)
    pending = [path for path in paths if path.startswith("ml/core/")]
    while pending:
        further = {path for path in imported(pending.pop()) if path.startswith("ml/core/")} - paths
        paths |= further
        pending += further
    return paths


@pytest.mark.parametrize("stage", sorted(stages()))
def test_a_change_of_the_code_that_a_stage_runs_runs_it_again(stage: str) -> None:
    missing = depended_on(stage) - set(stages()[stage]["deps"])
    assert not missing, f"name under stages.{stage}.deps of dvc.yaml: {', '.join(sorted(missing))}"


def test_a_change_of_a_gate_rule_judges_again() -> None:
    """Rules are found by their kind and not imported by name."""
    assert "ml/core/gate/rules" in stages()["gate"]["deps"]


@pytest.mark.parametrize("task", sorted(dag_tasks()))
def test_a_task_calls_the_step_of_its_name(task: str) -> None:
    verb = task.split(".")[1]
    if verb in ONLY_DRAWN:
        return
    said = ast.unparse(dag_tasks()[task])
    direct = re.search(rf"from ml\.steps(\.\w+)? import (\w+, )*{verb}(, \w+)*$", said, re.MULTILINE)
    assert (direct and f"step({verb}.run" in said) or f"_on_window('{verb}'" in said
    assert verb in steps()


@pytest.mark.parametrize("step", steps())
def test_a_step_has_run(step: str) -> None:
    run = functions(module_of(step))["run"]
    assert "services" in {argument.arg for argument in run.args.kwonlyargs}
    assert ast.get_docstring(run)


@pytest.mark.parametrize("room", ["bench", "dags", "deploy", "embedded", "ml", "plugins"])
def test_a_step_is_imported_for_run_and_main_only(room: str) -> None:
    """What two steps need is no step's: it is in a module of its own, or in another room."""
    verbs = {".".join(module_of(step).relative_to(PROJECT).with_suffix("").parts) for step in steps()}
    wrong = []
    for path in sorted((PROJECT / room).rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        modules = {}
        for node in ast.walk(tree):
            if not isinstance(node, ast.ImportFrom):
                continue
            for name in node.names:
                if node.module in verbs and name.name not in ("run", "main"):
                    wrong.append(f"{path.relative_to(PROJECT)}: {node.module}.{name.name}")
                if f"{node.module}.{name.name}" in verbs:
                    modules[name.asname or name.name] = f"{node.module}.{name.name}"
        public = {module: names_of(module) - {"run", "main"} for module in modules.values()}
        wrong += [
            f"{path.relative_to(PROJECT)}: {modules[node.value.id]}.{node.attr}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id in modules
            and node.attr in public[modules[node.value.id]]
        ]
    assert wrong == []


def names_of(module: str) -> set[str]:
    """Return what a module defines at its top level."""
    tree = ast.parse((PROJECT / (module.replace(".", "/") + ".py")).read_text(encoding="utf-8"))
    names = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return names


def test_what_people_are_told_to_run_can_be_run() -> None:
    called = {module for text in texts_for_people() for module in re.findall(r"-m (ml\.\w+\.[\w.]*\w)", text)}
    assert called >= {f"ml.steps.retrain.{stage}" for stage in stages()}
    for module in sorted(called):
        assert "main" in functions(PROJECT / f"{module.replace('.', '/')}.py"), f"no python -m {module}"


def test_commands_that_people_are_pointed_to_exist() -> None:
    named = {name for text in texts_for_people() for name in re.findall(COMMAND, text, re.MULTILINE)}
    assert named >= {"history", "rollback", "schema", "withdraw"}
    assert named <= set(every())


COMMAND = r"""(?:bin/|[`'"(]|: |^)evergreen ([a-z][a-z-]+)"""
"""A command in a text: after ``.venv/bin/``, in quotes or brackets, after a colon, or at a line's start."""


def texts_for_people() -> list[str]:
    rooms = ("docs", "embedded", "bench", "ml", "plugins", "expectations", "deploy")
    files = [PROJECT / "dvc.yaml", PROJECT / "Makefile", *PROJECT.glob("*.md")]
    files += [path for room in rooms for path in (PROJECT / room).rglob("*.*")]
    return [path.read_text(encoding="utf-8") for path in files if path.suffix in {".md", ".yaml", ".py", ""}]
