"""Make the full stack ready for its services: databases, users, pools, buckets, data registries, history.

The ``init`` service of docker-compose.yaml. Safe to run twice: each part finds what it did before and leaves it. Each
model that is configured is made ready; what is wrong with one is named and stops none of the others.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlparse

from deploy.health import database_refusal
from embedded.models import POOL_SLOTS, pools_of, startable_models
from ml.adapters import s3
from ml.errors import AccessDenied, EvergreenError
from ml.settings import LoadedModels
from ml.wiring import open_services

logger = logging.getLogger(__name__)


def make_buckets(uris: Sequence[str]) -> list[str]:
    """Create the buckets of ``s3://`` URIs that are not there; return their names."""
    buckets = sorted({urlparse(uri).netloc for uri in uris if uri.startswith("s3://")})
    try:
        return [bucket for bucket in buckets if s3.make_bucket(bucket)]
    except AccessDenied as err:
        raise EvergreenError(f"{err}; check the keys of S3 in .env") from err


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


def make_pools(names: Sequence[str]) -> None:
    """Make the pools that settings name and Airflow does not have; those that it has stay as they are."""
    for name in names:
        command = [sys.executable, "-m", "airflow", "pools", "get", name]
        if subprocess.run(command, check=False, capture_output=True).returncode:
            logger.info("making Airflow's pool %s for %d task at a time", name, POOL_SLOTS)
            _run("airflow", "pools", "set", name, str(POOL_SLOTS), f"made by Evergreen: {POOL_SLOTS} task at a time")


def check_database(url: str) -> None:
    """Look whether PostgreSQL lets Airflow in; a migration that may not says so in a hundred lines.

    Raises
    ------
    EvergreenError
        If it does not, with what it answers and what to do about a changed password.
    """
    if url.startswith("postgresql") and (refusal := database_refusal(url)):
        raise EvergreenError(
            f"PostgreSQL does not let Airflow in ({refusal}). If its password was changed in .env: 'make compose-up' "
            "gives it to the service postgres, a PostgreSQL of your own needs it from you"
        )


def prepare_airflow(pools: Sequence[str] = ()) -> None:
    """Bring Airflow's database to this release, its users to the passwords of ``.env``, and make pools."""
    check_database(os.environ.get("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", ""))
    logger.info("migrating Airflow's database")
    _run("airflow", "db", "migrate")
    make_users()
    make_pools(pools)


def prepare_data(loaded: LoadedModels) -> int:
    """Make bucket, data registry and history of each model; the exit code of the one that went best.

    What is wrong with one of several models is logged and stops no other.
    """
    codes = []
    for model in loaded.models:
        try:
            codes.append(_prepare_model(model.name))
        except EvergreenError as err:
            if len(loaded.models) == 1:
                raise
            logger.error("model %s: %s", model.name, err)
            codes.append(err.exit_code)
    return min(codes)


def _prepare_model(name: str) -> int:
    services = open_services(model=name)
    made = make_buckets([services.environment.storage, services.environment.registry_remote])
    logger.info("model %s: buckets: %s", name, ", ".join(made) or "all there")
    services.registry.create()
    from ml.steps.ingest import seed

    return seed.main(["--model", name])


def main() -> int:
    """Do both at once: neither needs the other."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        loaded = startable_models()
        for name, problem in loaded.problems.items():
            logger.error("model %s is left out: %s", name, problem)
        with ThreadPoolExecutor(1) as executor:
            airflow = executor.submit(prepare_airflow, pools_of(loaded.models))
            code = prepare_data(loaded)
            airflow.result()
    except EvergreenError as err:
        sys.stderr.write(f"{err}\n")
        return err.exit_code
    return code


if __name__ == "__main__":
    sys.exit(main())
