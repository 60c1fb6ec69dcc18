"""Rebuild a registered version from its lineage, and say whether the very same model comes out.

The recorded code runs in a worktree of its own on the recorded data, with an MLflow of its own: nothing
that serves, and nothing that is recorded, is written to.
"""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ml import settings as settings_module
from ml.adapters import checkout, code, models
from ml.core import lineage as lineages
from ml.core.estimators import of_sample, predict
from ml.errors import EvergreenError, MissingArtifact, Unavailable, UntrustedModel
from ml.records import Compared, Reproduction
from ml.settings import PROJECT_ROOT, Environment
from ml.steps import recorded_models
from ml.steps.command import FAILED, execute, parser
from ml.wiring import Services, open_services

logger = logging.getLogger(__name__)
LAST_STAGE = "evaluate"
WORKSPACE = "var/workspace"
REFIT = "var/refit"
SHOWN = 44


def run(version: int | None = None, *, services: Services, keep: bool = False) -> Reproduction:
    """Run the recorded stages again and compare what comes out with what is recorded.

    Data are read by the recorded data version, into a cache of its own, so that each file is checked
    against its md5. The variables that set a number of threads are those of the training; others that the lineage
    names are never set, and make the answer *not identical*. The lineage must be, byte by byte, the one whose hash
    the storage records.

    Parameters
    ----------
    version
        None means the champion.
    keep
        Whether to leave the rebuilt files; the record names the folder.

    Raises
    ------
    MissingArtifact
        If there is no such version, if it has no lineage, or if its code is not to be had.
    UntrustedModel
        If the lineage is not the recorded one; nothing was run then.
    """
    version = services.tracking.alias("champion") if version is None else version
    if version is None:
        raise MissingArtifact("nothing serves yet; name a version with --version N")
    recorded = _lineage(version, services)
    lineages.check_hashes(recorded)
    _, refused = lineages.thread_variables(recorded["environment"]["threads"], code.THREADS)
    logger.info("reproduce: version %d, code %s", version, recorded["code_version"])
    with checkout.scratch(keep=keep) as folder:
        project, source = checkout.lay_out(recorded["code_version"], recorded["code_sha256"], folder)
        try:
            rebuild(project, recorded, services.environment)
            compared = refused + compare(version, recorded, project, services)
            present = _read_json(project / _at(recorded) / "model/lineage.json").get("environment", {})
        except EvergreenError as err:
            failure = Compared(what="stages", recorded="finished", reproduced="failed", same=False, detail=str(err))
            compared, present = [*refused, failure], {}
    found = Reproduction(
        version=version,
        fingerprint=recorded["fingerprint"],
        code_version=recorded["code_version"],
        data_version=recorded["data_version"],
        source=source,
        identical=all(one.same for one in compared),
        compared=tuple(compared),
        environment=tuple(lineages.differences(recorded["environment"], present)) if present else (),
        folder=str(folder) if keep else None,
    )
    logger.info("reproduce: version %d %s", version, "is identical" if found.identical else "differs")
    return found


def _lineage(version: int, services: Services) -> dict[str, Any]:
    services.tracking.version_tags(version)  # says so if there is no such version
    try:
        return recorded_models.lineage_of(version, services)
    except (Unavailable, UntrustedModel):
        raise
    except EvergreenError as err:
        raise MissingArtifact(
            f"version {version} has no lineage that could be read ({err}): it cannot be rebuilt; train it again"
        ) from err


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
    variables = {
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
        checkout.run(["-m", "ml.steps.fit", "--workspace", REFIT], project, variables)


def _lay_out_refit(project: Path, recorded: Mapping[str, Any]) -> None:
    """Make the whole window the training part, as `ml.steps.refit` does."""
    judged, refit = project / WORKSPACE, project / REFIT
    for name in ("version.json", "data/window.json"):
        (refit / name).parent.mkdir(parents=True, exist_ok=True)
        (refit / name).write_bytes((judged / name).read_bytes())
    (refit / "parts").mkdir()
    both = [pd.read_parquet(judged / "parts" / f"{name}.parquet") for name in ("train", "holdout")]
    pd.concat(both, ignore_index=True).to_parquet(refit / "parts/train.parquet", index=False)
    parts = _read_json(judged / "parts/parts.json")
    facts = {"train_last_day": parts["holdout_last_day"], "train_rows": sum(len(part) for part in both)}
    text = json.dumps({**parts, **facts, "refit_of": recorded["parts"]["refit_of"]})
    (refit / "parts/parts.json").write_text(text, encoding="utf-8")


def compare(version: int, recorded: Mapping[str, Any], project: Path, services: Services) -> list[Compared]:
    """Compare what `rebuild` left in a project with what is kept of a version."""
    tracking, refit = services.tracking, "refit_of" in recorded["parts"]
    judged, rebuilt = project / WORKSPACE, project / _at(recorded)
    metrics = tracking.run_metrics(tracking.version_tags(version)["run_id"])
    found = lineages.compare_facts(recorded, _read_json(rebuilt / "model/lineage.json"))
    judged_file, present_file = recorded_models.recorded(version, services), tracking.servable(version)
    found.append(
        lineages.compare_hashes("the registered model file", judged_file.model_sha256, present_file.model_sha256)
    )
    if not refit:  # it has seen its holdout, and was not measured there
        scored = pd.read_parquet(judged / "evaluation/holdout.parquet")
        for name, what in (("target", "targets of the holdout"), ("challenger", "predictions on the holdout")):
            kept = _kept(version, "holdout", partial(_column, name), services)
            found.append(lineages.compare_values(what, kept, scored[name].to_numpy()))
    _, sample = of_sample(pd.read_parquet(rebuilt / "model/sample.parquet"))
    kept = _kept(version, "sample", lambda table: of_sample(table)[1], services)
    found.append(lineages.compare_values("predictions on the kept sample", kept, sample))
    holdout = pd.read_parquet(judged / "parts/holdout.parquet")
    registered = tracking.load_model(version)
    again = models.load(rebuilt / "model/pipeline.skops", trusted=tracking.trusted_types)
    found.append(
        lineages.compare_values(
            "the registered model on the holdout",
            *(_predictions(one, holdout, recorded["settings"]) for one in (registered, again)),
        )
    )
    measured = {"train_rows": float(_read_json(rebuilt / "parts/parts.json")["train_rows"])}
    return found + lineages.compare_metrics(metrics, measured if refit else measured | _measured(judged, metrics))


def _measured(judged: Path, recorded: Mapping[str, float]) -> dict[str, float]:
    """Give every metric that the rebuilt evaluation measured, under the names of its MLflow run."""
    evaluation = _read_json(judged / "evaluation/evaluation.json")
    own: dict[str, float] = evaluation["challenger"]
    base = {f"base_rate_{name}": value for name, value in evaluation["base_rate"].items()}
    sizes = {name: float(evaluation[name]) for name in ("holdout_rows", "holdout_days")}
    return own | {name: base[name] for name in base.keys() & recorded.keys()} | sizes


def _predictions(pipeline: Any, rows: pd.DataFrame, settings: Mapping[str, Any]) -> np.ndarray | None:
    """Predict with the columns that a pipeline was fitted on; None if the rows lack one of them.

    The types are those of `ml.core.features.matrix`, which reads settings of today's shape only.
    """
    columns, categorical = list(pipeline.feature_names_in_), settings["features"]["categorical"]
    if not set(columns) <= set(rows):
        return None
    empty = [name for name in columns if name in categorical and rows[name].isna().all()]
    types = {name: "float64" for name in columns if name not in categorical} | dict.fromkeys(empty, "object")
    return predict(pipeline, rows[columns].astype(types), settings["task"]["kind"])


def _column(name: str, table: pd.DataFrame) -> np.ndarray:
    return table[name].to_numpy()


def _kept(
    version: int, table: str, take: Callable[[pd.DataFrame], np.ndarray], services: Services
) -> np.ndarray | None:
    """Read what was kept with a version's run; None if it was not."""
    try:
        return services.tracking.read_file(
            version, f"lineage/{table}.parquet", lambda path: take(pd.read_parquet(path))
        )
    except Unavailable:
        raise
    except EvergreenError:
        return None


def _at(recorded: Mapping[str, Any]) -> str:
    return REFIT if "refit_of" in recorded["parts"] else WORKSPACE


def _absolute(place: str) -> str:
    """Make a local path hold in another folder; a URL is given back as it is."""
    return place if "://" in place or not Path(place).exists() else str(Path(place).absolute())


def _read_json(path: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return facts


def table(found: Reproduction) -> str:
    """Draw what was compared; where something differs, what differs between the machines is named too."""
    from tabulate import tabulate

    def rows(all_of: tuple[Compared, ...]) -> list[list[str]]:
        return [
            [one.what, _short(one.recorded), _short(one.reproduced), "yes" if one.same else f"NO  {one.detail}".strip()]
            for one in all_of
        ]

    said = [
        f"version {found.version}, data version {found.data_version}",
        f"code: {found.source}",
        tabulate(rows(found.compared), headers=["compared", "recorded", "reproduced", "same"], disable_numparse=True),
    ]
    if found.environment:
        machines = [row[:3] for row in rows(found.environment)]
        headers = ["differs in the environment", "recorded", "here"]
        said += ["", tabulate(machines, headers=headers, disable_numparse=True)]
    differing = [one.what for one in found.compared if not one.same]
    if found.identical:
        said += ["", f"identical: all {len(found.compared)} comparisons agree"]
    elif found.environment:
        said += ["", f"not identical: {', '.join(differing)}. Try again where the environment is as recorded"]
    else:
        said += ["", f"not identical: {', '.join(differing)}. No difference of the environment explains it"]
    return "\n".join(said + ([f"left in {found.folder}"] if found.folder else []))


def _short(text: str | None) -> str:
    return "-" if text is None else text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def _version(text: str) -> int | None:
    if text == "champion":
        return None
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is neither 'champion' nor the number of a version")
    return int(text)


def main(argv: list[str] | None = None) -> int:
    """Reproduce a version and print the comparison: exit code 0 if all is identical, else 1."""
    arguments = parser(__doc__)
    arguments.add_argument("--version", type=_version, default=None, help="a number, or champion (the default)")
    arguments.add_argument("--keep", action="store_true", help="leave the rebuilt files for you to look at")
    arguments.add_argument("--json", action="store_true", help="print the record instead of the table")
    options = arguments.parse_args(argv)
    found: list[Reproduction] = []

    def work() -> Reproduction:
        found.append(run(options.version, services=open_services(), keep=options.keep))
        return found[0]

    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # nothing is left behind
    try:
        code = execute(work, show=None if options.json else lambda facts: table(Reproduction.model_validate(facts)))
    finally:
        signal.signal(signal.SIGTERM, before)
    return code if code or found[0].identical else FAILED


if __name__ == "__main__":
    sys.exit(main())
