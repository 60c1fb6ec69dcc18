"""The keys of the full stack are drawn once, kept private, and never printed."""

from __future__ import annotations

import base64
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from deploy import env

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / ".env"


def test_every_key_is_drawn_into_a_file_that_only_its_owner_reads(file: Path) -> None:
    assert env.complete(file) == tuple(env.DRAWN)
    assert file.stat().st_mode & 0o777 == 0o600
    drawn = env.read(file)
    assert set(drawn) == set(env.DRAWN)
    assert len(set(drawn.values())) == len(drawn)
    assert min(map(len, drawn.values())) >= 16
    assert len(base64.urlsafe_b64decode(drawn["EVERGREEN_FERNET_KEY"])) == 32


def test_a_second_time_changes_nothing(file: Path) -> None:
    env.complete(file)
    before = file.read_bytes()
    assert env.complete(file) == ()
    assert file.read_bytes() == before


def test_lines_added_by_hand_stay_and_what_lacks_is_added(file: Path) -> None:
    file.write_text(
        "# mine\nEVERGREEN_BIND=0.0.0.0\nEVERGREEN_S3_SECRET='my own'\nEVERGREEN_ADMIN_PASSWORD=\nno newline=1"
    )
    file.chmod(0o644)
    added = env.complete(file)
    assert set(env.DRAWN) - set(added) == {"EVERGREEN_S3_SECRET"}
    assert file.read_text().startswith("# mine\nEVERGREEN_BIND=0.0.0.0\nEVERGREEN_S3_SECRET='my own'\n")
    found = env.read(file)
    assert found["EVERGREEN_S3_SECRET"] == "my own"
    assert found["EVERGREEN_ADMIN_PASSWORD"]
    assert found["no newline"] == "1"
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_user_who_shall_not_be_is_left_without_a_password(file: Path) -> None:
    file.write_text("EVERGREEN_VIEWER_PASSWORD=\n")
    assert "EVERGREEN_VIEWER_PASSWORD" not in env.complete(file)


def test_it_runs_without_the_project_installed_and_prints_no_secret(file: Path) -> None:
    command = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(PROJECT)!r}); "]
    command[-1] += f"from deploy import env; sys.exit(env.main(['--file', {str(file)!r}]))"
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "17 keys drawn" in done.stdout
    assert not [value for value in env.read(file).values() if value in done.stdout + done.stderr]


def test_every_key_that_compose_asks_for_is_drawn() -> None:
    text = (PROJECT / "docker-compose.yaml").read_text(encoding="utf-8")
    asked = {part.split(":?")[0].split("{")[-1] for part in text.split("}") if ":?" in part}
    assert asked == set(env.DRAWN) - set(env.MAY_BE_EMPTY)
    assert yaml.safe_load(text)["services"]["init"]["environment"].keys() >= set(env.MAY_BE_EMPTY)
