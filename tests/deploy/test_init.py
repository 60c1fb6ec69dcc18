"""The first start of the full stack: pools that are missing, and models that go wrong."""

from __future__ import annotations

import sys
from pathlib import Path
from subprocess import CompletedProcess
from types import SimpleNamespace
from typing import Any

import pytest

from deploy import init
from ml.errors import EvergreenError
from ml.settings import PROJECT_ROOT, LoadedModel, LoadedModels, load

SETTINGS = load(Path(PROJECT_ROOT / "params.yaml"))
TWO = LoadedModels((LoadedModel("churn", SETTINGS), LoadedModel("fraud", SETTINGS)))


def test_a_pool_that_is_missing_is_made_and_one_that_is_there_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[str, ...]] = []

    def run(command: list[str], **_: Any) -> CompletedProcess[bytes]:
        return CompletedProcess(command, returncode=0 if command[-1] == "there" else 1)

    monkeypatch.setattr("deploy.init.subprocess.run", run)
    monkeypatch.setattr(init, "_run", lambda *words: made.append(words))
    init.make_pools(["heavy", "there"])
    assert [words[:5] for words in made] == [("airflow", "pools", "set", "heavy", "1")]


@pytest.mark.parametrize(("fraud", "code"), [(0, 0), (3, 1)])
def test_what_is_wrong_with_one_model_stops_no_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fraud: int, code: int
) -> None:
    def prepare(name: str) -> int:
        if name == "churn":
            raise EvergreenError("the bucket cannot be made")
        return fraud

    monkeypatch.setattr(init, "_prepare_model", prepare)
    assert init.prepare_data(TWO) == code
    assert "model churn: the bucket cannot be made" in caplog.text


def test_the_only_models_failure_is_that_of_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def prepare(name: str) -> int:
        raise EvergreenError(f"the bucket of {name} cannot be made")

    monkeypatch.setattr(init, "_prepare_model", prepare)
    with pytest.raises(EvergreenError, match="churn"):
        init.prepare_data(LoadedModels(TWO.models[:1]))


def test_a_database_that_does_not_let_airflow_in_is_named_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver is in the image only."""
    asked: list[str] = []

    def connect(url: str, **_: Any) -> None:
        asked.append(url)
        raise OSError('FATAL: password authentication failed for user "airflow"\n')

    driver = SimpleNamespace(connect=connect, OperationalError=OSError)
    monkeypatch.setitem(sys.modules, "psycopg2", driver)
    with pytest.raises(EvergreenError, match=r"password authentication failed .*'make compose-up' gives it"):
        init.check_database("postgresql+psycopg2://airflow:wrong@postgres/airflow")
    assert asked == ["postgresql://airflow:wrong@postgres/airflow"]
    init.check_database("sqlite:////var/airflow.db")
