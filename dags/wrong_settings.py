"""Report in Airflow what is wrong with the settings of models: as the import error of this file, which draws no Dag.

In a file of its own: Airflow lets no Dag run of a file that has an import error, whichever model's it is.
"""

from __future__ import annotations

from evergreen.models import report_wrong_settings

report_wrong_settings()
