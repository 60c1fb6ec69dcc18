"""Build the adapters from settings and environment; nobody else does.

Each adapter is built, and its vendor imported, when it is first asked for: a step pays only for
what it uses.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ml import own_code
from ml import settings as settings_module
from ml.errors import Unavailable
from ml.settings import Environment, Settings

if TYPE_CHECKING:
    from ml.adapters.champion_changes import Journal
    from ml.adapters.contracts import Contracts
    from ml.adapters.data_registry import DataRegistry
    from ml.adapters.engine import Engine
    from ml.adapters.sources import Source
    from ml.adapters.storage import Objects
    from ml.adapters.tracking import Tracking
    from ml.adapters.workspace import Workspace


@dataclass(frozen=True)
class Services:
    """Everything outside the process that a step may touch."""

    settings: Settings
    environment: Environment

    def __post_init__(self) -> None:
        own_code.use(self.environment.params.parent)

    @property
    def identity(self) -> str:
        """Name whose data, models and decisions these are: the model, and its environment if that has a name.

        Two environments may share servers: a champion of one never serves in the other.
        """
        stage = self.environment.stage
        return f"{self.settings.task.name}.{stage}" if stage else self.settings.task.name

    @cached_property
    def registry(self) -> DataRegistry:
        """Open the data registry (Git and DVC)."""
        from ml.adapters.data_registry import DataRegistry

        env = self.environment
        return DataRegistry(
            url=env.registry,
            remote=env.registry_remote,
            cache=env.cache,
            head_file=env.home / "data-version",
            task=self.identity,
        )

    @cached_property
    def storage(self) -> Objects:
        """Open the storage of predictions, reports, quarantine and runs; SettingsError if it is another task's."""
        from ml.adapters.identity import OwnedObjects, check_storage
        from ml.adapters.storage import open_objects

        storage = OwnedObjects(open_objects(self.environment.storage), self.identity)
        check_storage(storage, self.identity)
        return storage

    @cached_property
    def engine(self) -> Engine:
        """Return what works on the parts of a large day; SettingsError if a cluster is named that cannot be used."""
        from ml.adapters.engine import LOCAL

        section = self.settings.engine
        if section.kind == "local":
            return LOCAL
        from ml.adapters.engine.cluster import ClusterEngine

        return ClusterEngine(self.environment.cluster, rows_per_part=section.rows_per_part)

    @cached_property
    def contracts(self) -> Contracts:
        """Open the Great Expectations suites."""
        from ml.adapters.contracts import Contracts
        from ml.core.data.row_checks import used_columns

        return Contracts(self.environment.expectations, self.settings.screen, used_columns(self.settings))

    @cached_property
    def tracking(self) -> Tracking:
        """Open MLflow, where everything is named by the task; SettingsError if the storage is another task's."""
        from ml.adapters.tracking import Tracking

        journal = None
        with suppress(Unavailable):
            journal = self.journal  # whose the storage is shows when it is opened
        return Tracking(self.environment.tracking, self.identity, self.settings.fit.trusted_types, journal)

    @cached_property
    def journal(self) -> Journal:
        """Open the storage's record of who was promoted."""
        from ml.adapters.champion_changes import Journal

        return Journal(self.storage, self.identity)

    @cached_property
    def source(self) -> Source:
        """Open the source that ``params.yaml`` names."""
        from ml.adapters.sources import SourceKind

        section = self.settings.source
        if not isinstance(section, SourceKind):
            raise TypeError(f"source is a {type(section).__name__}, which cannot be opened")
        source = section.open_in(self.settings)
        if section.kind != "demo" or not getattr(section, "replay", False):
            return source
        from ml.adapters import layout
        from ml.adapters.sources.demo import DemoSource
        from ml.adapters.sources.demo_fault import BreakableDemo, FaultSwitch

        assert isinstance(source, DemoSource)
        return BreakableDemo(source, lambda: FaultSwitch(self.storage_folder(layout.ingest.DEMO)))

    def workspace(self, uri: str) -> Workspace:
        """Open the workspace at a URI: a local folder or ``s3://``."""
        from ml.adapters.storage import open_objects
        from ml.adapters.workspace import Workspace

        return Workspace(open_objects(uri))

    def storage_folder(self, prefix: str) -> Workspace:
        """Open a folder of the storage, for what outlives a run."""
        from ml.adapters.workspace import Workspace

        return Workspace(self.storage, prefix)


def open_services(*, run: str | None = None, model: str | None = None) -> Services:
    """Load settings and environment and give the services that they describe.

    Parameters
    ----------
    model
        Which model's; None means that of ``EVERGREEN_MODEL``, else the one at the top, or the only one.
    run
        URI of a run's workspace: the settings that its first step pinned are used, so that an edit
        of ``params.yaml`` cannot split a run in two. None reads ``params.yaml``.
    """
    environment = Environment.load(model=model)
    if run is None:
        settings = settings_module.load_model(environment)  # first: in a wrong folder nothing is made
        _make_home(environment)
        return Services(settings, environment)
    _make_home(environment)
    from ml.adapters.storage import open_objects
    from ml.adapters.workspace import Workspace

    pinned = Workspace(open_objects(run)).read_json("settings.json")
    return Services(settings_module.parse(pinned, origin=f"{run}/settings.json"), environment)


def _make_home(environment: Environment) -> None:
    """Make the home before others do, with what the umask gives to anybody."""
    if not environment.home.exists():
        from ml.adapters.private import make_private

        make_private(environment.home)
