"""Register with Airflow what Evergreen adds to it: the only file here that Airflow runs by itself."""

from __future__ import annotations

import os
import sys
from typing import Any

from airflow.plugins_manager import AirflowPlugin
from evergreen import notes, page, warm


class EvergreenPlugin(AirflowPlugin):
    """Keeps tasks warm, notes what came of runs, and shows a page in Airflow's navigation."""

    name = "evergreen"
    fastapi_apps = [{"app": page.Page(), "url_prefix": page.PREFIX, "name": "Evergreen"}]  # noqa: RUF012  Airflow's way
    external_views = [page.VIEW]  # noqa: RUF012
    listeners = [notes]  # noqa: RUF012

    @classmethod
    def on_load(cls, *args: Any, **kwargs: Any) -> None:
        """Import heavy libraries if, and only if, tasks will be forked from this process."""
        warm.warm_if_parent(sys.argv, os.environ)
