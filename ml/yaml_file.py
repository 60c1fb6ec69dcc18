"""Read and write settings as YAML 1.2, the version that DVC reads and writes.

``1e-3`` is a number, ``yes`` and ``010`` are not what YAML 1.1 makes of them (a truth and an 8), and a key that is
given twice is an error. Only plain values are built: no tag can make an object.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from copy import deepcopy
from functools import lru_cache
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.resolver import implicit_resolvers

VERSION = (1, 2)
FLOAT = re.compile(
    r"^(?:[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)"
    r"|[-+]?(?:\.[0-9]+|[0-9][0-9_]*\.[0-9_]*)|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
)
"""Floats of YAML 1.2's core schema. ruamel.yaml's own pattern takes ``.5e3`` for text."""


def parse(text: str) -> Any:
    """Return what a YAML text holds: mappings, lists, texts, numbers, truths, dates and None.

    Raises
    ------
    ValueError
        If it is not YAML, names a key twice, or holds a date that no calendar has.

    Examples
    --------
    >>> parse("{C: 1e-3, tol: 1E-05, n: 1e3, warm_start: true, last_day: 2026-01-01}")
    {'C': 0.001, 'tol': 1e-05, 'n': 1000.0, 'warm_start': True, 'last_day': datetime.date(2026, 1, 1)}
    """
    return deepcopy(_parsed(text))


@lru_cache(maxsize=64)
def _parsed(text: str) -> Any:
    """Parse a text once: Airflow asks for the settings of all models again and again."""
    try:
        return _yaml().load(text)
    except MarkedYAMLError as err:
        mark = err.problem_mark or err.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
        raise ValueError(f"{where}{err.problem or err.context}") from err
    except (YAMLError, RecursionError, TypeError, ValueError) as err:
        raise ValueError(" ".join(str(err).split())[:300] or type(err).__name__) from err


def place_of(text: str, *keys: str) -> tuple[int, int]:
    """Return the line and the column, from 0 on, at which the value below some keys of a YAML text begins.

    Examples
    --------
    >>> place_of("task: {kind: regression, name: churn}", "task", "name")
    (0, 31)
    """
    content: Any = YAML(typ="rt", pure=True).load(text)
    for key in keys[:-1]:
        content = content[key]
    line, column = content.lc.value(keys[-1])
    return line, column


def dump(content: Mapping[str, Any]) -> str:
    """Return the YAML text from which `parse` reads the same values back, in the order of ``content``."""
    text = io.StringIO()
    _yaml().dump(dict(content), text)
    return text.getvalue()


def _yaml() -> Any:
    yaml: Any = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False
    for versions, tag, pattern, first_letters in implicit_resolvers:
        if VERSION in versions and tag != "tag:yaml.org,2002:value":  # a lone = is text
            exact = FLOAT if tag == "tag:yaml.org,2002:float" else pattern
            yaml.resolver.add_version_implicit_resolver(VERSION, tag, exact, first_letters)
    return yaml
