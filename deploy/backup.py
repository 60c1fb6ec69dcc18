"""Save everything of the full stack that cannot be made again, and bring it back.

    python3 -m deploy.backup save [FOLDER]               default: backups/TIME, written whole or not at all
    python3 -m deploy.backup restore FOLDER [--replace]   onto empty volumes, or in the place of what is there

Both databases, the data registry (Git) and the bucket (data, models, predictions, reports). What names is saved before
what is named: databases and registry first, objects last, so that a running stack can be saved. The bucket, which holds
the durable record of promotions, is then never older than MLflow's database: the doctor carries out what only it
records, and a restore ends with that, without a person. Keys are not saved:
keep ``.env`` elsewhere. Task logs, mails, the queue and streams of Redis are not saved either. Needs Docker and the
standard library.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from deploy import env
from deploy.compose import ALL_PROFILES, ENV_FILE, OURS, STORES, STREAMING, Compose, Failure, say

DATABASES = ("airflow", "mlflow")
MANIFEST = "manifest.json"
REGISTRY_FOLDER = "/srv/registry"


DOCTOR = ("python", "-m", "ml.cli.doctor", "--all", "--repair")
DOCTOR_BY_HAND = "docker compose run --rm --no-deps init python -m ml.cli.doctor --all --repair"


def save(stack: Compose, folder: Path) -> None:
    """Write a backup into ``folder``, which must not exist yet."""
    if folder.exists():
        raise Failure(f"{folder} is there already: name a folder that is not")
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    os.umask(0o077)  # what is saved holds data, and the password hashes of Airflow and MLflow
    part.mkdir(parents=True, mode=0o700)
    stack.wait(("postgres", "s3"), seconds=60)
    for database in DATABASES:
        with (part / f"{database}.dump").open("wb") as file:
            stack.run(
                "exec", "-T", "postgres", "pg_dump", "--username", "postgres", "--format", "custom", database,
                stdout=file,
            )  # fmt: skip
    with (part / "registry.tar").open("wb") as file:
        stack.once("tar", "--create", "--directory", REGISTRY_FOLDER, ".", stdout=file)
    with (part / "s3.tar").open("wb") as file:
        stack.once("python", "-m", "deploy.objects", "save", stdout=file)
    files = sorted(part.iterdir())
    manifest = {
        "made_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "code_version": stack.code_version,
        "fernet_key": _key_name(),
        "files": {path.name: {"sha256": _sha256(path), "bytes": path.stat().st_size} for path in files},
    }
    (part / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    part.rename(folder)
    say(f"{folder}: {sum(path.stat().st_size for path in folder.iterdir()) / 1e6:.1f} MB")
    say(f"The keys are not in it. It needs the .env whose Fernet key is called {manifest['fernet_key']}: keep a copy.")


def restore(stack: Compose, folder: Path, *, replace: bool) -> None:
    """Bring the stack to the state of a backup, repair what its parts disagree about, and start it.

    Killed anywhere, it can be done again (``replace``).
    """
    _check(folder)
    consumers = stack.running(*STREAMING)  # They write the request log, and only a profile starts them.
    stack.run(*ALL_PROFILES, "stop", *OURS, *STREAMING)
    stack.run("up", "--detach", "--no-build", *STORES)
    stack.wait(STORES, seconds=180)
    if not replace and (held := _holds(stack)):
        raise Failure(
            f"the stack holds {held} already, and a restore would take that away: run it with --replace "
            "(make: REPLACE=1) if that is meant, or start from empty volumes; the services of Evergreen were stopped"
        )
    for database in DATABASES:
        for statement in (
            f"DROP DATABASE IF EXISTS {database} WITH (FORCE)",
            f"CREATE DATABASE {database} OWNER {database}",
        ):
            _psql(stack, "postgres", statement)
        with (folder / f"{database}.dump").open("rb") as file:
            stack.run(
                "exec", "-T", "postgres", "pg_restore", "--username", "postgres", "--dbname", database,
                "--exit-on-error", stdin=file,
            )  # fmt: skip
    with (folder / "registry.tar").open("rb") as file:
        stack.once(
            "sh", "-c", f"find {REGISTRY_FOLDER} -mindepth 1 -delete && tar --extract --directory {REGISTRY_FOLDER}",
            stdin=file,
        )  # fmt: skip
    with (folder / "s3.tar").open("rb") as file:
        stack.once("python", "-m", "deploy.objects", "load", stdin=file)
    # Messages of another history would ask for runs that there are not. Streams of rows are in another database.
    stack.run("exec", "-T", "redis", "sh", "-c", 'REDISCLI_AUTH="$REDIS_PASSWORD" redis-cli -n 0 flushdb')
    stack.run("up", "--detach", "--no-build")
    if consumers:
        stack.run(*ALL_PROFILES, "start", *consumers)
    stack.wait()
    say(f"restored from {folder}, and everything is up")
    _reconcile(stack)


def _reconcile(stack: Compose) -> None:
    """Let the doctor repair what was saved at different moments, and show what it says."""
    say("The doctor compares the storage with MLflow, and repairs:")
    try:
        stack.once(*DOCTOR)
    except Failure as err:
        raise Failure(
            f"everything was restored and is up, but the doctor did not lead out of what the parts disagree about; "
            f"see above, fix it, and run '{DOCTOR_BY_HAND}' again ({err})"
        ) from err


def _check(folder: Path) -> None:
    """Refuse a backup that is not whole, or of another installation's keys, before anything is touched."""
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError as err:
        raise Failure(f"{folder} holds no {MANIFEST}: name a folder that 'make compose-backup' wrote") from err
    for name, entry in manifest["files"].items():
        if not (folder / name).exists() or _sha256(folder / name) != entry["sha256"]:
            raise Failure(f"{folder / name} is not what was saved: take another backup")
    if manifest["fernet_key"] != _key_name():
        raise Failure(
            f"{folder} was saved under the Fernet key {manifest['fernet_key']}, and {ENV_FILE} has {_key_name()}: "
            "what Airflow keeps encrypted could not be read. Put the .env of that installation in place"
        )


COUNTS = {
    "airflow": "select count(*) from dag_run",
    "mlflow": "select count(*) from runs",
}
"""What says by a number other than 0 that a database is in use."""


def _holds(stack: Compose) -> str:
    """Return what a restore would take away; empty if nothing."""
    for database, statement in COUNTS.items():
        tables = _psql(stack, database, "select count(*) from pg_tables where schemaname = 'public'")
        rows = int(_psql(stack, database, statement)) if int(tables) else 0
        if rows:
            return f"{rows} runs in the database {database}"
    return ""


def _psql(stack: Compose, database: str, statement: str) -> str:
    return stack.capture(
        "exec", "-T", "postgres", "psql", "--username", "postgres", "--dbname", database, "--no-align", "--tuples-only",
        "--quiet", "--set", "ON_ERROR_STOP=1", "--command", statement,
    ).strip()  # fmt: skip


def _key_name() -> str:
    """Name the Fernet key without giving it away."""
    return hashlib.sha256(env.read(ENV_FILE).get("EVERGREEN_FERNET_KEY", "").encode()).hexdigest()[:12]


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


def main(argv: list[str] | None = None) -> int:
    """Save or restore; a failure is one sentence that names the next move."""
    parser = argparse.ArgumentParser(prog="python3 -m deploy.backup", description=(__doc__ or "").split("\n")[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    verbs.add_parser("save").add_argument("folder", type=Path, nargs="?", default=env.PROJECT / "backups" / stamp)
    of_restore = verbs.add_parser("restore")
    of_restore.add_argument("folder", type=Path)
    of_restore.add_argument("--replace", action="store_true", help="take away what the stack holds")
    arguments = parser.parse_args(argv)
    try:
        if arguments.verb == "save":
            save(Compose(), arguments.folder.absolute())
        else:
            restore(Compose(), arguments.folder.absolute(), replace=arguments.replace)
    except Failure as err:
        sys.stderr.write(f"{err}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
