"""Add a model: a folder in ``models/`` with settings, expectations and ``dvc.yaml``, copied from another model's.

Then let its ``params.yaml`` and ``expectations/`` speak of your data, and land its history with ``evergreen seed``.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from ml import own_code, yaml_file
from ml.command_line import execute, parser
from ml.errors import SettingsError
from ml.settings import PROJECT_ROOT, ConfiguredModel, configured_models, find_model, parse, read

STAGES = "dvc.yaml"


def run(name: str, *, like: ConfiguredModel, folder: Path, project: Path) -> dict[str, Any]:
    """Write the folder of a model, whole or not at all.

    Parameters
    ----------
    like
        The model whose settings and expectations are copied.
    folder
        The folder of the new model, ``models/<name>``.
    project
        The project whose ``dvc.yaml`` is the pattern of the model's own.

    Returns
    -------
    dict
        ``model``, ``folder``, ``files`` (relative to it), ``next`` (commands to run, in order).

    Raises
    ------
    SettingsError
        If the folder exists, the name cannot be used, or the settings that are copied are wrong.
    """
    if folder.exists():
        raise SettingsError(f"{folder} exists already; choose another name, or edit what is there")
    params = _renamed(like.params, name)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="_") as temporary:
        made = Path(temporary) / name
        made.mkdir()
        (made / "params.yaml").write_text(params, encoding="utf-8")
        shutil.copytree(like.expectations, made / "expectations")
        for overlay in like.params.parent.glob("params.*.yaml"):
            shutil.copyfile(overlay, made / overlay.name)
        for file, text in _modules(like).items():
            (made / file).parent.mkdir(parents=True, exist_ok=True)
            (made / file).write_text(text, encoding="utf-8")
        if (project / STAGES).exists():
            depth = os.path.relpath(project, folder)
            text = (project / STAGES).read_text(encoding="utf-8")
            (made / STAGES).write_text(stages_of(name, text, depth=depth), encoding="utf-8")
        made.rename(folder)
    return {
        "model": name,
        "folder": str(folder),
        "files": sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()),
        "next": [
            f"edit {folder / 'params.yaml'} and {folder / 'expectations'}",
            f"evergreen settings --model {name}",
            f"evergreen seed --model {name}",
            "evergreen up",
        ],
    }


def _modules(like: ConfiguredModel) -> dict[str, str]:
    """Return the modules beside a model's settings that these name, by their paths."""
    own_code.use(like.params.parent)
    texts: dict[str, str] = {}
    for top in own_code.hashes(parse(read(like.params), origin=str(like.params)).code_paths()):
        texts |= own_code.files(top)
    return texts


def _renamed(params: Path, name: str) -> str:
    """Return the text of settings with another ``task.name``, comments and all."""
    text = params.read_text(encoding="utf-8")
    parse(read(params), origin=str(params))  # what is wrong is not copied
    lines, (row, column) = text.splitlines(keepends=True), yaml_file.place_of(text, "task", "name")
    lines[row] = lines[row][:column] + re.sub(r"^(\"[^\"]*\"|'[^']*'|[^\s#,}]+)", name, lines[row][column:])
    changed = "".join(lines)
    if parse(yaml_file.parse(changed), origin=str(params)).task.name != name:
        raise SettingsError(f"{params}: task.name could not be changed to {name!r}; write it as one word in one line")
    return changed


def stages_of(name: str, text: str, *, depth: str = "../..") -> str:
    """Return the text of the ``dvc.yaml`` of a model, from that of the model at the top.

    Stages run in the top folder of the project (``depth`` above the model's), on a workspace of their own.

    Examples
    --------
    >>> print(stages_of("churn", '''stages:
    ...   split:
    ...     cmd: python -m ml.steps.retrain.split
    ...     deps:
    ...       - params.yaml
    ...       - expectations/window.json
    ...       - var/workspace/data
    ... '''), end="")
    stages:
      split:
        wdir: ../..
        cmd: EVERGREEN_MODEL=churn python -m ml.steps.retrain.split --workspace var/models/churn/workspace
        deps:
          - models/churn/params.yaml
          - models/churn/expectations/window.json
          - var/models/churn/workspace/data
    """
    lines = []
    for line in text.splitlines():
        if match := re.match(r"^(\s+)cmd: (python -m ml\.steps\.retrain\.\w+)$", line):
            indent, command = match.groups()
            lines += [
                f"{indent}wdir: {depth}",
                f"{indent}cmd: EVERGREEN_MODEL={name} {command} --workspace var/models/{name}/workspace",
            ]
            continue
        changed = line.replace("var/workspace", f"var/models/{name}/workspace")
        changed = changed.replace("var/data-version", f"var/models/{name}/data-version")
        lines.append(re.sub(r"- (params\.yaml|expectations/)", rf"- models/{name}/\1", changed))
    return "\n".join(lines) + "\n"


def main(argv: list[str] | None = None) -> int:
    """Add a model and print what was written and what comes next."""
    arguments = parser(__doc__)
    arguments.add_argument("name", help="the name of the new model: letters, digits, - and _")
    arguments.add_argument("--like", metavar="MODEL", help="the model that is copied; without it as --model chooses")
    options = arguments.parse_args(argv)

    def work() -> dict[str, Any]:
        like = find_model(options.like or os.environ.get("EVERGREEN_MODEL") or None)
        models = configured_models()
        if any(model.name == options.name for model in models):
            raise SettingsError(f"there is a model {options.name!r} already; choose another name")
        own = next((model.params.parent.parent for model in models if not model.is_top), None)
        configured = os.environ.get("EVERGREEN_MODELS")
        folder = Path(configured) if configured else own or models[0].params.parent / "models"
        beside = models[0].params.parent
        project = beside if models[0].is_top and (beside / STAGES).exists() else PROJECT_ROOT
        return run(options.name, like=like, folder=folder / options.name, project=project)

    return execute(work)


if __name__ == "__main__":
    sys.exit(main())
