"""Make a model of a table: read a sample, propose settings and contracts with reasons, and write models/NAME.

The table is a file (CSV, JSON lines, Parquet), a folder of them, s3:// or a URL. What the data do not say is asked at
a terminal, at most three things, or answered by options. Run again on more data it shows what would change, and never
overwrites what a person wrote.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import os
import re
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ml.adapters.code import one_thread
from ml.adapters.sources.sampling import Read, read_sample
from ml.adapters.workspace import write_parquet
from ml.cli import adopt_check, adopt_folder
from ml.command_line import execute, parser
from ml.core.adoption.answers import Answers, Question
from ml.core.adoption.facts import Facts, Sample, see
from ml.core.adoption.proposal import Proposal, propose_model
from ml.core.adoption.sections import Location
from ml.errors import SettingsError
from ml.settings import PROJECT_ROOT, configured_models
from ml.views.adopted_summary import summary

COPY = "data/table.parquet"


def run(data: str, answers: Answers, *, labels: str | None, take: bool, ask: bool) -> dict[str, Any]:
    """Read, propose and write.

    Parameters
    ----------
    labels
        The address of the table of labels; None for the same table.
    take
        Whether to write what a folder that is there would change to.
    ask
        Whether somebody sits at the terminal.

    Returns
    -------
    dict
        ``model``, ``folder``, ``summary``, ``diff`` and ``written`` (names of files; empty if nothing was taken).
    """
    read = read_sample(data, "DATA")
    of_labels = read_sample(labels, "--labels") if labels else None
    more = () if of_labels is None else of_labels.changed
    sample = Sample(
        read.table, read.is_text, has_types=read.has_types, changed=(*read.changed, *more),
        labels=None if of_labels is None else of_labels.table,
    )  # fmt: skip
    _say(f"read {len(read.table):,} rows of {len(read.table.columns)} columns; looking at time, key, columns, leaks")
    seen = see(sample, answers)
    if ask and (questions := seen.questions()):
        answers = ask_person(questions, seen.answers)
        seen = see(sample, answers)
    name = answers.name or default_name(data)
    folder, project = place_of(name)
    location = _location(folder, project, read, of_labels, seen)
    _say("validating recipes on newer days than those they are fitted on")
    with one_thread():
        proposal = propose_model(
            seen, name=name, location=location, today=datetime.now(UTC).date(),
            installed=[library for library in ("xgboost", "lightgbm") if _usable(library)], tell=_say,
        )  # fmt: skip
    made = adopt_folder.changes(folder, adopt_folder.texts_of(proposal, folder=folder, project=project))
    diff = "".join(change.diff() for change in made)
    is_new = not folder.exists()
    taken = is_new or not diff or take or (ask and _confirmed(diff))
    written = adopt_folder.write(folder, made, copy=_copies(seen, proposal)) if taken else []
    return {
        "model": name,
        "folder": str(folder),
        "summary": summary(proposal, seen.questions()),
        "diff": "" if is_new else diff,
        "written": written,
    }


def default_name(data: str) -> str:
    """Return a name for a model of a table.

    Examples
    --------
    >>> default_name("s3://lake/Bike rentals.csv.gz"), default_name("/data/2024/")
    ('bike-rentals', '2024')
    """
    stem = re.split(r"[/\\]", data.split("?", maxsplit=1)[0].rstrip("/\\"))[-1].split(".")[0]
    return re.sub(r"[^A-Za-z0-9_]+", "-", stem).strip("-").lower()[:64] or "model"


def place_of(name: str) -> tuple[Path, Path]:
    """Return the folder of a model, and the project that it belongs to; SettingsError if it is somebody else's."""
    models = configured_models()
    if models and models[0].is_top and models[0].name == name:
        raise SettingsError(f"the model at the top is called {name!r}; choose another name with --name")
    configured = os.environ.get("EVERGREEN_MODELS")
    own = next((model.params.parent.parent for model in models if not model.is_top), None)
    beside = models[0].params.parent if models and models[0].is_top else PROJECT_ROOT
    folder = Path(configured) if configured else own or beside / "models"
    if (folder / name).exists() and not (folder / name / adopt_folder.PROPOSED).exists():
        raise SettingsError(
            f"{folder / name} is there, and was not written by 'evergreen adopt'; choose another name with --name"
        )
    return folder / name, beside


def ask_person(questions: list[Question], answers: Answers) -> Answers:
    """Ask at the terminal; an empty answer takes what is assumed."""
    given: dict[str, Any] = {}
    for question in questions:
        sys.stderr.write(f"\n{question.text} [{question.assumed}] ")
        sys.stderr.flush()
        text = sys.stdin.readline().strip()
        if not text:
            continue
        if question.subject == "known":
            given["known"] = tuple(part.strip() for part in text.split(",") if part.strip() and part.strip() != "none")
        elif question.subject == "label_delay_days":
            given["label_delay_days"] = _days(text)
        else:
            given["timezone"] = text
    answered = {"label_delay_days": answers.label_delay_days, "timezone": answers.timezone}
    for question in questions:  # what was asked is not asked again
        if question.subject in answered and question.subject not in given:
            value: Any = question.assumed
            given[question.subject] = _days(value) if question.subject == "label_delay_days" else value
    return replace(answers, **given)


def _days(text: str) -> int:
    if not text.isdecimal():
        raise SettingsError(f"{text!r} is not a number of days; type one such as 7")
    return int(text)


def _location(folder: Path, project: Path, read: Read, labels: Read | None, seen: Facts) -> Location:
    if not seen.changed and read.address is not None:
        beside = labels.address if labels is not None else None
        return Location(_shown(read.address, project), None if beside is None else _shown(beside, project))
    return Location(_shown(str(folder / COPY), project))


def _shown(address: str, project: Path) -> str:
    path = Path(address)
    return str(path.relative_to(project)) if "://" not in address and path.is_relative_to(project) else address


def _copies(seen: Facts, proposal: Proposal) -> dict[str, bytes]:
    """Return the table in a form that the source reads; none where it reads the data as they are."""
    if not seen.changed:
        return {}
    time = seen.time.name
    columns = [c for c in proposal.inputs if c != "day" and c not in _parts(seen)] + [proposal.task.target]
    table = seen.table[columns]
    instants = seen.time.instants.loc[table.index]
    form = "%Y-%m-%dT%H:%M:%S%z" if seen.time.has_offset else "%Y-%m-%dT%H:%M:%S"
    if time != "day":
        shown = instants.dt.strftime(form if seen.time.has_clock else "%Y-%m-%d")
        table = table.assign(**{time: shown.str.replace(r"([+-]\d{2})(\d{2})$", r"\1:\2", regex=True)})
    content = io.BytesIO()
    write_parquet(table.reset_index(drop=True), content)
    return {COPY: content.getvalue()}


def _parts(seen: Facts) -> set[str]:
    return {f"{seen.time.name}_{part}" for part in seen.parts}


def _usable(library: str) -> bool:
    """Return whether a library of boosted trees is installed and may be named as an estimator."""
    return all(importlib.util.find_spec(name) is not None for name in (library, "ml.core.training.boosting"))


def _confirmed(diff: str) -> bool:
    sys.stderr.write(f"\n{diff}\ntake these changes? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def show(facts: dict[str, Any]) -> str:
    """Lay out what was seen, what was written, and what comes next."""
    lines = [facts["summary"], ""]
    if facts["diff"] and not facts["written"]:
        lines += [facts["diff"], "nothing was written: run it again with --yes to take these changes"]
    elif facts["diff"]:
        lines += [facts["diff"], f"taken, in {facts['folder']}"]
    else:
        lines.append(f"written: {facts['folder']} ({', '.join(facts['written'])})")
    checked = facts.get("check")
    name = facts["model"]
    if checked:
        lines += ["", *checked["lines"]]
    else:
        lines += ["", "next:", f"  evergreen adopt --check {name}   # land, validate, train and judge once"]
        lines.append(f"  make up MODEL={name}")
    return "\n".join(lines)


def _options(doc: str | None) -> argparse.ArgumentParser:
    arguments = parser(doc)
    arguments.add_argument("data", metavar="DATA", help="a file, a folder, s3:// or a URL; to check only: a model")
    arguments.add_argument("--target", help="the column that is predicted")
    arguments.add_argument("--labels", metavar="DATA", help="the table that holds the target, if it is another one")
    arguments.add_argument("--time", metavar="COLUMN", help="the column that tells when a row happened")
    arguments.add_argument("--key", metavar="COLUMN", action="append", help="a column of the key; again for each one")
    arguments.add_argument("--name", help="what the model is called; without it like the data")
    arguments.add_argument("--kind", choices=("classification", "multiclass", "regression"), help="the kind of task")
    arguments.add_argument("--positive", metavar="LABEL", help="the label that counts as 1")
    arguments.add_argument("--label-delay-days", type=int, metavar="N", help="after how many days outcomes are known")
    arguments.add_argument("--timezone", metavar="ZONE", help="in which days begin, such as Europe/Berlin")
    arguments.add_argument("--known", metavar="COLUMN", action="append", help="looks like a leak, and is known before")
    arguments.add_argument("--leave-out", metavar="COLUMN", action="append", help="is no feature")
    arguments.add_argument("--replay", action=argparse.BooleanOptionalAction, help="serve a past period as now")
    arguments.add_argument("--check", action="store_true", help="then land, validate, train and judge once")
    arguments.add_argument("--yes", action="store_true", help="ask nothing: take what is assumed or new")
    return arguments


def main(argv: list[str] | None = None) -> int:
    """Adopt a table, or check a model that was adopted."""
    options = _options(__doc__).parse_args(argv)
    ask = sys.stdin.isatty() and not options.yes

    def work() -> dict[str, Any]:
        if options.target is None:
            if options.check and any(model.name == options.data for model in configured_models()):
                return adopt_check.run(options.data)
            raise SettingsError("--target is missing: name the column that is predicted")
        answers = Answers(
            target=options.target, name=options.name, time=options.time, key=tuple(options.key or ()),
            kind=options.kind, positive=options.positive, label_delay_days=options.label_delay_days,
            timezone=options.timezone, known=tuple(options.known or ()), left_out=tuple(options.leave_out or ()),
            replay=options.replay,
        )  # fmt: skip
        facts = run(options.data, answers, labels=options.labels, take=options.yes, ask=ask)
        return {**facts, "check": adopt_check.run(facts["model"])} if options.check else facts

    return execute(work, show=lambda facts: show(facts) if "summary" in facts else "\n".join(facts["lines"]))


if __name__ == "__main__":
    sys.exit(main())
