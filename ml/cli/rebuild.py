"""Rebuild a version in a project laid out for it: its recorded stages, settings and data, with an MLflow of its own."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ml import settings as settings_module
from ml.adapters import checkout, code
from ml.adapters.storage import open_objects
from ml.adapters.workspace import Workspace
from ml.core.training import lineage as lineages
from ml.errors import UntrustedModel
from ml.own_code import PROJECT
from ml.settings import PROJECT_ROOT, Environment
from ml.steps.retrain import streamed_parts

logger = logging.getLogger(__name__)
LAST_STAGE = "evaluate"
WORKSPACE = "var/workspace"
REFIT = "var/refit"


def rebuild(project: Path, recorded: Mapping[str, Any], environment: Environment) -> None:
    """Run the recorded stages in a project that `checkout.lay_out` has made.

    Raises
    ------
    EvergreenError
        If a stage fails; the message holds what it said.
    """
    home = project / "var"
    home.mkdir(exist_ok=True)
    (home / "data-version").write_text(f"{recorded['data_version']}\n", encoding="utf-8")
    (project / "params.yaml").write_text(settings_module.dump(lineages.pinned_settings(recorded)), encoding="utf-8")
    for name, text in _own_files(recorded).items():
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    if environment.stage:  # the settings that were recorded have its overlay in them already
        (project / f"params.{environment.stage}.yaml").write_text("", encoding="utf-8")
    variables = {
        "EVERGREEN_MODEL": "",
        "EVERGREEN_HOME": str(home),
        "EVERGREEN_PARAMS": str(project / "params.yaml"),
        "EVERGREEN_REGISTRY": _absolute(environment.registry),
        "EVERGREEN_REGISTRY_REMOTE": _absolute(environment.registry_remote),
        "MLFLOW_TRACKING_URI": f"sqlite:///{home / 'mlflow' / 'mlflow.db'}",
        **lineages.thread_variables(recorded["environment"]["threads"], code.THREADS)[0],
    }
    if environment.expectations != PROJECT_ROOT / "expectations":
        variables["EVERGREEN_EXPECTATIONS"] = str(environment.expectations.absolute())
    logger.info("reproduce: running the stages up to %r", LAST_STAGE)
    checkout.repeat(LAST_STAGE, project, variables)
    if "refit_of" in recorded["parts"]:
        _lay_out_refit(project, recorded)
        checkout.run(["-m", "ml.steps.retrain.fit", "--workspace", REFIT], project, variables)


def _own_files(recorded: Mapping[str, Any]) -> dict[str, str]:
    """Return the modules that a version was trained with beside Evergreen's, by their paths beside the settings.

    Raises
    ------
    UntrustedModel
        If a path leads out of the folder.
    """
    texts: dict[str, str] = {}
    for module in recorded.get("own_code", {}).values():
        texts |= module["files"]
    for name in texts:
        if Path(name).is_absolute() or ".." in Path(name).parts or Path(name).suffix != ".py" or _top(name) in PROJECT:
            raise UntrustedModel(f"the lineage holds a module {name!r}, which is not a file beside params.yaml")
    return texts


def _top(name: str) -> str:
    return Path(name).parts[0].removesuffix(".py")


def _lay_out_refit(project: Path, recorded: Mapping[str, Any]) -> None:
    """Make the whole window the training part, as `ml.steps.retrain.refit` does."""
    judged, refit = project / WORKSPACE, project / REFIT
    for name in ("version.json", "data/window.json"):
        (refit / name).parent.mkdir(parents=True, exist_ok=True)
        (refit / name).write_bytes((judged / name).read_bytes())
    (refit / "parts").mkdir()
    both = [pd.read_parquet(judged / "parts" / f"{name}.parquet") for name in ("train", "holdout")]
    pd.concat(both, ignore_index=True).to_parquet(refit / "parts/train.parquet", index=False)
    parts = read_json(judged / "parts/parts.json")
    run_dir, whole = (Workspace(open_objects(str(folder))) for folder in (judged, refit))
    if run_dir.has(streamed_parts.ALL_ROWS["train"]):  # with fit.stream the two above are samples of these
        streamed_parts.join(run_dir, whole)
    facts = {"train_last_day": parts["holdout_last_day"], "train_rows": parts["train_rows"] + parts["holdout_rows"]}
    text = json.dumps({**parts, **facts, "refit_of": recorded["parts"]["refit_of"]})
    (refit / "parts/parts.json").write_text(text, encoding="utf-8")


def workspace_of(recorded: Mapping[str, Any]) -> str:
    """Return the folder, below the project, of what was registered: of the refit if there was one."""
    return REFIT if "refit_of" in recorded["parts"] else WORKSPACE


def _absolute(address: str) -> str:
    """Make a local path hold in another folder; a URL is given back as it is."""
    return address if "://" in address or not Path(address).exists() else str(Path(address).absolute())


def read_json(path: Path) -> dict[str, Any]:
    """Load a JSON object."""
    facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return facts
