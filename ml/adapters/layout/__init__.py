"""Name every file that Evergreen writes to its storage, and every folder of a backtest's cache.

Only these modules build such a path; the data registry names its own files (`ml.adapters.data_registry`). A name is
relative to the storage's root, or to the folder that a docstring names. Names never change between releases.
"""

from ml.adapters.layout import alerts, backtest, champions, days, ingest, monitoring, scoring, serving, training

__all__ = ["alerts", "backtest", "champions", "days", "ingest", "monitoring", "scoring", "serving", "training"]
