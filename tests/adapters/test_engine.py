"""Engines work on parts alike: in this process, and on the workers of a real Ray cluster of two processors."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml.adapters import aggregates, code, day_samples, partitions, rows
from ml.adapters.contracts import Contracts
from ml.adapters.contracts.day_files import screen_file
from ml.adapters.engine import LOCAL, Engine, FileRows, Part, cluster, cut
from ml.adapters.engine.cluster import ClusterEngine
from ml.adapters.engine.travel import pack, unpack
from ml.adapters.sources.demo import DemoSource
from ml.core.data.contracts import DayProfile
from ml.core.data.row_checks import used_columns
from ml.core.monitoring import drift
from ml.core.scoring.shards import Rows
from ml.core.training.target_sums import groupings
from ml.errors import DataRejected, SettingsError, Unavailable
from ml.settings import PROJECT_ROOT, Environment, Settings, load
from ml.steps.retrain.pipelines import fit_pipeline
from ml.wiring import Services
from tests.adapters import engine_work, streamed_rows

needs_ray = pytest.mark.skipif(not importlib.util.find_spec("ray"), reason="ray is not installed (make cluster)")
PARTS = [Part(number) for number in range(1, 8)]


@pytest.fixture(scope="module")
def engine() -> Iterator[ClusterEngine]:
    engine = ClusterEngine("", rows_per_part=1000, processors=2)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def project_settings() -> Settings:
    return load(PROJECT_ROOT / "params.yaml")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Write 5,000 rows in groups of 700, some of them null, with a column of few texts."""
    chance = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"number": np.arange(5000), "text": chance.choice(["a", "b", None], 5000), "x": chance.random(5000)}
    )
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), tmp_path / "table", row_group_size=700)
    return tmp_path / "table"


# --- what travels -------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [None, ("text",), ("x", "number"), ()])
@pytest.mark.parametrize("part", [None, Rows(0, 700), Rows(650, 100), Rows(4999, 1), Rows(0, 5000), Rows(10, 0)])
def test_a_worker_reads_the_rows_of_its_part_as_from_the_whole_file(
    table: Path, tmp_path: Path, part: Rows | None, columns: tuple[str, ...] | None
) -> None:
    there = unpack(pack(FileRows(table, part, columns)), tmp_path / "there")
    assert there.stat().st_size == table.stat().st_size and rows.footer(there) == rows.footer(table)
    if columns != ():
        read = [list(rows.batches(path, 300, columns=columns, part=part)) for path in (table, there)]
        assert read[0] == read[1]


def test_only_the_row_groups_and_columns_that_are_read_travel(table: Path) -> None:
    whole = pack(FileRows(table))
    assert len(whole.data) <= table.stat().st_size
    assert len(pack(FileRows(table, Rows(0, 10))).data) < 0.35 * len(whole.data)
    assert len(pack(FileRows(table, None, ("text",))).data) < 0.3 * len(whole.data)


def test_a_table_with_nested_columns_travels_with_all_of_them(tmp_path: Path) -> None:
    nested = pa.table({"key": [1, 2, 3], "pair": [{"a": 1, "b": 2}] * 3})
    pq.write_table(nested, tmp_path / "nested", row_group_size=2)
    there = unpack(pack(FileRows(tmp_path / "nested", Rows(2, 1), ("key",))), tmp_path / "there")
    assert pq.ParquetFile(there).read_row_group(1) == nested.slice(2)


@needs_ray
def test_a_table_is_cut_as_the_engine_wants_it() -> None:
    wanted = ClusterEngine("", rows_per_part=1000)
    assert cut(LOCAL, 2500, multiple_of=300) == (Rows(0, 2500),)
    assert cut(wanted, 2500, multiple_of=300) == (Rows(0, 1200), Rows(1200, 1200), Rows(2400, 100))
    assert cut(wanted, 0, multiple_of=300) == (Rows(0, 0),)


# --- the cluster --------------------------------------------------------------------------------------


@needs_ray
def test_results_come_in_the_order_of_the_parts(engine: ClusterEngine) -> None:
    here = list(LOCAL.map(engine_work.doubled, PARTS, shared=3))
    assert (
        list(engine.map(engine_work.doubled, iter(PARTS), shared=3))
        == here
        == [sign * 3 * number for number in range(1, 8) for sign in (1, -1)]
    )


@needs_ray
def test_whoever_runs_the_process_still_says_how_it_ends(engine: ClusterEngine) -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        engine.close()
        list(engine.map(engine_work.doubled, PARTS, shared=3))
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


@needs_ray
def test_several_processes_work_and_a_single_part_stays_here(engine: ClusterEngine) -> None:
    assert os.getpid() not in set(engine.map(engine_work.process, PARTS, shared=None))
    assert list(engine.map(engine_work.process, PARTS[:1], shared=None)) == [os.getpid()]
    assert list(engine.map(engine_work.process, [], shared=None)) == []


@needs_ray
def test_a_part_whose_worker_was_killed_is_done_again(engine: ClusterEngine, tmp_path: Path) -> None:
    assert list(engine.map(engine_work.killed_once, PARTS, shared=tmp_path)) == list(range(1, 8))
    assert len(list(tmp_path.iterdir())) == 4


@needs_ray
def test_a_part_that_kills_each_worker_is_given_up(engine: ClusterEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "RETRIES", 1)
    with pytest.raises(Unavailable, match=r"the cluster of this machine failed \(WorkerCrashedError.*rows_per_part"):
        list(engine.map(engine_work.killed_always, PARTS, shared=None))


@needs_ray
def test_an_error_in_a_part_comes_back_as_it_was_raised(engine: ClusterEngine) -> None:
    results = engine.map(engine_work.rejected, PARTS, shared=None)
    assert next(results) == 1
    with pytest.raises(DataRejected, match="a part is bad") as raised:
        next(results)
    assert raised.value.report_uri == "s3://bucket/report.html" and raised.value.failures == ({"column": "x"},)
    with pytest.raises(ZeroDivisionError):
        list(engine.map(engine_work.broken, [Part(1), Part(0)], shared=None))


@needs_ray
def test_a_worker_with_other_code_is_refused(engine: ClusterEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code, "code_sha256", lambda: "other")
    with pytest.raises(SettingsError, match=r"differs from the process that asks it in code; start head, workers"):
        list(engine.map(engine_work.doubled, PARTS, shared=3))


# --- work that several do together ---------------------------------------------------------------------


def together(engine: Engine, function: Any, members: int = 2) -> list[Any]:
    shares = [
        Part(number, arrays=[np.full(3, number, dtype="float32"), np.ones(2, dtype="float32")])
        for number in range(members)
    ]
    return engine.together(function, shares, shared=7, meeting=engine_work.meeting, threads=1)


@needs_ray
def test_several_workers_work_at_the_same_time_on_arrays_that_they_fetch(engine: ClusterEngine) -> None:
    here, there = (together(where, engine_work.counted_together) for where in (LOCAL, engine))
    assert [result[1:] for result in here] == [result[1:] for result in there] == [(2, 0, 2.0), (2, 7, 5.0)]
    assert len({result[0] for result in there} - {os.getpid()}) == 2, "two processes, neither of them this one"


@needs_ray
def test_the_error_that_ended_the_work_of_several_comes_back(engine: ClusterEngine) -> None:
    for where in (LOCAL, engine):
        with pytest.raises(DataRejected, match="a share is bad"):
            together(where, engine_work.rejected_by_one)


@needs_ray
def test_a_lost_one_of_several_workers_ends_the_work_of_all(engine: ClusterEngine) -> None:
    with pytest.raises(Unavailable, match=r"the cluster of this machine lost a worker \(WorkerCrashedError\);"):
        together(engine, engine_work.killed_one)
    assert len(together(engine, engine_work.counted_together)) == 2, "processors are free again"


@needs_ray
def test_more_workers_than_processors_are_refused_before_anything_is_sent(engine: ClusterEngine) -> None:
    with pytest.raises(Unavailable, match="has 2 processors, and 3 workers of 1 threads each need 3"):
        together(engine, engine_work.counted_together, members=3)


@needs_ray
def test_xgboost_fitted_by_two_workers_of_a_cluster_is_that_of_two_in_this_process(
    engine: ClusterEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ml.adapters.xgboost_fit.PAGE_BYTES", 5 * 4 * 700)  # three pages each
    frame = streamed_rows.table("classification")
    chosen = streamed_rows.declared(
        "classification", "xgboost.XGBClassifier", stream={"workers": 2}, args={"n_estimators": 9}
    )
    models = [fit_pipeline(frame, chosen, engine=where).named_steps["estimator"] for where in (LOCAL, engine)]
    here, there = (bytes(model.get_booster().save_raw("ubj")) for model in models)
    assert here == there
    assert models[0].get_booster().num_boosted_rounds() == 9


# --- the parts of a day -------------------------------------------------------------------------------


@needs_ray
def test_a_day_is_screened_summed_up_and_sampled_as_in_this_process(
    engine: ClusterEngine, project_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 2,900 flights, some bad, each worker sees a part; verdict, files, sums and samples are the same."""
    monkeypatch.setattr(partitions, "JOINED_ROWS", 800)
    monkeypatch.setattr(rows, "BATCH_ROWS", 500)  # here only: how many rows are read at once changes nothing
    monkeypatch.setattr(day_samples, "BATCH_ROWS", 500)
    source, day = DemoSource(replay=False), date(2013, 4, 3)
    moved = [source.inputs(day).assign(flight=lambda frame, by=by: frame["flight"] + by) for by in (0, 1500, 3000)]
    inputs = pd.concat(moved).drop_duplicates(list(project_settings.task.key), ignore_index=True)
    inputs.iloc[7, inputs.columns.get_loc("origin")] = "XXX"
    inputs = pd.concat([inputs, inputs.iloc[100:103]], ignore_index=True)
    labels = inputs[list(project_settings.task.key)].assign(late=np.arange(len(inputs)) % 3 == 0)
    labels = labels.drop_duplicates(list(project_settings.task.key))
    for name, frame in (("inputs", inputs), ("labels", labels)):
        written = pa.Table.from_pandas(frame, preserve_index=False)
        pq.write_table(written, tmp_path / name, row_group_size=500)
    contracts = Contracts(PROJECT_ROOT / "expectations", used=used_columns(project_settings))
    recent = [DayProfile(date(2013, 3, n), len(inputs), dict(inputs.isna().sum())) for n in range(20, 31)]
    results = []
    for number, where in enumerate((LOCAL, engine)):
        folder = tmp_path / str(number)
        folder.mkdir()
        screened = screen_file(
            contracts,
            "inputs",
            tmp_path / "inputs",
            key=project_settings.task.key,
            parameters={"day": str(day), **contracts.baselines("inputs", recent, day=day)},
            folder=folder,
            rows_at_once=500,
            engine=where,
        )
        assert screened.accepted and screened.quarantined, screened.screened.reason
        wanted = groupings(project_settings.features.history)
        sums = aggregates.sum_up(screened.accepted, tmp_path / "labels", project_settings, wanted, engine=where)
        columns = drift.watched(project_settings.drift)
        kinds = {name: name in {"carrier", "origin", "dest"} for name in columns}
        results.append(
            (
                screened.screened.html,
                screened.screened.result,
                screened.accepted.read_bytes(),
                screened.quarantined.read_bytes(),
                sums.to_pydict(),
                day_samples.sample({day: tmp_path / "inputs"}, columns, rows=900, seed=1, engine=where).to_csv(),
                day_samples.count_day(tmp_path / "inputs", kinds, engine=where),
            )
        )
    for here, there in zip(*results, strict=True):
        assert there == here
    assert results[0][1]["quarantined_rows"] == 4, "one of another airport, three copies"


# --- the setting --------------------------------------------------------------------------------------


def services(settings: Settings, home: Path, address: str = "") -> Services:
    engine = settings.engine.model_copy(update={"kind": "cluster", "rows_per_part": 500})
    environ = {"EVERGREEN_HOME": str(home), "EVERGREEN_CLUSTER_ADDRESS": address}
    return Services(settings.model_copy(update={"engine": engine}), Environment.load(environ))


@needs_ray
def test_days_are_worked_on_here_unless_the_settings_name_a_cluster(project_settings: Settings, tmp_path: Path) -> None:
    environment = Environment.load({"EVERGREEN_HOME": str(tmp_path)})
    assert Services(project_settings, environment).engine is LOCAL
    assert services(project_settings, tmp_path).engine.rows_per_part == 500


def test_without_ray_the_setting_says_what_to_install(
    project_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "find_spec", lambda _: None)
    with pytest.raises(SettingsError, match="engine.kind is cluster, and ray is not installed; run 'make cluster'"):
        _ = services(project_settings, tmp_path).engine


@pytest.mark.parametrize("address", ["ray-head:10001", "ray://ray-head", "ray://:10001", "ray://ray-head:0", "auto"])
def test_what_is_no_address_of_a_cluster_is_refused(project_settings: Settings, tmp_path: Path, address: str) -> None:
    with pytest.raises(SettingsError, match="EVERGREEN_CLUSTER_ADDRESS is .*; write it as ray://HOST:PORT"):
        _ = services(project_settings, tmp_path, address).engine


@needs_ray
def test_a_cluster_that_does_not_answer_is_unavailable(
    project_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"ray://127.0.0.1:{unused.getsockname()[1]}"
        engine: Any = services(project_settings, tmp_path, address).engine
        with pytest.raises(
            Unavailable, match=rf"the cluster at {address} \(EVERGREEN_CLUSTER_ADDRESS\) does not answer"
        ):
            list(engine.map(engine_work.doubled, PARTS, shared=3))
