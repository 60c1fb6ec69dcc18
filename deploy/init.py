"""Make the full stack ready for its services: databases, users, bucket, data registry, history. Safe to run twice.

The ``init`` service of docker-compose.yaml. Each part finds what it did before and leaves it.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlparse

from ml.errors import EvergreenError
from ml.wiring import open_services

logger = logging.getLogger(__name__)


def make_buckets(uris: Sequence[str]) -> list[str]:
    """Create the buckets of ``s3://`` URIs that are not there; return their names."""
    from boto3.session import Session
    from botocore.exceptions import ClientError

    client = Session().client("s3")
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
    if "fab" in os.environ.get("AIRFLOW__CORE__AUTH_MANAGER", ""):
        logger.info("giving Airflow's users their passwords")
        _run("deploy.users")


def _run(module: str, *arguments: str) -> None:
    """Run a Python module in a process of its own: Airflow sets up logging for itself when it is imported."""
    done = subprocess.run([sys.executable, "-m", module, *arguments], check=False, stdout=subprocess.DEVNULL)
    if done.returncode:
        raise EvergreenError(f"{' '.join((module, *arguments))} failed; see above")


def prepare_airflow() -> None:
    """Bring Airflow's database to this release, and its users to the passwords of ``.env``."""
    logger.info("migrating Airflow's database")
    _run("airflow", "db", "migrate")
    make_users()


def prepare_data() -> int:
    """Make bucket, data registry and history; the exit code of the history."""
    services = open_services()
    made = make_buckets([services.environment.storage, services.environment.registry_remote])
    logger.info("buckets: %s", ", ".join(made) or "all there")
    services.registry.create()
    from ml.steps import seed

    return seed.main([])


def main() -> int:
    """Do both at once: neither needs the other."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        with ThreadPoolExecutor(1) as beside:
            airflow = beside.submit(prepare_airflow)
            code = prepare_data()
            airflow.result()
    except EvergreenError as err:
        sys.stderr.write(f"{err}\n")
        return err.exit_code
    return code


if __name__ == "__main__":
    sys.exit(main())
