"""A run's folder: what is written comes back, whole, and as the same bytes each time."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml.adapters.storage import open_objects
from ml.adapters.workspace import Workspace, table_bytes
from ml.errors import MissingArtifact

FRAME = pd.DataFrame({"day": ["2013-06-01", "2013-06-02"], "x": [1.5, np.nan], "n": [1, 2], "ok": [True, False]})


@pytest.fixture(params=["root", "prefix"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Workspace:
    objects = open_objects(str(tmp_path / "store"))
    return Workspace(objects) if request.param == "root" else Workspace(objects, "runs/1")


def test_a_table_comes_back_with_its_types(place: Workspace) -> None:
    place.write_table("data/rows.parquet", FRAME)
    pd.testing.assert_frame_equal(place.read_table("data/rows.parquet"), FRAME)
    assert list(place.read_table("data/rows.parquet", columns=["x"]).columns) == ["x"]


def test_equal_tables_are_equal_bytes_whatever_their_index_or_history() -> None:
    shuffled = FRAME.set_axis([7, 3])
    shuffled.attrs["who"] = "somebody"
    assert table_bytes(FRAME) == table_bytes(shuffled) == table_bytes(FRAME.copy())


def test_facts_come_back_and_their_bytes_do_not_depend_on_the_order_of_keys(place: Workspace) -> None:
    place.write_json("a.json", {"b": [1, None], "a": "é"})
    place.write_json("b.json", {"a": "é", "b": [1, None]})
    assert place.read_json("a.json") == {"a": "é", "b": [1, None]}
    assert place.objects.get_bytes(place.name("a.json")) == place.objects.get_bytes(place.name("b.json"))


def test_names_are_relative_to_the_workspace_and_sorted(place: Workspace) -> None:
    for name in ("b/2.json", "a.json", "b/1.json"):
        place.write_json(name, {})
    assert place.names() == ["a.json", "b/1.json", "b/2.json"]
    assert place.has("a.json") and not place.has("c.json")


def test_a_uri_leads_back_to_the_same_workspace(place: Workspace) -> None:
    uri = place.write_text("a.txt", "text")
    assert uri == place.uri("a.txt") and Path(uri).read_text() == "text"
    place.write_json("facts.json", [1])
    assert Workspace(open_objects(place.uri())).read_json("facts.json") == [1]


def test_what_is_not_there_is_a_missing_artifact(place: Workspace) -> None:
    for look in (place.read_json, place.read_table):
        with pytest.raises(MissingArtifact, match="nothing"):
            look("nothing")
    with pytest.raises(MissingArtifact), place.local("nothing"):
        pass


def test_a_local_copy_lasts_as_long_as_its_context(place: Workspace) -> None:
    place.write_text("deep/file.txt", "text")
    with place.local("deep/file.txt") as path:
        assert (path.name, path.read_text()) == ("file.txt", "text")
        path.write_text("changed")
    assert not path.exists()
    with place.local("deep/file.txt") as again:
        assert again.read_text() == "text"


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_reader_never_sees_half_a_file_while_it_is_written_again(place: Workspace) -> None:
    """A killed writer leaves what was there."""
    place.write_text("state.txt", "old " * 100_000)
    child = os.fork()
    if child == 0:
        try:
            while True:
                place.write_text("state.txt", "new " * 100_000)
        finally:
            os._exit(1)
    try:
        deadline = time.monotonic() + 0.3
        while time.monotonic() < deadline:
            text = Path(place.uri("state.txt")).read_text()
            assert len(text) == 400_000 and len(set(text.split())) == 1
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert len(Path(place.uri("state.txt")).read_text()) == 400_000
    assert place.names() == ["state.txt"]
