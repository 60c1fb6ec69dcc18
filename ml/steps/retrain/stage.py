"""What the stages of ``dvc.yaml`` after ``pull`` share: they work on a local workspace."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any, Protocol

from ml import own_code
from ml.adapters import code
from ml.command_line import DVC_WORKSPACE, execute, parser
from ml.core.data.arrivals import read_facts
from ml.core.training.lineage import fingerprint
from ml.errors import MissingArtifact
from ml.records import Content, DayFile, Window
from ml.settings import Settings
from ml.wiring import Services, open_services

OWN_FEATURES = "data/own_features.parquet"
"""What ``features.python`` computed for every row of inputs in the window, by its key."""
EARLIER, CONTENT = "data/earlier.parquet", "__content"
"""Labelled rows as they were before a correction, and the column with the md5 of their labels."""


class Run(Protocol):
    """A step that needs nothing but the window before it."""

    def __call__(self, window: Window, *, settings: Settings, services: Services) -> Any:
        """Run the step."""
        ...


def reopen(workspace: str, *, settings: Settings, services: Services) -> Window:
    """Read back the window that `run` wrote to a local workspace, for the stages after it."""
    run_dir = services.workspace(workspace)
    if not run_dir.has("data/window.json"):
        raise MissingArtifact(f"{workspace} holds no pulled window; run 'dvc repro' from its first stage on")
    facts = run_dir.read_json("data/window.json")
    return Window(
        first_day=facts["first_day"],
        last_day=facts["last_day"],
        data_version=run_dir.read_json("version.json")["data_version"],
        fingerprint=fingerprint_of(
            files_of(facts),
            date.fromisoformat(facts["first_day"]),
            settings,
            seen=seen_in(facts),
            excluded=excluded_in(facts),
        ),
        workspace=workspace,
        days=len(facts["days"]),
        rows=facts["rows"],
    )


def files_of(window: Mapping[str, Any]) -> list[DayFile]:
    """Read the days of ``data/window.json`` back; their sizes are not kept there, and are 0."""
    return [
        DayFile(asset=name.split("/")[0], day=name.split("=")[1], md5=md5, bytes=0)
        for name, md5 in window["files"].items()
    ]


def seen_in(window: Mapping[str, Any]) -> tuple[Content, ...]:
    """Read from ``data/window.json`` which labels history features did not see as they are now."""
    return read_facts(window.get("seen", ()))


def excluded_in(window: Mapping[str, Any]) -> tuple[date, ...]:
    """Read from ``data/window.json`` which days lagged target means look back on, and nothing is learned from."""
    return tuple(date.fromisoformat(day) for day in window.get("excluded", ()))


def fingerprint_of(
    files: Iterable[DayFile],
    first_day: date,
    settings: Settings,
    *,
    seen: Sequence[Content] = (),
    excluded: Sequence[date] = (),
) -> str:
    """Name a training by all that determines it, this checkout's code and lock included."""
    return fingerprint(
        files,
        settings,
        first_day=first_day,
        code_sha256=code.code_sha256(),
        lock_sha256=code.lock_sha256(),
        seen=seen,
        own_code=own_code.hashes(settings.code_paths()),
        excluded=excluded,
    )


def stage_main(doc: str | None, run: Run, argv: list[str] | None = None) -> int:
    """Run a step on the workspace that ``--workspace`` names; give its exit code."""
    arguments = parser(doc)
    arguments.add_argument("--workspace", default=DVC_WORKSPACE, help="the folder that 'pull' filled")
    options = arguments.parse_args(argv)

    def work() -> Any:
        services = open_services()
        window = reopen(options.workspace, settings=services.settings, services=services)
        return run(window, settings=services.settings, services=services)

    return execute(work)
