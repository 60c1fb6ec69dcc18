"""Print the settings of a model as they count: ``params.yaml``, the overlay of EVERGREEN_ENV, and all defaults."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

from ml.command_line import execute, parser
from ml.settings import Environment, dump, load_model, overlay_path, read
from ml.urls import redact_all


def run(environment: Environment) -> dict[str, Any]:
    """Return the settings, and where they are from.

    Returns
    -------
    dict
        ``model``, ``environment`` (its name, or None), ``params`` and ``overlay`` (paths; the latter may be None),
        ``overlaid`` (the keys that the overlay gives, with the value in ``params.yaml`` and the one that counts), and
        ``settings``, without secrets.

    Raises
    ------
    SettingsError
        If they are wrong; the message names file and key.
    """
    settings = load_model(environment).model_dump(mode="json")
    overlay = overlay_path(environment)
    below = read(environment.params)
    overlaid = {} if overlay is None else {
        ".".join(path): {"params": _at(path, below), "overlay": value} for path, value in _leaves(read(overlay) or {})
    }  # fmt: skip
    return {
        "model": environment.model,
        "environment": environment.stage or None,
        "params": str(environment.params),
        "overlay": None if overlay is None else str(overlay),
        "overlaid": redact_all(overlaid, {}),
        "settings": redact_all(settings, {}),
    }


def _leaves(content: Mapping[str, Any], *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in content.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, *path, str(name))
        else:
            yield (*path, str(name)), value


def _at(path: tuple[str, ...], content: Any) -> Any:
    for name in path:
        content = content.get(name) if isinstance(content, Mapping) else None
    return content


def layout(facts: Mapping[str, Any]) -> str:
    """Lay the settings out as YAML; comments say where they are from."""
    files = " with ".join(path for path in (facts["params"], facts["overlay"]) if path)
    lines = [f"# model {facts['model']}, environment {facts['environment'] or '(none)'}: {files}"]
    lines += [
        f"# {key}: {value['overlay']!r} in place of {value['params']!r}" for key, value in facts["overlaid"].items()
    ]
    return "\n".join(lines) + "\n" + dump(facts["settings"]).rstrip()


def main(argv: list[str] | None = None) -> int:
    """Print the settings as YAML or as JSON, or the reference of all settings as Markdown."""
    arguments = parser(__doc__)
    arguments.add_argument("--json", action="store_true", help="print an object for programs")
    arguments.add_argument(
        "--reference",
        action="store_true",
        help="print instead what settings there are, each with its type, default and purpose (docs/settings.md)",
    )
    options = arguments.parse_args(argv)
    if options.reference:
        from ml.views.settings_reference import reference

        return execute(reference, show=str)
    return execute(lambda: run(Environment.load()), show=None if options.json else layout)


if __name__ == "__main__":
    sys.exit(main())
