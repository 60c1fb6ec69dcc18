"""Let the data registry and the storage of one task belong to another name, on purpose.

MLflow names its experiments and its registered model by the task: under the new name its history begins anew,
and the old one stays where it is.
"""

from __future__ import annotations

import sys
from typing import Any

from ml.adapters import identity
from ml.adapters.data_registry import DataRegistry
from ml.adapters.storage import open_objects
from ml.command_line import execute, parser
from ml.errors import MissingArtifact, SettingsError
from ml.wiring import Services, open_services


def run(before: str, *, services: Services) -> dict[str, Any]:
    """Hand registry and storage over from ``before`` to the model of the settings; twice does no harm.

    Raises
    ------
    SettingsError
        If either belongs to a task that is neither of the two, or to another environment.
    """
    env, name = services.environment, services.identity
    if before.partition(".")[2] != env.stage:
        raise SettingsError(
            f"{before!r} and {name!r} are of different environments, and a champion of one never serves in another; "
            "correct --from or EVERGREEN_ENV"
        )
    registry = DataRegistry(url=env.registry, remote=env.registry_remote, cache=env.cache)
    storage = open_objects(env.storage)
    owners = {"registry": registry.owner(), "storage": _owner(storage)}
    for store, owner in owners.items():
        if owner not in {None, before, name}:
            raise SettingsError(f"the {store} belongs to task {owner!r}, not to {before!r}; say --from {owner}")
    version = registry.hand_over(name)
    storage.put_bytes(identity.NAME, identity.encode(name))
    return {"from": before, "to": name, "data_version": version}


def _owner(storage: Any) -> str | None:
    try:
        return identity.decode(storage.get_bytes(identity.NAME), storage.root)
    except MissingArtifact:
        return None


def main(argv: list[str] | None = None) -> int:
    """Rename the task, and print the data version that says so."""
    arguments = parser(__doc__)
    arguments.add_argument("--from", dest="before", required=True, help="the name that registry and storage carry now")
    options = arguments.parse_args(argv)
    return execute(lambda: run(options.before, services=open_services()))


if __name__ == "__main__":
    sys.exit(main())
