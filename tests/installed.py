"""Install a small package for one test: a module and its metadata in a folder, which goes before all others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest


def install(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    code: Mapping[str, str],
    entry_points: str,
    name: str = "my-extensions",
) -> None:
    """Write modules and the metadata that an installer would write for them, and let Python find both.

    Parameters
    ----------
    code
        The text of each module, by its name.
    entry_points
        As ``entry_points.txt`` holds them: ``[group]``, then ``name = module:attribute``.
    """
    for module, text in code.items():
        (folder / f"{module}.py").write_text(text, encoding="utf-8")
    metadata = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    (metadata / "entry_points.txt").write_text(entry_points, encoding="utf-8")
    monkeypatch.syspath_prepend(folder)
