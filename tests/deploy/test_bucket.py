"""The first start and the backup of a bucket, on a real S3 server."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
import yaml
from boto3.session import Session

from deploy import init, objects
from ml.errors import EvergreenError

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture
def bucket(s3_server: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    """Name a bucket that is not there, and lead boto3 to the server."""
    for name, value in s3_server.items():
        monkeypatch.setenv(name, value)
    return f"test-{uuid.uuid4().hex[:12]}"


def test_buckets_are_made_once(bucket: str) -> None:
    uris = [f"s3://{bucket}/storage", f"s3://{bucket}/registry", "/a/folder"]
    assert init.make_buckets(uris) == [bucket]
    assert init.make_buckets(uris) == []


def test_wrong_keys_are_told(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(EvergreenError, match=r"check the keys"):
        init.make_buckets([f"s3://{bucket}"])


def test_the_first_start_twice_is_as_once(bucket: str, s3_server: dict[str, str], tmp_path: Path) -> None:
    params = yaml.safe_load((PROJECT / "params.yaml").read_text(encoding="utf-8"))
    params["land"]["history_days"] = 4
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    environ = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "EVERGREEN", "MLFLOW"))},
        **s3_server,
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "EVERGREEN_HOME": str(tmp_path / "home"),
        "EVERGREEN_PARAMS": str(tmp_path / "params.yaml"),
        "EVERGREEN_STORAGE": f"s3://{bucket}/storage",
        "EVERGREEN_REGISTRY": str(tmp_path / "registry.git"),
        "EVERGREEN_REGISTRY_REMOTE": f"s3://{bucket}/registry",
    }

    def start() -> str:
        done = subprocess.run(
            [sys.executable, "-m", "deploy.init"],
            cwd=PROJECT, env=environ, capture_output=True, text=True, timeout=250, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        git = ["git", "--git-dir", str(tmp_path / "registry.git"), "log", "--format=%H", "main"]
        return done.stderr + subprocess.run(git, capture_output=True, text=True, check=True).stdout

    def keys() -> set[tuple[str, int]]:
        return set(objects.listed(Session().client("s3"), bucket))

    first = start()
    assert f"buckets: {bucket}" in first
    held = keys()
    assert any(key.startswith("registry/") for key, _ in held)
    second = start()
    assert "buckets: all there" in second
    assert second.splitlines()[-2:] == first.splitlines()[-2:]
    assert keys() == held


def test_a_bucket_is_carried_whole_and_what_else_there_was_is_gone(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "PART_BYTES", 5 << 20)
    client = Session().client("s3")
    init.make_buckets([f"s3://{bucket}"])
    contents = {
        "storage/day=2013-01-01/a b é.parquet": b"1",
        "storage/empty": b"",
        "registry/files/md5/ab/cdef": os.urandom(12 << 20),
        "deep/" + "/".join(["a-rather-long-part"] * 12): b"deep",
    }
    for key, body in contents.items():
        client.put_object(Bucket=bucket, Key=key, Body=body)
    archive = io.BytesIO()
    assert objects.save(client, bucket, archive) == len(contents)

    client.put_object(Bucket=bucket, Key="storage/empty", Body=b"no longer")
    client.put_object(Bucket=bucket, Key="storage/newer", Body=b"newer")
    client.delete_object(Bucket=bucket, Key="registry/files/md5/ab/cdef")
    archive.seek(0)
    assert objects.load(client, bucket, archive) == len(contents)
    found = {key: client.get_object(Bucket=bucket, Key=key)["Body"].read() for key, _ in objects.listed(client, bucket)}
    assert found == contents


def test_a_torn_archive_takes_nothing_away(bucket: str) -> None:
    client = Session().client("s3")
    init.make_buckets([f"s3://{bucket}"])
    for number in range(3):
        client.put_object(Bucket=bucket, Key=f"o{number}", Body=os.urandom(50_000))
    archive = io.BytesIO()
    objects.save(client, bucket, archive)
    client.put_object(Bucket=bucket, Key="newer", Body=b"newer")
    with pytest.raises(Exception, match=r"unexpected end of data"):
        objects.load(client, bucket, io.BytesIO(archive.getvalue()[:70_000]))
    assert {key for key, _ in objects.listed(client, bucket)} == {"o0", "o1", "o2", "newer"}
