"""Name the folders of a backtest's cache, which is a folder of its own."""

from __future__ import annotations

from typing import Literal


def cached(kind: Literal["worlds", "courses", "fits", "gates", "references", "refreshes"], key: str) -> str:
    """Return the folder of replayed tables, a simulation, a fit, a verdict, a reference window, or a past refresh."""
    return f"{kind}/{key}"


def cached_drift(key: str) -> str:
    """Return a drift report, inside that of its reference window."""
    return f"drift/{key}.json"


def cached_screening(asset: str, key: str) -> str:
    """Return what a contract found in a day."""
    return f"screen/{asset}/{key}.json"
