"""What is secret in a URL is shown nowhere."""

from __future__ import annotations

import pytest

from ml.errors import DataRejected, EvergreenError, Unavailable
from ml.urls import redact, redact_all, secrets_of, without_secrets

SECRET = "hunter2-secret"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"https://me:{SECRET}@host/r.git", "https://host/r.git"),
        (f"https://{SECRET}@host/r.git", "https://host/r.git"),
        (f"https://me:p%40{SECRET}@host:8443/r.git", "https://host:8443/r.git"),
        (f"ssh://git:{SECRET}@host:22/r.git", "ssh://host:22/r.git"),
        (f"http://host/x?token={SECRET}", "http://host/x?token=***"),
        (
            f"http://host/x/{{day}}?day={{day}}&sig={SECRET}&x-amz={SECRET}",
            "http://host/x/{day}?day={day}&sig=***&x-amz=***",
        ),
        (f"http://host/x?{SECRET}", "http://host/x?***"),
        (f"http://host/x#access_token={SECRET}", "http://host/x"),
        (f"postgresql://mlflow:{SECRET}@db/mlflow", "postgresql://db/mlflow"),
        ("http://host/#/runs/1", "http://host/#/runs/1"),
        ("https://host/x?...", "https://host/x?..."),
        ("git@host:team/data.git", "git@host:team/data.git"),
        ("/srv/a@b/registry.git", "/srv/a@b/registry.git"),
        ("s3://bucket/prefix", "s3://bucket/prefix"),
        ("sqlite:////srv/mlflow.db", "sqlite:////srv/mlflow.db"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert without_secrets(url) == shown
    assert redact(f"git: unable to access '{url}': 403", {}) == f"git: unable to access '{shown}': 403"
    assert redact_all({"source": {"inputs": url, "n": 1}, "list": [url]}, {}) == {
        "source": {"inputs": shown, "n": 1},
        "list": [shown],
    }


@pytest.mark.parametrize("kind", [EvergreenError, Unavailable, DataRejected])
def test_no_error_of_ours_carries_a_secret(kind: type[EvergreenError]) -> None:
    assert SECRET not in str(kind(f"https://me:{SECRET}@host/r.git did not answer; see http://host/x?sig={SECRET}"))


def test_a_secret_of_the_environment_is_cut_wherever_it_stands() -> None:
    environ = {"EVERGREEN_REGISTRY": f"https://me:{SECRET}@host/r.git", "HOME": "/root"}
    assert redact(f"Authentication failed for user me with {SECRET}", environ) == (
        "Authentication failed for user me with ***"
    )


def test_a_secret_is_known_as_written_and_as_decoded() -> None:
    assert secrets_of("https://me:p%40ssw0rd@host/x?day={day}&token=abcdef%2F1") == [
        "abcdef%2F1",
        "p%40ssw0rd",
        "abcdef/1",
        "p@ssw0rd",
    ]


@pytest.mark.parametrize("behind", ["", ":", ", which", "; correct it", ")"])
def test_a_query_that_was_cut_before_stays_as_it_is(behind: str) -> None:
    assert redact(f"http://host/in?...{behind}", {}) == f"http://host/in?...{behind}"
