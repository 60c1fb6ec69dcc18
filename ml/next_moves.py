"""What a reader can do next, as a value that travels inside sentences.

``ml`` knows nothing of who orchestrates it. It writes a next move by `str`, in words that are true everywhere, as
"run Ingest for 2013-04-01"; `moves_in` reads the moves of a sentence back, and `reworded` puts the words of the place
where it is read: Airflow says what to click, and the command line what to type.

Sentences are joined, wrapped in others and stored in records. A field beside each of them would be lost on the way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Literal

Kind = Literal["ingest", "retrain", "rerun", "roll_back", "switch_on", "read_log"]
Pipeline = Literal["ingest", "score", "monitor", "retrain", "rollback"]
PIPELINES: tuple[Pipeline, ...] = ("ingest", "score", "monitor", "retrain", "rollback")


@dataclass(frozen=True)
class NextMove:
    """One thing to do; made by the functions of this module.

    Parameters
    ----------
    kind
        ``ingest`` days, ``retrain``, ``rerun`` what ran before, ``roll_back``, ``switch_on`` a pipeline, or
        ``read_log`` of a step.
    pipeline
        What to run again or to switch on; None, of ``rerun``, is the run that the sentence speaks of.
    day
        The day to ingest, or of which the pipeline runs again. None is no certain day.
    step
        The step from which on to run again, or whose log to read.
    force
        Whether to train although this very training was judged before.
    past
        Whether to ingest the days before as well.
    """

    kind: Kind
    pipeline: Pipeline | None = None
    day: date | None = None
    step: str | None = None
    force: bool = False
    past: bool = False

    def __str__(self) -> str:
        """Return the move in words that name no orchestrator; `moves_in` reads them back."""
        return {
            "ingest": "run Ingest for past days" if self.past else f"run Ingest for {self.day}",
            "retrain": "run Retrain with force" if self.force else "run Retrain",
            "rerun": self._again(),
            "roll_back": "roll back to another version",
            "switch_on": f"switch {self.name} on",
            "read_log": f"read what the step '{self.step}' logged",
        }[self.kind]

    @property
    def name(self) -> str:
        """Return the pipeline as people know it; empty without one."""
        return (self.pipeline or "").capitalize()

    def _again(self) -> str:
        if self.pipeline:
            day, first = f" of {self.day}" if self.day else "", f" from '{self.step}' on" if self.step else ""
            return f"run {self.name}{day} again{first}"
        return f"run '{self.step}' and what follows again" if self.step else "run this again"


def ingest(day: date) -> NextMove:
    """Return the move that brings in a day that was never there."""
    return NextMove("ingest", day=day)


def ingest_past() -> NextMove:
    """Return the move that brings in many days at once, the first ones among them."""
    return NextMove("ingest", past=True)


def retrain(*, force: bool = False) -> NextMove:
    """Return the move that fits and judges a challenger; with ``force`` also one that was judged before."""
    return NextMove("retrain", force=force)


def rerun(pipeline: Pipeline | None = None, day: date | None = None, *, step: str | None = None) -> NextMove:
    """Return the move that repeats a run; of None, the run that the sentence speaks of, from ``step`` on if given."""
    return NextMove("rerun", pipeline=pipeline, day=day, step=step)


def roll_back() -> NextMove:
    """Return the move that lets an earlier champion serve again."""
    return NextMove("roll_back")


def switch_on(pipeline: Pipeline) -> NextMove:
    """Return the move that lets a pipeline run by itself."""
    return NextMove("switch_on", pipeline=pipeline)


def read_log(step: str) -> NextMove:
    """Return the move that looks at what a step logged."""
    return NextMove("read_log", step=step)


_NAMES = "|".join(name.capitalize() for name in PIPELINES)
_GRAMMAR = re.compile(
    r"\b(?:"
    r"(?P<past>run Ingest for past days)"
    r"|run Ingest for (?P<ingest>\d{4}-\d\d-\d\d)"
    rf"|run (?P<again>{_NAMES})(?: of (?P<day>\d{{4}}-\d\d-\d\d))? again(?: from '(?P<first>\w+)' on)?"
    r"|(?P<retrain>run Retrain)(?P<force> with force)?"
    r"|run '(?P<step>\w+)' and what follows again"
    r"|(?P<this>run this again)"
    r"|(?P<back>roll back to another version)"
    rf"|switch (?P<on>{_NAMES}) on"
    r"|read what the step '(?P<log>\w+)' logged"
    r")(?!\w)"
)


def moves_in(text: str) -> tuple[NextMove, ...]:
    """Return the moves that a sentence names, in order.

    Examples
    --------
    >>> moves_in(f"nobody serves: {ingest_past()}, then {retrain()}") == (ingest_past(), retrain())
    True
    """
    return tuple(_read(match) for match in _GRAMMAR.finditer(text))


def reworded(text: str, words: Callable[[NextMove], str]) -> str:
    """Return a sentence with each of its moves in other words.

    Examples
    --------
    >>> reworded(f"nobody serves: {retrain()}.", lambda move: move.kind.upper())
    'nobody serves: RETRAIN.'
    """
    return "".join(_pieces(text, words))


def _pieces(text: str, words: Callable[[NextMove], str]) -> Iterator[str]:
    end = 0
    for match in _GRAMMAR.finditer(text):
        yield text[end : match.start()]
        yield words(_read(match))
        end = match.end()
    yield text[end:]


def _read(match: re.Match[str]) -> NextMove:
    day, name = match["ingest"] or match["day"], match["again"] or match["on"]
    kinds: dict[str, Kind] = {
        "past": "ingest",
        "ingest": "ingest",
        "retrain": "retrain",
        "back": "roll_back",
        "on": "switch_on",
        "log": "read_log",
    }
    return NextMove(
        kind=next((kind for group, kind in kinds.items() if match[group]), "rerun"),
        pipeline=_pipeline(name) if name else None,
        day=date.fromisoformat(day) if day else None,
        step=match["first"] or match["step"] or match["log"],
        force=bool(match["force"]),
        past=bool(match["past"]),
    )


def _pipeline(name: str) -> Pipeline:
    return next(pipeline for pipeline in PIPELINES if pipeline == name.lower())
