"""Pull the labelled days of a training window, by data version, out of the data registry.

Only the window's days are fetched, and the earlier ones that its history features read.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import date

import numpy as np
import pandas as pd

from ml.adapters import code, layout
from ml.adapters.column_types import types_in
from ml.adapters.data_registry.seen_labels import open_earlier, seen_by
from ml.adapters.memory import limit_bytes
from ml.adapters.rows import types_of
from ml.adapters.workspace import Workspace
from ml.command_line import DVC_WORKSPACE, execute, parser
from ml.core.champions import tenures
from ml.core.data import windows
from ml.core.data.arrivals import facts_of
from ml.core.data.contracts import Failure
from ml.core.data.row_checks import check_rows, check_table, refuse_third_label, refuse_unusable, used_columns
from ml.core.data.schema import refuse_mixed
from ml.core.data.targets import other_label
from ml.core.training import memory
from ml.core.training.many_days import join_by_task, labelled_parts
from ml.errors import SettingsError
from ml.records import Content, DayFile, DayMark, RetrainRequest, Window
from ml.settings import Label, Settings
from ml.steps.own_features import OwnFeatures
from ml.steps.retrain.stage import CONTENT, EARLIER, OWN_FEATURES, fingerprint_of
from ml.urls import redact_all
from ml.wiring import Services, open_services

logger = logging.getLogger(__name__)
JOINED_ROWS = 32_768
"""So many rows of small days are joined with their labels at once: a join has a price of its own."""


def run(request: RetrainRequest, *, settings: Settings, services: Services, workspace: str | None = None) -> Window:
    """Choose the window, join its inputs and labels, and write both to the workspace.

    Parameters
    ----------
    request
        ``days`` and ``last_day`` go before those of ``params.yaml``.
    workspace
        None means the run's own folder in storage, named by the fingerprint; what an earlier
        attempt has written there is used again.

    Raises
    ------
    SettingsError
        If no fit by these settings could serve (see `ml.steps.retrain.pipelines.rehearse`), or if the model would be
        registered and no commit holds the code that runs, outside development, or if the fit would hold a window for
        which this machine has no memory.
    MissingArtifact
        If the registry holds too little for the window that was asked for.
    DataRejected
        If a day of the window holds what no model can be fitted on; the message names day, column and rows.
    """
    if workspace is None and not services.environment.development:
        _refuse_what_nobody_could_rebuild()
    from ml.steps.retrain.pipelines import rehearse  # scikit-learn, which the stage of dvc.yaml would else not wait for

    rehearse(settings)
    overrides = {"days": request.days, "last_day": request.last_day}
    pull = settings.pull.model_copy(update={k: v for k, v in overrides.items() if v is not None})
    settings = settings.model_copy(update={"pull": pull})
    version = pull.data_version or services.registry.head()
    logger.info("pull: data version %s", version)
    inputs, labels = (services.registry.days(asset, version) for asset in ("inputs", "labels"))
    marks = services.registry.excluded_days(version)
    chosen = windows.choose_by(settings, inputs.keys() & labels.keys(), marks.keys())
    wanted = list(chosen.read_days)
    files = [manifest[day] for manifest in (inputs, labels) for day in wanted]
    contents = seen_in_training(chosen, labels, settings, services, rev=version)
    name = fingerprint_of(files, chosen.first_day, settings, seen=contents, excluded=chosen.excluded)
    run_dir = services.workspace(workspace or services.storage.uri(_run_dir(name, request)))
    seen = workspace is None and any(services.tracking.decisions(kinds=tenures.JUDGED, fingerprint=name))
    if workspace is not None or not run_dir.has("data/window.json"):
        rows = _LabelledDays(services, settings, version, wanted)
        run_dir.write_parts("data/rows.parquet", _within_memory(rows, settings))
        in_window = sum(rows.lengths[day] for day in chosen.days)
        if settings.features.python:
            own = OwnFeatures(settings, services, chosen.days[0], chosen.days[-1], rev=version)
            run_dir.write_table(OWN_FEATURES, own.with_key(chosen.days))
        run_dir.write_json("version.json", {"data_version": version})
        _write_earlier(run_dir, contents, labels, settings, services, version)
        run_dir.write_json(
            "data/window.json", _window_file(chosen, files, in_window, rows.label_columns, contents, marks)
        )
    if workspace is None and (request.force or not seen):  # a judged run keeps what it was judged by
        # No step of a run reads the source, so that its credentials need not be pinned.
        run_dir.write_json("settings.json", redact_all(settings.model_dump(mode="json"), {}))
        run_dir.write_json("request.json", request.model_dump(mode="json"))
    facts = run_dir.read_json("data/window.json")
    window = Window(
        first_day=chosen.first_day,
        last_day=chosen.last_day,
        data_version=version,
        fingerprint=name,
        workspace=run_dir.uri(),
        days=len(chosen.days),
        rows=int(facts["rows"]),
        seen_before=seen,
    )
    logger.info("pull: %d rows of %d days, fingerprint %s", window.rows, window.days, name[:12])
    return window


def _refuse_what_nobody_could_rebuild() -> None:
    problem = {
        "dirty": "its files differ from the commit, or there are Python files that it does not hold",
        "unknown": "this is no Git checkout, and EVERGREEN_CODE_VERSION is not set",
    }.get(code.state())
    if problem:
        raise SettingsError(
            f"nobody could rebuild a model from this code ({code.commit()}): {problem}. Commit the changes (an image: "
            "set EVERGREEN_CODE_VERSION to the commit it is built from), try with 'dvc repro', which registers "
            "nothing, or set EVERGREEN_DEVELOPMENT=1 where no model is meant to last"
        )


def _run_dir(fingerprint: str, request: RetrainRequest) -> str:
    return layout.training.run_dir(fingerprint, forced_by=request.request_id if request.force else None)


class _LabelledDays:
    """The labelled rows of some days that the data registry holds, a few days after the other.

    After the last day, `lengths` has the rows of each, and `label_columns` all columns of the labels; `example` are
    the first rows.
    """

    example: pd.DataFrame | None = None

    def __init__(self, services: Services, settings: Settings, version: str, days: Sequence[date]) -> None:
        self._inputs, self._labels = (
            services.registry.open(asset, rev=version, first_day=days[0], last_day=days[-1])
            for asset in ("inputs", "labels")
        )
        for asset, files in (("inputs", self._inputs), ("labels", self._labels)):
            refuse_mixed("inputs" if asset == "inputs" else "labels", {day: types_in(files[day]) for day in days})
        self._days, self._task, self._used = days, settings.task, used_columns(settings)
        self.lengths: dict[date, int] = {}
        self.label_columns = sorted({name for day in days for name in types_of(self._labels[day]).names})

    def __iter__(self) -> Iterator[pd.DataFrame]:
        key, target = self._task.key, self._task.target
        unusable: dict[str, list[Failure]] = {}
        others: dict[str, Label | None] = {}
        held: dict[date, tuple[pd.DataFrame, pd.DataFrame]] = {}
        for day in self._days:
            rows = pd.read_parquet(self._inputs[day])
            outcomes = pd.read_parquet(self._labels[day], columns=[*key, target])
            for asset, frame in (("inputs", rows), ("labels", outcomes)):
                numbers = np.arange(len(frame))
                failures = [*check_rows(frame, self._used, numbers), *check_table(asset, frame, self._used, numbers)]
                unusable[f"{asset} of {day}"] = failures
            others[f"labels of {day}"] = other_label(outcomes[target], self._task)
            if any(unusable.values()):
                continue
            held[day] = rows, outcomes
            if sum(len(frame) for frame, _ in held.values()) >= JOINED_ROWS:
                yield from self._labelled(held)
                held = {}
        refuse_unusable(unusable)
        refuse_third_label(others)
        if held:
            yield from self._labelled(held)

    def _labelled(self, held: Mapping[date, tuple[pd.DataFrame, pd.DataFrame]]) -> Iterator[pd.DataFrame]:
        inputs, labels = ({day: sides[number] for day, sides in held.items()} for number in (0, 1))
        parts = labelled_parts(inputs, labels, list(held), self._task)
        if len(parts) == len(held):
            self.lengths |= dict(zip(held, map(len, parts), strict=True))
        else:
            rows_of = parts[0]["day"].value_counts()
            self.lengths |= {day: int(rows_of.get(day.isoformat(), 0)) for day in held}
        self.example = parts[0] if self.example is None else self.example
        yield from parts


def _within_memory(rows: _LabelledDays, settings: Settings) -> Iterator[pd.DataFrame]:
    """Yield the rows, and raise at their end if the fit would hold them and this machine has no memory for that."""
    yield from rows
    if rows.example is None or settings.fit.stream:
        return
    number = sum(rows.lengths.values())
    need = memory.needed(rows.example, number, settings)
    warning = memory.refuse_what_does_not_fit(need, limit_bytes(), number, settings.fit.estimator)
    if warning:
        logger.warning("pull: %s", warning)


def seen_in_training(
    chosen: windows.Chosen, labels: Mapping[date, DayFile], settings: Settings, services: Services, *, rev: str
) -> tuple[Content, ...]:
    """List the labels that history features of a window's days did not see as they are now."""
    files = [labels[day] for day in chosen.read_days]
    return seen_by(chosen.first_day, chosen.last_day, files, settings, services.registry, rev=rev)


def _write_earlier(
    run_dir: Workspace,
    contents: Sequence[Content],
    labels: Mapping[date, DayFile],
    settings: Settings,
    services: Services,
    version: str,
) -> None:
    """Write the labelled rows of days as they were before a correction, of which history features read."""
    key, target = settings.task.key, settings.task.target
    columns = list(dict.fromkeys([*key, *(name for feature in settings.features.history for name in feature.by)]))
    parts = []
    for md5, (day, path) in open_earlier(contents, list(labels.values()), services.registry).items():
        inputs = services.registry.open("inputs", rev=version, first_day=day, last_day=day)[day]
        outcomes = pd.read_parquet(path, columns=[*key, target])
        before = pd.read_parquet(inputs, columns=columns)
        rows = join_by_task(before, outcomes, settings.task)
        parts.append(rows.assign(**{CONTENT: md5}))
    if parts:
        run_dir.write_table(EARLIER, pd.concat(parts, ignore_index=True))


def _window_file(
    chosen: windows.Chosen,
    files: list[DayFile],
    rows: int,
    label_columns: Sequence[str],
    contents: Sequence[Content],
    marks: Mapping[date, DayMark],
) -> dict[str, object]:
    late: dict[str, object] = {"seen": facts_of(contents)} if contents else {}
    late |= {"excluded": [day.isoformat() for day in chosen.excluded]} if chosen.excluded else {}
    within = {str(day): mark.reason for day, mark in marks.items() if chosen.first_day <= day <= chosen.last_day}
    return (late | {"marked": within} if within else late) | {
        "first_day": chosen.first_day.isoformat(),
        "last_day": chosen.last_day.isoformat(),
        "days": [day.isoformat() for day in chosen.days],
        "rows": rows,
        "label_columns": list(label_columns),
        "files": {f"{file.asset}/day={file.day}": file.md5 for file in files},
    }


def main(argv: list[str] | None = None) -> int:
    """Pull into a local workspace; the ``pull`` stage of ``dvc.yaml``."""
    arguments = parser(__doc__)
    arguments.add_argument("--workspace", default=DVC_WORKSPACE)
    options = arguments.parse_args(argv)

    def work() -> Window:
        services = open_services()
        request = RetrainRequest(requested_by="dvc repro", reasons=("reproduction",))
        return run(request, settings=services.settings, services=services, workspace=options.workspace)

    return execute(work)


if __name__ == "__main__":
    sys.exit(main())
