"""Remember for a moment what was read, so that a page of many parts does not ask for the same thing many times.

The memory is the process's own. What fails is not remembered.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")
MOST = 20_000
"""So many things are remembered at once; then the oldest go."""

MISSING = object()


@dataclass
class Memory:
    """Things by their key, each for as long as its reader says."""

    entries: dict[Hashable, tuple[float, Any]] = field(default_factory=dict)
    locks: dict[Hashable, threading.Lock] = field(default_factory=dict)
    guard: threading.Lock = field(default_factory=threading.Lock)

    def recall(self, key: Hashable, seconds: float) -> Any:
        """Give what was kept no longer than ``seconds`` ago, else `MISSING`."""
        kept = self.entries.get(key)
        return kept[1] if kept is not None and time.monotonic() - kept[0] <= seconds else MISSING

    def keep(self, key: Hashable, value: Any) -> None:
        """Keep a value from now on."""
        with self.guard:
            self.entries.pop(key, None)
            self.entries[key] = (time.monotonic(), value)
            while len(self.entries) > MOST:
                del self.entries[next(iter(self.entries))]

    def remembered(self, key: Hashable, seconds: float, compute: Callable[[], T]) -> T:
        """Give what was computed no longer than ``seconds`` ago, or compute it; of callers at once one does."""
        found = self.recall(key, seconds)
        if found is MISSING:
            with self.guard:
                lock = self.locks.setdefault(key, threading.Lock())
            with lock:
                found = self.recall(key, seconds)
                if found is MISSING:
                    found = compute()
                    self.keep(key, found)
        value: T = found
        return value

    def forget(self) -> None:
        """Forget everything."""
        with self.guard:
            self.entries.clear()


MEMORY = Memory()
