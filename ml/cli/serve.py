"""Answer requests for predictions over HTTP, with the champion of each model, until Ctrl-C."""

from __future__ import annotations

import os
import sys
from typing import Any

from ml.command_line import execute, parser
from ml.errors import SettingsError
from ml.settings import load_models

LOOPBACK = ("127.0.0.1", "::1", "localhost")


def run(
    models: list[str] | None, *, host: str | None, port: int | None, anybody: bool, workers: int | None = None
) -> dict[str, Any]:
    """Serve until stopped; return what was served.

    Raises
    ------
    SettingsError
        If no model can be served, if anybody were let in from other machines, or if there are to be no workers.
    """
    from ml.serving import server

    default_host, default_port = server.address()
    host, port = host or default_host, port or default_port
    if anybody and host not in LOOPBACK:
        raise SettingsError(f"--no-token lets anybody ask, so it is for {LOOPBACK[0]} only, and not for {host}")
    number = server.workers_of() if workers is None else server.counted_workers(workers)
    loaded = load_models(models)
    if not loaded.models:
        raise SettingsError("; ".join(f"{name}: {problem}" for name, problem in loaded.problems.items()))
    token = os.environ.get("EVERGREEN_SERVING_TOKEN", "")
    server.run(loaded, host=host, port=port, token=token, anybody=anybody, workers=number)
    return {"served": [model.name for model in loaded.models], "host": host, "port": port}


def main(argv: list[str] | None = None) -> int:
    """Serve, and print what was served."""
    arguments = parser(__doc__)
    arguments.add_argument("--host", help="the address to listen at (EVERGREEN_SERVING_HOST, 127.0.0.1)")
    arguments.add_argument("--port", type=int, help="the port to listen at (EVERGREEN_SERVING_PORT, 8088)")
    arguments.add_argument(
        "--workers", type=int, metavar="N", help="how many processes answer (EVERGREEN_SERVING_WORKERS, 1)"
    )
    arguments.add_argument("--no-token", action="store_true", help="ask for no token; for 127.0.0.1 only")
    options = arguments.parse_args(argv)
    chosen = options.model or os.environ.get("EVERGREEN_MODEL")
    models = [chosen] if chosen else None
    return execute(
        lambda: run(models, host=options.host, port=options.port, anybody=options.no_token, workers=options.workers)
    )


if __name__ == "__main__":
    sys.exit(main())
