"""Write down what ``params.yaml`` means, defaults included: what the other stages of ``dvc.yaml`` depend on.

DVC refuses a stage that depends on a key which ``params.yaml`` leaves to its default. Here no key is left out.
"""

from __future__ import annotations

import sys
from typing import Any

from ml.settings import Settings
from ml.steps.command import DVC_WORKSPACE, execute, parser
from ml.urls import redact_all
from ml.wiring import Services, open_services

FILE = "params.json"


def run(*, settings: Settings, services: Services, workspace: str = DVC_WORKSPACE) -> dict[str, Any]:
    """Write all settings to ``params.json`` of a local workspace, and return them."""
    facts: dict[str, Any] = redact_all(settings.model_dump(mode="json"), {})
    services.workspace(workspace).write_json(FILE, facts)
    return facts


def main(argv: list[str] | None = None) -> int:
    """Write the settings into a local workspace; the ``params`` stage of ``dvc.yaml``."""
    arguments = parser(__doc__)
    arguments.add_argument("--workspace", default=DVC_WORKSPACE)
    options = arguments.parse_args(argv)

    def work() -> dict[str, Any]:
        services = open_services()
        return run(settings=services.settings, services=services, workspace=options.workspace)

    return execute(work)


if __name__ == "__main__":
    sys.exit(main())
