"""Check the settings of who gets which alerts, by which channels, and of when and how the work is run."""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from pathlib import Path
from pkgutil import iter_modules
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from ml.extensions import ExtensionPoint
from ml.roots import PROJECT_ROOT
from ml.settings.section import Name, Section

MailKind = Literal[
    "drift",
    "decay",
    "data_rejected",
    "labels_in_doubt",
    "task_failed",
    "predictions_late",
    "promoted",
    "held",
    "rolled_back",
    "approval",
    "digest",
]
"""What people are alerted to; each kind may have its own recipients."""


CHANNELS: ExtensionPoint[Any] = ExtensionPoint(
    "evergreen.channels", "channel", "evergreen.alerts.channels:BUILT_IN", "evergreen.alerts.channel:Channel"
)


class Notify(Section):
    """Who is notified of what, and how."""

    channels: tuple[Name, ...] = ("email",)
    """The channels that deliver each alert."""
    channel_kinds: dict[Name, tuple[MailKind, ...]] = Field(default_factory=dict)
    """The only kinds of alerts that a channel delivers, such as ``pagerduty: [decay, task_failed]``; a channel that is
    not named here delivers all.
    """
    connections: dict[Name, Name] = Field(default_factory=dict)
    """Which Airflow connection leads to a channel, such as ``slack: slack_fraud_team``; without one ``slack_default``,
    ``teams_default``, ``pagerduty_default``, ``webhook_default``, and ``smtp_default`` for e-mail.
    """
    to: tuple[Name, ...] = ("ml-team@example.com",)
    """Who gets e-mail."""
    approvers: tuple[Name, ...] = ()
    """Who gets the e-mail that asks for an approval; an empty list for those of ``to``."""
    kinds: dict[MailKind, tuple[Name, ...]] = Field(default_factory=dict)
    """Other recipients than ``to`` for a kind of e-mail; an empty list for nobody."""
    digest: Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"] | None = "monday"
    """On which weekday the week of all models is mailed on one screen, at seven in the morning of ``task.timezone``;
    null for never. One mail an installation: the first of its models that has a weekday sends it, to its recipients.
    """

    @field_validator("channels")
    @classmethod
    def _known_channels(cls, channels: tuple[str, ...]) -> tuple[str, ...]:
        available = channel_names()
        for name in channels:
            if channels.count(name) > 1:
                raise ValueError(f"{name!r} is named twice")
            if available and name not in available:
                raise ValueError(f"{name!r} is not a channel; use any of {', '.join(available)}")
        return channels

    @model_validator(mode="after")
    def _only_used_channels(self) -> Notify:
        for key, names in (("channel_kinds", self.channel_kinds), ("connections", self.connections)):
            for name in names:
                if name not in self.channels:
                    raise ValueError(
                        f"{key} names {name!r}, which is not under channels ({', '.join(self.channels) or 'none'}): "
                        "add it there, or take it out here"
                    )
        return self

    def delivers(self, channel: str, kind: str) -> bool:
        """Return whether a channel delivers alerts of a kind."""
        return channel not in self.channel_kinds or kind in self.channel_kinds[channel]

    def recipients(self, kind: MailKind) -> tuple[str, ...]:
        """Return who gets alerts of ``kind``; empty means nobody."""
        if kind in self.kinds:
            return self.kinds[kind]
        return (self.approvers or self.to) if kind == "approval" else self.to


def channel_names(*, built_in_only: bool = False) -> tuple[str, ...]:
    """Return the names of all channels, nothing of them is imported.

    Empty where the package of the built-in ones is not there: nothing is delivered from such a machine.
    """
    package = PathFinder.find_spec("evergreen", [str(PROJECT_ROOT / "plugins"), *sys.path])
    if package is None or package.submodule_search_locations is None:
        return ()
    folder = [str(Path(location) / "alerts" / "channels") for location in package.submodule_search_locations]
    own = tuple(module.name for module in iter_modules(folder))
    if built_in_only:
        return own
    return (*own, *(name for name in CHANNELS.installed() if name not in own))


def _once_a_day(value: str | None) -> str | None:
    fields = value.split() if value else []
    if value is not None and not (len(fields) == 5 and all(field.isdecimal() for field in fields[:2])):
        raise ValueError(
            f"{value!r} is not a cron expression of five fields with one minute and one hour, such as '30 5 * * 1-5': "
            "a day is ingested once"
        )
    return value


class Schedule(Section):
    """When and how the work of a model is run; none of it changes a result."""

    cron: Annotated[str | None, AfterValidator(_once_a_day)] = None
    """When days are ingested, in ``task.timezone``; null for every day at ``land.due_hour``."""
    owner: Name = "evergreen"
    """Who is responsible, as the pages name it."""
    retries: int = Field(default=2, ge=0, le=20)
    """How often a failed piece of work is tried again."""
    retry_seconds: float = Field(default=20, ge=1, le=86_400)
    """How long the first wait before a retry is; each further one is longer."""
    timeout_minutes: float = Field(default=30, gt=0, le=10_080)
    """After so long a piece of work is stopped."""
    pool: Name = "default_pool"
    """Which of Airflow's pools, each of limited width, its work waits in."""
    priority: int = Field(default=1, ge=1, le=1000)
    """What goes first in its pool: the larger."""


class Engine(Section):
    """Where the parts of a large day are worked on; none of it changes a result."""

    kind: Literal["local", "cluster"] = "local"
    """In the process that works on the day, one part after the other (``local``), or by the workers of a Ray cluster
    (``cluster``), whose address is in ``EVERGREEN_CLUSTER_ADDRESS``; without one Ray is started on this machine.
    """
    rows_per_part: int = Field(default=1_048_576, ge=1)
    """On a cluster, a day of more rows is worked on in parts of about this size, each in the memory of one worker."""


def refuse_early_deadline(due_by: str | None, due_hour: int, schedule: Schedule) -> None:
    """Check that predictions are due after the data of their day are.

    Raises
    ------
    ValueError
        If they are due before: they would be late every day.
    """
    minute, hour = map(int, schedule.cron.split()[:2]) if schedule.cron else (0, due_hour)
    if due_by is not None and due_by <= f"{hour:02d}:{minute:02d}":
        asked = f"schedule.cron is {schedule.cron}" if schedule.cron else f"land.due_hour is {due_hour}"
        raise ValueError(f"score.due_by ({due_by}) is not after the time at which a day is ingested: {asked}")
