"""Airflow in a temporary home, before anything here imports it."""

from __future__ import annotations

from tests.dags.airflow_home import isolate

isolate()
