"""The weekly digest: one mail an installation and week, whenever the scheduler was up, whatever a model is like."""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from evergreen.alerts.kinds import digest as digest_mail

from ml.core.monitoring import digest
from ml.views import digest as digest_view
from ml.wiring import Services
from tests.dags.postbox import Postbox

MONDAY = date(2026, 11, 23)
MORNING = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAYS: dict[str, Any] = {"missing": [], "rejected": [], "quarantined_rows": 0, "in_doubt": [], "excluded": []}
CALM: dict[str, Any] = {
    "name": "flight-delay",
    "state": "calm",
    "sentence": "Calm: nothing moved, and live performance is as expected",
    "task": {"metric": "log_loss"},
    "champion": {"version": 5, "since": "2026-11-20", "days": 3},
    "performance": {
        "value": 0.48712,
        "low": 0.4701,
        "high": 0.5042,
        "expected": 0.4902,
        "base_rate": 0.5361,
        "status": "fine",
    },
    "metric_label": "log loss",
    "reason": None,
    "happened": [
        {
            "day": "2026-11-19",
            "sentence": "Version 5 was promoted: Gain over the champion in log loss: +0.0041 (95 % interval +0.0012 to "
            "+0.0070, margin −0.0020) on the same 14 days",
        }
    ],
    "counts": {"promotion": 1, "opened": 0, "resolved": 0},
    "days": DAYS,
    "waits": [],
    "began": True,
}
TROUBLED: dict[str, Any] = CALM | {
    "name": "late-shipments",
    "state": "alarm",
    "sentence": "Alarm since 2026-11-18: drift of carrier; a challenger was requested and held",
    "performance": {"value": 0.61, "low": 0.58, "high": 0.64, "expected": 0.52, "base_rate": None, "status": "decay"},
    "happened": [
        {"day": "2026-11-18", "sentence": "Alarm: Drift since 2026-11-18: carrier"},
        {"day": "2026-11-18", "sentence": "A challenger was held: rule 'slices' did not pass"},
    ],
    "counts": {"hold": 1, "opened": 1, "resolved": 0},
    "days": DAYS
    | {
        "missing": ["2026-11-21"],
        "rejected": ["inputs of 2026-11-22"],
        "in_doubt": ["2026-11-20"],
        "quarantined_rows": 1204,
        "excluded": [{"first_day": "2026-11-16", "last_day": "2026-11-17", "reason": "a strike"}],
    },
    "waits": ["labels of 2026-11-20: all labels are the same. Compare them with their source", "Approve version 7?"],
}
BROKEN = digest_view._without(
    digest_view.blank("prices", "misconfigured", "models/prices/params.yaml: task.kind is wrong")
)


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Let the installation's models be these, which a test may change."""
    listed = [deepcopy(CALM), deepcopy(TROUBLED), deepcopy(BROKEN)]
    monkeypatch.setattr("ml.settings.configured_models", lambda: listed)
    monkeypatch.setattr(digest_view, "of_model", lambda model, **_: model)
    return listed


def test_it_goes_out_once_a_week_whenever_somebody_looks(
    postbox: Postbox, services: Services, models: list[dict[str, Any]]
) -> None:
    assert digest_mail.mail_digest(MORNING, services) is not None
    for later in (0, 1, 3, 6):
        assert digest_mail.mail_digest(MORNING + timedelta(days=later), services) is None
    assert len(postbox.messages) == 1
    late = MORNING + timedelta(days=9)  # the scheduler was down on Monday and Tuesday
    assert digest_mail.mail_digest(late, services) is not None
    assert digest_mail.mail_digest(late, services) is None
    assert len(postbox.messages) == 2


def test_killed_before_the_mail_went_out_it_goes_out_later_and_once(
    dead_server: int, services: Services, models: list[dict[str, Any]], request: pytest.FixtureRequest
) -> None:
    digest_mail.mail_digest(MORNING, services)
    postbox: Postbox = request.getfixturevalue("postbox")
    for _ in range(2):
        digest_mail.mail_digest(MORNING + timedelta(days=1), services)
    assert len(postbox.messages) == 1


def test_a_new_installation_waits_for_its_first_week(
    postbox: Postbox, services: Services, models: list[dict[str, Any]]
) -> None:
    models[:] = [CALM | {"began": False}]
    assert digest_mail.mail_digest(MORNING, services) is None
    assert postbox.messages == []


def test_null_is_never(postbox: Postbox, services: Services, models: list[dict[str, Any]]) -> None:
    notify = services.settings.notify.model_copy(update={"digest": None})
    off = Services(services.settings.model_copy(update={"notify": notify}), services.environment)
    assert digest_mail.mail_digest(MORNING, off) is None
    assert postbox.messages == []


def test_its_first_lines_say_what_happened_whether_it_hurts_what_was_done_and_what_to_do(
    postbox: Postbox, services: Services, models: list[dict[str, Any]]
) -> None:
    digest_mail.mail_digest(MORNING, services)
    (mail,) = postbox.messages
    assert mail["Subject"] == "Evergreen: Weekly digest: 1 of 3 models calm, 3 things wait for you"
    text = " ".join(mail.get_body(("plain",)).get_content().split())  # type: ignore[union-attr]
    assert text.startswith(
        "flight-delay is calm; late-shipments is in alarm; prices is misconfigured. Live performance of late-shipments "
        "is below what was expected. In this week 1 challenger was promoted, 1 was held, 1 alarm opened. "
        'What to do: 3 things wait for you (late-shipments 2, prices 1): see "Waits for you" below.'
    )
    html = mail.get_body(("html",)).get_content()  # type: ignore[union-attr]
    for said in (
        "0.4871",
        "0.4701 to 0.5042",
        "expected 0.4902",
        "base rate 0.5361",
        "version 5",
        "a strike",
        "1,204 rows",
        "models/prices",
    ):
        assert said in text.replace("(0.4701", "0.4701") or said in html
        assert said in html
    assert text.index("late-shipments: alarm") < text.index("flight-delay: calm"), "what waits comes first"


@pytest.mark.parametrize(
    ("models", "lines"),
    [
        (
            [CALM],
            (
                "flight-delay is calm.",
                "No measured performance is below what was expected.",
                "In this week 1 challenger was promoted, no alarm opened.",
                "nothing; nothing waits for you.",
            ),
        ),
        (
            [CALM | {"counts": {}}, CALM | {"name": "prices", "counts": {"hold": 2, "resolved": 2}}],
            (
                "All 2 models are calm.",
                "No measured performance is below what was expected.",
                "In this week 2 challengers were held, 2 alarms ended.",
                "nothing; nothing waits for you.",
            ),
        ),
        (
            [CALM | {"state": "unknown", "performance": None, "counts": {}, "waits": ["x"]}],
            (
                "flight-delay is not known to be well.",
                "No performance is measured yet.",
                "In this week no challenger was judged, no alarm opened.",
                '1 thing waits for you: see "Waits for you" below.',
            ),
        ),
    ],
)
def test_the_first_lines_of_calm_and_of_unknown_weeks(models: list[Any], lines: tuple[str, str, str, str]) -> None:
    assert digest.first_lines(models) == lines


@pytest.mark.parametrize(
    ("now", "weekday", "zone", "day"),
    [
        (MORNING, "monday", "UTC", MONDAY),
        (MORNING - timedelta(hours=13), "monday", "UTC", MONDAY - timedelta(days=7)),
        (MORNING - timedelta(hours=13), "monday", "Asia/Tokyo", MONDAY),
        (MORNING, "tuesday", "UTC", MONDAY - timedelta(days=6)),
        (MORNING + timedelta(days=6), "monday", "UTC", MONDAY),
    ],
)
def test_the_day_that_is_due(now: datetime, weekday: str, zone: str, day: date) -> None:
    assert digest.due_day(now, weekday, zone) == day
    start, end = digest.week_before(day, zone)
    assert (start.date(), end.date()) == (day - timedelta(days=7), day)
