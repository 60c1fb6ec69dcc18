"""List the models of this installation: where their settings are, who serves, and how new their data are."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from ml.cli import champion
from ml.command_line import execute, parser
from ml.errors import EvergreenError
from ml.settings import ConfiguredModel, Environment, configured_models, load_model
from ml.wiring import Services

COLUMNS = ("model", "settings", "champion", "inputs", "labels", "problem")


def run() -> list[dict[str, Any]]:
    """Return one row a model; ``problem`` says what is wrong with one, and is empty if nothing is.

    Returns
    -------
    list of dict
        ``model``, ``settings`` (a path), ``champion`` (a version or None), ``inputs`` and ``labels`` (the newest day in
        the data registry, or None), ``problem``.
    """
    return [_row(model) for model in configured_models()]


def _row(model: ConfiguredModel) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    row |= {"model": model.name, "settings": str(model.params), "problem": model.problem}
    try:
        environment = Environment.load(model=model.name)
        services = Services(load_model(environment), environment)
        if environment.home.exists():
            for asset in ("inputs", "labels"):
                row[asset] = max(map(str, services.registry.days(asset)), default=None)
            row["champion"] = champion.run(services=services)["version"]
    except EvergreenError as err:
        row["problem"] = str(err)
    return row


def layout(rows: list[Mapping[str, Any]]) -> str:
    """Lay the models out as a table; what is wrong with one comes below it."""
    from tabulate import tabulate

    shown = [[row[name] or "none" for name in COLUMNS[:-1]] for row in rows]
    problems = [f"{row['model']}: {row['problem']}" for row in rows if row["problem"]]
    return "\n".join([tabulate(shown, headers=COLUMNS[:-1], tablefmt="plain", disable_numparse=True), *problems])


def main(argv: list[str] | None = None) -> int:
    """Print the list; exit code 0 even if a model has a problem, which is named."""
    arguments = parser(__doc__)
    arguments.add_argument("--json", action="store_true", help="print a list for programs")
    options = arguments.parse_args(argv)
    return execute(run, show=None if options.json else layout)


if __name__ == "__main__":
    sys.exit(main())
