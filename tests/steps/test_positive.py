"""Labels that are not 0 and 1 train, serve and are measured as if they were, if the settings say what they mean."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from ml.adapters.sources.demo import DemoSource
from ml.errors import DataRejected
from ml.records import Champion
from ml.steps.monitor import measure_drift, measure_performance
from ml.steps.retrain import pull
from tests.steps.conftest import FIRST_DAY, LAST_DAY, NEXT_DAY, REQUEST, World

DEMO = DemoSource(replay=False)
CODES = {0: 1.0, 1: 2.0}


def recoded(world: World) -> World:
    """Write 1 and 2 for 0 and 1 into the registry, of every day that has labels."""
    days = [FIRST_DAY + timedelta(days=n) for n in range((LAST_DAY - FIRST_DAY).days)]
    held = {("labels", day): world.held("labels", day) for day in days}
    world.put({name: frame.assign(late=frame["late"].map(CODES)) for name, frame in held.items()})
    return world


def measured(world: World) -> dict[str, object]:
    """What the newest evaluation in a world's storage says."""
    (file,) = Path(world.services.storage.root).rglob("evaluation/evaluation.json")
    facts = json.loads(file.read_text())
    return {name: facts[name] for name in ("challenger", "base_rate", "holdout_rows")}


def served(world: World) -> tuple[float, object, object]:
    """Score the newest days, and measure them when their labels have come."""
    for day in (LAST_DAY, NEXT_DAY):
        labels = DEMO.labels(day)
        codes = world.settings.task.positive == 2
        labels = labels.assign(late=labels["late"].map(CODES)) if codes else labels
        world.put({("inputs", day): DEMO.inputs(day), ("labels", day): labels})
    _, scoring = world.score(NEXT_DAY)
    last = NEXT_DAY + timedelta(days=1)
    world.put({("inputs", last): DEMO.inputs(last)})
    champion = Champion(day=last, version=1, data_version=world.services.registry.head(), reason="it serves")
    performance = world.run(measure_performance, champion)
    drift = world.run(measure_drift, champion)
    label = [(column.score, column.limit) for column in drift.columns if column.column == "label"]
    return scoring.mean_prediction, performance.metrics, label


def test_one_and_two_train_serve_and_are_measured_as_zero_and_one_are(
    seeded_once: World, trained: World, tmp_path: Path
) -> None:
    codes = recoded(seeded_once.copied_to(tmp_path / "codes")).having(task={"positive": 2})
    assert codes.retrain().promoted
    assert measured(codes) == measured(trained)
    assert served(codes) == served(trained)


def test_without_their_meaning_they_are_refused_before_anything_is_fitted(seeded: World) -> None:
    said = r"labels of 2013-05-01: column 'late' holds .*2.0 is neither 0 nor 1.* set task.positive"
    with pytest.raises(DataRejected, match=said):
        recoded(seeded).run(pull, REQUEST)
