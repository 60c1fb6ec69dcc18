"""A task calls a step: its day, its errors, its record."""

from __future__ import annotations

import traceback
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from evergreen import notes, stepping
from pydantic import ValidationError

from ml.errors import DataRejected, EvergreenError, MissingArtifact, SettingsError, Unavailable
from ml.records import Champion

DAG = SimpleNamespace(dag_id="flight-delay.score")


@pytest.fixture(autouse=True)
def of_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process believe that a Dag of the model runs in it."""
    monkeypatch.setattr("evergreen.models.get_current_context", lambda: {"dag": DAG})


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Set the partition key of the run that this process believes to be in."""

    def use(value: object) -> None:
        monkeypatch.setattr(stepping, "get_current_context", lambda: {"partition_key": value, "dag": DAG})

    return use


class Plain(SimpleNamespace):
    def model_dump(self) -> dict[str, Any]:
        return vars(self)


class Settings(SimpleNamespace):
    def __str__(self) -> str:
        return "settings"

    def connections(self) -> tuple[str, ...]:
        return ()


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """Give steps a stand-in for the services; note which workspace's settings were asked for."""
    asked: list[str | None] = []

    def open_services(*, run: str | None = None, model: str | None = None) -> Any:
        assert model == "flight-delay"
        asked.append(run)
        return SimpleNamespace(settings=Settings(source=Plain()), environment=Plain())

    monkeypatch.setattr("ml.wiring.open_services", open_services)
    return asked


def test_the_day_is_the_partition_key(key: Any) -> None:
    key("2013-04-01")
    assert stepping.partition_day() == date(2013, 4, 1)


@pytest.mark.parametrize("value", [None, "", "2013-04", "2013-04-31", "2013-04-01T05:00:00", "today"])
def test_a_key_that_is_no_day_fails_at_once_and_says_what_to_do(key: Any, value: str | None) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    key(value)
    with pytest.raises(AirflowFailException, match="airflow backfill create --dag-id flight-delay.ingest") as failed:
        stepping.partition_day()
    assert repr(value) in str(failed.value)


def test_now_is_aware() -> None:
    assert stepping.now().tzinfo is not None


@pytest.mark.parametrize(
    ("said", "user", "named"),
    [
        ("a person", "anna", "anna"),
        ("a person", None, "a person"),
        ("monitor of 2013-04-01", "anna", "monitor of 2013-04-01"),
    ],
)
def test_who_asks_is_the_user_unless_the_form_names_another(
    monkeypatch: pytest.MonkeyPatch, said: str, user: str | None, named: str
) -> None:
    run = SimpleNamespace(triggering_user_name=user)
    monkeypatch.setattr(stepping, "get_current_context", lambda: {"dag_run": run})
    assert stepping.requester({"requested_by": said}) == named


def test_a_record_is_handed_on_as_plain_facts(services: list[str | None]) -> None:
    def run(day: date, *, settings: Any, services: Any, loud: bool = False) -> Champion:
        return Champion(day=day, version=None, reason=f"{settings} {loud}")

    found = stepping.step(run, date(2013, 4, 1), workspace="/runs/1", loud=True)
    assert found == {"day": "2013-04-01", "version": None, "reason": "settings True", "data_version": None}
    assert services == ["/runs/1"]


def test_what_travelled_as_json_is_read_as_the_type_that_the_step_declares(services: list[str | None]) -> None:
    def run(champion: Champion, *, settings: Any, services: Any) -> Champion:
        assert champion.day == date(2013, 4, 1)
        return champion

    facts = {"day": "2013-04-01", "version": 3, "reason": "promoted", "data_version": None}
    assert stepping.step(run, facts) == facts
    with pytest.raises(ValidationError, match="versoin"):
        stepping.step(run, facts | {"versoin": 4})


@pytest.mark.parametrize("kind", [DataRejected, MissingArtifact, SettingsError, EvergreenError])
def test_what_a_retry_cannot_mend_fails_for_good(kind: type[EvergreenError], services: list[str | None]) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    error = kind("said so")
    with pytest.raises(AirflowFailException, match="^said so$") as failed:
        stepping.step(raising(error))
    assert failed.value.__cause__ is error


def test_what_a_retry_may_mend_is_tried_again(services: list[str | None]) -> None:
    from airflow.sdk.exceptions import AirflowException, AirflowFailException

    with pytest.raises(AirflowException, match="^the store is busy$") as failed:
        stepping.step(raising(Unavailable("the store is busy")))
    assert not isinstance(failed.value, AirflowFailException)


def test_a_fault_of_ours_is_not_dressed_up(services: list[str | None]) -> None:
    with pytest.raises(ZeroDivisionError):
        stepping.step(raising(ZeroDivisionError()))


def test_settings_that_cannot_be_read_fail_for_good(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    monkeypatch.setenv("EVERGREEN_PARAMS", str(tmp_path / "none.yaml"))
    with pytest.raises(AirflowFailException, match="no such file"):
        stepping.step(raising(AssertionError("is never reached")))


def test_a_refusal_is_logged_without_the_code_that_it_came_through(services: list[str | None]) -> None:
    from airflow.sdk.exceptions import AirflowException

    with pytest.raises(AirflowException) as rejected:
        stepping.step(raising(DataRejected("carrier is empty")))
    shown = "".join(traceback.format_exception(rejected.value))
    assert "carrier is empty" in shown
    assert "in run" not in shown
    with pytest.raises(AirflowException) as failed:
        stepping.step(raising(Unavailable("the store is busy")))
    assert "in run" in "".join(traceback.format_exception(failed.value))


@pytest.mark.parametrize("kind", [DataRejected, Unavailable])
def test_what_went_wrong_and_its_report_are_left_for_the_reader(
    kind: type[EvergreenError], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    left: dict[str, Any] = {}
    instance = SimpleNamespace(xcom_push=left.__setitem__)
    monkeypatch.setattr(stepping, "get_current_context", lambda: {"ti": instance})
    monkeypatch.setenv("EVERGREEN_HOME", str(tmp_path))
    error = kind("said so", report_uri=f"{tmp_path}/storage/r.html") if kind is DataRejected else kind("said so")
    with pytest.raises(Exception, match="^said so$"):
        stepping.step(raising(error))
    assert left[notes.NOTE] == "said so"
    reports = list(left.get("produced", {}).values())
    assert [report.rpartition("/evergreen/")[2] for report in reports] == (
        ["files/flight-delay/r.html"] * (kind is DataRejected)
    )


@pytest.mark.parametrize(
    "url", ["https://anna:s3cret-pass@source.test/{day}.csv", "https://anna:s3cret%2Dpass@source.test/{day}.csv"]
)
def test_no_log_shows_the_password_of_a_url_or_of_the_environment(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.sdk._shared.secrets_masker import SecretsMasker

    masker = SecretsMasker()
    monkeypatch.setattr("airflow.sdk.log._secrets_masker", lambda: masker)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the-key-of-the-bucket")
    environment = Plain(tracking="https://evergreen:of-mlflow@mlflow.test", registry="s3://no-user/at@all")
    settings = Settings(source=Plain(kind="http", inputs=url, retries=4))
    stepping.hide_secrets(SimpleNamespace(settings=settings, environment=environment))
    line = f"{url} {environment.tracking} the-key-of-the-bucket s3cret-pass"
    shown = masker.redact(line)
    for secret in ("s3cret", "of-mlflow", "the-key-of-the-bucket"):
        assert secret not in shown
    assert masker.redact(environment.registry) == environment.registry


def raising(error: Exception) -> Any:
    def run(*_: object, **__: object) -> Champion:
        raise error

    return run
