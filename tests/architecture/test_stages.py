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
    "column_types",
    "command",
    "deliveries",
    "stage",
    "succession",
    "out_of_fold",
    "promotion_record",
    "unrecorded",
    "withdraw_champion",
    "recorded_models",
}
"""What steps have in common, and is none itself."""

ONLY_DRAWN = {"act", "alert", "ask", "tell", "trigger_retrain", "trigger_rollback"}
"""Tasks that are Airflow's business: branching, mail, triggering."""

ONLY_IN_AIRFLOW = {"register", "refit", "describe", "ask", "approve", "approved", "promote", "tell"}
"""``dvc repro`` registers nothing, asks and tells nobody, and lets nothing serve."""

ONLY_REGISTERED = ("evaluate", "check")
"""Airflow checks the registered model, and registers what was evaluated; ``dvc repro`` checks what was fitted."""


def stages() -> dict[str, Any]:
    found = yaml.safe_load((PROJECT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    assert isinstance(found, dict)
    return found


def steps() -> list[str]:
    return sorted(path.stem for path in STEPS.glob("*.py") if path.stem not in SHARED)


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

    dag = DagBag(str(PROJECT / "dags")).dags["retrain"]
    return {(task.task_id, after) for task in dag.tasks for after in task.downstream_task_ids}


def test_dvc_and_airflow_draw_the_same_graph() -> None:
    assert reduce(stage_graph() | {ONLY_REGISTERED}) == reduce(without(retrain_graph(), ONLY_IN_AIRFLOW))


@pytest.mark.parametrize("stage", sorted(stages()))
def test_a_stage_runs_the_module_of_its_name(stage: str) -> None:
    facts = stages()[stage]
    assert facts["cmd"] == f"python -m ml.steps.{stage}"
    assert f"ml/steps/{stage}.py" in facts["deps"]
    assert "main" in functions(STEPS / f"{stage}.py")


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


@pytest.mark.parametrize("task", sorted(dag_tasks()))
def test_a_task_calls_the_step_of_its_name(task: str) -> None:
    verb = task.split(".")[1]
    if verb in ONLY_DRAWN:
        return
    said = ast.unparse(dag_tasks()[task])
    direct = re.search(rf"from ml\.steps import (\w+, )*{verb}(, \w+)*$", said, re.MULTILINE)
    assert (direct and f"step({verb}.run" in said) or f"_on_window('{verb}'" in said
    assert verb in steps()


@pytest.mark.parametrize("step", steps())
def test_a_step_has_run(step: str) -> None:
    run = functions(STEPS / f"{step}.py")["run"]
    assert "services" in {argument.arg for argument in run.args.kwonlyargs}
    assert ast.get_docstring(run)


def test_what_people_are_told_to_run_can_be_run() -> None:
    called = {step for text in texts_for_people() for step in re.findall(r"-m ml\.steps\.(\w+)", text)}
    assert called >= set(stages())
    for step in sorted(called):
        assert "main" in functions(STEPS / f"{step}.py"), f"no python -m ml.steps.{step}"


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
