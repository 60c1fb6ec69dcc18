"""Give Airflow's users the passwords of the environment; the users of FAB's auth manager, in one process.

``airflow users`` does the same one user at a time, with the password among its arguments, where any process list
shows it.
"""

from __future__ import annotations

import logging
import os
import sys

USERS = (("admin", "Admin"), ("operator", "Op"), ("viewer", "Viewer"))
"""Who may log in, with Airflow's role: ``Op`` may trigger and approve, ``Viewer`` only looks."""

logger = logging.getLogger(__name__)


def main() -> int:
    """Make the users whose password is given, or give them that password and role."""
    logging.basicConfig(level=logging.WARNING)
    from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder
    from airflow.providers_manager import ProvidersManager

    ProvidersManager().initialize_providers_configuration()
    with get_application_builder() as builder:
        manager = builder.sm
        for name, role_name in USERS:
            password = os.environ.get(f"EVERGREEN_{name.upper()}_PASSWORD")
            if not password:
                continue
            user, role = manager.find_user(username=name), manager.find_role(role_name)
            if user is None:
                done = manager.add_user(name, name.capitalize(), "Evergreen", f"{name}@localhost", role, password)
            else:
                done = manager.reset_password(user.id, password)
            if not done:
                sys.stderr.write(f"Airflow's user {name} could not be given a password; see above\n")
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
