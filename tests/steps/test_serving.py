"""Predictions on request: as the batch has them, by whoever is champion, to whoever has a token."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import warnings
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.adapters import layout
from ml.errors import Unavailable
from ml.records import RollbackRequest
from ml.serving import app, problem_records, request_log, tokens
from ml.serving.following import DISAGREEING_LOOKS, Follower
from ml.serving.served_model import NO_CHAMPION, ServedModel
from ml.settings import Environment
from ml.steps import rollback
from ml.steps.retrain import promote
from ml.views import page as overview
from ml.views.page.cache import MEMORY
from ml.wiring import Services
from tests.steps.conftest import LAST_DAY, NEXT_DAY, Contest, World

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it would rather have a package that FastAPI does not name yet
    from starlette.testclient import TestClient

TOKEN = "of-a-test"


class Asked:
    """A service of one model, followed by hand."""

    def __init__(self, world: World, services: Services | None = None) -> None:
        self.world = world.having(serving={"timeout_seconds": 300})  # on a busy machine too
        self.services = services or self.world.services
        self.model = ServedModel(self.world.settings, self.services, ThreadPoolExecutor(1), ThreadPoolExecutor(1))
        self.follower = Follower(self.model)
        self.client = TestClient(app.build(app.Service({self.model.name: self.model}, {}, token=TOKEN)))
        self.headers = {"Authorization": f"Bearer {TOKEN}"}
        self.follower.look()

    def post(self, rows: list[dict[str, Any]], **options: Any) -> Any:
        path = f"/v1/models/{self.model.name}:predict"
        return self.client.post(path, json={"rows": rows, **options}, headers=self.headers)

    def predict(self, rows: list[dict[str, Any]]) -> list[float]:
        answer = self.post(rows)
        assert answer.status_code == 200, answer.text
        return [row.get("probability", row.get("value")) for row in answer.json()["predictions"]]

    def ready(self) -> dict[str, Any]:
        facts: dict[str, Any] = self.client.get("/ready").json()["models"][self.model.name]
        return facts

    def problems(self) -> list[dict[str, Any]]:
        return problem_records.read(self.services)


def as_records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    plain = frame.astype(object).where(frame.notna(), None)
    return [dict(row) for row in plain.to_dict("records")]


def a_row(world: World) -> dict[str, Any]:
    return as_records(world.held("inputs", LAST_DAY).head(1))[0]


@pytest.fixture
def asked(trained: World) -> Asked:
    return Asked(trained)


@pytest.mark.parametrize("adapt", ["none", "intercept"])
def test_a_whole_day_is_the_same_over_http_and_in_the_batch_bit_for_bit(trained: World, adapt: str) -> None:
    world = trained.having(score={"adapt": adapt})
    world.score(LAST_DAY)
    batch = pd.read_parquet(
        world.home / "storage" / layout.scoring.predictions(LAST_DAY) / layout.scoring.version_table(1)
    )
    rows, service = as_records(world.held("inputs", LAST_DAY)), Asked(world)
    assert service.predict(rows) == batch["prediction"].tolist()
    first = [*range(12), len(rows) - 1]  # a row alone, and in other company, has the same last digit
    assert [service.predict([rows[number]])[0] for number in first] == batch["prediction"].iloc[first].tolist()
    assert service.predict(rows[3:13]) == batch["prediction"].iloc[3:13].tolist()
    decisions = [row["decision"] for row in service.post(rows).json()["predictions"]]
    assert decisions == batch["decision"].tolist()


def test_a_category_that_nobody_has_seen_is_predicted_as_the_batch_does(trained: World) -> None:
    inputs = trained.held("inputs", LAST_DAY).head(9).assign(day=NEXT_DAY.isoformat(), carrier="??")
    trained.put({("inputs", NEXT_DAY): inputs})
    trained.score(NEXT_DAY)
    batch = pd.read_parquet(
        trained.home / "storage" / layout.scoring.predictions(NEXT_DAY) / layout.scoring.version_table(1)
    )
    assert Asked(trained).predict(as_records(inputs)) == batch["prediction"].tolist()


UNFIT: Mapping[str, tuple[dict[str, Any], str, str]] = {
    "text for a number": ({"distance": "far"}, "distance", "a number"),
    "a number for text": ({"carrier": 7}, "carrier", "text"),
    "true for a number": ({"distance": True}, "distance", "a number"),
    "a part of a whole number": ({"clock_minutes": 1.5}, "clock_minutes", "a whole number"),
    "beyond what estimators hold": ({"distance": 1e300}, "distance", "a number"),
    "beyond what the type holds": ({"clock_minutes": 2**70}, "clock_minutes", "a whole number"),
    "no day": ({"day": "yesterday"}, "day", "a day such as"),
    "a lagged target mean": ({"history_all_1d": 0.2}, "history_all_1d", "never sent"),
    "a day of the training": ({"day": "2013-05-20"}, "day", "trained on days up to"),
    "a day to come": ({"day": "2999-01-01"}, "day", "a day up to"),
}


@pytest.mark.parametrize("case", UNFIT)
def test_an_unfit_value_is_refused_with_its_column_row_and_what_was_expected(asked: Asked, case: str) -> None:
    changes, column, expected = UNFIT[case]
    good = a_row(asked.world)
    answer = asked.post([good, {**good, **changes}])
    assert answer.status_code == 422
    (problem,) = answer.json()["problems"]
    assert problem["column"] == column and expected in problem["expected"]
    assert problem["row"] in (1, None)


def test_a_column_that_is_left_out_is_named_and_null_is_a_value(asked: Asked) -> None:
    good = a_row(asked.world)
    lacking = {name: value for name, value in good.items() if name != "humid"}
    answer = asked.post([lacking])
    assert answer.status_code == 422
    assert answer.json()["problems"] == [{"column": "humid", "row": 0, "expected": "a value: a number or null"}]
    assert len(asked.predict([{**good, "humid": None}])) == 1


@pytest.mark.parametrize(
    ("content", "status"),
    [(b"{", 400), (b"NaN", 400), (b"", 422), (b'{"rows": 3}', 422), (b'{"rows": [3]}', 422), (b'{"rows": []}', 200)],
)
def test_a_body_that_is_no_request_is_refused(asked: Asked, content: bytes, status: int) -> None:
    path = f"/v1/models/{asked.model.name}:predict"
    answer = asked.client.post(path, content=content, headers=asked.headers | {"Content-Type": "application/json"})
    assert answer.status_code == status, answer.text


def test_too_many_rows_and_too_many_bytes_are_refused(trained: World) -> None:
    service = Asked(trained.having(serving={"max_rows": 2, "max_body_megabytes": 0.002}))
    row = a_row(trained)
    assert service.post([row] * 3).status_code == 413
    assert service.post([{**row, "carrier": "x" * 3000}]).status_code == 413


def test_clients_of_mlflows_server_are_answered_in_its_forms(asked: Asked) -> None:
    frame = asked.world.held("inputs", LAST_DAY).head(3)
    expected = asked.predict(as_records(frame))
    split = {"columns": list(frame), "data": [list(row.values()) for row in as_records(frame)]}
    columns = {name: [row[name] for row in as_records(frame)] for name in frame}
    for body in (
        {"dataframe_split": split},
        {"dataframe_records": as_records(frame)},
        {"inputs": columns},
        {"inputs": as_records(frame)},
        {"instances": as_records(frame)},
    ):
        answer = asked.client.post("/invocations", json=body, headers=asked.headers)
        assert [row[1] for row in answer.json()["predictions"]] == expected
    assert asked.client.post("/invocations", json={"rows": []}, headers=asked.headers).status_code == 422


def test_contributions_add_up_to_what_the_model_says(asked: Asked) -> None:
    rows = as_records(asked.world.held("inputs", LAST_DAY).head(5))
    answer = asked.post(rows, contributions=True).json()["predictions"]
    assert [len(row["contributions"]) for row in answer] == [3] * 5
    serving = asked.model.serving
    assert serving is not None
    day = serving.lookup.open(LAST_DAY, today=asked.model.today())
    table = day.served.scorer(None).columns
    assert set(table) <= set(day.served.types)
    held = day.scorer.matrix(_table(asked, rows))
    shares = day.served.explanations.of(held, np.array(asked.predict(rows)))
    logits = np.log(np.array(asked.predict(rows)) / (1 - np.array(asked.predict(rows))))
    differences = logits - shares.sum(axis=1).to_numpy()
    assert np.allclose(differences, differences[0])
    largest = shares.iloc[0].abs().nlargest(3).index.tolist()
    assert [part["column"] for part in answer[0]["contributions"]] == largest


def _table(asked: Asked, rows: list[dict[str, Any]]) -> Any:
    from ml.serving.request_rows import as_table

    assert asked.model.serving is not None
    served = asked.model.serving.served
    return as_table(rows, served.types, needed=served.needed, today=LAST_DAY, computed=set())


def _serving(seeded: World, estimator: str, **fit: Any) -> tuple[World, Asked]:
    ranks = {"ranks": {"kind": "bound", "metric": "roc_auc", "at_least": 0.3}}
    fit = {"estimator": estimator, "encoding": "ordinal", **fit}
    world = seeded.having(fit=fit, gate={"rules": ranks}, retrain={"refit": "never"})
    assert world.retrain().promoted
    return world, Asked(world)


def test_trees_answer_as_the_batch_does_and_divide_their_logits_once_asked(seeded: World) -> None:
    trees = "sklearn.ensemble.HistGradientBoostingClassifier"
    world, service = _serving(seeded, trees, args={"max_iter": 5})
    world.score(LAST_DAY)
    rows = as_records(world.held("inputs", LAST_DAY))
    batch = pd.read_parquet(
        world.home / "storage" / layout.scoring.predictions(LAST_DAY) / layout.scoring.version_table(1)
    )
    assert service.predict(rows) == batch["prediction"].tolist()
    assert service.model.serving is not None
    explanations = service.model.serving.served.explanations
    assert not explanations.is_made, "shap is imported for those only who ask for contributions"
    answer = service.post(rows[:5], contributions=True)
    assert answer.status_code == 200, answer.text
    assert explanations.is_made and explanations.seconds_a_row > 0
    predictions = answer.json()["predictions"]
    assert [row["probability"] for row in predictions] == batch["prediction"].tolist()[:5]
    day = service.model.serving.lookup.open(LAST_DAY, today=service.model.today())
    shares = explanations.of(day.scorer.matrix(_table(service, rows[:5])), batch["prediction"].to_numpy()[:5])
    chances = batch["prediction"].to_numpy()[:5]
    apart = np.log(chances / (1 - chances)) - shares.sum(axis=1).to_numpy()
    assert np.allclose(apart, apart[0])
    for row, (_, parts) in zip(predictions, shares.iterrows(), strict=True):
        assert [part["column"] for part in row["contributions"]] == parts.abs().nlargest(3).index.tolist()


def test_contributions_that_would_take_too_long_are_refused_with_how_many_rows_may_be_asked(seeded: World) -> None:
    world, service = _serving(seeded, "sklearn.tree.DecisionTreeClassifier", args={"max_depth": 3})
    rows = as_records(world.held("inputs", LAST_DAY))
    assert service.post(rows[:1], contributions=True).status_code == 200
    assert service.model.serving is not None
    explanations = service.model.serving.served.explanations
    explanations.seconds_a_row = 0.9  # the limit of this service is 300 s
    answer = service.post(rows[:200], contributions=True)
    assert answer.status_code == 422 and "at most 166 rows" in answer.json()["error"]
    assert service.post(rows[:3], contributions=True).status_code == 200
    explanations.seconds_a_row = 2.0
    answer = service.post(rows[:1], contributions=True)
    assert answer.status_code == 422 and "no contributions" in answer.json()["error"]
    assert service.post(rows[:1]).status_code == 200


def test_contributions_of_a_model_that_is_no_sum_are_refused(seeded: World) -> None:
    world, service = _serving(seeded, "sklearn.naive_bayes.GaussianNB", args={})
    answer = service.post(as_records(world.held("inputs", LAST_DAY))[:1], contributions=True)
    assert answer.status_code == 422 and "no contributions" in answer.json()["error"]


def test_without_the_package_shap_contributions_are_refused_and_predictions_answered(
    seeded: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, service = _serving(seeded, "sklearn.tree.DecisionTreeClassifier", args={"max_depth": 3})
    monkeypatch.setitem(sys.modules, "shap", None)
    rows = as_records(world.held("inputs", LAST_DAY))[:1]
    answer = service.post(rows, contributions=True)
    assert answer.status_code == 422 and "requirements.txt" in answer.json()["error"]
    assert service.post(rows).status_code == 200


# --- labels that are not there yet -----------------------------------------------------------------


def test_a_day_whose_partition_is_not_there_yet_is_refused_or_marked_as_provisional(trained: World) -> None:
    row = {**a_row(trained), "day": NEXT_DAY.isoformat()}
    answer = Asked(trained).post([row])
    assert answer.status_code == 503 and answer.headers["Retry-After"] == "60"
    assert NEXT_DAY.isoformat() in answer.json()["error"]
    service = Asked(trained.having(serving={"missing_labels": "flag"}))
    provisional = service.post([row]).json()
    assert provisional["provisional"] is True
    trained.ingest(NEXT_DAY)
    service.follower.look()
    final = service.post([row]).json()
    assert "provisional" not in final
    assert final["predictions"] != provisional["predictions"]  # with the labels of the day before


# --- who may ask -----------------------------------------------------------------------------------


def test_nobody_is_answered_without_a_token_and_a_revoked_one_opens_nothing(asked: Asked) -> None:
    row, path = a_row(asked.world), f"/v1/models/{asked.model.name}:predict"
    token = tokens.add("laptop", asked.services)
    assert token not in "".join(path.read_text() for path in (asked.world.home / "storage/serving").rglob("*.json"))
    with_token = {"Authorization": f"Bearer {token}"}
    assert asked.client.post(path, json={"rows": [row]}, headers=with_token).status_code == 401
    asked.follower.look()
    assert asked.client.post(path, json={"rows": [row]}, headers=with_token).status_code == 200
    assert asked.client.post(path, json={"rows": [row]}).status_code == 401
    assert asked.client.post("/v1/models/other:predict", json={"rows": [row]}, headers=with_token).status_code == 401
    assert asked.client.get("/openapi.json").status_code == 401
    tokens.revoke("laptop", asked.services)
    asked.follower.look()
    answer = asked.client.post(path, json={"rows": [row]}, headers=with_token)
    assert answer.status_code == 401 and answer.headers["WWW-Authenticate"] == "Bearer"


def test_more_requests_than_a_token_may_make_are_refused(trained: World) -> None:
    service = Asked(trained.having(serving={"requests_per_second": 0.01}))
    row = a_row(trained)
    assert service.post([row]).status_code == 200
    answer = service.post([row])
    assert answer.status_code == 429 and int(answer.headers["Retry-After"]) > 50


def test_the_description_has_the_models_own_columns_and_an_example_that_works(asked: Asked) -> None:
    described = asked.client.get("/openapi.json", headers=asked.headers).json()
    ((path, answer),) = described["paths"].items()
    schema = answer["post"]["requestBody"]["content"]["application/json"]["schema"]
    row = schema["properties"]["rows"]["items"]["properties"]
    assert row["carrier"] == {"type": ["string", "null"]} and row["clock_minutes"] == {"type": ["integer", "null"]}
    (example,) = schema["examples"]
    assert asked.client.post(path, json=example, headers=asked.headers).status_code == 200


# --- following the champion ------------------------------------------------------------------------


def test_a_promotion_and_a_rollback_are_followed_without_a_refused_request(contest: Contest) -> None:
    world = contest.world
    service, row = Asked(world), a_row(world)
    first = service.post([row]).json()
    assert first["version"] == 1
    assert world.run(promote, contest.window, contest.judgement).promoted
    assert service.post([row]).json()["version"] == 1  # until the service has looked
    service.follower.look()
    second = service.post([row]).json()
    assert second["version"] == service.ready()["version"] == world.run_champion()["version"] != 1
    assert second["predictions"] != first["predictions"]
    world.run(rollback, RollbackRequest(to_version=1, requested_by="a test", reason="to see"))
    service.follower.look()
    assert service.post([row]).json()["predictions"] == first["predictions"]


def test_a_version_that_cannot_be_loaded_leaves_the_old_one_and_is_recorded_until_it_can(contest: Contest) -> None:
    world = contest.world
    service, row = Asked(world), a_row(world)
    assert world.run(promote, contest.window, contest.judgement).promoted
    version = world.run_champion()["version"]
    files = [path for path in (world.home / "mlflow").rglob("model.skops")]
    recorded = json.loads(next((world.home / f"storage/promoted/version={version}").glob("*.json")).read_text())
    contents = {path: path.read_bytes() for path in files}
    from ml.adapters.rows import sha256

    bad = [path for path in files if sha256(path) == recorded["model_sha256"]]
    assert bad
    for path in bad:
        path.write_bytes(contents[path][:-20])
    for _ in range(2):
        service.follower.look()
    assert service.post([row]).json()["version"] == 1
    (problem,) = service.problems()
    assert problem["version"] == version and problem["serving_version"] == 1
    assert f"version {version}" in service.ready()["problem"]
    for path in bad:
        path.write_bytes(contents[path])
    service.follower._failed = None  # its half minute is over
    service.follower.look()
    assert service.post([row]).json()["version"] == version
    assert service.problems() == [] and "problem" not in service.ready()


def test_an_alias_that_was_moved_by_hand_is_not_followed(contest: Contest) -> None:
    world = contest.world
    service = Asked(world)
    world.services.tracking.move_alias("champion", 2)
    for _ in range(DISAGREEING_LOOKS - 1):
        service.follower.look()
    assert service.problems() == []
    service.follower.look()
    assert service.ready()["version"] == 1
    (problem,) = service.problems()
    assert "by the decisions version 1 serves" in problem["problem"]


def test_without_mlflow_the_version_that_served_last_answers_and_ready_says_so(trained: World) -> None:
    row = a_row(trained)
    before = Asked(trained).predict([row])
    services = _without_mlflow(trained)
    again = Asked(trained, services)
    assert again.predict([row]) == before
    assert again.ready()["from_copy"] is True and "MLflow does not answer" in again.ready()["problem"]
    copy = next((trained.home / "serving").glob("version=*/model.skops"))
    copy.write_bytes(copy.read_bytes() + b"x")
    assert Asked(trained, _without_mlflow(trained)).ready()["ready"] is False


def test_what_answers_goes_on_while_mlflow_and_storage_are_away_and_nothing_of_it_is_lost(trained: World) -> None:
    service, row = Asked(trained), a_row(trained)
    before = service.predict([row])

    class Away:
        def __getattr__(self, name: str) -> Any:
            raise Unavailable("it did not answer")

    assert service.model.log.services is service.services
    there = {name: service.services.__dict__[name] for name in ("tracking", "storage")}
    service.services.__dict__.update(dict.fromkeys(there, Away()))
    service.follower.look()
    assert service.predict([row]) == before and service.ready()["version"] == 1
    service.model.log.flush()
    service.services.__dict__.update(there)
    service.follower.look()
    service.predict([row])
    service.model.log.flush()
    assert len(request_log.read(service.services, LAST_DAY)) == 3
    assert service.ready() == Asked(trained).ready()


def test_a_request_that_takes_too_long_is_given_up_and_the_next_one_is_answered(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = asked.predict([a_row(asked.world)])

    async def endless(*_: Any, **__: Any) -> Any:
        await asyncio.sleep(60)

    with monkeypatch.context() as patch:
        patch.setattr(asked.model, "own", asked.model.own.model_copy(update={"timeout_seconds": 0.1}))
        patch.setattr(asked.model, "answer", endless)
        late = asked.post([a_row(asked.world)])
    assert late.status_code == 503 and "no answer in time" in late.json()["error"] and late.headers["Retry-After"]
    assert asked.predict([a_row(asked.world)]) == before


def test_without_mlflow_and_without_a_copy_nobody_answers(trained: World) -> None:
    service = Asked(trained, _without_mlflow(trained))
    assert service.client.get("/ready").status_code == 503
    assert service.client.get("/live").status_code == 200
    assert service.post([a_row(trained)]).status_code == 503


def test_a_model_without_a_champion_is_not_ready(seeded: World) -> None:
    service = Asked(seeded)
    assert service.ready() == {"ready": False, "reason": NO_CHAMPION}
    assert service.client.get("/ready").status_code == 503


def test_a_model_that_is_broken_stops_no_other(trained: World) -> None:
    both = Asked(trained)
    client = TestClient(app.build(app.Service({both.model.name: both.model}, {"other": "is wrong"}, token=TOKEN)))
    assert client.get("/ready").json()["models"]["other"] == {"ready": False, "reason": "is wrong"}
    assert client.get("/ready").status_code == 200
    assert client.post("/v1/models/other:predict", json={}, headers=both.headers).status_code == 503


def _without_mlflow(world: World) -> Services:
    """Give services whose MLflow does not answer."""
    environment = Environment.load(world.environ)
    services = Services(world.settings, environment)

    class Down:
        def __getattr__(self, name: str) -> Any:
            raise Unavailable("MLflow did not answer")

    services.__dict__["tracking"] = Down()
    return services


# --- the request log -------------------------------------------------------------------------------


def test_every_row_is_in_the_log_with_key_time_version_and_answer(asked: Asked) -> None:
    frame = asked.world.held("inputs", LAST_DAY).head(7)
    predictions = asked.predict(as_records(frame))
    asked.model.log.flush()
    logged = request_log.read(asked.services, LAST_DAY)
    key = list(asked.world.settings.task.key)
    pd.testing.assert_frame_equal(logged[key], frame[key], check_dtype=False)
    assert logged["prediction"].tolist() == predictions
    assert set(logged["model_version"]) == {1}
    assert logged["distance"].tolist() == frame["distance"].tolist()
    assert logged["requested_at"].notna().all()


def test_the_page_counts_requests_rows_versions_and_times_of_the_log(asked: Asked) -> None:
    MEMORY.forget()
    assert "No prediction was asked for" in overview.served(asked.services)["hint"]
    rows = as_records(asked.world.held("inputs", LAST_DAY).head(9))
    asked.predict(rows[:7])
    asked.model.log.flush()
    asked.predict(rows[7:])
    asked.predict(rows[:1])
    asked.model.log.flush()
    asked.post([{**rows[0], "distance": "far"}])  # refused, so not in the log
    asked.model.log.flush()
    MEMORY.forget()
    facts = overview.served(asked.services)
    refused, day = facts["days"]
    assert (refused["requests"], refused["rows"], refused["refused"]) == (0, 0, {"422": 1}), "on the day it came"
    assert (day["day"], day["requests"], day["rows"], day["refused"]) == (LAST_DAY.isoformat(), 3, 10, {})
    assert day["versions"] == [{"version": 1, "rows": 10}]
    assert 0 < day["seconds"]["median"] <= day["seconds"]["p99"]
    logged = request_log.read(asked.services, LAST_DAY)
    assert day["last_at"] == logged["requested_at"].max().isoformat()
    assert (facts["hint"], facts["problems"], facts["log_share"], facts["older_days"]) == (None, [], 1.0, 0)


def test_a_part_that_cannot_be_read_leaves_its_day_uncounted(asked: Asked) -> None:
    asked.predict([a_row(asked.world)])
    asked.model.log.flush()
    asked.services.storage.put_bytes(layout.serving.request_part(LAST_DAY, "damaged", 3), b"PAR")
    asked.services.storage.put_bytes(layout.serving.serving_problem("0" * 64), b"{")
    MEMORY.forget()
    facts = overview.served(asked.services)
    assert [(day["day"], day["rows"], day["requests"]) for day in facts["days"]] == [(str(LAST_DAY), None, None)]
    assert facts["problems"] == []


def test_no_more_of_the_log_is_read_than_a_page_may_wait_for(asked: Asked, monkeypatch: Any) -> None:
    asked.predict([a_row(asked.world)])
    asked.model.log.flush()
    asked.services.storage.put_bytes(layout.serving.request_part("2013-01-02", "old", 10**9), b"never read")
    MEMORY.forget()
    facts = overview.served(asked.services)
    assert [(day["day"], day["rows"]) for day in facts["days"]] == [(str(LAST_DAY), 1), ("2013-01-02", None)]
    assert overview.served(asked.services, days=1)["older_days"] == 1


def test_a_part_that_the_storage_does_not_take_waits_on_this_machine(asked: Asked, monkeypatch: Any) -> None:
    asked.predict([a_row(asked.world)])
    storage = asked.services.storage

    def down(*_: Any) -> str:
        raise Unavailable("the storage did not answer")

    with monkeypatch.context() as patched:
        patched.setattr(type(storage), "put_bytes", down)
        patched.setattr(type(storage), "put_file", down)
        asked.model.log.stop()
    assert request_log.read(asked.services, LAST_DAY).empty
    assert len(list((asked.world.home / "serving/unsent").glob("*.parquet"))) == 1
    Asked(asked.world).model.log.flush()  # as the next process does
    assert len(request_log.read(asked.services, LAST_DAY)) == 1
    assert list((asked.world.home / "serving/unsent").glob("*")) == []


def test_the_log_keeps_a_share_by_key_and_no_more_than_its_megabytes(trained: World) -> None:
    service = Asked(trained.having(serving={"log_share": 0.3, "log_megabytes": 0.05}))
    rows = as_records(trained.held("inputs", LAST_DAY))
    service.predict(rows)
    service.model.log.flush()
    kept = len(request_log.read(service.services, LAST_DAY))
    assert 0.2 * len(rows) < kept < 0.4 * len(rows)
    for _ in range(12):
        service.predict(rows)
        service.model.log.flush()
    service.model.log._prune()
    names = service.services.storage.list(layout.serving.REQUESTS)
    sizes = [service.services.storage.size(name) for name in names]
    assert 1 <= len(names) < 13 and sum(sizes) <= 50_000


def test_a_process_that_is_told_to_stop_writes_what_waits(trained: World) -> None:
    from ml.serving import server
    from ml.settings import LoadedModel, LoadedModels

    world = trained.having(serving={"log_seconds": 3600, "poll_seconds": 600})
    os.environ.update(world.environ)
    name = world.settings.task.name
    service = server.service_of(LoadedModels((LoadedModel(name, world.settings),)), anybody=True)
    with TestClient(server.application(service)) as client:
        for _ in range(600):
            if service.models[name].serving is not None:
                break
            service.models[name].log._wake.wait(0.05)
        answer = client.post(f"/v1/models/{name}:predict", json={"rows": [a_row(world)]})
        assert answer.status_code == 200, answer.text
        metrics = client.get("/metrics").text
        assert f'evergreen_serving_model_version{{model="{name}"}} 1.0' in metrics
        assert "process_resident_memory_bytes" in metrics
    assert len(request_log.read(world.services, LAST_DAY)) == 1


def test_many_requests_of_a_day_that_nobody_has_looked_up_wait_for_it_together(asked: Asked) -> None:
    row, path = a_row(asked.world), f"/v1/models/{asked.model.name}:predict"
    with asked.client as client, ThreadPoolExecutor(20) as pool:
        asks = [pool.submit(client.post, path, json={"rows": [row]}, headers=asked.headers) for _ in range(20)]
        assert {ask.result().status_code for ask in asks} == {200}
