"""What runs in the workers of a cluster: a part by itself, or several parts that work on one thing together."""

from __future__ import annotations

import pickle
import platform
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from time import monotonic
from typing import Any, overload

import numpy as np

from ml.adapters import code
from ml.adapters.engine import FileRows, Part, Place, first_cause
from ml.adapters.engine.travel import pack, unpack
from ml.errors import SettingsError

AFTER_A_FAILURE_SECONDS = 10.0
"""So long the others have to end by themselves, and to say why."""
_SHARED: dict[str, Any] = {}
"""What the parts of the present work share, by the name of that work."""


def fingerprint_of_code() -> dict[str, str | None]:
    """Return what must be equal on both sides for equal results: our code, Python, and the packages that compute."""
    return {"code": code.code_sha256(), "python": platform.python_version(), **_versions()}


@lru_cache(maxsize=1)
def _versions() -> dict[str, str | None]:
    return code.versions()


class Lost(Exception):
    """A worker of several that work together has gone, or there are too few of them."""


@dataclass(frozen=True)
class Fetched(Sequence[np.ndarray]):
    """Arrays in Ray's object store, by their references: each is fetched when it is asked for."""

    references: Sequence[Any]

    def __len__(self) -> int:
        return len(self.references)

    @overload
    def __getitem__(self, number: int) -> np.ndarray: ...

    @overload
    def __getitem__(self, number: slice) -> Fetched: ...

    def __getitem__(self, number: int | slice) -> np.ndarray | Fetched:
        import ray

        if isinstance(number, slice):
            return Fetched(self.references[number])
        array: np.ndarray = ray.get(self.references[number])
        return array


Sent = tuple[Any, list[tuple[FileRows, Any]], Sequence[np.ndarray]]
"""A part on its way: its facts, the bytes of its files, and its arrays."""


def packed(part: Part) -> Sent:
    """Return a part with the bytes that it reads, as `work_on` and `work_together` take it."""
    return part.facts, [(file, pack(file)) for file in part.files], part.arrays


def work_on(common: tuple[str, bytes], sent: Sent) -> list[Any]:
    """Do one part, in a worker: what it reads lies in a temporary folder meanwhile."""
    function, shared, expected = _opened(*common)
    _refuse_other_code(expected)
    with _unpacked(sent) as part:
        return list(function(shared, part))


def work_together(common: tuple[str, bytes], sent: Sequence[Any], threads: int, patience: float) -> list[Any]:
    """Have all parts worked on at the same time, by so many other workers; in a worker that itself needs no processor.

    Parameters
    ----------
    sent
        References of what `packed` returned, one for each part.
    threads
        How many processors each of the workers has.
    patience
        For how many seconds processors that are busy are waited for.

    Raises
    ------
    Lost
        If a worker has gone, or so many processors are not free in time.
    """
    import ray
    from ray.util import placement_group, remove_placement_group
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    function, shared, expected, meeting = _opened(*common)
    _refuse_other_code(expected)
    group = placement_group([{"CPU": threads}] * len(sent), strategy="SPREAD")
    try:
        if not group.wait(patience):
            raise Lost(f"has not had {len(sent)} times {threads} free processors within {patience:.0f} s")
        everybody = ray.put((function, shared, expected))
        with meeting(str(ray.util.get_node_ip_address()), len(sent)) as place:
            members = [
                ray.remote(_one_of_many)
                .options(
                    max_retries=0,
                    num_cpus=threads,
                    scheduling_strategy=PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=number),
                )
                .remote(everybody, part, place)
                for number, part in enumerate(sent)
            ]
            return _all_of(ray, members)
    finally:
        remove_placement_group(group)


def _one_of_many(everybody: Any, sent: Sent, place: Place) -> Any:
    function, shared, expected = everybody
    _refuse_other_code(expected)
    with _unpacked(sent) as part:
        return function(shared, part, place)


def _all_of(ray: Any, members: Sequence[Any]) -> list[Any]:
    """Wait for all; once one has failed the others soon do: raise the error that was the reason."""
    pending, errors, until = list(members), [], None
    while pending and (until is None or monotonic() < until):
        done, pending = ray.wait(pending, num_returns=1, timeout=1)
        for one in done:
            try:
                ray.get(one)
            except ray.exceptions.RayTaskError as err:
                errors.append(getattr(err, "cause", None) or err)
            except ray.exceptions.RayError as err:
                errors.insert(0, Lost(f"lost a worker ({type(err).__name__})"))
            until = until or (monotonic() + AFTER_A_FAILURE_SECONDS if errors else None)
    for one in pending:
        ray.cancel(one, force=True)
    if errors:
        raise next((err for err in errors if isinstance(err, Lost)), None) or first_cause(errors)
    return list(ray.get(list(members)))


@contextmanager
def _unpacked(sent: Sent) -> Iterator[Part]:
    facts, files, arrays = sent
    with tempfile.TemporaryDirectory() as folder:
        local = tuple(
            FileRows(unpack(content, Path(folder) / f"{number}.parquet"), file.rows, file.columns)
            for number, (file, content) in enumerate(files)
        )
        yield Part(facts, local, arrays)


def _refuse_other_code(expected: dict[str, str | None]) -> None:
    own = fingerprint_of_code()
    if own != expected:
        differing = sorted(name for name in expected.keys() | own.keys() if expected.get(name) != own.get(name))
        raise SettingsError(
            f"a worker of the cluster on {socket.gethostname()} differs from the process that asks it in "
            f"{', '.join(differing)}; start head, workers and Evergreen from the same image"
        )


def _opened(name: str, content: bytes) -> Any:
    """Read what parts share, once in a worker for all parts of a work; only the last work is held."""
    if name not in _SHARED:
        _SHARED.clear()
        _SHARED[name] = pickle.loads(content)  # noqa: S301  by the process that this cluster works for
    return _SHARED[name]
