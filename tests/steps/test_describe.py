"""The model card of a judged version, on real days and in a real MLflow."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from mlflow.tracking._tracking_service import utils as mlflow_memory

from ml.records import Judgement, RetrainRequest, Window
from ml.steps.retrain import describe
from tests.steps.conftest import Contest, World

NAMES = ("model_card.html", "model_card.md", "importance.json", "charts.json")
VOID = {"meta", "img", "source", "br"}


@pytest.fixture(autouse=True)
def _a_run_of_its_own_world() -> Iterator[None]:
    """Let MLflow forget where it found each run's files: copies of a world share their run ids, not their folders."""
    mlflow_memory._artifact_repos_cache.clear()
    yield
    mlflow_memory._artifact_repos_cache.clear()


class Outline(HTMLParser):
    """Check that tags close in order, and collect headings and what the page would load."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loads += [value or "" for name, value in attrs if name in {"src", "srcset", "href"}]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def kept(world: World, version: int) -> dict[str, bytes]:
    """Read back what MLflow keeps of a version's card."""
    read = world.services.tracking.read_file
    return {name: read(version, f"card/{name}", Path.read_bytes) for name in NAMES}


def markdown_of(files: dict[str, bytes]) -> str:
    return files["model_card.md"].decode()


def test_the_card_is_kept_with_the_run_and_is_the_same_when_written_twice(contest: Contest) -> None:
    world = contest.world
    card = world.run(describe, contest.window, contest.judgement)
    assert card.version == 2
    assert card.run_id == world.services.tracking.version_tags(2)["run_id"]
    assert card.html_uri == f"runs:/{card.run_id}/card/model_card.html"
    first = kept(world, 2)
    assert world.run(describe, contest.window, contest.judgement) == card
    assert kept(world, 2) == first

    web, markdown = first["model_card.html"].decode(), first["model_card.md"].decode()
    outline = Outline()
    outline.feed(web)
    assert outline.open == [] and outline.loads
    assert all(load.startswith("data:image/png;base64,") for load in outline.loads)
    assert 'class="words"></th>' not in web and '<th scope="col"></th>' not in web, "no header without a word"
    assert web.count('class="wide"') == web.count('class="wide" tabindex="0" role="region"') > 3, (
        "tables scroll by keys"
    )
    depends = json.loads(first["charts.json"])["dependence"]
    strongest = [one["feature"] for one in json.loads(first["importance.json"])["features"] if one["increase"] > 0]
    assert [one["feature"] for one in depends] == strongest[: len(depends)] and len(depends) == min(3, len(strongest))
    for one in depends:
        assert all(0 < mean < 1 for line in one["lines"] + one["champion_lines"] for mean in line["mean"])
        (own,), (champion,) = one["lines"], one["champion_lines"]
        assert len(own["mean"]) == len(champion["mean"]) == len(one["values"]) and own != champion
        assert f"{champion['mean'][0]:.4f}" in markdown_of(first).split("## Dependence on the strongest features")[1]
    for text in (web, markdown):
        assert "flight-delay, version 2" in text and "Gate: promote" in text and "champion v1" in text
        assert contest.window.fingerprint in text and contest.window.data_version in text
        assert "Not available" not in text
        for ruling in contest.judgement.verdict.rulings:
            assert ruling.rule in text
    measured = contest.world.services.tracking.run_metrics(card.run_id)
    assert f"{measured['log_loss']:.4f}" in markdown and f"{measured['champion_log_loss']:.4f}" in markdown
    assert re.search(r"[\d,]+ of the window's [\d,]+ rows \([\d.]+%\) have no outcome", markdown)

    importance = json.loads(first["importance.json"])
    increases = [entry["increase"] for entry in importance["features"]]
    assert (importance["metric"], importance["rows"]) == ("log_loss", 3412)
    assert increases == sorted(increases, reverse=True) and increases[0] > 0.001
    assert {"carrier", "sched_dep_minute"} <= {entry["feature"] for entry in importance["features"]}


def test_a_part_that_cannot_be_computed_is_named_with_its_reason(contest: Contest) -> None:
    world, window = contest.world, contest.window
    for name in ("evaluation/holdout.parquet", "model/pipeline.skops"):
        (Path(window.workspace) / name).unlink()
    card = world.run(describe, window, contest.judgement)
    markdown = (Path(window.workspace) / "card/model_card.md").read_text()
    for title in ("Slices", "Calibration", "Features by importance", "Estimator"):
        part = markdown.split(f"## {title}\n")[1].split("\n## ")[0]
        assert "Not available" in part and "no such file" in part, title
    assert "Gate: promote" in markdown and card.version == 2
    assert not (Path(window.workspace) / "card/importance.json").exists()


def test_a_refit_says_which_version_was_measured(contest: Contest) -> None:
    refitted = contest.judgement.model_copy(update={"version": 1, "judged_version": 2})
    contest.world.run(describe, contest.window, refitted)
    page = kept(contest.world, 1)["model_card.md"].decode()
    assert "version 1" in page.splitlines()[0] and "measured of version 2" in page


def test_a_first_model_has_a_card_without_a_champion(trained: World) -> None:
    judged: tuple[Window, Judgement] = trained.judge(
        RetrainRequest(requested_by="a test", reasons=("<b>why|</b>",), force=True, request_id="again")
    )
    window, judgement = judged
    alone = judgement.model_copy(update={"champion_version": None})
    place = trained.services.workspace(window.workspace)
    facts = place.read_json("evaluation/evaluation.json") | {"champion": None, "champion_version": None}
    place.write_json("evaluation/evaluation.json", facts)
    scored = place.read_table("evaluation/holdout.parquet")
    place.write_table("evaluation/holdout.parquet", scored.drop(columns=["champion", "champion_had_seen"]))
    trained.run(describe, window, alone)
    page = kept(trained, int(judgement.version or 0))
    assert b"<b>why" not in page["model_card.html"] and b"<b>why" not in page["model_card.md"]
    assert b"champion v" not in page["model_card.md"].split(b"## Metrics")[1]
    assert all(one["champion_lines"] == [] for one in json.loads(page["charts.json"])["dependence"])


def test_a_champion_whose_files_are_gone_leaves_the_challengers_own_dependence(contest: Contest) -> None:
    world, window = contest.world, contest.window
    run_id = world.services.tracking.version_tags(1)["run_id"]
    (lineage,) = world.home.rglob(f"{run_id}/artifacts/lineage/lineage.json")
    lineage.unlink()
    mlflow_memory._artifact_repos_cache.clear()
    world.run(describe, window, contest.judgement)
    depends = json.loads(kept(world, 2)["charts.json"])["dependence"]
    assert "Champion v1 could not be asked" in kept(world, 2)["model_card.md"].decode()
    assert depends and all(one["lines"] and one["champion_lines"] == [] for one in depends)
