"""A next move in a sentence is read back as it was written, wherever the sentence went."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
import yaml

from ml.command_line import STAGES, worded
from ml.errors import DataRejected, EvergreenError
from ml.next_moves import (
    NextMove,
    ingest,
    ingest_past,
    moves_in,
    read_log,
    rerun,
    retrain,
    reworded,
    roll_back,
    switch_on,
)

DAY = date(2013, 4, 1)
MOVES = (
    ingest(DAY),
    ingest_past(),
    retrain(),
    retrain(force=True),
    rerun(),
    rerun(step="predict"),
    rerun("ingest", DAY),
    rerun("ingest", DAY, step="screen"),
    rerun("retrain"),
    roll_back(),
    switch_on("monitor"),
    read_log("check"),
)
PROJECT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("move", MOVES, ids=str)
def test_a_move_is_read_back_from_a_sentence(move: NextMove) -> None:
    assert moves_in(f"it failed (of run 7): {move}.") == (move,)
    assert moves_in(f"it failed; {move}, or {retrain()}; see docs") == (move, retrain())


def test_an_error_carries_the_moves_of_its_message_also_when_another_quotes_it() -> None:
    inner = DataRejected(f"inputs rejected. Next: fix the source and {rerun()}")
    assert inner.next_moves == (rerun(),)
    assert EvergreenError(f"two things: {inner}; {retrain()}").next_moves == (rerun(), retrain())
    assert EvergreenError("nothing to do").next_moves == ()


@pytest.mark.parametrize("text", ["a run of Retrain", "they run Retraining", "nothing is half-written; run it again"])
def test_other_sentences_name_no_move(text: str) -> None:
    assert moves_in(text) == ()
    assert reworded(text, lambda _: "changed") == text


@pytest.mark.parametrize(
    ("move", "words"),
    [
        (ingest(DAY), "run 'evergreen seed --from-date 2013-04-01 --to-date 2013-04-01'"),
        (ingest_past(), "run 'evergreen seed'"),
        (rerun(step="tune"), "run 'dvc repro tune'"),
        (rerun(step="predict"), "run 'predict' and what follows again"),
        (roll_back(), "roll back to another version ('evergreen rollback --to N')"),
        (retrain(), "run Retrain"),
    ],
    ids=str,
)
def test_the_command_line_says_what_to_type(move: NextMove, words: str) -> None:
    assert worded(f"it failed; {move}") == f"it failed; {words}"


def test_stages_that_can_be_typed_are_those_of_dvc() -> None:
    assert list(STAGES) == list(yaml.safe_load((PROJECT / "dvc.yaml").read_text(encoding="utf-8"))["stages"])
