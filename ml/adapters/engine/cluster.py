"""The client of Ray: work on the parts of a large day on the workers of a cluster.

The bytes of each part travel with it, and what came of it travels back: workers read no storage, no registry and no
MLflow, and need no address and no credentials of them. They write into a temporary folder of their own only, so that a
part whose worker died is simply done again.
"""

from __future__ import annotations

import logging
import os
import pickle
import secrets
import signal
import socket
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from itertools import islice
from time import monotonic, sleep
from typing import Any

from ml.adapters.engine import LOCAL, Joint, Meeting, Part, R, S, Work
from ml.adapters.engine.worker import Fetched, Lost, fingerprint_of_code, packed, work_on, work_together
from ml.errors import SettingsError, Unavailable
from ml.next_moves import rerun

logger = logging.getLogger(__name__)
VARIABLE = "EVERGREEN_CLUSTER_ADDRESS"
SCHEME = "ray://"
RETRIES = 3
"""So often a part is done again whose worker died, on whatever worker is free."""
AHEAD = 2
"""So many parts for each processor of the cluster are under way: while one is worked on, the next one is on its way."""
CONNECT_SECONDS = 10.0
PATIENCE_SECONDS = 60.0
"""So long a cluster may be without any processor, while its workers start or start again."""
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_AUTO_CONNECT": "0",
    "RAY_IGNORE_UNHANDLED_ERRORS": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_task_oom_retries": str(RETRIES),
}
"""What Ray reads from the environment: it reports to nobody, connects only when it is asked to, and gives up some day
on a part for which no worker has the memory.
"""


class ClusterEngine:
    """Work on parts by Ray's workers; a single part, which gains nothing from that, in this process.

    Parameters
    ----------
    address
        ``ray://host:port`` of the cluster's client server; empty starts a cluster of this machine's processors, which
        ends with this process.
    rows_per_part
        How many rows a part of a table should have.
    processors
        How many processors a cluster of this machine takes; None means all.

    Raises
    ------
    SettingsError
        If Ray is not installed, or the address is not one.
    """

    def __init__(self, address: str, *, rows_per_part: int, processors: int | None = None) -> None:
        self.address, self.processors = address, processors
        self.rows_per_part: int | None = rows_per_part
        self.host, self.port = _host_and_port(address) if address else ("", 0)
        if find_spec("ray") is None:
            raise SettingsError(
                "engine.kind is cluster, and ray is not installed; run 'make cluster' (the image: build it with "
                "CLUSTER=1), or set engine.kind: local"
            )

    @property
    def _where(self) -> str:
        return f"the cluster at {self.address} ({VARIABLE})" if self.address else "the cluster of this machine"

    def map(self, function: Work[S, R], parts: Iterable[Part], *, shared: S) -> Iterator[R]:
        """Yield what a function yields for each part, in the order of the parts; see `ml.adapters.engine.Engine`.

        Raises
        ------
        Unavailable
            If the cluster cannot be reached or has no processor, or a part was lost `RETRIES` times.
        SettingsError
            If a worker runs other code or other packages than this process: its results might differ.
        """
        remaining = iter(parts)
        first = list(islice(remaining, 2))
        if len(first) < 2:
            yield from LOCAL.map(function, first, shared=shared)
            return
        ray = self._connect()
        most = AHEAD * max(int(self._asked(ray.cluster_resources).get("CPU", 1)), 1)
        task = ray.remote(max_retries=RETRIES, retry_exceptions=False, num_cpus=1)(work_on)
        name = secrets.token_hex(8)
        common = self._asked(lambda: ray.put((name, pickle.dumps((function, shared, fingerprint_of_code())))))
        queue: deque[Any] = deque()
        try:
            for part in (*first, *remaining):
                while len(queue) >= most:
                    yield from self._result(ray, queue.popleft())
                queue.append(self._submit(ray, task, common, part))
            while queue:
                yield from self._result(ray, queue.popleft())
        finally:
            for reference in queue:
                _cancel(ray, reference)

    def together(
        self, function: Joint[S, R], parts: Sequence[Part], *, shared: S, meeting: Meeting, threads: int
    ) -> list[R]:
        """Work on all parts at the same time, by as many workers; see `ml.adapters.engine.Engine`.

        Raises
        ------
        Unavailable
            If the cluster cannot be reached, has not so many processors, or a worker was lost: all is to be done again.
        SettingsError
            As `map`.
        """
        ray = self._connect()
        there, needed = int(self._asked(ray.cluster_resources).get("CPU", 0)), len(parts) * threads
        if needed > there:
            work = f"{len(parts)} workers of {threads} threads each"
            raise self._unavailable(f"has {there} processors, and {work} need {needed}")
        content = pickle.dumps((function, shared, fingerprint_of_code(), meeting))
        common = self._asked(lambda: ray.put((secrets.token_hex(8), content)))
        sent = [self._sent(ray, part) for part in parts]
        lead = ray.remote(max_retries=0, num_cpus=0)(work_together)
        reference = self._asked(lambda: lead.remote(common, sent, threads, PATIENCE_SECONDS))
        try:
            return self._result(ray, reference)
        except Lost as err:
            raise self._unavailable(str(err)) from err
        finally:
            _cancel(ray, reference)

    def _sent(self, ray: Any, part: Part) -> Any:
        """Put a part, and each of its arrays by itself, into Ray's store."""
        arrays = [self._asked(lambda array=array: ray.put(array)) for array in part.arrays]
        content = packed(Part(part.facts, part.files, Fetched(arrays)))
        return self._asked(lambda: ray.put(content))

    def close(self) -> None:
        """Leave the cluster; one of this machine ends."""
        if find_spec("ray") is not None:
            import ray

            ray.shutdown()

    def _connect(self) -> Any:
        """Return Ray, connected; a process is connected once.

        Raises
        ------
        Unavailable
            If the cluster does not answer, or has no processor.
        """
        for variable, value in QUIET.items():
            os.environ.setdefault(variable, value)
        if not self.address:  # else Ray would keep one in the home of the user
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        import ray

        if ray.is_initialized():
            return ray
        logger.info("engine: connecting to %s", self._where)
        with _same_end():
            self._init(ray)
        self._await_processors(ray)
        return ray

    def _init(self, ray: Any) -> None:
        if not self.address:
            self._asked(
                lambda: ray.init(
                    address="local",
                    num_cpus=self.processors,
                    include_dashboard=False,
                    log_to_driver=False,
                    configure_logging=False,
                )
            )
            return
        try:
            socket.create_connection((self.host, self.port), timeout=CONNECT_SECONDS).close()
        except OSError as err:  # Ray itself would ask for half a minute
            raise self._unavailable(f"does not answer ({err})") from err
        try:
            self._asked(lambda: ray.init(address=self.address, log_to_driver=False))
        except Unavailable as err:
            raise Unavailable(f"{err}. A head also answers nobody whose RAY_AUTH_TOKEN is not its own") from err

    def _await_processors(self, ray: Any) -> None:
        until = monotonic() + PATIENCE_SECONDS
        while not self._asked(ray.cluster_resources).get("CPU"):
            if monotonic() > until:
                raise self._unavailable(f"has had no worker for {PATIENCE_SECONDS:.0f} s")
            sleep(1)

    def _submit(self, ray: Any, task: Any, common: Any, part: Part) -> Any:
        content = packed(part)
        return self._asked(lambda: task.remote(common, ray.put(content)))

    def _result(self, ray: Any, reference: Any) -> list[Any]:
        """Wait for what came of a part; raise what its function raised.

        Raises
        ------
        Unavailable
            If it was lost, or no worker is left that could do it.
        """
        while not self._asked(lambda: ray.wait([reference], timeout=PATIENCE_SECONDS))[0]:
            self._await_processors(ray)
        try:
            results: list[Any] = self._asked(lambda: ray.get(reference))
        except ray.exceptions.RayTaskError as err:
            raise getattr(err, "cause", None) or err from err
        return results

    def _asked(self, question: Any) -> Any:
        """Ask Ray for something; raises Unavailable where the cluster is the reason that it fails."""
        import ray

        try:
            return question()
        except ray.exceptions.RayTaskError:
            raise
        except ray.exceptions.AuthenticationError as err:
            raise SettingsError(
                f"{self._where} asks for a token ({_first_line(err)}); set RAY_AUTH_TOKEN to that of its head"
            ) from err
        except (ray.exceptions.RayError, ConnectionError, RuntimeError, TimeoutError) as err:
            if isinstance(err, ConnectionError):  # whoever comes next connects anew
                with suppress(Exception):
                    ray.shutdown()
            raise self._unavailable(f"failed ({type(err).__name__}: {_first_line(err)})") from err

    def _unavailable(self, problem: str) -> Unavailable:
        return Unavailable(
            f"{self._where} {problem}; see that its head and its workers run and have memory for a part of "
            f"engine.rows_per_part rows each, then {rerun()}; or set engine.kind: local"
        )


@contextmanager
def _same_end() -> Iterator[None]:
    """Leave it to whoever runs this process how it ends: Ray would answer SIGTERM in its own way."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread() and before is not None:
            signal.signal(signal.SIGTERM, before)


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.removeprefix(SCHEME).strip("/").rpartition(":")
    if not (address.startswith(SCHEME) and host and port.isdecimal() and 0 < int(port) < 65_536):
        raise SettingsError(f"{VARIABLE} is {address!r}; write it as {SCHEME}HOST:PORT, such as {SCHEME}ray-head:10001")
    return host.strip("[]"), int(port)


def _first_line(err: BaseException) -> str:
    return (str(err).strip().splitlines() or [""])[0][:300]


def _cancel(ray: Any, reference: Any) -> None:
    """Take back a part of which nobody wants the result any more; a cluster that is gone has taken it back itself."""
    if not ray.is_initialized():
        return
    try:
        ray.cancel(reference, force=False)
    except (ray.exceptions.RayError, ConnectionError, RuntimeError) as err:
        logger.debug("engine: a part could not be taken back: %s", err)
