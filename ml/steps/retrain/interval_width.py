"""How wide the prediction intervals of a training's model are; *register* records it, and *refit* hands it on."""

from __future__ import annotations

from ml.adapters.workspace import Workspace
from ml.core.training.intervals import calibrate
from ml.records import IntervalWidth
from ml.settings import Settings

INHERITED = "interval.json"
"""The width of a refit: that of the model that was judged."""


def width_of(run_dir: Workspace, settings: Settings) -> IntervalWidth | None:
    """Return how wide the prediction intervals of a training's model are; None if ``fit.intervals`` asks for none.

    A refit has seen the holdout: it has those of the model that was judged, which lie in its workspace.
    """
    if settings.fit.intervals is None:
        return None
    if run_dir.has(INHERITED):
        return IntervalWidth.model_validate(run_dir.read_json(INHERITED))
    return calibrate(run_dir.read_table("evaluation/holdout.parquet"), settings.fit.intervals)
