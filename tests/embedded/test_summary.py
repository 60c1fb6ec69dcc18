"""The table after a demo, and what counts as a whole loop."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from unittest.mock import create_autospec

import pytest

from embedded.airflow_api import AirflowApi, Run
from embedded.summary import (
    Champion,
    Evidence,
    count_mails,
    drift_sentence,
    local_path,
    missing,
    served_predictions,
    table,
)
from ml.records import Decision, Scoring

DAY = date(2026, 11, 21)
CHAMPION = Champion.read({"version": 1, "metrics": {"log_loss": 0.49, "base_rate_log_loss": 0.56}})


@pytest.fixture
def whole(tmp_path: Path) -> Evidence:
    predictions = tmp_path / "predictions.parquet"
    predictions.write_bytes(b"rows")
    return Evidence(
        runs=tuple(Run(f"churn.{verb}", "r", "success", str(DAY)) for verb in ("ingest", "score", "monitor")),
        champion=CHAMPION,
        scoring=Scoring(day=DAY, version=1, rows=921, mean_prediction=0.2, uri=str(predictions), sha256=""),
        decision=Decision(day=DAY, action="nothing", reasons=("calm",), alarm=False),
        reports=("a.html",),
        mails=2,
    )


def test_a_whole_loop_lacks_nothing_and_its_table_tells_all(whole: Evidence) -> None:
    assert missing(whole) == ()
    text = table(whole, metric="log_loss", parts={"servers": 21.0}, unit="flights")
    for part in ("ingest", "0.490 vs 0.560", "921 flights", "no drift", "a.html", "mails sent", "servers"):
        assert part in text
    assert "\x1b" not in text


def test_a_refit_is_shown_with_what_its_original_was_judged_by() -> None:
    answer = {"version": 2, "judged_version": 1, "metrics": {"log_loss": 0.49, "base_rate_log_loss": 0.56}}
    text = Champion.read(answer).sentence("log_loss")
    assert text == "champion v2: log loss 0.490 vs 0.560 for the base rate, judged as version 1, refitted as 2"
    unmeasured = Champion.read(answer | {"metrics": {}}).sentence("log_loss")
    assert unmeasured == "champion v2, judged as version 1, refitted as 2"


def test_a_champion_that_was_judged_itself_is_told_without_a_word_about_it() -> None:
    answer = {"version": 2, "judged_version": 2, "metrics": {"log_loss": 0.49}}
    assert Champion.read(answer).sentence("log_loss") == "champion v2: log loss 0.490"


def test_whatever_is_missing_is_named(whole: Evidence) -> None:
    assert missing(replace(whole, scoring=None)) == ("score published no predictions",)
    assert missing(replace(whole, decision=None)) == ("monitor returned no decision",)
    assert missing(replace(whole, champion=Champion.read({"version": None}))) == ("no champion",)
    assert missing(replace(whole, runs=whole.runs[:2])) == ("no run of monitor",)
    failed = (replace(whole.runs[0], state="failed"), *whole.runs[1:])
    assert missing(replace(whole, runs=failed)) == ("ingest r is failed",)


def test_staged_predictions_are_none() -> None:
    staged = {
        "day": str(DAY),
        "version": 1,
        "rows": 9,
        "mean_prediction": 0.2,
        "uri": "/staged",
        "sha256": "",
    }
    returned: dict[str, object] = {"resolve": {"version": 1}, "predict": staged}
    api = create_autospec(AirflowApi, instance=True)
    api.tasks.side_effect = lambda _: dict.fromkeys(returned, "success")
    api.returned.side_effect = lambda _, task: returned[task]
    run = Run("churn.score", "r", "success", str(DAY))
    assert served_predictions(api, run) is None
    returned["publish"] = {**staged, "uri": "/served", "published": True}
    served = served_predictions(api, run)
    assert served is not None
    assert served.uri == "/served"


def test_predictions_that_are_not_there_are_missing(whole: Evidence) -> None:
    assert whole.scoring is not None
    Path(whole.scoring.uri).write_bytes(b"")
    assert missing(whole) == (f"no predictions at {whole.scoring.uri}",)


def test_a_retrain_request_is_told_with_its_reasons() -> None:
    decision = Decision(day=DAY, action="retrain", reasons=("dep_delay moved", "age"), alarm=True)
    assert drift_sentence(decision) == "drift; a challenger is requested: dep_delay moved; age"


def test_mails_are_counted_read_or_not(tmp_path: Path) -> None:
    for folder in ("new", "cur", "tmp"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1").write_text("x")
    assert count_mails(tmp_path) == 2
    assert count_mails(tmp_path / "none") == 0


def test_only_local_uris_have_a_path() -> None:
    assert local_path("file:///a%20b") == Path("/a b")
    assert local_path("/a") == Path("/a")
    assert local_path("s3://bucket/a") is None
