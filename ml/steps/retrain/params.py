"""Write down what ``params.yaml`` means, defaults included: what the other stages of ``dvc.yaml`` depend on.

DVC refuses a stage that depends on a key which ``params.yaml`` leaves to its default. Here no key is left out.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ml import own_code, yaml_file
from ml.command_line import DVC_WORKSPACE, execute, parser
from ml.errors import SettingsError
from ml.settings import Settings
from ml.urls import redact_all
from ml.wiring import Services, open_services

FILE = "params.json"
RUN_OWN_CODE = ("tune", "fit")
"""The stages that run what an adopter's modules say."""


def run(*, settings: Settings, services: Services, workspace: str = DVC_WORKSPACE) -> dict[str, Any]:
    """Write all settings to ``params.json`` of a local workspace, and return them.

    Raises
    ------
    SettingsError
        If they name a module beside ``params.yaml`` whose changes DVC would not see.
    """
    _refuse_unseen_code(settings, services.environment.params.parent / "dvc.yaml")
    facts: dict[str, Any] = redact_all(settings.model_dump(mode="json"), {})
    services.workspace(workspace).write_json(FILE, facts)
    return facts


def _refuse_unseen_code(settings: Settings, stages: Path) -> None:
    """Raise if a stage that runs an adopter's module does not depend on it in ``dvc.yaml``."""
    modules = [name for top in own_code.hashes(settings.code_paths()) for name in own_code.files(top)]
    if not modules or not stages.is_file():
        return
    declared = yaml_file.parse(stages.read_text(encoding="utf-8")).get("stages", {})
    for stage in ("pull", *RUN_OWN_CODE) if settings.features.python else RUN_OWN_CODE:
        deps = [str(dep) for dep in declared.get(stage, {}).get("deps", ())]
        unseen = [name for name in modules if not any(f"/{dep}".endswith(f"/{name}") for dep in deps)]
        if stage in declared and unseen:
            raise SettingsError(
                f"the stage {stage!r} of {stages} does not depend on {', '.join(unseen)}: 'dvc repro' would not see it "
                "change. Add it to the stage's deps"
            )


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
