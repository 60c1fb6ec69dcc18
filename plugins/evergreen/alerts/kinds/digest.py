"""Mail the week of all models on one screen, once: who serves, how it does, what changed, what waits for a person."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from evergreen.alerts import outbox
from evergreen.alerts.first_lines import NAME, FirstLines

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    from ml.records import Alert
    from ml.wiring import Services

log = logging.getLogger(__name__)
INSTALLATION = "Evergreen"
"""Whose mail it is: that of no single model."""


def alert_digest(now: datetime) -> None:
    """Send the digest of the newest declared weekday, unless it was sent, by the model whose Dag runs."""
    from evergreen.models import current_model
    from ml.wiring import open_services

    mail_digest(now, open_services(model=current_model()))


def mail_digest(now: datetime, services: Services) -> Alert | None:
    """Put the digest that is due at an instant (aware) into the outbox, once; return it.

    Its key follows from the day that it is due on, so that a run which was killed, or comes days late, sends it once.
    None if it was sent, or if nothing had happened before that day: a new installation begins with its first week.
    """
    from ml.adapters import layout
    from ml.core.monitoring import digest
    from ml.settings import configured_models
    from ml.views.digest import of_model

    settings = services.settings
    if settings.notify.digest is None:
        return None
    day = digest.due_day(now, settings.notify.digest, settings.task.timezone)
    if services.storage.exists(layout.alerts.alert(layout.alerts.digest_key(day))):
        log.info("the digest of %s is in the outbox", day)
        outbox.flush(services)
        return None
    week = digest.week_before(day, settings.task.timezone)
    models = [of_model(model, now=now, week=week) for model in configured_models()]
    if not any(model["began"] for model in models):
        log.info("there is no digest of %s: nothing had happened by then", day)
        return None
    alert = compose(day, models, services)
    outbox.enqueue(alert, services)
    return alert


def compose(day: date, models: Sequence[dict[str, Any]], services: Services) -> Alert:
    """Build the alert of a digest; models of which something waits for a person come first."""
    from datetime import timedelta

    from evergreen.alerts.links import installation_link
    from evergreen.link_builder import LinkBuilder
    from ml.adapters import layout
    from ml.core.monitoring import digest

    pages = LinkBuilder.of(services)
    facts = {
        "first_day": day - timedelta(days=digest.DAYS),
        "last_day": day - timedelta(days=1),
        NAME: FirstLines(*digest.first_lines(models)),
        "models": [
            {**model, "page": pages.of_model(model["name"])}
            for model in sorted(models, key=lambda model: (not model["waits"], model["state"] == "calm"))
        ],
    }
    alert = outbox.compose(
        "digest",
        layout.alerts.digest_key(day),
        "digest",
        f"Weekly digest: {digest.headline(models)}",
        facts,
        services,
        day=day,
    )
    return alert.model_copy(update={"model": INSTALLATION, "links": (installation_link(services),)})
