"""Build the adapters from settings and environment; nobody else does.

Each adapter is built, and its vendor imported, when it is first asked for: a step pays only for
what it uses.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ml import settings as settings_module
from ml.errors import SettingsError, Unavailable
from ml.settings import DemoSource, Environment, FilesSource, HttpSource, Settings

if TYPE_CHECKING:
    from ml.adapters.contracts import Contracts
    from ml.adapters.journal import Journal
    from ml.adapters.objects import Objects
    from ml.adapters.registry import DataRegistry
    from ml.adapters.sources import Source
    from ml.adapters.tracking import Tracking
    from ml.adapters.workspace import Workspace


@dataclass(frozen=True)
class Services:
    """Everything outside the process that a step may touch."""

    settings: Settings
    environment: Environment

    @cached_property
    def registry(self) -> DataRegistry:
        """Open the data registry (Git and DVC)."""
        from ml.adapters.registry import DataRegistry

        env = self.environment
        return DataRegistry(
            url=env.registry,
            remote=env.registry_remote,
            cache=env.cache,
            head_file=env.home / "data-version",
            task=self.settings.task.name,
        )

    @cached_property
    def storage(self) -> Objects:
        """Open the storage of predictions, reports, quarantine and runs; SettingsError if it is another task's."""
        from ml.adapters.identity import OwnedObjects, check_storage
        from ml.adapters.objects import open_objects

        storage = OwnedObjects(open_objects(self.environment.storage), self.settings.task.name)
        check_storage(storage, self.settings.task.name)
        return storage

    @cached_property
    def contracts(self) -> Contracts:
        """Open the Great Expectations suites."""
        from ml.adapters.contracts import Contracts
        from ml.core.row_checks import used_columns

        return Contracts(self.environment.expectations, self.settings.screen, used_columns(self.settings))

    @cached_property
    def tracking(self) -> Tracking:
        """Open MLflow, where everything is named by the task; SettingsError if the storage is another task's."""
        from ml.adapters.tracking import Tracking

        journal = None
        with suppress(Unavailable):
            journal = self.journal  # whose the storage is shows when it is opened
        return Tracking(self.environment.tracking, self.settings.task.name, self.settings.fit.trusted_types, journal)

    @cached_property
    def journal(self) -> Journal:
        """Open the storage's record of who was promoted."""
        from ml.adapters.journal import Journal

        return Journal(self.storage, self.settings.task.name)

    @cached_property
    def source(self) -> Source:
        """Open the source that ``params.yaml`` names."""
        section = self.settings.source
        if isinstance(section, DemoSource):
            from ml.adapters.sources import demo

            return demo.DemoSource(replay=section.replay)
        if isinstance(section, FilesSource):
            from ml.adapters.sources.files import DatedFiles

            return DatedFiles.from_settings(section)
        if isinstance(section, HttpSource):
            from ml.adapters.sources.http import DatedUrls

            return DatedUrls.from_settings(section)
        raise SettingsError(f"source.kind {section.kind!r} has no adapter")

    def workspace(self, uri: str) -> Workspace:
        """Open the workspace at a URI: a local folder or ``s3://``."""
        from ml.adapters.objects import open_objects
        from ml.adapters.workspace import Workspace

        return Workspace(open_objects(uri))

    def shelf(self, prefix: str) -> Workspace:
        """Open a folder of the storage, for what outlives a run."""
        from ml.adapters.workspace import Workspace

        return Workspace(self.storage, prefix)


def open_services(*, run: str | None = None) -> Services:
    """Load settings and environment and give the services that they describe.

    Parameters
    ----------
    run
        URI of a run's workspace: the settings that its first step pinned are used, so that an edit
        of ``params.yaml`` cannot split a run in two. None reads ``params.yaml``.
    """
    environment = Environment.load()
    if not environment.home.exists():  # before others make it, with what the umask gives to anybody
        from ml.adapters.private import make_private

        make_private(environment.home)
    if run is None:
        return Services(settings_module.load(environment.params), environment)
    from ml.adapters.objects import open_objects
    from ml.adapters.workspace import Workspace

    pinned = Workspace(open_objects(run)).read_json("settings.json")
    return Services(settings_module.parse(pinned, origin=f"{run}/settings.json"), environment)
