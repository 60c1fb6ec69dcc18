"""Keep requested rows with what was answered, as Parquet parts in the storage that are only ever added.

Rows wait in memory until there are enough of them or enough time has passed. A part that the storage does not take
lies in a folder of this machine until it does. A killed process loses what waited in memory; a stopped one nothing.
"""

from __future__ import annotations

import io
import json
import logging
import threading
import uuid
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ml.adapters import layout, rows
from ml.core.predictions import bounds, parted
from ml.errors import EvergreenError
from ml.serving import metrics
from ml.settings import Settings
from ml.wiring import Services

logger = logging.getLogger(__name__)
MEGABYTE = 1_000_000
PRUNE_EVERY = 50
"""After so many parts the oldest ones are looked at."""

REFUSED_DAYS = 60
"""So long counts of refused requests are kept."""

MOST_WAITING = 20
"""So many times ``log_rows`` rows wait in memory at most."""


class RequestLog:
    """The request log of one model, written by a thread of its own.

    Parameters
    ----------
    folder
        Where parts lie that the storage has not taken yet.
    """

    def __init__(self, settings: Settings, services: Services, folder: Path) -> None:
        self.model, self.own, self.task, self.key = (
            settings.task.name,
            settings.serving,
            settings.task,
            settings.task.key,
        )
        self.settings, self.services, self.folder = settings, services, folder
        self._process = uuid.uuid4().hex[:16]
        self._refused: dict[date, Counter[int]] = {}
        self._refusals = set[date]()
        self._waiting: deque[pa.Table] = deque()
        self._rows = 0
        self._written = 0
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._wake = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name=f"request-log-{self.model}", daemon=True)

    def start(self) -> None:
        """Begin to write, what an earlier process had to leave here first."""
        self._thread.start()

    def add(
        self,
        table: pa.Table,
        predictions: np.ndarray,
        version: int | np.ndarray,
        request: str | Sequence[str],
        *,
        seconds: float,
        half_width: float | np.ndarray | None = None,
        more: Mapping[str, pa.Array] | None = None,
    ) -> None:
        """Add the rows of a request with its answer; of all rows the share ``log_share``, by their keys.

        Parameters
        ----------
        request
            The request's identity; of a message queue, where each row is a message of its own, each row's.
        seconds
            How long the look-ups and the prediction of all its rows took.
        version
            Who answered, all rows or each.
        more
            Further columns: what there is to say of a challenger.
        """
        if self.own.log_share <= 0:
            return
        size = table.num_rows
        for name, values in (parted(predictions, self.task) | bounds(predictions, half_width)).items():
            table = table.append_column(name, pa.array(values, pa.float64()))
        for name, column in (more or {}).items():
            table = table.append_column(name, column)
        table = (
            table.append_column("model_version", pa.array(np.full(size, version, dtype=np.int64)))
            .append_column("requested_at", pa.array([datetime.now(UTC)] * size, pa.timestamp("us", tz="UTC")))
            .append_column("request", pa.array([request] * size if isinstance(request, str) else request, pa.string()))
            .append_column("seconds", pa.array(np.full(size, seconds), pa.float64()))
        )
        sampled = rows.in_sample(table, self.key, self.own.log_share)
        if not sampled.num_rows:
            return
        with self._lock:
            if self._rows + sampled.num_rows > max(self.own.log_rows * MOST_WAITING, self.own.max_rows):
                metrics.LOG_DROPPED.labels(self.model).inc(sampled.num_rows)
                return
            self._waiting.append(sampled)
            self._rows += sampled.num_rows
            metrics.LOG_WAITING.labels(self.model).set(self._rows)
            if self._rows >= self.own.log_rows:
                self._wake.set()

    def refuse(self, status: int) -> None:
        """Count a request that was refused with a status, on the day on which it came."""
        with self._lock:
            day = self._today()
            self._refused.setdefault(day, Counter())[status] += 1
            self._refusals.add(day)

    def flush(self) -> None:
        """Write what waits, to the storage or else to the folder; nothing is lost if this returns."""
        with self._writing:
            with self._lock:
                tables, self._rows = list(self._waiting), 0
                self._waiting.clear()
                metrics.LOG_WAITING.labels(self.model).set(0)
            if tables:
                self._write(pa.concat_tables(tables, promote_options="permissive"))
            self._send_unsent()
            self._write_refusals()

    def stop(self) -> None:
        """Write all that waits, and write no more."""
        self._stopped = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(30)
        self.flush()

    def _run(self) -> None:
        while not self._stopped:
            self._wake.wait(self.own.log_seconds)
            self._wake.clear()
            try:
                self.flush()
            except Exception:
                logger.exception("%s: the request log could not be written", self.model)

    def _write(self, table: pa.Table) -> None:
        for day in pc.unique(table["day"]).to_pylist():
            buffer = io.BytesIO()
            pq.write_table(table.filter(pc.equal(table["day"], day)), buffer, compression="zstd")
            content = buffer.getvalue()
            part = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{uuid.uuid4().hex[:8]}"
            name = layout.serving.request_part(day, part, len(content))
            try:
                self.services.storage.put_bytes(name, content)
            except (EvergreenError, OSError) as err:
                logger.warning("%s: the storage did not take a part of the request log (%s)", self.model, err)
                self._keep(name, content)
            self._written += 1
        if self._written >= PRUNE_EVERY:
            self._written = 0
            self._prune()

    def _write_refusals(self) -> None:
        """Write how many requests this process refused on each day since it last did; one file a day and process."""
        with self._lock:
            changed = {day: dict(self._refused[day]) for day in self._refusals}
            self._refusals.clear()
        for day, counts in changed.items():
            content = json.dumps({str(status): count for status, count in sorted(counts.items())}).encode()
            try:
                self.services.storage.put_bytes(layout.serving.refused_requests(day, self._process), content)
            except (EvergreenError, OSError) as err:
                logger.warning("%s: the storage did not take the count of refused requests (%s)", self.model, err)
                with self._lock:
                    self._refusals.add(day)

    def _today(self) -> date:
        return self.settings.today(datetime.now(UTC))

    def _keep(self, name: str, content: bytes) -> None:
        """Put a part into the folder, if there is room for it; the oldest ones make room."""
        parts = self._unsent()
        room = self.own.log_megabytes * MEGABYTE - len(content)
        held = sum(size for _, size in parts)
        while parts and held > room:
            oldest, size = parts.pop(0)
            held -= size
            with suppress(FileNotFoundError):  # another worker sent it just now
                metrics.LOG_DROPPED.labels(self.model).inc(rows.count_rows(oldest))
                oldest.unlink()
        path = self.folder / name.replace("/", "~")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            whole = path.with_suffix(".writing")
            whole.write_bytes(content)
            whole.replace(path)
        except OSError:
            metrics.LOG_DROPPED.labels(self.model).inc(pq.read_metadata(io.BytesIO(content)).num_rows)
            logger.exception("%s: no room for a part of the request log, it is dropped", self.model)

    def _send_unsent(self) -> None:
        for path, _ in self._unsent():
            try:
                self.services.storage.put_file(path.name.replace("~", "/"), path)
            except FileNotFoundError:  # another worker sent it just now
                continue
            except (EvergreenError, OSError):
                break
            path.unlink(missing_ok=True)
        metrics.LOG_UNSENT.labels(self.model).set(sum(size for _, size in self._unsent()))

    def _unsent(self) -> list[tuple[Path, int]]:
        """List the parts in the folder with their bytes, oldest first."""
        parts = []
        for path in sorted(self.folder.glob("*.parquet"), key=lambda path: path.name.partition("part=")[2]):
            with suppress(FileNotFoundError):
                parts.append((path, path.stat().st_size))
        return parts

    def _prune(self) -> None:
        """Remove the oldest parts from the storage while there are more than ``log_megabytes``."""
        try:
            parts = [
                (match[2], name, int(match[3]))
                for name in self.services.storage.list(layout.serving.REQUESTS)
                if (match := layout.serving.REQUEST_PART.fullmatch(name))
            ]
            first = self._today() - timedelta(days=REFUSED_DAYS)
            for name in self.services.storage.list(layout.serving.REFUSED):
                if name < layout.serving.refused_requests(first, ""):
                    self.services.storage.delete(name)
            surplus = sum(size for *_, size in parts) - self.own.log_megabytes * MEGABYTE
            for _, name, size in sorted(parts):
                if surplus <= 0:
                    break
                self.services.storage.delete(name)
                surplus -= size
        except EvergreenError as err:
            logger.warning("%s: old parts of the request log could not be removed (%s)", self.model, err)


def read(services: Services, day: layout.days.Day) -> pd.DataFrame:
    """Read what was requested of a day and answered; empty if nothing was."""
    names = services.storage.list(layout.serving.requests(day))
    tables = [pq.read_table(io.BytesIO(services.storage.get_bytes(name))) for name in names]
    frame: pd.DataFrame = (
        pa.concat_tables(tables, promote_options="permissive").to_pandas() if tables else pd.DataFrame()
    )
    return frame
