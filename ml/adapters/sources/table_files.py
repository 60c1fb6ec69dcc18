"""Find the files of a table: one file, a folder of files, or a Hive-partitioned data set, local or on S3."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import unquote

from ml import settings
from ml.adapters.s3_errors import NoSuchObject
from ml.adapters.sources import local, s3
from ml.adapters.sources.addresses import HIDDEN, show_some
from ml.adapters.sources.patterns import ENDINGS, FORMATS, Packing, TableFormat
from ml.errors import MissingArtifact, SettingsError, Unavailable

ENDING = re.compile(rf"\.({'|'.join(FORMATS)})(\.gz|\.zst)?$", re.IGNORECASE)
NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True)
class TableFile:
    """One file of a table.

    ``partitions`` are the columns that its folders name (``station=3``), as text; ``state`` changes with its content,
    None if that is unknown.
    """

    name: str
    format: TableFormat
    packing: Packing | None
    partitions: Mapping[str, str | None] = field(default_factory=dict)
    state: str | None = None

    def may_hold(self, day: date, time: str) -> bool:
        """Return whether rows of a day may be in the file.

        By a partition ``day`` beside another time column the days next to it count too: a row in the wrong one is then
        found, and not missed.
        """
        if time in self.partitions:
            return self.partitions[time] == day.isoformat() or not _is_day(self.partitions[time])
        own = self.partitions.get("day")
        near = {(day + timedelta(days=shift)).isoformat() for shift in (-1, 0, 1)}
        return not _is_day(own) or own in near

    @contextmanager
    def fetched(self, key: str) -> Iterator[Path]:
        """Yield a local path of the content; an object of S3 is fetched to disk.

        Raises
        ------
        Unavailable
            If the file was changed, or was replaced, while it was read.
        """
        if self.name.startswith(s3.S3):
            with TemporaryDirectory() as folder:
                path = Path(folder) / "object"
                try:
                    with s3.opened(self.name, key) as opened:
                        opened.save(path)
                except NoSuchObject as err:
                    raise Unavailable(f"{self.name} was removed while its table was read; try again") from err
                yield path
            return
        path = Path(self.name)
        try:
            before = local.stat(path)
            yield path
            after = local.stat(path)
        except FileNotFoundError as err:
            raise Unavailable(f"{path} was removed while its table was read; try again") from err
        if (before.st_mtime_ns, before.st_size, before.st_ino) != (after.st_mtime_ns, after.st_size, after.st_ino):
            raise Unavailable(f"{path} was changed while it was read; write under another name and rename, then retry")


def find_files(table: str, key: str) -> list[TableFile]:
    """List the files of a table in order of their names; ``key`` is the settings key that names it.

    Names that begin with ``.`` or ``_`` are left out, and so are other files than tables in a folder.

    Raises
    ------
    SettingsError
        If there is no such file, folder or bucket, or it holds no table, or tables of more than one format.
    MissingArtifact
        If the folder is empty: nothing was delivered yet.
    """
    names, single = _list_s3(table, key) if table.startswith(s3.S3) else _list_local(table, key)
    root = "" if single else table if table.startswith(s3.S3) else str(settings.PROJECT_ROOT / table)
    files = [_describe(root, name, state, key) for name, state in names if single or ENDING.search(name)]
    if not files and names:
        shown = show_some([name.rpartition("/")[2] for name, _ in names])
        raise SettingsError(f"{key}: no file in {table} ends in {ENDINGS}; it holds {shown}; correct {key}")
    if not files:
        raise MissingArtifact(f"{table} holds no file yet; deliver the table, or correct {key}")
    if len(formats := {file.format for file in files}) > 1:
        raise SettingsError(
            f"{key}: {table} holds files of more than one format ({', '.join(sorted(formats))}); keep one"
        )
    if len({tuple(file.partitions) for file in files}) > 1:
        raise SettingsError(f"{key}: not all files in {table} are below the same partitions (name=value); move them")
    return files


def state_of(files: Sequence[TableFile]) -> str | None:
    """Return what changes with the content of some files; None if that is unknown for any of them."""
    if not files or any(file.state is None for file in files):
        return None
    return hashlib.sha256(json.dumps([[file.name, file.state] for file in files]).encode()).hexdigest()


def _is_day(value: str | None) -> bool:
    return value is not None and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value) is not None


def _describe(root: str, name: str, state: str | None, key: str) -> TableFile:
    ending = ENDING.search(name)
    if ending is None or (ending[1].lower() == "parquet" and ending[2]):
        raise SettingsError(f"{key}: {name} does not end in {ENDINGS}; name a table of these")
    kind = ending[1].lower()
    folders = name.removeprefix(root).split("/")[:-1] if root else []
    partitions = dict(part.split("=", maxsplit=1) for part in folders if "=" in part)
    return TableFile(
        name,
        FORMATS[kind],
        None if ending[2] is None else "gz" if ending[2].lower() == ".gz" else "zst",
        {unquote(column): None if value == NULL_PARTITION else unquote(value) for column, value in partitions.items()},
        state,
    )


def _list_local(table: str, key: str) -> tuple[list[tuple[str, str | None]], bool]:
    path = settings.PROJECT_ROOT / table
    if path.is_dir():
        local.entries(path, key)  # which says what is wrong with a folder that may not be read
        names = []
        for folder, inner, files in os.walk(path):
            inner[:] = sorted(name for name in inner if not name.startswith(HIDDEN))
            names += [Path(folder) / name for name in files if not name.startswith(HIDDEN)]
        return [(str(name), local.describe(name)) for name in sorted(names)], False
    if path.name not in (names_there := local.entries(path.parent, key)):
        raise SettingsError(f"{key}: there is no {path}; {path.parent} holds {show_some(names_there)}; correct {key}")
    return [(str(path), local.describe(path))], True


def _list_s3(table: str, key: str) -> tuple[list[tuple[str, str | None]], bool]:
    uri = table.rstrip("/")
    objects = s3.objects_below(uri, key)
    if uri in objects:
        return [(uri, objects[uri])], True
    below = {name: state for name, state in objects.items() if name.startswith(f"{uri}/")}
    if not below:
        raise SettingsError(f"{key}: there is no object {uri}, and none below {uri}/; correct {key}")
    visible: list[tuple[str, str | None]] = [
        (name, state)
        for name, state in sorted(below.items())
        if not any(part.startswith(HIDDEN) for part in name.removeprefix(f"{uri}/").split("/"))
        and not name.endswith("/")
    ]
    return visible, False
