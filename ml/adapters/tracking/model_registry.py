"""Register models, read and load their versions, and move the aliases that say which one serves."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import mlflow
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from ml.adapters import models
from ml.adapters.rows import sha256 as digest_of
from ml.adapters.tracking.connection import ABSENT, NO_LOGIN, Connection, login_wanted, translate_errors
from ml.adapters.tracking.decision_tags import PREFIX, TAG_CHARACTERS, own_tags, prefixed
from ml.errors import MissingArtifact, Unavailable, UntrustedModel
from ml.next_moves import retrain, roll_back
from ml.records import JudgedModel

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

CHAMPION, CHALLENGER = "champion", "challenger"
ATTEMPTS = 3
T = TypeVar("T")


@dataclass(frozen=True)
class Version:
    """A registered version: its own tags without their prefix, and what its run has measured."""

    version: int
    run_id: str
    created_at: datetime
    aliases: tuple[str, ...]
    tags: dict[str, str]
    metrics: dict[str, float]


ABOUT = (
    "Evergreen trains, judges and promotes these versions. The alias champion is at the one that serves, "
    "previous_champion at the one before. Each decision is a run of the experiment {name}-decisions; the model card of "
    "a version is with its run (Artifacts, card)."
)
"""What MLflow shows above the versions."""


@dataclass(frozen=True)
class ModelRegistry(Connection):
    """The versions of one task's model."""

    def register(self, run_id: str, *, fingerprint: str, tags: Mapping[str, str], files: Path) -> int:
        """Register a run's model as a challenger and return its version; once per fingerprint.

        ``files`` are kept with the run under ``monitoring/``.
        """
        with self.connected(f"register the model of run {run_id}") as client:
            with suppress(MlflowException):
                client.create_registered_model(self.name, description=ABOUT.format(name=self.name))
            client.log_artifacts(run_id, str(files), "monitoring")
            versions = [v for v in self._versions(client) if v.tags.get(PREFIX + "fingerprint") == fingerprint]
            versions = [v for v in versions if v.run_id == run_id]
            if versions:
                version = versions[0]
            else:
                model_ids = [model.model_id for model in client.get_run(run_id).outputs.model_outputs]
                version = client.create_model_version(
                    self.name,
                    f"models:/{model_ids[-1]}",
                    run_id,
                    model_id=model_ids[-1],
                    tags=prefixed({"fingerprint": fingerprint, **tags}),
                )
            client.set_registered_model_alias(self.name, CHALLENGER, version.version)
        return int(version.version)

    def versions(self) -> list[Version]:
        """List all registered versions, newest first, in a few requests however many there are."""
        with self.connected("list the versions") as client:
            model_versions = self._versions(client)
            aliases = client.get_registered_model(self.name).aliases if model_versions else {}
            runs = self._search(client, self.name, f"tags.`{PREFIX}fingerprint` != ''") if model_versions else []
        metrics = {run.info.run_id: dict(run.data.metrics) for run in runs}
        versions = [
            Version(
                version=int(model_version.version),
                run_id=str(model_version.run_id),
                created_at=datetime.fromtimestamp(model_version.creation_timestamp / 1000, UTC),
                aliases=tuple(sorted(alias for alias, of in aliases.items() if int(of) == int(model_version.version))),
                tags=own_tags(model_version.tags),
                metrics=metrics.get(model_version.run_id, {}),
            )
            for model_version in model_versions
        ]
        return sorted(versions, key=lambda version: -version.version)

    def version_tags(self, version: int) -> dict[str, str]:
        """Return a version's own tags, without their prefix, and ``run_id``."""
        with self.connected(f"read version {version}") as client:
            model_version = client.get_model_version(self.name, str(version))
        return own_tags(model_version.tags) | {"run_id": str(model_version.run_id)}

    def tag_version(self, version: int, tag: str, value: str | None) -> None:
        """Set a version's own tag, named without its prefix; None removes it."""
        with self.connected(f"tag version {version}") as client:
            text, named = value[:TAG_CHARACTERS] if value is not None else None, (self.name, str(version), PREFIX + tag)
            if self.version_tags(version).get(tag) == text:
                return
            _insist(
                lambda: (
                    client.delete_model_version_tag(*named)
                    if text is None
                    else client.set_model_version_tag(*named, text)
                ),
                lambda: self.version_tags(version).get(tag) == text,
            )

    def describe_version(self, version: int, text: str) -> None:
        """Let a version be listed with a description, instead of any that it has."""
        with self.connected(f"describe version {version}") as client:
            client.update_model_version(self.name, str(version), description=text)

    def alias(self, alias: str) -> int | None:
        """Resolve an alias to a version number; None if it points nowhere."""
        client = self.client
        try:
            return int(client.get_model_version_by_alias(self.name, alias).version)
        except MlflowException as err:
            if err.error_code in ABSENT:
                return None
            if err.error_code == NO_LOGIN:
                raise login_wanted(f"read the alias {alias!r}") from err
            raise Unavailable(f"alias {alias!r}: MLflow did not answer ({err.message}); is MLflow up?") from err

    def move_alias(self, alias: str, version: int) -> None:
        """Point an alias at a version: the commit point of a promotion."""
        with self.connected(f"point {alias!r} at version {version}") as client:
            _insist(
                lambda: client.set_registered_model_alias(self.name, alias, str(version)),
                lambda: self.alias(alias) == version,
            )

    def drop_alias(self, alias: str) -> None:
        """Remove an alias; nothing happens if there is none."""
        client = self.client
        if self.alias(alias) is not None:
            with translate_errors(f"remove the alias {alias!r}"):
                _insist(
                    lambda: client.delete_registered_model_alias(self.name, alias),
                    lambda: self.alias(alias) is None,
                )

    def servable(self, version: int) -> JudgedModel:
        """Fetch what a version would serve with, and give its run, its fingerprint and the hash of its model file.

        Raises
        ------
        MissingArtifact
            If the version, its run or its model file is not there; the message says which.
        """
        with self.connected(f"version {version} cannot serve") as client:
            model_version = client.get_model_version(self.name, str(version))
            client.get_run(str(model_version.run_id))
        with self.packaged(str(model_version.run_id), version) as folder:
            path = folder / models.MODEL_FILE
            if not path.is_file():
                raise MissingArtifact(f"version {version} cannot serve: {models.MODEL_FILE} is not in its model folder")
            digest = digest_of(path)
        return JudgedModel(
            version=version,
            run_id=str(model_version.run_id),
            fingerprint=model_version.tags.get(PREFIX + "fingerprint"),
            model_sha256=digest,
        )

    def load_model(self, version: int, *, sha256: str | None = None) -> Pipeline:
        """Load a version's pipeline with our list of trusted types.

        Parameters
        ----------
        sha256
            The hash that the model file must have; None takes any.

        Raises
        ------
        UntrustedModel
            If it has another.
        """
        with self.connected(f"load version {version}") as client, tempfile.TemporaryDirectory() as folder:
            source = client.get_model_version_download_uri(self.name, str(version))
            path = Path(mlflow.artifacts.download_artifacts(source, dst_path=folder)) / models.MODEL_FILE
            if sha256 is not None and path.is_file() and (actual := digest_of(path)) != sha256:
                raise UntrustedModel(
                    f"the model file of version {version} in MLflow (SHA-256 {actual[:12]}) is not the one that was "
                    f"recorded ({sha256[:12]}): somebody changed it, it is not loaded; bring it back from a backup, "
                    f"{roll_back()}, or {retrain()}"
                )
            return models.load(path, trusted=self.trusted_types)

    @contextmanager
    def packaged(self, run_id: str, version: int | None = None) -> Iterator[Path]:
        """Yield a local copy of the model's folder, as the registry or (without a version) its run holds it."""
        client = self.client
        with tempfile.TemporaryDirectory() as folder:
            with translate_errors(f"fetch the model of run {run_id}"):
                if version is None:
                    models_of_run = client.get_run(run_id).outputs.model_outputs
                    source = f"models:/{models_of_run[-1].model_id}"
                else:
                    source = client.get_model_version_download_uri(self.name, str(version))
                local = Path(mlflow.artifacts.download_artifacts(source, dst_path=folder))
            yield local

    def has_file(self, version: int, name: str) -> bool:
        """Return whether a file was kept with a version's run."""
        with self.connected(f"look for {name} of version {version}") as client:
            run_id = str(client.get_model_version(self.name, str(version)).run_id)
            return any(file.path == name for file in client.list_artifacts(run_id, name.rpartition("/")[0] or None))

    def read_file(self, version: int, name: str, read: Callable[[Path], T]) -> T:
        """Fetch a file kept with a version's run and read it before its copy is removed."""
        with self.connected(f"read {name} of version {version}") as client, tempfile.TemporaryDirectory() as folder:
            run_id = client.get_model_version(self.name, str(version)).run_id
            return read(Path(client.download_artifacts(str(run_id), name, folder)))

    def _versions(self, client: MlflowClient) -> list[ModelVersion]:
        versions: list[ModelVersion] = []
        token: str | None = None
        while True:
            page = client.search_model_versions(f"name='{self.name}'", max_results=1000, page_token=token)
            versions += page
            token = page.token
            if not token:
                return versions


def _insist(act: Callable[[], object], is_done: Callable[[], bool]) -> None:
    """Repeat what MLflow refuses to one of several callers at once, who insert or delete the same row."""
    for attempt in range(ATTEMPTS):
        try:
            act()
        except MlflowException:
            if is_done():
                return
            if attempt == ATTEMPTS - 1:
                raise
        else:
            return
