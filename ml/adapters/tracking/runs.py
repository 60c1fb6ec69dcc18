"""Log trainings, what was measured of them, searches of ``fit.args`` and reports: each one run of MLflow."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
import mlflow.sklearn
from mlflow.entities import DatasetInput
from mlflow.models import infer_signature
from mlflow.tracking import MlflowClient

from ml.adapters.tracking.connection import Connection, as_metrics, as_params, translate_errors
from ml.adapters.tracking.decision_tags import TAG_CHARACTERS, prefixed
from ml.adapters.trusted import TRUSTED_TYPES

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.pipeline import Pipeline

PARAMS_AT_ONCE = 100
"""MLflow takes so many parameters in one request."""


@dataclass(frozen=True)
class Runs(Connection):
    """The runs of one task's trainings, searches and reports."""

    def log_fit(
        self,
        pipeline: Pipeline,
        sample: pd.DataFrame,
        *,
        fingerprint: str,
        params: Mapping[str, str],
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        dataset: pd.DataFrame,
        dataset_source: str,
        files: Path,
        name: str = "",
    ) -> str:
        """Log one training as one run and return its id.

        Parameters
        ----------
        name
            What people read in MLflow's lists; empty for the fingerprint's beginning.
        sample : DataFrame of shape (n_sample, n_features)
            Kept as the input example; the signature is inferred from it.
        dataset : DataFrame
            The training rows, logged as the run's input with ``fingerprint`` in its digest.
        files
            A folder whose files are kept with the run under ``lineage/``.
        """
        with self.connected(f"log the training {fingerprint[:12]}") as client:
            self._abandon(client, {"fingerprint": fingerprint})
            run = client.create_run(
                self._experiment(client, self.name),
                tags=prefixed({"fingerprint": fingerprint, **tags}),
                run_name=name or f"train-{fingerprint[:12]}",
            )
            run_id = run.info.run_id
            client.log_inputs(run_id, [_dataset(dataset, dataset_source, fingerprint)])
            written = as_params(params)
            for first in range(0, len(written), PARAMS_AT_ONCE):
                client.log_batch(run_id, params=written[first : first + PARAMS_AT_ONCE])
            client.log_batch(run_id, metrics=as_metrics(metrics))
            client.log_artifacts(run_id, str(files), "lineage")
            self._log_model(run_id, pipeline, sample)
        return str(run_id)

    def _log_model(self, run_id: str, pipeline: Pipeline, sample: pd.DataFrame) -> None:
        held = type(pipeline.steps[-1][1]).__module__.partition(".")[0]
        others = [] if held == "sklearn" else sorted(set(packages_distributions().get(held, ())))
        probable = hasattr(pipeline, "predict_proba")
        predictions = pipeline.predict_proba(sample) if probable else pipeline.predict(sample)
        with mlflow.start_run(run_id=run_id):
            mlflow.sklearn.log_model(
                pipeline,
                name="model",
                signature=infer_signature(_typed(sample), predictions),
                input_example=sample.head(5),
                serialization_format="skops",
                skops_trusted_types=[*TRUSTED_TYPES, *(name.partition("@")[0] for name in self.trusted_types)],
                pyfunc_predict_fn="predict_proba" if probable else "predict",
                pip_requirements=[f"{name}=={version(name)}" for name in ("scikit-learn", "pandas", "skops", *others)],
            )

    def _abandon(self, client: MlflowClient, tags: Mapping[str, str]) -> None:
        """Mark runs of the same training or search that were killed half-way, so that none looks alive."""
        for run in self._runs(client, self.name, tags):
            if run.info.status == "RUNNING":
                client.set_terminated(run.info.run_id, "KILLED")

    def log_results(self, run_id: str, metrics: Mapping[str, float], files: Path) -> None:
        """Add what was measured on the holdout to a training run, and the files that show it."""
        with translate_errors(f"log the evaluation of run {run_id}"):
            self.client.log_batch(run_id, metrics=as_metrics(metrics))
        self.keep_files(run_id, files, "evaluation")

    def describe_run(
        self, run_id: str, name: str, *, note: str = "", metrics: Mapping[str, float] | None = None
    ) -> None:
        """Let a run be listed under a name, with a note above its facts and further metrics."""
        with translate_errors(f"name run {run_id}"):
            self.client.set_tag(run_id, "mlflow.runName", name)
            if note:
                self.client.set_tag(run_id, "mlflow.note.content", note)
            if metrics:
                self.client.log_batch(run_id, metrics=as_metrics(metrics))

    def keep_files(self, run_id: str, files: Path, folder: str) -> str:
        """Upload the files of a folder to a run's ``folder``, over earlier ones of their names; return its URI."""
        with self.connected(f"keep {folder} with run {run_id}") as client:
            client.log_artifacts(run_id, str(files), folder)
        return f"runs:/{run_id}/{folder}"

    def log_report(self, kind: str, *, params: Mapping[str, str], metrics: Mapping[str, float], files: Path) -> str:
        """Log a report as one run of the experiment ``<name>-<kind>``, its files under ``report``; return its id."""
        with self.connected(f"keep a report in {self.name}-{kind}") as client:
            run = client.create_run(self._experiment(client, f"{self.name}-{kind}"), run_name=kind)
            run_id = str(run.info.run_id)
            client.log_batch(run_id, params=as_params(params), metrics=as_metrics(metrics))
            client.log_artifacts(run_id, str(files), "report")
            client.set_terminated(run_id)
        return run_id

    def run_metrics(self, run_id: str) -> dict[str, float]:
        """Return the metrics of a run."""
        with self.connected(f"read run {run_id}") as client:
            return dict(client.get_run(run_id).data.metrics)

    def file_names(self, run_id: str, folder: str) -> list[str]:
        """List the files kept with a run in one of its folders, as `read_file` names them."""
        with self.connected(f"list {folder} of run {run_id}") as client:
            return sorted(file.path for file in client.list_artifacts(run_id, folder) if not file.is_dir)

    def open_search(self, fingerprint: str, params: Mapping[str, str]) -> str:
        """Open the run that a search's trials are nested in, and return its id.

        Neither carries the fingerprint under the tag of trainings: whoever looks for those meets none of
        these. Runs of the same search that were killed half-way are marked so.
        """
        with self.connected(f"open the search {fingerprint[:12]}") as client:
            self._abandon(client, {"tuned_fingerprint": fingerprint})
            run_id = self._open_tuning_run(client, f"tune-{fingerprint[:12]}", {"tuned_fingerprint": fingerprint})
            client.log_batch(run_id, params=as_params(params))
        return run_id

    def log_trial(
        self,
        search_id: str,
        number: int,
        *,
        fingerprint: str,
        params: Mapping[str, str],
        loss: float | None,
        message: str,
    ) -> None:
        """Log one trial of a search as a run of its own, nested in it; without a loss it has FAILED."""
        with self.connected(f"log trial {number} of the search {fingerprint[:12]}") as client:
            tags = {"tuned_fingerprint": fingerprint, **({"message": message[:TAG_CHARACTERS]} if message else {})}
            run_id = self._open_tuning_run(client, f"trial-{number}", tags, inside=search_id)
            measured = {} if loss is None else {"loss": loss}
            client.log_batch(run_id, params=as_params(params), metrics=as_metrics(measured))
            client.set_terminated(run_id, "FAILED" if loss is None else "FINISHED")

    def close_search(self, search_id: str, *, params: Mapping[str, str], metrics: Mapping[str, float]) -> None:
        """Log what a search has chosen (``best.`` before each name); without any loss it has FAILED."""
        client = self.client
        best = {f"best.{key}": value for key, value in params.items()}
        with translate_errors(f"close the search {search_id}"):
            client.log_batch(search_id, params=as_params(best), metrics=as_metrics(metrics))
            client.set_terminated(search_id, "FINISHED" if metrics else "FAILED")

    def _open_tuning_run(
        self, client: MlflowClient, name: str, tags: Mapping[str, str], *, inside: str | None = None
    ) -> str:
        own_tags = prefixed(tags)
        nested = {} if inside is None else {"mlflow.parentRunId": inside}
        run = client.create_run(self._experiment(client, self.name), tags=own_tags | nested, run_name=name)
        return str(run.info.run_id)


def _typed(sample: pd.DataFrame) -> pd.DataFrame:
    """Return rows to infer a signature from: of a column without any value, which may be no number, as text.

    MLflow takes such a column for one of numbers, or of anything, and then refuses the very rows that were fitted on.
    """
    others = sample.select_dtypes(exclude="number")
    return sample.assign(**{str(column): "" for column in others if others[column].isna().all()})


def _dataset(frame: pd.DataFrame, source: str, fingerprint: str) -> DatasetInput:
    """Describe the training rows to MLflow; the digest is ours, since MLflow's own is no lineage."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # two guesses at the kind of source; integer columns
        data = mlflow.data.from_pandas(frame.head(1000), source=source, name="training-window", digest=fingerprint[:36])
        return DatasetInput(data._to_mlflow_entity())
