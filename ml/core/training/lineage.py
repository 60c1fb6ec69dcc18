"""What determines a training result, its fingerprint, and whether a repetition came to the same."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ml.core.data.arrivals import facts_of
from ml.errors import UntrustedModel
from ml.records import Compared, Content, DayFile
from ml.settings import Settings

DETERMINING_SECTIONS = ("task", "split", "features", "fit")
"""The parts of ``params.yaml`` that change a fitted model. ``pull`` counts by the days that it chose."""
SINCE_LEFT_OUT = (
    ("fit", "sample_weight"),
    ("features", "python"),
    ("task", "quantile"),
    ("fit", "intervals"),
    ("fit", "stream"),
)
"""Settings that came later: left out where they say nothing, so that a training keeps its fingerprint."""
RECIPE_SECTIONS = ("task", "features", "fit")
"""What two models that differ by their data only have in common."""


def fingerprint(
    files: Iterable[DayFile],
    settings: Settings,
    *,
    first_day: date,
    code_sha256: str,
    lock_sha256: str,
    seen: Sequence[Content] = (),
    own_code: Mapping[str, str] | None = None,
    excluded: Collection[date] = (),
) -> str:
    """Hash everything that determines a training result (SHA-256, 64 hex digits).

    The window counts by its content, not by its settings: asking for the same days in another way
    gives the same fingerprint. The order of ``files`` does not matter.

    Parameters
    ----------
    first_day
        The day from which it trains. Files before it are read by the history features only: the same
        files with another first day are another training.
    seen
        What `ml.core.data.arrivals.not_as_present` gave: labels that history features did not see as they are now.
    own_code
        The hash of each module of `Settings.code_paths`, of which neither code nor lock says anything.
    excluded
        Days among ``files`` that lagged target means look back on, and that are not learned from.
    """
    sections = settings.model_dump(mode="json", include=set(DETERMINING_SECTIONS))
    if settings.tune.enabled:  # the search, and what scores it, choose the model too; turned off, neither counts
        sections |= settings.model_dump(mode="json", include={"tune": True, "gate": {"metric"}})
    for section, name in SINCE_LEFT_OUT:
        if sections[section][name] is None:
            del sections[section][name]
    facts: dict[str, Any] = {
        "data": sorted([file.asset, file.day.isoformat(), file.md5] for file in files),
        "first_day": first_day.isoformat(),
        "settings": sections,
        "code": code_sha256,
        "lock": lock_sha256,
    }
    facts |= {"seen": facts_of(seen)} if seen else {}
    facts |= {"own_code": dict(own_code)} if own_code else {}
    facts |= {"excluded": sorted(day.isoformat() for day in excluded)} if excluded else {}
    return hashlib.sha256(json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def same_recipe(first: Settings, second: Settings) -> bool:
    """Return whether two models came of the same task, features and estimator with its arguments.

    How many days were held back for judging is no part of it, nor are prediction intervals, among how many workers the
    rows of a fit were divided, or the version of the code.
    """
    sections: dict[str, Any] = dict.fromkeys(RECIPE_SECTIONS, True)
    mine, yours = (
        settings.model_dump(mode="json", include=sections, exclude={"fit": {"intervals": True, "stream": {"workers"}}})
        for settings in (first, second)
    )
    return mine == yours


def check_hashes(lineage: Mapping[str, Any]) -> None:
    """Refuse a lineage whose data version or hashes are not whole hashes, before they reach a command line.

    Raises
    ------
    UntrustedModel
        Naming the first such value.
    """
    for name, digits in (("data_version", (40, 64)), ("code_sha256", (64,)), ("lock_sha256", (0, 64))):
        value = lineage.get(name)
        if not isinstance(value, str) or not is_hash(value, digits):
            raise UntrustedModel(
                f"the lineage gives {value!r} as {name}, which is not a whole hash: it was not written by a training; "
                "nothing was run. Restore the version's lineage.json from a backup, or train again"
            )


def is_hash(text: str, digits: Collection[int] = (40, 64)) -> bool:
    """Return whether a text is lower-case hexadecimal of one of these lengths, as Git and SHA-256 write it."""
    return len(text) in digits and re.fullmatch("[0-9a-f]*", text) is not None


def thread_variables(recorded: Mapping[str, Any], names: Collection[str]) -> tuple[dict[str, str], list[Compared]]:
    """Choose of the recorded variables those that a repetition may set: numbers of threads, and nothing else.

    Parameters
    ----------
    recorded
        Variables by name, as a lineage gives them: not trusted.
    names
        The variables that may be set.

    Returns
    -------
    tuple of dict and list of Compared
        What may be set, and one difference for each variable that was refused. Its value is not repeated.
    """
    allowed, rejected = {}, []
    for name, value in sorted(recorded.items()):
        text = str(value)
        if name in names and re.fullmatch(r"[1-9][0-9]{0,3}(,[1-9][0-9]{0,3})*", text):
            allowed[name] = text
            continue
        problem = "is not a number of threads" if name in names else "is none of those that set a number of threads"
        detail = f"refused: it {problem}, and was not set"
        rejected.append(Compared(what=f"variable {name}", recorded="set", reproduced=None, same=False, detail=detail))
    return allowed, rejected


def pinned_settings(lineage: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that lead to the recorded window again, whatever data came later.

    They are not checked: they are for the recorded code, whose settings may have had another shape.
    """
    window, settings = lineage["window"], dict(lineage["settings"])
    first, last = (date.fromisoformat(window[name]) for name in ("first_day", "last_day"))
    pull = dict(settings["pull"])
    settings["pull"] = {
        **pull,
        "data_version": lineage["data_version"],
        "last_day": pull.get("last_day") or last.isoformat(),
        "days": pull.get("days") or (last - first).days + 1,
    }
    return settings


def compare_facts(recorded: Mapping[str, Any], reproduced: Mapping[str, Any]) -> list[Compared]:
    """Compare two lineages in what they say of code, data and rows, and in their fingerprints.

    Both are read as they are: what the recorded one lacks is not the same.
    """
    edges = [
        f"{lineage['window']['first_day']} to {lineage['window']['last_day']}" for lineage in (recorded, reproduced)
    ]
    return [
        _compared("code of ml/, SHA-256", recorded["code_sha256"], reproduced["code_sha256"]),
        _compared("lock file, SHA-256", recorded["lock_sha256"], reproduced["lock_sha256"]),
        *_compare_own_code(recorded.get("own_code", {}), reproduced.get("own_code", {})),
        _compared("window", edges[0], edges[1]),
        _compare_files(recorded["window"]["files"], reproduced["window"]["files"]),
        *(
            _compared(name.replace("_", " "), recorded["parts"].get(name), reproduced["parts"].get(name))
            for name in ("train_rows", "holdout_rows", "holdout_first_day")
        ),
        _compared("fingerprint", recorded["resolved_fingerprint"], reproduced["resolved_fingerprint"]),
    ]


def _compare_own_code(recorded: Mapping[str, Any], reproduced: Mapping[str, Any]) -> list[Compared]:
    hashes = [{name: facts["sha256"] for name, facts in side.items()} for side in (recorded, reproduced)]
    names = sorted(hashes[0].keys() | hashes[1].keys())
    return [_compared(f"code of {name}, SHA-256", hashes[0].get(name), hashes[1].get(name)) for name in names]


def _compare_files(recorded: Mapping[str, str], reproduced: Mapping[str, str]) -> Compared:
    names = sorted(recorded.keys() | reproduced.keys())
    other = [name for name in names if recorded.get(name) != reproduced.get(name)]
    summaries = [f"{len(files)} files, {_digest(files)[:16]}" for files in (recorded, reproduced)]
    more = f" and {len(other) - 3} more" if len(other) > 3 else ""
    return _compared(
        "files of the window, md5", summaries[0], summaries[1], detail=f"other content: {', '.join(other[:3])}{more}"
    )


def compare_hashes(what: str, recorded: str, present: str) -> Compared:
    """Compare two hashes of a file: that of the storage's record, and that of the file as it is now."""
    return _compared(f"{what}, SHA-256", recorded, present, detail="changed since it was registered")


def compare_values(what: str, recorded: ArrayLike | None, reproduced: ArrayLike | None) -> Compared:
    """Compare predictions bit by bit, as float64.

    Parameters
    ----------
    recorded, reproduced : array of shape (n_rows,)
        None where there are none: never the same as anything.
    """
    both = [None if values is None else np.asarray(values, dtype="<f8") for values in (recorded, reproduced)]
    summaries = [
        None if values is None else f"{len(values)} values, {_digest(values.tobytes())[:16]}" for values in both
    ]
    before, after = both
    if before is None or after is None:
        detail = "nothing is kept to compare with" if before is None else "nothing came out"
    elif len(before) != len(after):
        detail = "another number of rows"
    else:
        other = before.view("<u8") != after.view("<u8")
        apart = float(np.abs(before - after).max(initial=0.0))
        detail = f"{int(other.sum())} of {len(before)} differ, by at most {apart:.3g}"
    identical = before is not None and after is not None and before.tobytes() == after.tobytes()
    return Compared(
        what=what, recorded=summaries[0], reproduced=summaries[1], same=identical, detail="" if identical else detail
    )


def compare_metrics(recorded: Mapping[str, float], reproduced: Mapping[str, float]) -> list[Compared]:
    """Compare every metric that came out with the recorded one of its name: equal to the last bit."""
    return [
        _compared(
            name,
            None if name not in recorded else repr(float(recorded[name])),
            repr(float(value)),
            detail=f"off by {abs(float(recorded[name]) - float(value)):.3g}" if name in recorded else "not recorded",
        )
        for name, value in sorted(reproduced.items())
    ]


def differences(recorded: Mapping[str, Any], present: Mapping[str, Any]) -> list[Compared]:
    """Name what differs between two descriptions of machines, level by level; what is equal is left out."""
    before, after = _flat(recorded), _flat(present)
    pairs = [_compared(name, before.get(name), after.get(name)) for name in sorted(before.keys() | after.keys())]
    return [pair for pair in pairs if pair.recorded != pair.reproduced]


def _flat(facts: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in facts.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{above}{name}.")
        else:
            flat[above + name] = "; ".join(map(str, value)) if isinstance(value, list | tuple) else value
    return flat


def _compared(what: str, recorded: object, reproduced: object, detail: str = "") -> Compared:
    before, after = (None if value is None else str(value) for value in (recorded, reproduced))
    same = before is not None and before == after
    return Compared(what=what, recorded=before, reproduced=after, same=same, detail="" if same else detail)


def _digest(facts: bytes | Mapping[str, str]) -> str:
    data = facts if isinstance(facts, bytes) else json.dumps(dict(facts), sort_keys=True).encode()
    return hashlib.sha256(data).hexdigest()


def fingerprint_of_refit(judged: str) -> str:
    """Name the refit on the whole window of a training, which follows from that training alone."""
    return hashlib.sha256(f"{judged} refit on the whole window".encode()).hexdigest()
