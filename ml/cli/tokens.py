"""Draw, list and revoke the tokens with which a model may be asked for predictions."""

from __future__ import annotations

import sys
from typing import Any

from ml.command_line import execute, parser
from ml.wiring import Services, open_services


def run(action: str, name: str | None, *, services: Services) -> Any:
    """Do what is asked, and return the token that was drawn, or all names.

    Raises
    ------
    SettingsError
        If the name of a new token is none, or taken.
    MissingArtifact
        If there is no token of that name to be revoked.
    """
    from ml.serving import tokens

    if action == "add" and name:
        return {"name": name, "token": tokens.add(name, services), "model": services.settings.task.name}
    if action == "revoke" and name:
        tokens.revoke(name, services)
        return {"name": name, "revoked": True, "model": services.settings.task.name}
    return {
        token.name: f"added {token.created_at.isoformat(timespec='seconds')}" for token in tokens.recorded(services)
    }


def main(argv: list[str] | None = None) -> int:
    """Print a token once, when it is drawn: the storage keeps its hash only."""
    arguments = parser(__doc__)
    arguments.add_argument("action", choices=["add", "list", "revoke"])
    arguments.add_argument("name", nargs="?", help="the name of the token, such as that of the program that holds it")
    arguments.add_argument("--json", action="store_true", help="print JSON")
    options = arguments.parse_args(argv)
    if (options.name is None) != (options.action == "list"):
        arguments.error("add and revoke need a name, list takes none")
    return execute(lambda: run(options.action, options.name, services=open_services()))


if __name__ == "__main__":
    sys.exit(main())
