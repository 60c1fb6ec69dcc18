"""Register with Airflow what Evergreen adds to it: the only file here that Airflow runs by itself."""

from __future__ import annotations

import os
import sys
from typing import Any

from airflow.plugins_manager import AirflowPlugin
from evergreen import warm


class EvergreenPlugin(AirflowPlugin):
    """Keeps tasks warm on LocalExecutor."""

    name = "evergreen"

    @classmethod
    def on_load(cls, *args: Any, **kwargs: Any) -> None:
        """Import heavy libraries if, and only if, tasks will be forked from this process."""
        warm.warm_if_scheduler(sys.argv, os.environ)
