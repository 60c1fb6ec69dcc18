"""Bring the full stack up and down, and wait until it works; ``make compose-*`` calls it.

    python3 -m deploy.compose up | demo | down

Needs Docker and the standard library only. Speaks to ``docker compose``, or to ``docker-compose`` where that is what
there is; which files it reads can be said with ``COMPOSE_FILE``.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Collection, Mapping
from typing import IO, Any, NamedTuple

from deploy import env

PROJECT = env.PROJECT
ENV_FILE = PROJECT / ".env"
BUILT = "init"
"""The service whose build makes the image of all."""
DATABASES = "/docker-entrypoint-initdb.d/databases.sh"
"""In the service `postgres`: makes the databases, and gives their users the passwords of ``.env``."""
STORES = ("postgres", "redis", "s3", "mailpit")
OURS = (
    "mlflow", "airflow-apiserver", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer", "airflow-worker",
    "serving",
)  # fmt: skip
METRICS = ("metrics", "statsd", "prometheus", "grafana")
"""Services of the profile `metrics`, which starts on request only."""
STREAMING = ("consume",)
"""Those of the profile `streaming`, which does so, too."""
CLUSTER = ("ray-head", "ray-worker")
"""Those of the profile `cluster`, on which tasks work with ``engine.kind: cluster``."""
ON_REQUEST = (*METRICS, *STREAMING, *CLUSTER, "flower")
ALL_PROFILES = ("--profile", "metrics", "--profile", "streaming", "--profile", "cluster", "--profile", "flower")
"""Arguments without which a command leaves alone what a profile has started."""
START_SECONDS = 600
LOOK_EVERY_SECONDS = 2.0
ML_VIEW = "/#/experiments?workflowType=machine_learning"
"""MLflow opens its view of GenAI applications otherwise."""


class Page(NamedTuple):
    """What a service publishes, by default at ``port``; ``variable`` is how its variables begin."""

    name: str
    service: str
    variable: str
    port: str
    more: str = ""

    def port_in(self, variables: Mapping[str, str]) -> str:
        """Return the port that a person chose, else the default."""
        return variables.get(f"{self.variable}_PORT") or self.port


PAGES = (
    Page(
        "Airflow", "airflow-apiserver", "EVERGREEN_AIRFLOW", "8080",
        "  user admin, password: EVERGREEN_ADMIN_PASSWORD in .env",
    ),
    Page(
        "MLflow", "mlflow", "EVERGREEN_MLFLOW", "5000",
        f"{ML_VIEW}  user admin, password: EVERGREEN_MLFLOW_PASSWORD in .env",
    ),
    Page("mail", "mailpit", "EVERGREEN_MAIL", "8025"),
    Page(
        "serving", "serving", "EVERGREEN_SERVING", "8088",
        "/ready  predictions on request; EVERGREEN_SERVING_TOKEN in .env",
    ),
)  # fmt: skip
LINKED = ("Airflow", "MLflow")
"""Pages to which mails and other pages have links, at the address in ``..._URL``."""


class Failure(Exception):
    """The stack would not do what was asked; the message says what to do next."""


def say(line: str) -> None:
    """Print a line at once, also into a pipe."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


class Compose:
    """The stack of this checkout, as Docker's compose sees it."""

    def __init__(self) -> None:
        if shutil.which("docker") is None:
            raise Failure("docker is missing: install Docker with its compose plugin")
        if not ENV_FILE.exists():
            raise Failure(f"{ENV_FILE} is missing, and nothing here has a default password: run 'make compose-env'")
        if ENV_FILE.stat().st_mode & 0o077:
            raise Failure(f"{ENV_FILE} can be read by others: run 'chmod 600 {ENV_FILE}'")
        plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
        self.command = ["docker", "compose"] if plugin.returncode == 0 else ["docker-compose"]
        if shutil.which(self.command[0]) is None:
            raise Failure("neither 'docker compose' nor 'docker-compose' is there: install one of them")
        self.environment = {**os.environ, "COMPOSE_HTTP_TIMEOUT": os.environ.get("COMPOSE_HTTP_TIMEOUT", "300")}
        self.code_version = os.environ.get("EVERGREEN_CODE_VERSION") or code_version()

    def run(
        self,
        *arguments: str,
        stdin: IO[bytes] | None = None,
        stdout: IO[bytes] | int | None = None,
        check: bool = True,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run one command of compose; Failure if it ends badly."""
        done = subprocess.run(
            [*self.command, *arguments],
            cwd=PROJECT,
            env=self.environment,
            stdin=stdin or subprocess.DEVNULL,
            stdout=stdout,
            check=False,
        )
        if check and done.returncode:
            raise Failure(f"'{' '.join([*self.command, *arguments])}' ended with {done.returncode}; see above")
        return done

    def capture(self, *arguments: str) -> str:
        """Run one command of compose and give what it prints."""
        return self.run(*arguments, stdout=subprocess.PIPE).stdout.decode()

    def once(self, *arguments: str, stdin: IO[bytes] | None = None, stdout: IO[bytes] | None = None) -> None:
        """Run a command in a container of its own, with the image and environment of ``init``."""
        self.run("run", "--rm", "-T", "--no-deps", BUILT, *arguments, stdin=stdin, stdout=stdout)

    def containers(self, *services: str) -> list[dict[str, Any]]:
        """Describe the containers of these services (none named: of all), as ``docker inspect`` does."""
        ids = self.capture("ps", "--all", "--quiet", *services).split()
        if not ids:
            return []
        output = subprocess.run(["docker", "inspect", *ids], capture_output=True, check=True).stdout
        return [
            container
            for container in json.loads(output)
            if container["Config"]["Labels"].get("com.docker.compose.oneoff") != "True"
        ]

    def running(self, *services: str) -> list[str]:
        """Return which of these services run, those that a profile started among them."""
        names = self.capture(*ALL_PROFILES, "ps", "--services", "--filter", "status=running").split()
        return [name for name in services if name in names]

    def wait(self, services: Collection[str] = (), *, seconds: float = START_SECONDS) -> None:
        """Wait until these services are healthy, or have ended well where they are to end; Failure if not.

        What a profile once started, and a person has stopped, is not waited for.
        """
        started, last_line = time.monotonic(), ""
        while True:
            waiting = {}
            for container in self.containers(*services):
                name = container["Config"]["Labels"]["com.docker.compose.service"]
                state = _progress(container)
                if state == "exited" and name in ON_REQUEST and name not in services:
                    continue
                if state == "failed":
                    self.run("logs", "--tail", "40", name, check=False)
                    raise Failure(
                        f"{name} failed; its log is above, and in whole with 'docker logs {container['Name'][1:]}'"
                    )
                if state != "ready":
                    waiting[name] = state
            if not waiting:
                return
            line = ", ".join(f"{name} {state}" for name, state in sorted(waiting.items()))
            if line != last_line:
                say(f"  {time.monotonic() - started:4.0f} s  waiting for {line}")
                last_line = line
            if time.monotonic() - started > seconds:
                raise Failure(f"waited {seconds:.0f} seconds in vain for {line}; look into their logs")
            time.sleep(LOOK_EVERY_SECONDS)


def _progress(container: dict[str, Any]) -> str:
    """Return how far a container has come: ``ready``, ``failed``, or what it still does."""
    state = container["State"]
    if container["Config"]["Labels"]["com.docker.compose.service"] == BUILT:
        if state["Status"] == "exited":
            return "ready" if state["ExitCode"] == 0 else "failed"
        return str(state["Status"])
    if state["Status"] != "running":
        return str(state["Status"])
    health = state.get("Health", {}).get("Status", "healthy")
    return "ready" if health == "healthy" else str(health)


def code_version() -> str:
    """Return the commit that the image is built from, with ``-dirty`` if the checkout differs; empty without Git."""
    described = subprocess.run(
        ["git", "-C", str(PROJECT), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return described.stdout.strip()


def up(stack: Compose) -> None:
    """Build the image, start everything, wait until all of it is healthy, and say where it is."""
    variables = {**env.read(ENV_FILE), **os.environ}
    require_free_ports(variables, running=stack.running(*(page.service for page in PAGES)))
    started = time.monotonic()
    # Not by the environment: docker-compose 1.29 makes containers anew whose arguments of a build differ, and a plain
    # 'docker-compose up' does not have the commit.
    stack.run("build", "--build-arg", f"CODE_VERSION={stack.code_version}", BUILT)
    built = time.monotonic()
    say(f"image built in {built - started:.0f} s")
    stack.run("up", "--detach", "--no-build", "postgres")
    stack.wait(("postgres",), seconds=180)
    stack.run("exec", "-T", "postgres", "sh", DATABASES)
    stack.run("up", "--detach", "--no-build", "--remove-orphans")
    stack.wait()
    say(f"everything is up and healthy after {time.monotonic() - built:.0f} s")
    for line in addresses(variables):
        say(f"  {line}")


def require_free_ports(variables: Mapping[str, str], *, running: Collection[str] = ()) -> None:
    """Raise Failure if another program has the port of a page whose service does not run yet.

    A range of ports, for several containers of a service, is left to Docker.
    """
    bind = variables.get("EVERGREEN_BIND") or "127.0.0.1"
    for page in PAGES:
        port = page.port_in(variables)
        if page.service in running or not port.isdigit():
            continue
        with socket.socket(socket.AF_INET6 if ":" in bind else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((bind, int(port)))
            except OSError as err:
                if err.errno == errno.EADDRINUSE:
                    raise Failure(
                        f"port {port} of {bind}, where {page.name} is to be, is taken by another program: set "
                        f"{page.variable}_PORT in .env to a free one"
                    ) from err


def addresses(variables: Mapping[str, str]) -> list[str]:
    """Return a line for each page, and one for each whose links go elsewhere than where it is."""
    bind = variables.get("EVERGREEN_BIND") or "127.0.0.1"
    host = "localhost" if bind in {"127.0.0.1", "0.0.0.0"} else bind  # noqa: S104  compared with, not bound to
    lines, wrong = [], []
    for page in PAGES:
        here = f"http://{host}:{page.port_in(variables)}"
        url = variables.get(f"{page.variable}_URL")
        lines.append(f"{page.name:8} {(url or here).rstrip('/')}{page.more}")
        linked = f"http://localhost:{page.port}"
        if page.name in LINKED and not url and here != linked:
            wrong.append(f"links to {page.name} go to {linked}: set {page.variable}_URL={here} in .env")
    return [*lines, *wrong]


def demo(stack: Compose) -> None:
    """Bring one whole loop about on the stack that is up, and print what came of it."""
    if not stack.containers("airflow-scheduler"):
        raise Failure("the stack is not up: run 'make compose-up' first")
    stack.once("python", "-m", "deploy.demo")


def down(stack: Compose) -> None:
    """Stop everything; what is kept in volumes stays."""
    stack.run(*ALL_PROFILES, "down", "--remove-orphans")
    say("stopped; the data are still in Docker's volumes ('docker compose down --volumes' removes them too)")


def main(argv: list[str] | None = None) -> int:
    """Do what is asked; a failure is one sentence that names the next move."""
    parser = argparse.ArgumentParser(prog="python3 -m deploy.compose", description=(__doc__ or "").split("\n")[0])
    verbs = {"up": up, "demo": demo, "down": down}
    parser.add_argument("verb", choices=verbs)
    arguments = parser.parse_args(argv)
    try:
        verbs[arguments.verb](Compose())
    except Failure as err:
        sys.stderr.write(f"{err}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
