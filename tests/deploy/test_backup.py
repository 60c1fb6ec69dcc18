"""A backup that is not whole, or of another installation, is refused before anything is touched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy import backup, compose, env


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as `backup.save` leaves one, and the ``.env`` that it belongs to."""
    monkeypatch.setattr(backup, "ENV_FILE", tmp_path / ".env")
    env.complete(tmp_path / ".env")
    folder = tmp_path / "saved"
    folder.mkdir()
    (folder / "airflow.dump").write_bytes(b"rows")
    files = {"airflow.dump": {"sha256": backup._sha256(folder / "airflow.dump"), "bytes": 4}}
    (folder / "manifest.json").write_text(json.dumps({"fernet_key": backup._key_name(), "files": files}))
    return folder


def test_a_whole_backup_of_this_installation_is_accepted(saved: Path) -> None:
    backup._check(saved)


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(compose.Failure, match="holds no manifest"):
        backup._check(tmp_path)


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b"rot!"), lambda path: path.unlink()])
def test_a_damaged_or_missing_file_is_refused(saved: Path, damage: object) -> None:
    damage(saved / "airflow.dump")  # type: ignore[operator]
    with pytest.raises(compose.Failure, match=r"airflow\.dump is not what was saved"):
        backup._check(saved)


def test_other_keys_are_refused_by_name_and_not_shown(saved: Path, tmp_path: Path) -> None:
    (tmp_path / ".env").unlink()
    env.complete(tmp_path / ".env")
    with pytest.raises(compose.Failure, match="Fernet key") as refused:
        backup._check(saved)
    assert env.read(tmp_path / ".env")["EVERGREEN_FERNET_KEY"] not in str(refused.value)


def test_without_keys_nothing_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compose, "ENV_FILE", tmp_path / ".env")
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    with pytest.raises(compose.Failure, match="make compose-env"):
        compose.Compose()
    (tmp_path / ".env").write_text("")
    (tmp_path / ".env").chmod(0o644)
    with pytest.raises(compose.Failure, match="chmod 600"):
        compose.Compose()
