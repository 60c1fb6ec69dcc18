"""Each step's command line: its exit code, one JSON line on standard output, one line that says what failed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from ml.cli import champion
from ml.settings import PROJECT_ROOT
from ml.steps.ingest import seed
from ml.steps.retrain import check, evaluate, fit, gate, pull, split, tune, validate
from tests.steps.conftest import LAST_DAY, World


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch):
    """Put this process into a world, as the environment would."""

    def enter(world: World) -> None:
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)  # MLflow sets it to where it was last
        for name, value in world.environ.items():
            monkeypatch.setenv(name, value)

    return enter


def answer(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    return json.loads(lines[0])


def test_champion_says_null_while_nothing_serves_and_who_serves_afterwards(
    seeded: World, trained_once: World, stand_in, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in(seeded)
    assert champion.main(["--json"]) == 0
    assert answer(capsys) == {"version": None}
    stand_in(trained_once)
    assert champion.main([]) == 0
    assert answer(capsys)["version"] == 1


def test_the_stages_of_dvc_yaml_work_on_a_local_workspace_and_touch_no_registry(
    seeded: World, stand_in, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    stand_in(seeded)
    workspace = str(tmp_path / "workspace")
    records = []
    for step in (pull, validate, split, tune, fit, evaluate, check, gate):
        assert step.main(["--workspace", workspace]) == 0, step
        records.append(answer(capsys))
    assert len({record["fingerprint"] for record in records if "fingerprint" in record}) == 1
    assert records[-1]["verdict"]["decision"] == "promote"
    assert records[-1]["decision_id"] is None
    assert seeded.services.tracking.decisions() == []
    assert seeded.services.tracking.alias("challenger") is None
    for name in ("roc", "precision_recall", "calibration", "loss_by_day"):
        assert (tmp_path / "workspace" / "plots" / f"{name}.csv").exists()
    measured = json.loads((tmp_path / "workspace" / "evaluation" / "metrics.json").read_text())
    assert {"log_loss", "roc_auc", "base_rate_log_loss", "holdout_rows"} <= set(measured)


def test_a_held_verdict_is_a_result_and_no_failure(
    seeded: World, stand_in, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    stand_in(seeded.having(gate={"rules": {"ranks": {"kind": "bound", "metric": "roc_auc", "at_least": 0.99}}}))
    for step in (pull, split, tune, fit, evaluate, check, gate):
        assert step.main(["--workspace", str(tmp_path)]) == 0
    assert "hold" in capsys.readouterr().out.splitlines()[-1]


def test_a_stage_without_the_one_before_it_fails_with_what_to_run(
    seeded: World, stand_in, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    stand_in(seeded)
    for step in (validate, split, tune, fit, evaluate, check, gate):
        assert step.main(["--workspace", str(tmp_path / "nowhere")]) == 1
        told = capsys.readouterr()
        assert told.out == ""
        assert "run 'dvc repro' from its first stage on" in told.err


def test_refused_data_are_exit_code_3(
    seeded: World, stand_in, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    days = [LAST_DAY - timedelta(days=n) for n in range(1, 11)]
    seeded.put({("labels", day): seeded.held("labels", day).assign(late=0.0) for day in days})
    stand_in(seeded)
    assert pull.main(["--workspace", str(tmp_path)]) == 0
    capsys.readouterr()
    assert split.main(["--workspace", str(tmp_path)]) == 3
    told = capsys.readouterr()
    assert told.out == "" and "error: the holdout" in told.err


def test_wrong_settings_are_exit_code_2_and_name_the_key(
    seeded: World, stand_in, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = World(seeded.home, {**seeded.params, "split": {"holdout_day": 9}})
    stand_in(wrong)
    assert champion.main([]) == 2
    told = capsys.readouterr()
    assert told.out == "" and "split.holdout_day: unknown key; did you mean 'holdout_days'?" in told.err


@pytest.mark.parametrize(
    ("step", "argv"),
    [(champion, ["--yaml"]), (pull, ["somewhere"]), (seed, ["--from-date", "yesterday"]), (fit, ["--workspace"])],
)
def test_misuse_is_exit_code_2(step, argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        step.main(argv)
    assert left.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_seed_lands_the_days_that_it_is_asked_for(seeded: World, stand_in, capsys: pytest.CaptureFixture[str]) -> None:
    stand_in(seeded)
    days = ["--from-date", "2013-06-14", "--to-date", "2013-06-15"]
    assert seed.main(days) == 0
    landed = answer(capsys)
    assert (landed["days"], landed["rejected"]) == (46, [])
    assert landed["data_version"] == seeded.services.registry.head()


def test_an_empty_registry_is_exit_code_1_and_says_what_to_do(
    seeded: World, stand_in, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(seeded)
    monkeypatch.setenv("EVERGREEN_REGISTRY", str(tmp_path / "none.git"))
    assert pull.main(["--workspace", str(tmp_path / "workspace")]) == 1
    assert "error: " in capsys.readouterr().err


def test_as_a_real_process_standard_output_is_one_json_line(trained_once: World) -> None:
    environ = {**os.environ, **trained_once.environ}
    ran = subprocess.run(
        [sys.executable, "-m", "ml.cli.champion", "--json"],
        check=False,
        env=environ,
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["version"] == 1
    assert ran.stdout.count("\n") == 1


def test_as_a_real_process_a_server_that_is_down_is_one_line_and_exit_code_1(seeded_once: World) -> None:
    environ = {**os.environ, **seeded_once.environ, "MLFLOW_TRACKING_URI": "http://127.0.0.1:1"}
    ran = subprocess.run(
        [sys.executable, "-m", "ml.cli.champion"],
        check=False,
        env=environ,
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "is MLflow up?" in ran.stderr and "Traceback" not in ran.stderr
