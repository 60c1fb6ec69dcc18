"""Say which model version serves now, since when, and how it did on its holdout."""

from __future__ import annotations

import sys
from typing import Any

from ml.steps.command import execute, parser
from ml.wiring import Services, open_services


def run(*, services: Services) -> dict[str, Any]:
    """Read the ``champion`` alias; ``version`` is None while nothing serves."""
    version = services.tracking.alias("champion")
    if version is None:
        return {"version": None}
    tags = services.tracking.version_tags(version)
    return {
        "version": version,
        "run_id": tags["run_id"],
        "window": [tags.get("window_first_day"), tags.get("window_last_day")],
        "metrics": services.tracking.run_metrics(tags["run_id"]),
    }


def main(argv: list[str] | None = None) -> int:
    """Print the champion as JSON."""
    arguments = parser(__doc__)
    arguments.add_argument("--json", action="store_true", help="the default, and only, form")
    arguments.parse_args(argv)
    return execute(lambda: run(services=open_services()))


if __name__ == "__main__":
    sys.exit(main())
