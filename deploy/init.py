"""Make the full stack ready for its services: databases, users, bucket, data registry, history. Safe to run twice.

The ``init`` service of docker-compose.yaml. Each part finds what it did before and leaves it.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from urllib.parse import urlparse

from ml.errors import EvergreenError
from ml.wiring import open_services

logger = logging.getLogger(__name__)
USERS = (("admin", "Admin"), ("operator", "Op"), ("viewer", "Viewer"))
"""Who may log in, with Airflow's role: ``Op`` may trigger and approve, ``Viewer`` only looks."""


def make_buckets(uris: Sequence[str]) -> list[str]:
    """Create the buckets of ``s3://`` URIs that are not there; return their names."""
    import boto3
    from botocore.exceptions import ClientError

    client = boto3.client("s3")
    made = []
    for bucket in sorted({urlparse(uri).netloc for uri in uris if uri.startswith("s3://")}):
        try:
            client.head_bucket(Bucket=bucket)
        except ClientError as err:
            if err.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
                raise EvergreenError(f"bucket {bucket}: {err}; check the keys of S3 in .env") from err
            client.create_bucket(Bucket=bucket)
            made.append(bucket)
    return made


def make_users() -> None:
    """Create the users whose passwords are given, or give them these passwords; FAB's auth manager only."""
    if "fab" not in os.environ.get("AIRFLOW__CORE__AUTH_MANAGER", ""):
        return
    listed = json.loads(_airflow("users", "list", "--output", "json", capture=True) or "[]")
    known = {user["username"] for user in listed}
    for name, role in USERS:
        password = os.environ.get(f"EVERGREEN_{name.upper()}_PASSWORD")
        if not password:
            continue
        if name in known:
            _airflow("users", "reset-password", "--username", name, "--password", password)
            continue
        person = ("--firstname", name.capitalize(), "--lastname", "Evergreen", "--email", f"{name}@localhost")
        _airflow("users", "create", "--username", name, "--role", role, "--password", password, *person)


def _airflow(*arguments: str, capture: bool = False) -> str:
    """Run one command of Airflow; its last line, where it is captured: warnings may stand before it."""
    done = subprocess.run(
        [sys.executable, "-m", "airflow", *arguments],
        check=False,
        text=True,
        stdout=subprocess.PIPE if capture else subprocess.DEVNULL,
    )
    if done.returncode:
        raise EvergreenError(f"airflow {arguments[0]} {arguments[1]} failed; see above")
    return (done.stdout or "").strip().splitlines()[-1] if (done.stdout or "").strip() else ""


def main() -> int:
    """Do every part in its order, telling each."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        logger.info("migrating Airflow's database")
        _airflow("db", "migrate")
        make_users()
        services = open_services()
        made = make_buckets([services.environment.storage, services.environment.registry_remote])
        logger.info("buckets: %s", ", ".join(made) or "all there")
        services.registry.create()
        from ml.steps import seed

        return seed.main([])
    except EvergreenError as err:
        sys.stderr.write(f"{err}\n")
        return err.exit_code


if __name__ == "__main__":
    sys.exit(main())
