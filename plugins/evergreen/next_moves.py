"""Word what ml proposes as what to click in Airflow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ml.next_moves import NextMove


def worded(text: str) -> str:
    """Return a sentence of ml with its next moves in Airflow's words; one without any is returned as it is."""
    from ml.next_moves import reworded

    return reworded(text, words)


def worded_facts(facts: Any) -> Any:
    """Return facts as JSON knows them, with every sentence in Airflow's words; `facts` itself is not modified."""
    if isinstance(facts, str):
        return worded(facts)
    if isinstance(facts, dict):
        return {name: worded_facts(value) for name, value in facts.items()}
    return [worded_facts(value) for value in facts] if isinstance(facts, list | tuple) else facts


def words(move: NextMove) -> str:
    """Return what to do in Airflow's user interface."""
    return {
        "ingest": "backfill Ingest" if move.past else f"trigger the Dag Ingest with the partition key {move.day}",
        "retrain": "trigger Retrain with force" if move.force else "trigger Retrain",
        "rerun": _again(move),
        "roll_back": "roll back to another version (trigger Rollback with to_version)",
        "switch_on": f"switch the Dag {move.name} on",
        "read_log": f"read the log of the task {move.step}",
    }[move.kind]


def _again(move: NextMove) -> str:
    if move.pipeline:
        run = f"the run of {move.name}" + (f" of {move.day}" if move.day else "")
        return f"clear '{move.step}' of {run}" if move.step else f"clear {run}"
    return f"clear '{move.step}' and what follows" if move.step else "clear this run"
