"""Write the folder of an adopted model; what a person changed since the last time stays as it is."""

from __future__ import annotations

import difflib
import os
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ml import yaml_file
from ml.adapters.suite_files import suite_text
from ml.cli.add_model import STAGES, stages_of
from ml.core.adoption.proposal import Proposal
from ml.core.adoption.suites import suites
from ml.errors import EvergreenError
from ml.settings import parse
from ml.views.adopted_params import params_text

PROPOSED = "adopted"
"""The folder, in that of a model, of what was proposed last: by it shows what a person changed since."""

IGNORED = "# copies of data; written by evergreen adopt\n/data/\n"


@dataclass(frozen=True)
class Change:
    """A file of a model's folder: what is there (None for nothing), what is proposed, and what both make.

    ``after`` is what is there, with what has changed in the proposal since the last one but for lines that a person
    changed.
    """

    name: str
    before: str | None
    proposed: str
    after: str

    def diff(self) -> str:
        """Return the change as a unified diff; empty for none."""
        if self.before is None or self.before == self.after:
            return ""
        lines = difflib.unified_diff(
            self.before.splitlines(keepends=True),
            self.after.splitlines(keepends=True),
            self.name,
            f"{self.name} (proposed)",
        )
        return "".join(lines)


def texts_of(proposal: Proposal, *, folder: Path, project: Path) -> dict[str, str]:
    """Return the files of a model's folder by their names."""
    files = {"params.yaml": params_text(proposal)}
    for name, entries in suites(proposal).items():
        files[f"expectations/{name}.json"] = suite_text(name, [proposed.as_entry() for proposed in entries])
    if (project / STAGES).exists():
        text = (project / STAGES).read_text(encoding="utf-8")
        files[STAGES] = stages_of(proposal.task.name, text, depth=os.path.relpath(project, folder))
    if proposal.facts.changed:
        files[".gitignore"] = IGNORED
    return files


def changes(folder: Path, files: Mapping[str, str]) -> list[Change]:
    """Compare proposed files with those of a folder, and with what was proposed the last time.

    Raises
    ------
    EvergreenError
        If the settings that come out of it would be wrong.
    """
    result = []
    for name, proposed in files.items():
        path, base = folder / name, folder / PROPOSED / name
        before = path.read_text(encoding="utf-8") if path.exists() else None
        last = base.read_text(encoding="utf-8") if base.exists() else None
        after = proposed if before is None else _merged(before, last, proposed)
        result.append(Change(name, before, proposed, after))
    for change in result:
        if change.name == "params.yaml":
            parse(yaml_file.parse(change.after), origin=f"{folder / change.name}, with what is proposed now,")
    return result


def _merged(before: str, last: str | None, proposed: str) -> str:
    """Return a text with what has changed between two proposals; where a person changed the same lines, theirs stay."""
    if last is None or before == proposed:
        return before
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("mine", "last", "proposed")]
        for path, text in zip(paths, (before, last, proposed), strict=True):
            path.write_text(text, encoding="utf-8")
        merged = subprocess.run(
            ["git", "merge-file", "--stdout", "--ours", *map(str, paths)], capture_output=True, text=True, check=False
        )
    if merged.returncode < 0 or merged.returncode > 127:
        raise EvergreenError(f"git merge-file failed ({merged.stderr.strip()}); see whether Git is installed")
    return merged.stdout


def write(folder: Path, made: list[Change], *, copy: Mapping[str, bytes]) -> list[str]:
    """Write the files of a model's folder, and keep what was proposed; a new folder comes whole or not at all.

    Parameters
    ----------
    copy
        Further files by name, such as a copy of the data, that are replaced each time.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    if folder.exists():
        _write(folder, made, copy)
    else:
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix="_") as temporary:
            new = Path(temporary) / folder.name
            _write(new, made, copy)
            new.rename(folder)
    return sorted([*(change.name for change in made), *copy])


def _write(folder: Path, made: list[Change], copy: Mapping[str, bytes]) -> None:
    for change in made:
        for path, text in ((folder / PROPOSED / change.name, change.proposed), (folder / change.name, change.after)):
            path.parent.mkdir(parents=True, exist_ok=True)
            _replace(path, text.encode())
    for name, content in copy.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        _replace(folder / name, content)


def _replace(path: Path, content: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix="._", delete=False) as file:
        file.write(content)
    Path(file.name).replace(path)
    path.chmod(0o644)
