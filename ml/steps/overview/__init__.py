"""Gather what the overview page shows, as plain facts that are safe for JSON.

Each function reads MLflow, the data registry and the storage, and changes nothing. What is not there yet has a hint
that says what to do; a day or a file that cannot be read is named among the rest. MLflow or a storage that does not
answer raises `ml.errors.Unavailable`, whose message says what to do; `now` tells of it under ``problems`` instead.
Files are named as `file` reads them.
"""

from __future__ import annotations

from ml.steps.overview.course import drift_map, timeline
from ml.steps.overview.files import File, file
from ml.steps.overview.holdings import data
from ml.steps.overview.lineup import compare, model, models
from ml.steps.overview.log import decision, decisions
from ml.steps.overview.present import now

__all__ = [
    "File",
    "compare",
    "data",
    "decision",
    "decisions",
    "drift_map",
    "file",
    "model",
    "models",
    "now",
    "timeline",
]
