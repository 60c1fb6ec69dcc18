"""Write proposed expectations as a suite, ``expectations/<asset>.json``, and lay suites out so that diffs are short."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ml.adapters.local_files import LocalObjects
from ml.core.data.suite_proposals import ProposedExpectation
from ml.errors import SettingsError


def write_suite(path: Path, proposals: Sequence[ProposedExpectation]) -> None:
    """Write a new suite; its name is that of the file. A suite that is there is replaced."""
    write_entries(path, [proposal.as_entry() for proposal in proposals])


def write_entries(path: Path, entries: Sequence[Mapping[str, Any]]) -> None:
    """Write a suite of some entries."""
    LocalObjects(str(path.parent)).put_bytes(path.name, suite_text(path.stem, entries).encode())


def read_entries(path: Path) -> list[dict[str, Any]]:
    """Read the entries of a suite as they are written; none if there is no suite.

    Raises
    ------
    SettingsError
        If the file is no suite.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["expectations"]
        return [{"type": entry["type"], "kwargs": entry.get("kwargs", {}), **entry} for entry in entries]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise SettingsError(f"{path}: not a suite that can be read ({err}); fix the file") from err


def suite_text(name: str, entries: Sequence[Mapping[str, Any]]) -> str:
    """Return a suite as JSON: the type, the kwargs and the meta of an expectation on a line each."""
    lines = [
        "    {\n"
        + ",\n".join(f"      {json.dumps(key)}: {_one_line(value)}" for key, value in entry.items())
        + "\n    }"
        for entry in entries
    ]
    return f'{{\n  "name": {json.dumps(name)},\n  "expectations": [\n' + ",\n".join(lines) + "\n  ]\n}\n"


def _one_line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
