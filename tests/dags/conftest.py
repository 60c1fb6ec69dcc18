"""Airflow in a temporary home, before anything here imports it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.dags.airflow_home import PROJECT, isolate
from tests.few_flights import a_quarter_of_the_flights
from tests.package_check import warm_package_check

__all__ = ["a_quarter_of_the_flights", "warm_package_check"]

isolate()


@pytest.fixture(scope="session")
def bag() -> Any:
    """Parse all Dag files, as the Dag processor does."""
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(str(PROJECT / "dags"))
