"""What docker-compose.yaml promises of each service: health, restarts, limits, closed doors, no secret of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy import compose, env

PROJECT = Path(__file__).resolve().parents[2]
FILE = PROJECT / "docker-compose.yaml"
STANDIN = PROJECT / "tests" / "deploy" / "standin" / "docker-compose.standin.yaml"
PAGES = {"mailpit": "8025", "mlflow": "5000", "airflow-apiserver": "8080", "flower": "5555", "serving": "8088",
         "grafana": "3000"}  # fmt: skip
"""Services with a page for people or an API for programs, and its port."""

TEXT = FILE.read_text(encoding="utf-8")
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]
RUNNING = [name for name in SERVICES if name != compose.BUILT]


@pytest.mark.parametrize("name", RUNNING)
def test_a_service_is_watched_comes_back_and_cannot_take_the_machine(name: str) -> None:
    service = SERVICES[name]
    assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
    assert service["restart"] == "unless-stopped"
    assert service["mem_limit"]
    assert service["logging"]["options"] == {"max-size": "10m", "max-file": "3"}


def test_the_first_start_ends_by_itself_and_has_limits_too() -> None:
    init = SERVICES["init"]
    assert init["restart"] == "no"
    assert init["mem_limit"]
    assert init["logging"]["options"]["max-file"] == "3"


@pytest.mark.parametrize("name", SERVICES)
def test_only_pages_are_published_and_on_this_machine_only(name: str) -> None:
    published = SERVICES[name].get("ports", [])
    assert len(published) == (1 if name in PAGES else 0)
    for port in published:
        assert re.fullmatch(r"\$\{EVERGREEN_BIND:-127\.0\.0\.1\}:\$\{EVERGREEN_\w+_PORT:-\d+\}:" + PAGES[name], port)


@pytest.mark.parametrize("name", [name for name in RUNNING if name.startswith("airflow-") or name == "flower"])
def test_airflow_starts_after_the_first_start_has_ended_well(name: str) -> None:
    assert SERVICES[name]["depends_on"] == {"init": {"condition": "service_completed_successfully"}}


def test_our_containers_have_no_powers_and_no_root() -> None:
    for name in (*compose.OURS, *compose.STREAMING, *compose.CLUSTER, "init", "flower", "metrics"):
        assert SERVICES[name]["cap_drop"] == ["ALL"]
        assert SERVICES[name]["security_opt"] == ["no-new-privileges:true"]
    assert "\nUSER evergreen\n" in (PROJECT / "Dockerfile").read_text(encoding="utf-8")


def test_no_secret_has_a_default() -> None:
    for name in env.DRAWN:
        uses = re.findall(r"\$\{" + name + r"([^}]*)\}", TEXT)
        assert uses, f"nobody asks for {name}"
        allowed = {"", ":-"} if name in env.MAY_BE_EMPTY else {"", ":?is not set. Run 'make compose-env' first"}
        assert set(uses) <= allowed
        assert name in env.MAY_BE_EMPTY or any(":?" in use for use in uses)
    worded = re.findall(r"^ *\w*(?:PASSWORD|SECRET|KEY)\w*: *(\S.*)", TEXT, flags=re.MULTILINE)
    assert [value for value in worded if not value.startswith(("${EVERGREEN_", '"${EVERGREEN_'))] == []


def test_no_variable_is_inside_the_default_of_another() -> None:
    """docker-compose 1.29 ends the default at the first brace, and leaves the rest as it stands."""
    assert re.findall(r"\$\{[^}]*\$\{.*", TEXT) == []


def test_consume_reads_the_stack_s_redis_unless_another_broker_is_named() -> None:
    consume = SERVICES["consume"]
    shell = [part.replace("$$", "$") for part in consume["command"][:4]]
    own = consume["environment"]["STREAM_URL_OF_REDIS"].replace("${EVERGREEN_REDIS_PASSWORD}", "secret")
    for named, read in (("", "redis://:secret@redis:6379/1"), ("kafka://broker:9092", "kafka://broker:9092")):
        environ = {"PATH": os.environ["PATH"], "EVERGREEN_STREAM_URL": named, "STREAM_URL_OF_REDIS": own}
        command = [*shell, "printenv", "EVERGREEN_STREAM_URL"]
        assert subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout.strip() == read


def test_who_logs_in_at_airflow_comes_back_to_the_address_that_they_came_by() -> None:
    """Links in mails need a whole address; the API server's redirects do not, and another port would break them."""
    url = "AIRFLOW__API__BASE_URL"
    assert SERVICES["airflow-apiserver"]["environment"][url] == "${EVERGREEN_AIRFLOW_URL:-/}"
    assert SERVICES["airflow-worker"]["environment"][url] == "${EVERGREEN_AIRFLOW_URL:-http://localhost:8080}"


def test_mlflow_asks_for_a_login_that_tasks_have_and_no_command_line_shows() -> None:
    mlflow, worker = SERVICES["mlflow"], SERVICES["airflow-worker"]["environment"]
    assert mlflow["command"][:7] == [
        "python",
        "-m",
        "deploy.mlflow_login",
        "mlflow",
        "server",
        "--app-name",
        "basic-auth",
    ]
    assert mlflow["environment"]["MLFLOW_AUTH_ADMIN_PASSWORD"] == "${EVERGREEN_MLFLOW_PASSWORD}"
    assert (worker["MLFLOW_TRACKING_USERNAME"], worker["MLFLOW_TRACKING_PASSWORD"][:27]) == (
        mlflow["environment"]["MLFLOW_AUTH_ADMIN_USERNAME"],
        "${EVERGREEN_MLFLOW_PASSWORD",
    )
    assert not any("PASSWORD" in part for service in SERVICES.values() for part in service.get("command", []) if
                   service is not SERVICES["redis"])  # fmt: skip


def test_the_services_are_those_that_the_tools_know() -> None:
    assert set(SERVICES) == {
        *compose.STORES,
        *compose.OURS,
        *compose.METRICS,
        *compose.STREAMING,
        *compose.CLUSTER,
        compose.BUILT,
        "flower",
    }
    on_request = {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service}
    assert set(on_request) == set(compose.ON_REQUEST)
    assert {name for names in on_request.values() for name in names} == set(compose.ALL_PROFILES) - {"--profile"}


@pytest.mark.parametrize("name", ["airflow-apiserver", "airflow-scheduler", "airflow-triggerer"])
def test_airflow_has_the_time_that_it_needs_to_stop(name: str) -> None:
    """Docker kills after 10 seconds; the API server needs 15 on an idle machine."""
    assert int(SERVICES[name]["stop_grace_period"].removesuffix("s")) >= 30


def test_metrics_start_on_request_and_read_what_the_loop_reads() -> None:
    on_request = {name for name, service in SERVICES.items() if "profiles" in service}
    assert on_request == {*compose.METRICS, *compose.STREAMING, *compose.CLUSTER, "flower"}
    exporter, serving = SERVICES["metrics"]["environment"], SERVICES["serving"]["environment"]
    own = {"EVERGREEN_METRICS_TOKEN", "EVERGREEN_SERVING_TOKEN", "EVERGREEN_SERVING_WORKERS"}
    assert {name: value for name, value in exporter.items() if name not in own} == {
        name: value for name, value in serving.items() if name not in own
    }


def test_workers_of_the_cluster_get_its_token_and_no_other_secret() -> None:
    for name in compose.CLUSTER:
        assert re.findall(r"\$\{EVERGREEN_\w+", str(SERVICES[name]["environment"])) == ["${EVERGREEN_CLUSTER_TOKEN"]
    worker = SERVICES["airflow-worker"]["environment"]
    assert worker["RAY_AUTH_TOKEN"].startswith("${EVERGREEN_CLUSTER_TOKEN")
    port = worker["EVERGREEN_CLUSTER_ADDRESS"].removeprefix("${EVERGREEN_CLUSTER_ADDRESS:-ray://ray-head:").rstrip("}")
    assert f"--ray-client-server-port={port}" in SERVICES["ray-head"]["command"]
    assert SERVICES["ray-worker"]["deploy"] == {"replicas": 2}


def test_every_target_of_prometheus_is_a_service_at_the_port_it_listens_on() -> None:
    scraped = yaml.safe_load((PROJECT / "deploy" / "prometheus" / "compose.yml").read_text(encoding="utf-8"))
    targets = {job["job_name"]: job["static_configs"][0]["targets"] for job in scraped["scrape_configs"]
               if "static_configs" in job}  # fmt: skip
    assert targets == {"evergreen-loop": ["metrics:8089"], "mlflow": ["mlflow:5000"], "airflow": ["statsd:9102"]}
    assert SERVICES["metrics"]["command"][-1] == "8089"
    assert "--expose-prometheus" in SERVICES["mlflow"]["command"]
    assert SERVICES["mlflow"]["environment"]["PROMETHEUS_MULTIPROC_DIR"] == SERVICES["mlflow"]["command"][-1]
    replicas = {job["job_name"]: job["dns_sd_configs"] for job in scraped["scrape_configs"] if "dns_sd_configs" in job}
    assert replicas == {
        "evergreen-serving": [{"names": ["serving"], "type": "A", "port": 8088}],
        "evergreen-consume": [{"names": ["consume"], "type": "A", "port": 8087}],
    }
    assert SERVICES["consume"]["command"][-1] == "8087"


def test_airflow_sends_its_metrics_only_where_they_are_taken() -> None:
    worker = SERVICES["airflow-worker"]["environment"]
    assert worker["AIRFLOW__METRICS__STATSD_ON"] == "${EVERGREEN_AIRFLOW_METRICS:-False}"
    assert worker["AIRFLOW__METRICS__STATSD_HOST"] in SERVICES
    assert worker["AIRFLOW__METRICS__LEGACY_NAMES_ON"] == "False"


def test_the_stand_ins_swap_images_and_nothing_else() -> None:
    swapped = yaml.safe_load(STANDIN.read_text(encoding="utf-8"))["services"]
    pulled = {*compose.STORES, "prometheus"}
    assert set(swapped) == {*pulled, compose.BUILT}
    assert {name: set(service) for name, service in swapped.items()} == {
        **{name: {"image"} for name in pulled},
        compose.BUILT: {"build"},
    }


needs_compose = pytest.mark.skipif(
    shutil.which("docker-compose") is None
    and subprocess.run("docker compose version", shell=True, capture_output=True, check=False).returncode != 0,
    reason="compose is not installed",
)


@needs_compose
def test_compose_reads_it_with_keys_and_says_which_are_missing_without(tmp_path: Path) -> None:
    shutil.copytree(PROJECT / "deploy", tmp_path / "deploy")
    shutil.copy(FILE, tmp_path)
    shutil.copy(STANDIN, tmp_path)
    command = ["docker-compose"] if shutil.which("docker-compose") else ["docker", "compose"]
    command += ["-f", "docker-compose.yaml", "-f", STANDIN.name, "config", "--quiet"]

    def config() -> subprocess.CompletedProcess[str]:
        bare = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(tmp_path)}
        return subprocess.run(command, cwd=tmp_path, env=bare, capture_output=True, text=True, check=False)

    refused = config()
    assert refused.returncode != 0
    assert "make compose-env" in refused.stderr
    env.complete(tmp_path / ".env")
    accepted = config()
    assert (accepted.returncode, accepted.stderr) == (0, "")


def test_what_the_image_copies_is_sent_to_its_build() -> None:
    """A file that .dockerignore leaves out ends the build at its COPY, and only where an image is built."""
    sent = {
        line.removeprefix("!")
        for line in (PROJECT / ".dockerignore").read_text("utf-8").split()
        if line.startswith("!")
    }
    copied = re.findall(r"^COPY ([\w.\- ]+) \S+$", (PROJECT / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    named = {name for names in copied for name in names.split()} - {"."}
    assert "requirements-stack.txt" in named
    assert named <= sent
    assert all((PROJECT / name).is_file() for name in named)
