"""The reference of settings is whole, and docs/settings.md is what the command writes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import pytest
from pydantic import Field

from embedded.config import Stack
from ml.cli.main import main
from ml.settings import DRIFT_METHODS, METRICS, RULES, SOURCES, Environment, Section, Settings
from ml.views.environment_variables import VARIABLES
from ml.views.settings_reference import reference, sentences

PROJECT = Path(__file__).parents[2]


def sections_of(annotation: Any) -> Iterator[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
        for field in annotation.model_fields.values():
            yield from sections_of(field.annotation)
    for inner in get_args(annotation):
        yield from sections_of(inner)


def built_in_kinds() -> Iterator[type[Section]]:
    for point in (RULES, SOURCES):
        yield from (point.load(name) for name in set(point.names()) - set(point.installed()))


SECTIONS = sorted({*sections_of(Settings), *built_in_kinds()}, key=lambda section: section.__name__)


def test_the_page_is_what_the_command_writes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settings", "--reference"]) == 0
    written = capsys.readouterr().out
    assert (PROJECT / "docs" / "settings.md").read_text(encoding="utf-8") == written, (
        "run 'evergreen settings --reference > docs/settings.md'"
    )


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_every_field_has_a_sentence(section: type[Section]) -> None:
    purpose = sentences(section)
    assert [name for name in section.model_fields if not purpose.get(name, "").endswith(".")] == []


def test_every_field_has_a_row() -> None:
    page = reference()
    for section in SECTIONS:
        for name in {field.alias or name for name, field in section.model_fields.items()} - {"kind"}:
            assert re.search(rf"^\| `[\w.\[\]]*\b{name}` \|", page, re.MULTILINE) or f"## `{name}`" in page, name


def test_every_built_in_kind_and_metric_is_there() -> None:
    page = reference()
    points = (RULES, SOURCES, METRICS, DRIFT_METHODS)
    names = {name for point in points for name in point.names() if name not in point.installed()}
    assert {name for name in names if f"of kind `{name}`\n" not in page and f"\n| `{name}` |" not in page} == set()


def test_sentences_are_the_docstrings_below_fields_and_of_base_classes() -> None:
    assert sentences(Child) == {"old": "What is old.", "new": "What is new, in the words of a child."}


class Parent(Section):
    """A section."""

    old: int = 1
    """What is old."""
    new: int = 2
    """What is new."""


class Child(Parent):
    """Another one, with a field that nobody explains."""

    new: Annotated[int, Field(ge=1)] = 3
    """What is new,
    in the words of a child.
    """
    bare: Literal["a"] = "a"


def test_every_variable_that_the_code_reads_is_listed() -> None:
    files = [path for room in ("ml", "plugins", "embedded", "dags") for path in (PROJECT / room).rglob("*.py")]
    named = {
        name
        for path in files
        for name in re.findall(r"\bEVERGREEN_[A-Z0-9_]*[A-Z0-9]\b", path.read_text(encoding="utf-8"))
    }
    listed = {variable.name for variable in VARIABLES if variable.name.startswith("EVERGREEN_")}
    families = {name for name in listed if name.endswith("<NAME>")}
    examples = {name for name in named if name.startswith(tuple(name.removesuffix("<NAME>") for name in families))}
    assert examples and named - examples == listed - families


def test_the_defaults_of_variables_are_those_of_the_code() -> None:
    default = {variable.name.removeprefix("EVERGREEN_"): variable.default for variable in VARIABLES}
    environment, stack = Environment.load({}), Stack.load({})
    home = environment.home
    assert home == PROJECT / default["HOME"].split("`")[1]
    assert environment.params == PROJECT / default["PARAMS"].split("`")[1]
    assert environment.expectations == PROJECT / default["EXPECTATIONS"].split("`")[1]
    for name in ("storage", "registry", "registry_remote", "cache"):
        assert Path(getattr(environment, name)) == home / default[name.upper()].split("`")[1]
    assert environment.tracking.endswith(default["MLFLOW_TRACKING_URI"].split("`")[1])
    for name in ("airflow", "mlflow", "smtp"):
        assert default[f"{name.upper()}_PORT"] == f"`{getattr(stack, f'{name}_port')}`"
