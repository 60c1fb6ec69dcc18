"""What workers of one test run share is made by one of them, whole or not at all."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.made_once import made_once


def test_one_of_all_who_ask_makes_it_and_the_others_find_it_whole(tmp_path_factory: pytest.TempPathFactory) -> None:
    tmp_path_factory.getbasetemp()  # the first call is not safe for threads
    made: list[Path] = []

    def make(folder: Path) -> None:
        made.append(folder)
        (folder / "first").touch()
        (folder / "last").touch()

    with ThreadPoolExecutor(4) as executor:
        folders = set(executor.map(lambda _: made_once(tmp_path_factory, "asked-by-many", make), range(8)))
    assert folders == set(made) and len(made) == 1
    assert sorted(path.name for path in made[0].iterdir()) == ["first", "last"]


def test_what_could_not_be_made_is_made_anew(tmp_path_factory: pytest.TempPathFactory) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise ValueError("no data")

    with pytest.raises(ValueError, match="no data"):
        made_once(tmp_path_factory, "made-at-last", fail)
    folder = made_once(tmp_path_factory, "made-at-last", lambda folder: (folder / "whole").touch())
    assert [path.name for path in folder.iterdir()] == ["whole"]


def test_workers_of_one_run_share_a_folder_and_runs_do_not(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw1")
    folders = []
    for worker in ("run-1/popen-gw0", "run-1/popen-gw1", "run-2/popen-gw0"):
        (tmp_path / worker).mkdir(parents=True)
        monkeypatch.setattr(tmp_path_factory, "getbasetemp", lambda worker=worker: tmp_path / worker)
        folders.append(made_once(tmp_path_factory, "shared", lambda folder: None))
    assert folders[0] == folders[1] != folders[2]
