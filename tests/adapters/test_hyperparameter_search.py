"""The door to Optuna: what it proposes, what it learns from, when it ends."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest

from ml.adapters.hyperparameter_search import search
from ml.errors import SettingsError
from ml.settings import Span

SPACE = {
    "C": Span(low=1e-4, high=10, log=True),
    "depth": Span(low=1.5, high=9, integer=True),
    "layers": Span(choices=[[50], [100, 50], None]),
}
FIRST = {"C": 1.0, "depth": 5, "layers": None}


def bowl(number: int, args: dict[str, Any]) -> float:
    """Lowest at C = 0.01, depth 3, layers [50]."""
    return math.log10(args["C"] / 0.01) ** 2 + (args["depth"] - 3) ** 2 + (args["layers"] != [50])


def test_it_begins_with_the_first_point_and_finds_better_ones_inside_the_space() -> None:
    tried = search(bowl, SPACE, first=FIRST, trials=40, seed=1)
    assert (len(tried), tried[0].args) == (40, FIRST)
    for one in tried:
        assert 1e-4 <= one.args["C"] <= 10
        assert isinstance(one.args["depth"], int) and 2 <= one.args["depth"] <= 9
        assert one.args["layers"] in ([50], [100, 50], None)
        assert one.loss == bowl(0, one.args)
    assert min(one.loss for one in tried) < 1 < tried[0].loss
    late, early = ([one.loss for one in part] for part in (tried[20:], tried[1:11]))
    assert sum(late) / len(late) < sum(early) / len(early) / 2, "it has learnt nothing"


def test_one_seed_gives_one_search_and_another_gives_another() -> None:
    first, again, other = (search(bowl, SPACE, first=FIRST, trials=15, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first[1:] != other[1:] and first[0] == other[0]


@pytest.mark.parametrize("outside", [{"C": 100.0}, {"layers": [7]}, {"depth": None}, {"depth": True}], ids=str)
def test_a_first_point_outside_the_space_is_tried_all_the_same(outside: dict[str, Any]) -> None:
    tried = search(lambda number, args: float(number), SPACE, first=FIRST | outside, trials=3, seed=1)
    assert tried[0].args == FIRST | outside
    assert [one.loss for one in tried] == [0.0, 1.0, 2.0]


def test_failed_trials_are_borne(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
    tried = search(lambda number, args: None if number % 2 else 1.0, SPACE, first=FIRST, trials=6, seed=1)
    assert [one.loss for one in tried] == [1.0, None] * 3
    assert search(lambda number, args: None, SPACE, first=FIRST, trials=3, seed=1)[2].loss is None
    assert not caplog.records and capsys.readouterr() == ("", "")


def test_a_bar_is_drawn_when_asked_for_and_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    shown = search(bowl, SPACE, first=FIRST, trials=5, seed=1, show_progress=True)
    said = capsys.readouterr()
    assert "4/4" in said.err and "Best trial" in said.err and said.out == ""
    assert search(bowl, SPACE, first=FIRST, trials=5, seed=1) == shown
    assert capsys.readouterr() == ("", "")


def test_what_the_score_raises_ends_the_search() -> None:
    def broken(number: int, args: dict[str, Any]) -> float:
        if number == 2:
            raise KeyboardInterrupt
        return 1.0

    with pytest.raises(KeyboardInterrupt):
        search(broken, SPACE, first=FIRST, trials=6, seed=1)


def test_no_trial_begins_when_the_budget_is_spent_but_the_first_always_does() -> None:
    assert len(search(bowl, SPACE, first=FIRST, trials=50, seed=1, seconds=1e-9)) == 1

    def slow(number: int, args: dict[str, Any]) -> float:
        time.sleep(0.05)
        return bowl(number, args)

    timed = search(slow, SPACE, first=FIRST, trials=50, seed=1, seconds=0.3)
    assert 1 < len(timed) <= 7
    assert timed == search(bowl, SPACE, first=FIRST, trials=50, seed=1)[: len(timed)]


def test_a_range_without_a_whole_number_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"tune\.space\.depth: no whole number"):
        search(bowl, {"depth": Span(low=1.2, high=1.8, integer=True)}, first={"depth": 1}, trials=2, seed=1)
