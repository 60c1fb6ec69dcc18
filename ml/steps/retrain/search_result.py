"""What a search for arguments came to: where it is written, and the settings that follow from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml.errors import MissingArtifact
from ml.next_moves import rerun
from ml.records import Tuned
from ml.settings import Settings

if TYPE_CHECKING:
    from ml.adapters.workspace import Workspace


TUNED = "tuning/tuned.json"


def tuned_settings(run_dir: Workspace, settings: Settings) -> Settings:
    """Put the arguments that were found in the place of ``fit.args``, and turn the search off.

    What it gives needs no search any more: whoever fits by it fits the same model. Its own fingerprint is
    that of an untuned training with these arguments, not the window's.

    Parameters
    ----------
    run_dir
        The workspace that `run` has written to.

    Raises
    ------
    MissingArtifact
        If a search is asked for and none was made.
    """
    if not settings.tune.enabled:
        return settings
    tuned = Tuned.model_validate(run_dir.read_json(TUNED)) if run_dir.has(TUNED) else None
    if tuned is None or not tuned.enabled:
        raise MissingArtifact(
            f"tune.enabled is true, but {run_dir.uri()} holds no search; {rerun(step='tune')}, or turn tune.enabled off"
        )
    fit = settings.fit.model_copy(update={"args": tuned.args})
    tune = settings.tune.model_copy(update={"enabled": False})
    return settings.model_copy(update={"fit": fit, "tune": tune})
