"""Build a fact that travels between steps: frozen, closed, the same after a trip through JSON."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Asset = Literal["inputs", "labels"]
"""The two tables of a day."""


class Record(BaseModel):
    """A fact: frozen, and closed to fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())
