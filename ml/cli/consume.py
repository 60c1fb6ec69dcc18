"""Predict what comes in by a topic of Kafka or a stream of Redis, with the champion of each model, until Ctrl-C."""

from __future__ import annotations

import os
import sys
from typing import Any

from ml.command_line import execute, parser
from ml.errors import SettingsError
from ml.settings import load_models


def run(models: list[str] | None, *, host: str | None, port: int | None) -> dict[str, Any]:
    """Consume until stopped; return what was consumed.

    Raises
    ------
    SettingsError
        If no model can be consumed, if a variable is wrong, or if what reads topics is not installed.
    """
    from ml.serving.streams import places

    loaded = load_models(models)
    if not loaded.models:
        raise SettingsError("; ".join(f"{name}: {problem}" for name, problem in loaded.problems.items()))
    names = [model.name for model in loaded.models]
    chosen = {name: places.StreamPlaces.load(name, of=len(names)) for name in names}
    default_host, default_port = places.address()
    host, port = host or default_host, port or default_port

    from ml.serving.streams import server

    server.run(loaded, chosen, host=host, port=port)
    return {"consumed": names, "host": host, "port": port}


def main(argv: list[str] | None = None) -> int:
    """Consume, and print what was consumed."""
    arguments = parser(__doc__)
    arguments.add_argument("--host", help="where to answer health and metrics (EVERGREEN_STREAM_HOST, 127.0.0.1)")
    arguments.add_argument("--port", type=int, help="the port for that (EVERGREEN_STREAM_PORT, 8087)")
    options = arguments.parse_args(argv)
    named = options.model or os.environ.get("EVERGREEN_MODEL")
    return execute(lambda: run([named] if named else None, host=options.host, port=options.port))


if __name__ == "__main__":
    sys.exit(main())
