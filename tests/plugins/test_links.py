"""Each thing that a task produced has an address, and each address belongs to a link that the task shows."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
from evergreen import link_builder, links

from ml import records

DAY = date(2013, 4, 1)
PLACES = link_builder.LinkBuilder(
    "https://air.test/a", "https://mlflow.test", "s3://bucket/prefix", "flight delays", lambda: "7"
)
HOME = "s3://bucket/prefix/runs/abc"
FILES = "https://air.test/a/evergreen/files/flight%20delays"
PAGE = "https://air.test/a/plugin/evergreen/a/evergreen/#flight%20delays/"
VERDICT = records.Verdict(decision="hold", reasons=(), rulings=())


def scoring(**changed: Any) -> records.Scoring:
    facts: dict[str, Any] = {
        "day": DAY, "version": 3, "rows": 9, "mean_prediction": 0.2, "sha256": "0",
        "uri": "s3://bucket/prefix/predictions/day=2013-04-01/version=3.parquet",
        "report_uri": "s3://bucket/prefix/validation/predictions/day=2013-04-01/version=3.html",
    }  # fmt: skip
    return records.Scoring(**facts | changed)


def judgement(**changed: Any) -> records.Judgement:
    facts: dict[str, Any] = {"fingerprint": "abc", "version": 3, "champion_version": 2, "verdict": VERDICT}
    return records.Judgement(**facts | {"decision_id": "d/1"} | changed)


def test_predictions_lead_to_their_file_their_report_and_their_version() -> None:
    assert links.addresses(scoring(published=True), PLACES) == {
        "Predictions": f"{FILES}/predictions/day=2013-04-01/version=3.parquet",
        "Validation report": f"{FILES}/validation/predictions/day=2013-04-01/version=3.html",
        "Model in Evergreen": f"{PAGE}versions/3",
    }
    assert links.addresses(scoring(published=False), PLACES) == {"Model in Evergreen": f"{PAGE}versions/3"}


def test_a_judgement_leads_to_its_decision_and_its_evidence() -> None:
    assert links.addresses(judgement(), PLACES, HOME) == {
        "Decision": f"{PAGE}decisions/d/1",
        "Model in Evergreen": f"{PAGE}versions/3",
        "Verdict": f"{FILES}/runs/abc/verdict.json",
    }
    assert links.addresses(judgement(version=None, decision_id=None), PLACES) == {}


def test_a_registered_version_leads_to_mlflow_where_mlflow_has_a_page() -> None:
    challenger = records.Challenger(fingerprint="abc", run_id="r1", version=3)
    assert links.addresses(challenger, PLACES) == {
        "MLflow run": "https://mlflow.test/#/experiments/7/runs/r1?workflowType=machine_learning",
        "MLflow model version": "https://mlflow.test/#/models/flight%20delays/versions/3?workflowType=machine_learning",
        "Model in Evergreen": f"{PAGE}versions/3",
    }
    nowhere = link_builder.LinkBuilder("https://air.test/a", "", PLACES.storage, PLACES.model)
    assert links.addresses(challenger, nowhere) == {"Model in Evergreen": f"{PAGE}versions/3"}


def test_rows_set_aside_are_a_link_only_where_there_are_some() -> None:
    kept = "s3://bucket/prefix/validation/inputs/day=2013-04-01/report.html"
    result = records.AssetScreening(
        asset="inputs", day=DAY, rows=9, accepted_rows=9, quarantined_rows=0, report_uri=kept
    )
    aside = result.model_copy(update={"quarantine_uri": "s3://bucket/prefix/quarantine/inputs/day=2013-04-01"})
    clean, dirty = (
        links.addresses(records.Screening(day=DAY, workspace="w", results=(one,)), PLACES) for one in (result, aside)
    )
    assert clean == {"Validation report": f"{FILES}/validation/inputs/day=2013-04-01/report.html"}
    assert dirty == clean | {"Quarantined rows": f"{FILES}/quarantine/inputs/day=2013-04-01/rows.parquet"}


@pytest.mark.parametrize("uri", [None, "/etc/passwd", "s3://bucket/prefixed/x.html", "mlflow-artifacts:/1/x.html"])
def test_what_is_not_in_storage_has_no_address(uri: str | None) -> None:
    assert PLACES.file(uri) == ""


def test_a_name_cannot_leave_its_place_in_an_address() -> None:
    assert PLACES.stored("monitor/day=1/<a> ?#.html") == f"{FILES}/monitor/day=1/%3Ca%3E%20%3F%23.html"


def test_what_the_page_is_sent_to_it_also_serves() -> None:
    from ml.views.page.files import SERVED

    for name in ("data/window.json", "validation/report.html", *(kept for _, kept in links.IN_WORKSPACE.values())):
        assert SERVED.fullmatch(f"runs/abc/{name}"), name
    for name in ("settings.json", "request.json", "data/rows.parquet", "model/pipeline.skops"):
        assert not SERVED.fullmatch(f"runs/abc/{name}"), name


def test_each_kind_of_record_is_one_that_steps_give() -> None:
    for name in (*links.ADDRESSES_OF, *links.IN_WORKSPACE):
        assert issubclass(getattr(records, name), records.Record), name


def test_what_is_left_is_what_a_link_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    left: dict[str, Any] = {}
    instance = SimpleNamespace(
        task_id="publish",
        map_index=-1,
        xcom_push=left.__setitem__,
        xcom_pull=lambda task_ids, key: left.get(key),
    )
    found = [links.Produced(name) for name in links.NAMES["publish"]]
    assert [link.get_link(None, ti_key=instance) for link in found] == ["", "", ""]
    monkeypatch.setattr(link_builder.LinkBuilder, "of", classmethod(lambda cls, services: PLACES))
    links.push_links(instance, scoring(published=True), SimpleNamespace())
    assert [link.get_link(None, ti_key=instance) for link in found] == [
        f"{FILES}/predictions/day=2013-04-01/version=3.parquet",
        f"{FILES}/validation/predictions/day=2013-04-01/version=3.html",
        f"{PAGE}versions/3",
    ]
    links.push_report_link(instance, "s3://bucket/prefix/validation/inputs/day=1/report.html", SimpleNamespace())
    assert found[1].get_link(None, ti_key=instance) == f"{FILES}/validation/inputs/day=1/report.html"


def test_mlflow_is_where_a_browser_reaches_it(monkeypatch: pytest.MonkeyPatch) -> None:
    inside = SimpleNamespace(environment=SimpleNamespace(tracking="http://mlflow:5000/"))
    local = SimpleNamespace(environment=SimpleNamespace(tracking="sqlite:///mlflow.db"))
    assert link_builder.mlflow_url(inside) == "http://mlflow:5000"
    assert link_builder.mlflow_url(local) == ""
    monkeypatch.setenv(link_builder.MLFLOW_URL, "https://mlflow.test/ui/")
    assert link_builder.mlflow_url(inside) == link_builder.mlflow_url(local) == "https://mlflow.test/ui"


@pytest.mark.filterwarnings("ignore")
def test_airflow_shows_the_links_that_have_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.sdk import DAG, get_current_context, task
    from airflow.utils.db import initdb

    from tests.dags.world import World

    @task
    def publish() -> None:
        get_current_context()["ti"].xcom_push(links.PRODUCED, {"Predictions": "https://air.test/a/p.parquet"})

    @task
    def predict(shard: int) -> None:
        links.push_links(get_current_context()["ti"], scoring(published=False, version=shard), SimpleNamespace())

    monkeypatch.setattr(link_builder.LinkBuilder, "of", classmethod(lambda cls, services: PLACES))
    initdb()
    with DAG("flight-delay.score", schedule=None) as dag:
        predict.expand(shard=[3, 4]) >> publish()
    done = links.with_links(dag).test(logical_date=datetime.now(UTC))
    tasks, api = (
        f"/api/v2/dags/flight-delay.score/dagRuns/{quote(done.run_id, safe='')}/taskInstances",
        World(tmp_path).api,
    )
    for index, shard in enumerate((3, 4)):
        of_shard = api.get(f"{tasks}/predict/links", params={"map_index": index}).json()
        assert of_shard["extra_links"] == {links.MODEL: f"{PAGE}versions/{shard}"}
    assert api.get(f"{tasks}/publish/links").json()["extra_links"] == {
        "Predictions": "https://air.test/a/p.parquet",
        "Validation report": None,
        "Model in Evergreen": None,
    }


def test_each_address_in_mlflow_opens_its_view_of_machine_learning() -> None:
    """Without it, MLflow shows what belongs to GenAI applications: no metrics, no models."""
    script = (Path(links.__file__).parent / "page" / "static" / "airflow.js").read_text(encoding="utf-8")
    assert f'const ML_VIEW = "{link_builder.ML_VIEW}";' in script
    lines = [line for line in script.splitlines() if "/#/" in line]
    assert len(lines) == 2
    assert all("${ML_VIEW}`" in line for line in lines)
    assert PLACES.run("r1").endswith(link_builder.ML_VIEW) and PLACES.version(3).endswith(link_builder.ML_VIEW)
