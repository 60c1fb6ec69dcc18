"""Gather what the page shows, as plain facts that are safe for JSON.

`list_models` lists the models; each of the others is about one model. They read MLflow, the data registry and the
storage, and change nothing. What is not there yet has a hint that says what to do; a day or a file that cannot be read
is named among the rest. MLflow or a storage that does not answer raises `ml.errors.Unavailable`, whose message says
what to do; `now` tells of it under ``problems`` instead. Files are named as `file` reads them.
"""

from __future__ import annotations

from ml.views.page.data_inventory import data
from ml.views.page.data_quality import data_quality, quarantined_csv, quarantined_rows
from ml.views.page.decision_list import decision, decisions
from ml.views.page.demo import break_day, first_look, undo
from ml.views.page.drift_column import drift_column
from ml.views.page.files import File, file
from ml.views.page.installation import list_models
from ml.views.page.model_list import compare, model, models
from ml.views.page.performance_charts import performance_charts
from ml.views.page.served import served
from ml.views.page.status import now
from ml.views.page.timeline import drift_map, timeline
from ml.views.page.version_charts import version_charts

__all__ = [
    "File",
    "break_day",
    "compare",
    "data",
    "data_quality",
    "decision",
    "decisions",
    "drift_column",
    "drift_map",
    "file",
    "first_look",
    "list_models",
    "model",
    "models",
    "now",
    "performance_charts",
    "quarantined_csv",
    "quarantined_rows",
    "served",
    "timeline",
    "undo",
    "version_charts",
]
