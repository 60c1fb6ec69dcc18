"""A backtest leaves out the days that a person excluded, as production does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ml.adapters.storage import open_objects
from ml.adapters.workspace import Workspace
from ml.backtest import dataset_files
from ml.backtest.fits import Fits
from ml.backtest.simulation import Simulation
from ml.records import Champion
from tests.unit.test_shadow_refits import DAYS, dataset, simulated

STRIKE = (DAYS[26], DAYS[27])


def test_nothing_is_fitted_or_measured_on_excluded_days(tmp_path: Path) -> None:
    plain = simulated(tmp_path / "plain")
    fits = Fits(replace(dataset(), excluded=frozenset(STRIKE)), tmp_path / "excluded", "code")
    simulation = Simulation(plain.policy, fits, plain.first, plain.last)
    simulation._begin()
    for day in DAYS[20:]:
        simulation.scores.score(day, 1, simulation.log)
    day = DAYS[29]
    windows = [made._window(day) for made in (plain, simulation)]
    assert [len([day for day in STRIKE if day in window.days]) for window in windows] == [2, 0]
    assert plain._fingerprint(windows[0]) != simulation._fingerprint(windows[1])
    champion = Champion(day=day, version=1, reason="", data_version="")
    live = [made._performance(champion) for made in (plain, simulation)]
    assert live[0].window_days - live[1].window_days == 2
    assert simulation.scores.slices(day).keys().isdisjoint(STRIKE)


def test_a_dataset_keeps_them_and_is_another_one_by_them(tmp_path: Path) -> None:
    plain, excluded = dataset(), replace(dataset(), excluded=frozenset(STRIKE))
    assert plain.digest != excluded.digest
    folder = Workspace(open_objects(str(tmp_path)), "world")
    dataset_files.save(excluded, folder)
    assert dataset_files.load(folder).excluded == frozenset(STRIKE)
    assert set(excluded.labelled_days(DAYS[-1])) - set(excluded.measured_days(DAYS[-1])) == set(STRIKE)
