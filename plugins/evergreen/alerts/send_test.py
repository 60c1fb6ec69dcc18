"""Send a test alert by each channel of a model, and say what each answered.

Nothing goes into the outbox. PagerDuty opens an incident and resolves it. A connection that only Airflow's own
database has is not seen from here: set ``AIRFLOW_CONN_…`` for the command, or run it where tasks run.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ml.records import Alert
    from ml.wiring import Services


def run(names: list[str] | None, *, services: Services) -> dict[str, str]:
    """Send a test alert, and that it is over, by each channel; return what became of it by channel.

    Raises
    ------
    SettingsError
        If a name is not under ``notify.channels``, or not one channel took it.
    """
    from ml.errors import SettingsError

    configured = services.settings.notify.channels
    unknown = sorted({*(names or ())} - {*configured})
    if unknown:
        raise SettingsError(
            f"{', '.join(unknown)}: not under notify.channels of {services.settings.task.name} "
            f"({', '.join(configured) or 'none'})"
        )
    answers = {name: _try(name, services) for name in names or configured}
    failed = [f"{name}: {answer}" for name, answer in answers.items() if answer != "delivered"]
    if failed:
        raise SettingsError("; ".join([*failed, *(f"{n}: delivered" for n, a in answers.items() if a == "delivered")]))
    return answers


def _try(name: str, services: Services) -> str:
    from ml.settings import CHANNELS
    from ml.urls import redact

    try:
        channel = CHANNELS.load(name)()
        for alert in _alerts(services):
            channel.deliver(alert, services, None)
    except Exception as err:  # noqa: BLE001  a channel fails in many ways
        return redact(f"{type(err).__name__}: {err}")
    return "delivered"


def _alerts(services: Services) -> list[Alert]:
    from evergreen.alerts.first_lines import NAME, FirstLines
    from evergreen.alerts.outbox import compose

    at = datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S.%f")
    facts = {
        "what": "Test of a channel", "where": "evergreen notify", "day": "", "errors": [], "failures": [], "links": (),
        "error": "Somebody tries out whether alerts arrive here.",
        NAME: FirstLines("This is a test of the channel", "Nothing is wrong", "Nothing was done", "nothing"),
    }  # fmt: skip
    opened = compose(
        "task_failed", f"test/{at}/opened", "failure", "Test of a channel", facts, services, severity="alarm"
    )
    over = facts | {"error": "The test is over."}
    resolved = compose(
        "task_failed", f"test/{at}/resolved", "failure", "Test of a channel", over, services,
        thread=opened.key, resolves=True,
    )  # fmt: skip
    return [opened, resolved]


def main(argv: list[str] | None = None) -> int:
    """Send a test alert; exit code 0 if every channel took it."""
    from ml.command_line import execute, parser
    from ml.wiring import open_services

    arguments = parser(__doc__)
    arguments.add_argument("channel", nargs="*", help="which channels; without any, all of notify.channels")
    arguments.add_argument("--json", action="store_true", help="print JSON")
    options = arguments.parse_args(argv)
    return execute(lambda: run(options.channel or None, services=open_services()))


if __name__ == "__main__":
    sys.exit(main())
