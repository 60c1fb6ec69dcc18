"""The assets that carry a day from Dag to Dag; an event's partition key is the day."""

from __future__ import annotations

from airflow.sdk import Asset

INPUTS = Asset(name="evergreen_inputs", uri="evergreen://registry/inputs")
"""The day's inputs are in the data registry."""

PREDICTIONS = Asset(name="evergreen_predictions", uri="evergreen://storage/predictions")
"""The day's predictions are served."""
