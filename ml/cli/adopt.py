"""Make a model of a table: read a sample, propose settings and contracts with reasons, and write models/NAME.

The table is a file (CSV, JSON lines, Parquet), a folder of them, a pattern with {day} for a file a day, s3://, a URL,
or a table or query of a database. What the data do not say is asked at a terminal, at most three things, or answered by
options. Run again on more data it shows what would change, and never overwrites what a person wrote.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ml.adapters.code import one_thread
from ml.cli import adopt_check, adopt_folder
from ml.cli.adopt_reading import Address, copies, location_of, read_both, sample_of
from ml.command_line import execute, parser
from ml.core.adoption.answers import Answers, Question
from ml.core.adoption.facts import see
from ml.core.adoption.proposal import propose_model
from ml.errors import SettingsError
from ml.settings import PROJECT_ROOT, configured_models
from ml.views.adopted_summary import summary


def run(address: Address, answers: Answers, *, take: bool, ask: bool) -> dict[str, Any]:
    """Read, propose and write.

    Parameters
    ----------
    take
        Whether to write what a folder that is there would change to.
    ask
        Whether somebody sits at the terminal.

    Returns
    -------
    dict
        ``model``, ``folder``, ``summary``, ``diff`` and ``written`` (names of files; empty if nothing was taken).
    """
    read, labels = read_both(address, answers)
    sample = sample_of(read, labels)
    _say(f"read {len(read.table):,} rows of {len(read.table.columns)} columns; looking at time, key, columns, leaks")
    today = datetime.now(UTC).date()
    seen = see(sample, answers, today=today)
    if ask and (questions := seen.questions()):
        answers = ask_person(questions, seen.answers)
        seen = see(sample, answers, today=today)
    name = answers.name or default_name(address.called)
    folder, project = place_of(name)
    location = location_of(folder, project, read, labels, seen)
    _say("validating recipes on newer days than those they are fitted on")
    with one_thread():
        proposal = propose_model(
            seen, name=name, location=location, today=today,
            installed=[library for library in ("xgboost", "lightgbm") if _usable(library)], tell=_say,
        )  # fmt: skip
    made = adopt_folder.changes(folder, adopt_folder.texts_of(proposal, folder=folder, project=project))
    diff = "".join(change.diff() for change in made)
    is_new = not folder.exists()
    taken = is_new or not diff or take or (ask and _confirmed(diff))
    written = adopt_folder.write(folder, made, copy=copies(proposal)) if taken else []
    notes = (*read.notes, *(labels.notes if labels else ()))
    return {
        "model": name,
        "folder": str(folder),
        "summary": summary(proposal, seen.questions(), notes=notes),
        "diff": "" if is_new else diff,
        "written": written,
    }


def default_name(data: str) -> str:
    """Return a name for a model of a table.

    Examples
    --------
    >>> default_name("s3://lake/Bike rentals.csv.gz"), default_name("/data/2024/"), default_name("sales/{year}/{day}")
    ('bike-rentals', '2024', 'sales')
    """
    plain = re.sub(r"[/_.-]*\{.*", "", data) or "days"
    stem = re.split(r"[/\\]", plain.split("?", maxsplit=1)[0].rstrip("/\\"))[-1].split(".")[0]
    return re.sub(r"[^A-Za-z0-9_]+", "-", stem).strip("-").lower()[:64] or "model"


def is_somewhere(data: str) -> bool:
    """Return whether DATA may be data: an address, a pattern or a path of something that is there."""
    return "://" in data or "{" in data or Path(data).exists()


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
    arguments.add_argument(
        "data", metavar="DATA",
        help="a file, a folder, a pattern with {day} (or {year}, {month}, {day_of_month}), s3:// or a URL; with "
        "--table or --query a database: the name of its connection; to check only: a model",
    )  # fmt: skip
    arguments.add_argument("--table", metavar="NAME", help="the table or view of a database")
    arguments.add_argument("--query", metavar="SQL", help="in place of a table: a query for the rows of all days")
    arguments.add_argument("--target", help="the column that is predicted")
    arguments.add_argument(
        "--labels", metavar="DATA",
        help="the table that holds the target, if it is another one; of a database a table or a query",
    )  # fmt: skip
    arguments.add_argument("--time", metavar="COLUMN", help="the column that tells when a row happened")
    arguments.add_argument("--key", metavar="COLUMN", action="append", help="a column of the key; again for each one")
    arguments.add_argument(
        "--number-rows", action="store_true",
        help="where no column names the rows of a day: number them, in a copy of the data",
    )  # fmt: skip
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
            if options.check and not is_somewhere(options.data):
                there = ", ".join(model.name for model in configured_models())
                raise SettingsError(
                    f"there is neither a model nor data called {options.data}: to check a model, name one of {there}; "
                    "to adopt data, give their path and --target"
                )
            raise SettingsError("--target is missing: name the column that is predicted")
        answers = Answers(
            target=options.target, name=options.name, time=options.time, key=tuple(options.key or ()),
            kind=options.kind, positive=options.positive, label_delay_days=options.label_delay_days,
            timezone=options.timezone, known=tuple(options.known or ()), left_out=tuple(options.leave_out or ()),
            replay=options.replay, number_rows=options.number_rows,
        )  # fmt: skip
        address = Address(options.data, options.labels, options.table, options.query)
        facts = run(address, answers, take=options.yes, ask=ask)
        return {**facts, "check": adopt_check.run(facts["model"])} if options.check else facts

    return execute(work, show=lambda facts: show(facts) if "summary" in facts else "\n".join(facts["lines"]))


if __name__ == "__main__":
    sys.exit(main())
