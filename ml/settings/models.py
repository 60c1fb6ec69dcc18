"""Find the models of an installation: one at the top of the project, and one in each folder of ``models/``."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ml import roots, yaml_file
from ml.errors import SettingsError

PROJECT_ROOT = roots.PROJECT_ROOT
FILE, EXPECTATIONS = "params.yaml", "expectations"
MODEL_NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
UNNAMED = "default"
"""What the model at the top is called while its settings do not say its name."""

BESIDE = ("-decisions", "-backtest", "-tuning")
"""How MLflow experiments that stand beside a model's own end: no other model may take such a name."""


@dataclass(frozen=True)
class ConfiguredModel:
    """Where the settings of one model are.

    Attributes
    ----------
    is_top
        Whether it is the one at the top of the project, whose data are where those of a single model are.
    problem
        What is wrong with its name or folder, in a sentence with the next move; empty if nothing is.
    """

    name: str
    params: Path
    expectations: Path
    is_top: bool = False
    problem: str = ""


def configured_models(environ: Mapping[str, str] = os.environ) -> tuple[ConfiguredModel, ...]:
    """List the models, the one at the top first, then the folders of ``models/`` by name.

    ``EVERGREEN_PARAMS`` and ``EVERGREEN_EXPECTATIONS`` say where the settings of the one at the top are,
    ``EVERGREEN_MODELS`` where the folders are: beside those settings, unless it is given. Nothing is validated here but
    names; a folder whose name begins with ``.`` or ``_`` is no model.
    """
    params = Path(environ.get("EVERGREEN_PARAMS") or PROJECT_ROOT / FILE)
    folder = Path(environ.get("EVERGREEN_MODELS") or params.parent / "models")
    others = sorted(path for path in folder.iterdir() if _may_be_model(path)) if folder.is_dir() else []
    top = []
    if params.exists() or environ.get("EVERGREEN_PARAMS") or not others:
        expectations = Path(environ.get("EVERGREEN_EXPECTATIONS") or PROJECT_ROOT / EXPECTATIONS)
        top = [ConfiguredModel(_name_in(params), params, expectations, is_top=True)]
    taken = {model.name for model in top} | {path.name for path in others}
    return (*top, *(_in_folder(path, top, taken) for path in others))


def find_model(name: str | None, environ: Mapping[str, str] = os.environ) -> ConfiguredModel:
    """Return a model by its name; None means the one at the top, or the only one.

    Raises
    ------
    SettingsError
        If there is no such model, if several could be meant, or if its name or folder is wrong.
    """
    models = configured_models(environ)
    names = ", ".join(map(_listed, models))
    if name is None and len(models) > 1 and not models[0].is_top:
        raise SettingsError(f"there are several models: name one of {names} by --model, or by EVERGREEN_MODEL")
    model = models[0] if name is None else next((model for model in models if model.name == name), None)
    if model is None:
        raise SettingsError(
            f"there is no model {name!r}; there are: {names}. Add a folder models/{name}, or correct it"
        )
    if model.problem:
        raise SettingsError(model.problem)
    return model


def _listed(model: ConfiguredModel) -> str:
    """Name a model; of one whose settings say no name, say why."""
    if not model.is_top or model.name != UNNAMED:
        return model.name
    reason = "gives no task.name that can be read" if model.params.is_file() else "no such file"
    return f"{model.name} ({model.params}: {reason})"


def _may_be_model(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith((".", "_"))


def _in_folder(path: Path, top: list[ConfiguredModel], taken: set[str]) -> ConfiguredModel:
    name, problem = path.name, ""
    beside = next((ending for ending in BESIDE if name.removesuffix(ending) in taken - {name}), None)
    if not re.match(MODEL_NAME, name):
        problem = "a model's name has letters, digits, - and _ only, at most 64, and begins with a letter or digit"
    elif any(name == model.name for model in top):
        problem = f"the model at the top ({top[0].params}) has the same name"
    elif beside is not None:
        problem = f"MLflow's experiment {name} belongs to the model {name.removesuffix(beside)}"
    elif not (path / FILE).is_file():
        problem = f"it holds no {FILE}"
    if problem:
        problem = f"{path}: {problem}; correct it, or rename the folder (with a leading _ it is no model)"
    return ConfiguredModel(name, path / FILE, path / EXPECTATIONS, problem=problem)


def _name_in(params: Path) -> str:
    """Read the name that settings give, even where the rest of them is wrong."""
    try:
        name = yaml_file.parse(params.read_text(encoding="utf-8"))["task"]["name"]
    except (OSError, ValueError, KeyError, TypeError):
        return UNNAMED
    return name if isinstance(name, str) and re.match(MODEL_NAME, name) else UNNAMED
