"""A backup that is not whole, or of another installation, is refused before anything is touched."""

from __future__ import annotations

import json
import os
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


class Recording:
    """A stack that does nothing, and remembers what it was asked for."""

    code_version = "0" * 40

    def __init__(self, *, doctor_fails: bool = False, streaming: bool = False) -> None:
        self.asked: list[str] = []
        self.doctor_fails, self.streaming = doctor_fails, streaming

    def run(self, *arguments: str, **_: object) -> None:
        self.asked.append(" ".join(arguments))

    def once(self, *arguments: str, **_: object) -> None:
        self.asked.append(" ".join(arguments))
        if self.doctor_fails and "ml.cli.doctor" in arguments:
            raise compose.Failure("it ended with 3")

    def capture(self, *arguments: str) -> str:
        self.asked.append(" ".join(arguments))
        return "0"

    def wait(self, *_: object, **__: object) -> None:
        self.asked.append("wait")

    def running(self, *services: str) -> list[str]:
        return list(services) if self.streaming else []


def _at(asked: list[str], what: str) -> int:
    (place,) = [number for number, line in enumerate(asked) if what in line]
    return place


def _save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Recording, Path]:
    monkeypatch.setattr(backup, "ENV_FILE", tmp_path / ".env")
    env.complete(tmp_path / ".env")
    stack, folder = Recording(), tmp_path / "backups" / "now"
    mask = os.umask(0o077)
    try:
        backup.save(stack, folder)  # type: ignore[arg-type]
    finally:
        os.umask(mask)
    return stack, folder


def test_the_storage_is_saved_last_so_that_its_record_of_promotions_is_never_the_older_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack, _ = _save(tmp_path, monkeypatch)
    assert _at(stack.asked, "--format custom mlflow") < _at(stack.asked, "--directory /srv/registry")
    assert _at(stack.asked, "--directory /srv/registry") < _at(stack.asked, "deploy.objects save")


def test_a_restore_ends_with_the_doctor_who_repairs_once_everything_is_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, folder = _save(tmp_path, monkeypatch)
    stack = Recording()
    backup.restore(stack, folder, replace=False)  # type: ignore[arg-type]
    assert stack.asked[-2:] == ["wait", "python -m ml.cli.doctor --all --repair"]
    assert _at(stack.asked, "deploy.objects load") < _at(stack.asked, "ml.cli.doctor")


def test_a_doctor_who_finds_no_way_out_fails_the_restore_and_the_next_move_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, folder = _save(tmp_path, monkeypatch)
    with pytest.raises(compose.Failure, match=r"restored and is up, but .* ml\.cli\.doctor --all --repair' again"):
        backup.restore(Recording(doctor_fails=True), folder, replace=True)  # type: ignore[arg-type]


def test_a_restore_leaves_streams_of_rows_and_stops_their_consumer_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, folder = _save(tmp_path, monkeypatch)
    stack = Recording(streaming=True)
    backup.restore(stack, folder, replace=True)  # type: ignore[arg-type]
    assert "redis-cli -n 0 flushdb" in stack.asked[_at(stack.asked, "redis-cli")]
    profiles = " ".join(compose.ALL_PROFILES)
    assert _at(stack.asked, " serving consume") < _at(stack.asked, "deploy.objects load")
    assert stack.asked[_at(stack.asked, "start consume")] == f"{profiles} start consume"
    assert _at(stack.asked, "deploy.objects load") < _at(stack.asked, "start consume")

    idle = Recording()
    backup.restore(idle, folder, replace=True)  # type: ignore[arg-type]
    assert not any("start consume" in line for line in idle.asked)


def test_without_keys_nothing_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compose, "ENV_FILE", tmp_path / ".env")
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    with pytest.raises(compose.Failure, match="make compose-env"):
        compose.Compose()
    (tmp_path / ".env").write_text("")
    (tmp_path / ".env").chmod(0o644)
    with pytest.raises(compose.Failure, match="chmod 600"):
        compose.Compose()
