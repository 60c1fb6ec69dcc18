"""What refreshes gained in a recipe's own past: what is measured once stays measured while the window grows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from ml.steps.retrain import past_refreshes
from tests.builders import rows, settings

SETTINGS = settings(pull={"min_days": 20}, split={"holdout_days": 10})


class Kept:
    """Keeps facts by key, and counts what was made anew."""

    def __init__(self) -> None:
        self.facts: dict[str, Any] = {}
        self.made = 0

    def once(self, key: str, make: Callable[[], Any]) -> Any:
        if key not in self.facts:
            self.facts[key], self.made = make(), self.made + 1
        return self.facts[key]


@pytest.fixture(params=[200_000, 600], ids=["whole", "thinned"])
def most_rows(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(past_refreshes, "MOST_ROWS", request.param)
    return int(request.param)


def until(number: int, *, per_day: int = 40) -> pd.DataFrame:
    """Cut a window of so many days; a longer one begins with the rows of a shorter one."""
    return pd.concat([rows(days=[n], per_day=per_day, seed=n) for n in range(number)], ignore_index=True)


def test_a_window_that_has_grown_asks_for_the_new_comparisons_only(most_rows: int) -> None:
    kept = Kept()
    before = past_refreshes.measure(until(60), SETTINGS, once=kept.once)
    made = kept.made
    after = past_refreshes.measure(until(70), SETTINGS, once=kept.once)
    assert len(before) == made > 2
    assert after[: len(before)] == before
    assert kept.made - made == len(after) - len(before) > 0


def test_fits_are_asked_for_again_by_the_same_key(most_rows: int) -> None:
    fitted: dict[str, Any] = {}
    asked: list[str] = []

    def remember(key: str, make: Callable[[], Any]) -> Any:
        asked.append(key)
        if key not in fitted:
            fitted[key] = make()
        return fitted[key]

    past_refreshes.measure(until(60), SETTINGS, once=Kept().once, remember=remember)
    first = set(asked)
    asked.clear()
    past_refreshes.measure(until(70), SETTINGS, once=Kept().once, remember=remember)
    assert first < set(asked)


def test_a_corrected_label_is_measured_anew() -> None:
    kept = Kept()
    past_refreshes.measure(until(60), SETTINGS, once=kept.once)
    corrected = until(60)
    corrected.loc[0, "late"] = 1.0 - corrected.loc[0, "late"]
    made = kept.made
    past_refreshes.measure(corrected, SETTINGS, once=kept.once)
    assert kept.made == 2 * made


def test_a_large_window_is_thinned_for_each_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    fit = past_refreshes.fit_pipeline
    monkeypatch.setattr(past_refreshes, "MOST_ROWS", 600)
    monkeypatch.setattr(
        past_refreshes, "fit_pipeline", lambda rows, settings: sizes.append(len(rows)) or fit(rows, settings)
    )
    past_refreshes.measure(until(60), SETTINGS, once=Kept().once)
    assert len(sizes) > 2
    assert max(sizes) <= 630
