"""Try the packaged model in a fresh process, before the gate may let it serve."""

from __future__ import annotations

import logging
import sys
from contextlib import nullcontext
from pathlib import Path

from ml.adapters import models, package, rows
from ml.records import Candidate, Challenger, PackageCheck, Window
from ml.settings import Settings
from ml.steps.retrain.stage import stage_main
from ml.wiring import Services

logger = logging.getLogger(__name__)


def run(
    window: Window,
    *,
    settings: Settings,
    services: Services,
    challenger: Challenger | None = None,
    trial: package.Trial | None = None,
) -> PackageCheck:
    """Load what was packaged, and see whether it predicts a kept sample as it did in training.

    Writes ``check/check.json``, which the gate weighs: what is found here is a result, never an error.

    Parameters
    ----------
    challenger
        None before anything is registered: the model as its MLflow run holds it, which is the one to be registered.
    trial
        A process that was started before, see `ml.adapters.package.start`; None starts one.
    """
    run_dir = services.workspace(window.workspace)
    candidate = Candidate.model_validate(run_dir.read_json("model/candidate.json"))
    version = challenger.version if challenger else None
    logger.info("check: %s", f"version {version}" if version else f"run {candidate.run_id}")
    with (
        nullcontext(trial) if trial else package.start() as process,
        services.tracking.packaged(candidate.run_id, version) as model,
        run_dir.local("model/sample.parquet") as sample,
    ):
        tried = package.check(model, sample, settings.task, trial=process, trusted=settings.fit.trusted_types)
        package_check = tried.model_copy(update={"model_sha256": _sha256(model / models.MODEL_FILE)})
    run_dir.write_json("check/check.json", package_check.model_dump(mode="json"))
    logger.info("check: %s", package_check)
    return package_check


def _sha256(path: Path) -> str | None:
    return rows.sha256(path) if path.is_file() else None


def main(argv: list[str] | None = None) -> int:
    """Check the model of a local workspace; the ``check`` stage of ``dvc.yaml``."""
    return stage_main(__doc__, run, argv)


if __name__ == "__main__":
    sys.exit(main())
