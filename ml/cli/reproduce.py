"""Rebuild a registered version from its lineage, and say whether the very same model comes out.

The recorded code runs in a worktree of its own on the recorded data, with an MLflow of its own: nothing
that serves, and nothing that is recorded, is written to.
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ml import own_code
from ml.adapters import checkout, code, models
from ml.champions import recorded_models
from ml.cli.rebuild import WORKSPACE, read_json, rebuild, workspace_of
from ml.command_line import FAILED, execute, parser
from ml.core.predictions import array
from ml.core.training import lineage as lineages
from ml.core.training.estimators import of_sample, predict
from ml.errors import EvergreenError, MissingArtifact, Unavailable, UntrustedModel
from ml.records import Compared, Reproduction
from ml.wiring import Services, open_services

logger = logging.getLogger(__name__)
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
    _, disallowed = lineages.thread_variables(recorded["environment"]["threads"], code.THREADS)
    logger.info("reproduce: version %d, code %s", version, recorded["code_version"])
    with checkout.scratch(keep=keep) as folder:
        project, source = checkout.lay_out(recorded["code_version"], recorded["code_sha256"], folder)
        try:
            rebuild(project, recorded, services.environment)
            compared = disallowed + compare(version, recorded, project, services)
            present = read_json(project / workspace_of(recorded) / "model/lineage.json").get("environment", {})
        except EvergreenError as err:
            failure = Compared(what="stages", recorded="finished", reproduced="failed", same=False, detail=str(err))
            compared, present = [*disallowed, failure], {}
    reproduction = Reproduction(
        version=version,
        fingerprint=recorded["fingerprint"],
        code_version=recorded["code_version"],
        data_version=recorded["data_version"],
        source=source,
        identical=all(comparison.same for comparison in compared),
        compared=tuple(compared),
        environment=tuple(lineages.differences(recorded["environment"], present)) if present else (),
        folder=str(folder) if keep else None,
    )
    logger.info("reproduce: version %d %s", version, "is identical" if reproduction.identical else "differs")
    return reproduction


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


def compare(version: int, recorded: Mapping[str, Any], project: Path, services: Services) -> list[Compared]:
    """Compare what `rebuild` left in a project with what is kept of a version."""
    tracking, refit = services.tracking, "refit_of" in recorded["parts"]
    judged, rebuilt = project / WORKSPACE, project / workspace_of(recorded)
    metrics = tracking.run_metrics(tracking.version_tags(version)["run_id"])
    comparisons = lineages.compare_facts(recorded, read_json(rebuilt / "model/lineage.json"))
    judged_file, present_file = recorded_models.recorded(version, services), tracking.servable(version)
    comparisons.append(
        lineages.compare_hashes("the registered model file", judged_file.model_sha256, present_file.model_sha256)
    )
    if not refit:  # it has seen its holdout, and was not measured there
        scored = pd.read_parquet(judged / "evaluation/holdout.parquet")
        for name, what in (("target", "targets of the holdout"), ("challenger", "predictions on the holdout")):
            recorded_values = _stored(version, "holdout", partial(_column, name), services)
            comparisons.append(lineages.compare_values(what, recorded_values, _column(name, scored)))
    _, sample = of_sample(pd.read_parquet(rebuilt / "model/sample.parquet"))
    recorded_values = _stored(version, "sample", lambda table: of_sample(table)[1], services)
    comparisons.append(lineages.compare_values("predictions on the kept sample", recorded_values, sample))
    holdout = pd.read_parquet(judged / "parts/holdout.parquet")
    with own_code.as_recorded(recorded.get("own_code", {})):
        registered = tracking.load_model(version)
        again = models.load(rebuilt / "model/pipeline.skops", trusted=tracking.trusted_types)
    comparisons.append(
        lineages.compare_values(
            "the registered model on the holdout",
            *(_predictions(model, holdout, recorded["settings"]) for model in (registered, again)),
        )
    )
    measured = {"train_rows": float(read_json(rebuilt / "parts/parts.json")["train_rows"])}
    return comparisons + lineages.compare_metrics(metrics, measured if refit else measured | _measured(judged, metrics))


def _measured(judged: Path, recorded: Mapping[str, float]) -> dict[str, float]:
    """Return every metric that the rebuilt evaluation measured, under the names of its MLflow run."""
    evaluation = read_json(judged / "evaluation/evaluation.json")
    own: dict[str, float] = evaluation["challenger"]
    base = {f"base_rate_{name}": value for name, value in evaluation["base_rate"].items()}
    sizes = {name: float(evaluation[name]) for name in ("holdout_rows", "holdout_days")}
    return own | {name: base[name] for name in base.keys() & recorded.keys()} | sizes


def _predictions(pipeline: Any, rows: pd.DataFrame, settings: Mapping[str, Any]) -> np.ndarray | None:
    """Predict with the columns that a pipeline was fitted on; None if the rows lack one of them.

    The types are those of `ml.core.training.features.matrix`, which reads settings of today's shape only.
    """
    columns, categorical = list(pipeline.feature_names_in_), settings["features"]["categorical"]
    categorical = [*categorical, *(settings["features"].get("python") or {}).get("categorical", ())]
    if not set(columns) <= set(rows):
        return None
    empty = [name for name in columns if name in categorical and rows[name].isna().all()]
    types = {name: "float64" for name in columns if name not in categorical} | dict.fromkeys(empty, "object")
    task = settings["task"]
    return predict(pipeline, rows[columns].astype(types), task["kind"], len(task.get("classes", ())))


def _column(name: str, table: pd.DataFrame) -> np.ndarray:
    return array(table[name])


def _stored(
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


def table(reproduction: Reproduction) -> str:
    """Draw what was compared; where something differs, what differs between the machines is named too."""
    from tabulate import tabulate

    def rows(all_of: tuple[Compared, ...]) -> list[list[str]]:
        return [
            [
                comparison.what,
                _short(comparison.recorded),
                _short(comparison.reproduced),
                "yes" if comparison.same else f"NO  {comparison.detail}".strip(),
            ]
            for comparison in all_of
        ]

    lines = [
        f"version {reproduction.version}, data version {reproduction.data_version}",
        f"code: {reproduction.source}",
        tabulate(
            rows(reproduction.compared), headers=["compared", "recorded", "reproduced", "same"], disable_numparse=True
        ),
    ]
    if reproduction.environment:
        machines = [row[:3] for row in rows(reproduction.environment)]
        headers = ["differs in the environment", "recorded", "here"]
        lines += ["", tabulate(machines, headers=headers, disable_numparse=True)]
    differing = [comparison.what for comparison in reproduction.compared if not comparison.same]
    if reproduction.identical:
        lines += ["", f"identical: all {len(reproduction.compared)} comparisons agree"]
    elif reproduction.environment:
        lines += ["", f"not identical: {', '.join(differing)}. Try again where the environment is as recorded"]
    else:
        lines += ["", f"not identical: {', '.join(differing)}. No difference of the environment explains it"]
    return "\n".join(lines + ([f"left in {reproduction.folder}"] if reproduction.folder else []))


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
    results: list[Reproduction] = []

    def work() -> Reproduction:
        results.append(run(options.version, services=open_services(), keep=options.keep))
        return results[0]

    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # nothing is left behind
    try:
        code = execute(work, show=None if options.json else lambda facts: table(Reproduction.model_validate(facts)))
    finally:
        signal.signal(signal.SIGTERM, before)
    return code if code or results[0].identical else FAILED


if __name__ == "__main__":
    sys.exit(main())
