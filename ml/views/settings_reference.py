"""Write the reference of all settings, ``docs/settings.md``, from the classes that check them.

What a field is for is the docstring below it. It is read from the source, so that loading settings costs nothing more.
"""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from itertools import pairwise
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ml.command_line import worded
from ml.core.built_in_metrics import of_name
from ml.core.metric import Metric
from ml.extensions import ExtensionPoint
from ml.names import SHARE_BELOW, pinball_name
from ml.settings import (
    DRIFT_METHODS,
    METRICS,
    RULES,
    SOURCES,
    RuleSettings,
    Section,
    Settings,
    SourceSettings,
    channel_names,
)
from ml.views.environment_variables import VARIABLES

HEAD = """# Every setting

Written by `evergreen settings --reference > docs/settings.md`; a sentence is changed in the code, below its field.

`params.yaml` has the sections below. A key that is left out has its default; one without a default is **required**;
an unknown key is an error. `evergreen settings` prints the settings of a model as they count, defaults included.
[Bring your own data](bring-your-own-data.md) says which of them to change first.
"""

SIMPLE = {bool: "true or false", int: "whole number", float: "number", str: "text", date: "day", Any: "any value"}
BOUNDS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
KINDS: Mapping[type[Section], ExtensionPoint[Any]] = {SourceSettings: SOURCES, RuleSettings: RULES}
"""Sections of which each kind has a class of its own, and where the kinds are."""


def reference() -> str:
    """Return the reference as Markdown: what Evergreen has by itself, without what other packages add."""
    parts = [HEAD]
    for name, field in Settings.model_fields.items():
        parts += _section(name, _sections_in(field.annotation)[0], level=2)
        parts += BELOW[name]() if name in BELOW else ()
    return "\n".join([*parts, *_variables()])


def sentences(section: type[BaseModel]) -> dict[str, str]:
    """Return what each field of a section is for, by its name: the docstring below it, here or in a base class."""
    result: dict[str, str] = {}
    for base in reversed(section.__mro__):
        if issubclass(base, BaseModel) and base is not BaseModel:
            (definition,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
            assert isinstance(definition, ast.ClassDef)
            for statement, below in pairwise(definition.body):
                match statement, below:
                    case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                        result[name] = " ".join(text.split())
    return result


def _section(key: str, section: type[Section], *, level: int) -> Iterator[str]:
    """Yield the heading and the table of a section, then those of the sections in it."""
    yield f"{'#' * level} `{key}`\n"
    if section in KINDS:
        yield from _kinds(key, section, KINDS[section], level=level)
        return
    yield _prose(section, paragraphs=1)
    yield from _fields(key, section)
    yield from _inner(key, [section], level=level + 1)


def _kinds(key: str, base: type[Section], point: ExtensionPoint[Any], *, level: int) -> Iterator[str]:
    """Yield each kind with its own settings, then the sections that they share."""
    yield f"A {point.noun} is chosen by `kind`. [A package](extending.md) can add further ones.\n"
    sections = [point.load(name) for name in _built_in(point)]
    for name, section in zip(_built_in(point), sections, strict=True):
        yield f"{'#' * (level + 1)} `{key}` of kind `{name}`\n"
        yield _prose(section)
        if issubclass(section, RuleSettings):
            yield from _rule_facts(section)
        yield from _fields(key, section)
    yield from _inner(key, sections, level=level + 1)


def _rule_facts(rule: type[RuleSettings]) -> Iterator[str]:
    facts = [f"It judges {' and '.join(rule.task_kinds)}."]
    facts += ["It compares with the champion."] if rule.compares else []
    facts += [] if rule.replayed else ["A backtest does not judge it."]
    yield " ".join(facts) + "\n"
    if rule.advice:
        yield f"If it does not pass: {worded(rule.advice)}\n"


def _inner(key: str, sections: Sequence[type[Section]], *, level: int) -> Iterator[str]:
    """Yield the sections in the fields of some sections, each once."""
    inside = {
        _key_of(f"{key}.{field.alias or name}", field.annotation): inner
        for section in sections
        for name, field in section.model_fields.items()
        for inner in _sections_in(field.annotation)
    }
    for inner_key, inner in inside.items():
        yield from _section(inner_key, inner, level=level)


def _key_of(key: str, annotation: Any) -> str:
    """Return how a key goes on: through a list, or through names that people choose."""
    return key + {tuple: "[]", dict: ".NAME"}.get(get_origin(annotation), "")


def _fields(key: str, section: type[Section]) -> Iterator[str]:
    purpose = sentences(section)
    rows = [
        (f"`{key}.{field.alias or name}`", _type_of(field), _default_of(field), purpose.get(name, ""))
        for name, field in section.model_fields.items()
        if name != "kind" or not issubclass(section, tuple(KINDS))
    ]
    if rows:
        yield from _table(("key", "type", "default", "what it does"), rows)


def _type_of(field: FieldInfo) -> str:
    return _words(field.annotation, field.metadata)


def _words(annotation: Any, metadata: Iterable[Any] = ()) -> str:
    """Return a type with its range in words."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _words(inner[0], [*metadata, *_flat(inner[1:])])
    if origin is not None:
        return _composed(origin, inner, metadata)
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return "section"
    bounds = [
        f"{words} {getattr(entry, bound):,.10g}"
        for entry in metadata
        for bound, words in BOUNDS.items()
        if getattr(entry, bound, None) is not None
    ]
    return ", ".join([SIMPLE[annotation], *([" and ".join(bounds)] if bounds else [])])


def _composed(origin: Any, inner: tuple[Any, ...], metadata: Iterable[Any]) -> str:
    """Return a type that is made of others in words."""
    if origin is Literal:
        return _either([f"`{value}`" for value in inner])
    if origin is dict:
        return f"mapping from {_words(inner[0])} to {_words(inner[1])}"
    if origin is tuple and inner[-1] is ...:
        filled = any(getattr(entry, "min_length", 0) for entry in metadata)
        return f"list{', not empty' if filled else ''}, each: {_words(inner[0])}"
    if origin is tuple:
        return f"[{', '.join(map(_words, inner))}]"
    words = [_words(alternative, metadata) for alternative in inner if alternative is not type(None)]
    return _either([*words, *(["null"] if type(None) in inner else [])])


def _flat(metadata: Iterable[Any]) -> Iterator[Any]:
    for entry in metadata:
        yield from entry.metadata if isinstance(entry, FieldInfo) else (entry,)


def _either(words: Sequence[str]) -> str:
    if any("," in alternative for alternative in words):
        return "; or ".join(words)
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]


def _default_of(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, Section):
        return ""
    return f"`{value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}`"


def _sections_in(annotation: Any) -> list[type[Section]]:
    """Return the sections that a type holds, whatever it is a list or a mapping of."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    return [section for inner in get_args(annotation) for section in _sections_in(inner)]


def _prose(section: type[Section], *, paragraphs: int | None = None) -> str:
    text = (inspect.getdoc(section) or "").split("\n\n")[:paragraphs]
    return _markdown("\n\n".join(text)) + "\n"


def _metrics() -> Iterator[str]:
    yield "### Metrics\n"
    yield "`gate.metric` and the rules name them. [A package](extending.md) can add further ones.\n"
    named = [*_built_in(METRICS), pinball_name(EXAMPLE_QUANTILE), SHARE_BELOW]
    metrics = [metric for name in named if isinstance(metric := METRICS.load(name), Metric)]
    rows = [
        (
            f"`{m.name}`",
            m.label,
            " and ".join(m.kinds) + (" with `task.quantile`" if of_name(m.name) else ""),
            m.direction or "neither",
            "yes" if m.is_loss else "no",
        )
        for m in metrics
    ]
    yield from _table(("name", "what it is", "of", "better is", "can be `gate.metric`"), rows)


def _drift_methods() -> Iterator[str]:
    yield "### Drift methods\n"
    yield "`drift.methods` names them. [A package](extending.md) can add further ones.\n"
    rows = [(f"`{name}`", " and ".join(DRIFT_METHODS.load(name).columns)) for name in _built_in(DRIFT_METHODS)]
    yield from _table(("name", "columns that it compares"), rows)


def _channels() -> Iterator[str]:
    own = ", ".join(f"`{name}`" for name in channel_names(built_in_only=True))
    yield "### Channels\n"
    yield f"`notify.channels` names them. Evergreen has {own}; [a package](extending.md) can add further ones.\n"


def _built_in(point: ExtensionPoint[Any]) -> list[str]:
    return [name for name in point.names() if name not in point.installed()]


def _variables() -> Iterator[str]:
    yield "## Environment variables\n"
    yield "They say where things are and how servers run. What changes a result is in the settings that they name. The"
    yield "home of the model at the top is `EVERGREEN_HOME`; that of a further model is `models/NAME/` in it.\n"
    rows = [(f"`{variable.name}`", variable.default, variable.purpose) for variable in VARIABLES]
    yield from _table(("variable", "default", "what it does"), rows)
    yield "Airflow, MLflow and the AWS client read variables of their own ([s3.md](s3.md)). The full stack has further"
    yield "ones for passwords, ports and images ([full-stack.md](full-stack.md))."


EXAMPLE_QUANTILE = 0.9
BELOW = {"gate": _metrics, "drift": _drift_methods, "notify": _channels}
"""What is listed below a section."""


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"| {' | '.join('---' for _ in head)} |"
    for row in rows:
        yield f"| {' | '.join(_markdown(cell).replace('|', chr(92) + '|') for cell in row)} |"
    yield ""


def _markdown(text: str) -> str:
    """Return a docstring's text with code in single backticks."""
    return text.replace("``", "`")
